"""`apptuner_relay.client.tables`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.tables import LineKind, TableText, folded, table_lines

WORDS = st.text("ab🛒é", min_size=1, max_size=30)


def cells_wide(text: str) -> int:
    """As a terminal shows it: an emoji takes two columns."""
    return len(text) + text.count("🛒")


def squeezed(text: str) -> str:
    return "".join(text.split())


class FoldedTests(SynchronousTestCase):
    def test_at_blanks(self) -> None:
        self.assertEqual(folded("one two three", 7), ["one two", " three"])
        self.assertEqual(folded("one two three", 20), ["one two three"])
        self.assertEqual(folded("one two three", 8, indent=0), ["one two", "three"])
        self.assertEqual(folded("", 8), [""])

    def test_words_that_are_too_long(self) -> None:
        self.assertEqual(folded("abcdefghijkl", 8), ["abcdefgh", "  ijkl"])
        self.assertEqual(folded("x abcdefghijkl", 8), ["x", "  abcdef", "  ghijkl"])

    @given(st.lists(WORDS, max_size=8).map(" ".join), st.integers(4, 40))
    def test_nothing_is_lost_and_nothing_is_too_wide(self, text: str, width: int) -> None:
        lines = folded(text, width, measure=cells_wide)
        self.assertEqual(squeezed("".join(lines)), squeezed(text))
        self.assertLessEqual(max(map(cells_wide, lines)), width)


class TableTests(SynchronousTestCase):
    def lines(self, width: int, *rows: str, titles: str, **table: object) -> list[str]:
        split = [row.split("|") for row in rows]
        text = TableText(titles.split("|"), split, **table)  # type: ignore[arg-type]
        return [line.text for line in table_lines(text, width)]

    def test_one_that_fits(self) -> None:
        self.assertEqual(
            self.lines(40, "mon|1|20", "tue|300|4", titles="day|sent|all of it"),
            ["", "day   sent   all of it", "─" * 22, "mon      1          20",
             "tue    300           4", ""],
        )  # fmt: skip

    def test_titles_are_folded_first(self) -> None:
        self.assertEqual(
            self.lines(16, "mon|1|20", "tue|300|4", titles="day|sent|all of it"),
            ["", "             all", "day  sent  of it", "─" * 16, "mon     1     20",
             "tue   300      4", ""],
        )  # fmt: skip

    def test_then_texts(self) -> None:
        self.assertEqual(
            self.lines(30, "all that was sent of bundles|12 MB", titles="what|data"),
            ["", "what                      data", "─" * 30, "all that was sent of     12 MB",
             "  bundles", ""],
        )  # fmt: skip

    def test_then_the_table_itself(self) -> None:
        row = "2026-11-23|" + "|".join(["123,456"] * 4)
        lines = self.lines(30, row, titles="date|a|b|c|d")
        self.assertEqual(
            lines,
            ["", "date              a        b", "─" * 28, "2026-11-23  123,456  123,456",
             "", "date              c        d", "─" * 28, "2026-11-23  123,456  123,456", ""],
        )  # fmt: skip

    def test_a_total_stands_apart(self) -> None:
        table = TableText(("day", "n"), [("mon", "1"), ("tue", "2"), ("all", "3")], total=True)
        kinds = [line.kind for line in table_lines(table, 40)]
        self.assertEqual(
            kinds,
            [LineKind.BLANK, LineKind.TITLES, LineKind.RULE, LineKind.CELLS, LineKind.CELLS,
             LineKind.RULE, LineKind.TOTAL, LineKind.BLANK],
        )  # fmt: skip

    def test_without_rows_and_with_one_column(self) -> None:
        self.assertEqual(self.lines(40, titles="day|n"), ["", "day   n", "─" * 7, ""])
        self.assertEqual(self.lines(40, "mon", titles="day"), ["", "day", "───", "mon", ""])

    @given(st.data(), st.sampled_from([60, 80, 132]))
    def test_it_fits_and_no_figure_is_broken(self, data: st.DataObject, width: int) -> None:
        columns = data.draw(st.integers(1, 9))
        figures = st.integers(0, 10**12).map("{:,}".format)
        texts = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)
        left = {0} | data.draw(st.sets(st.integers(0, columns - 1), max_size=2))
        row = st.tuples(*(texts if index in left else figures for index in range(columns)))
        titles = data.draw(st.tuples(*[texts] * columns))
        rows = data.draw(st.lists(row, max_size=4))
        lines = list(table_lines(TableText(titles, rows, left), width, measure=cells_wide))
        self.assertLessEqual(max(cells_wide(line.text) for line in lines), width)
        shown = [line.text for line in lines if line.kind is LineKind.CELLS]
        for cells in rows:
            for index, cell in enumerate(cells):
                if index not in left:
                    self.assertTrue(any(cell in text for text in shown), cell)
        self.assertTrue(all(line.text == line.text.rstrip() for line in lines))
