"""`apptuner_relay.spool.code.text_diff`: what it finds is exact, small, and bounded."""

import contextlib

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool.code.text_diff import (
    MOST_DIFF_S,
    MOST_INSERTED,
    ByteEdit,
    TooDifferent,
    diff,
)
from apptuner_relay.wire.bundle_patch import MOST_EDITS
from tests.spool.code.patch_texts import pairs, texts


def edited(old: bytes, new: bytes, edits: list[ByteEdit]) -> bytes:
    """``old`` with ``edits``, which have to be between characters, and in order."""
    made, at = b"", 0
    for start, end, new_start, new_end in edits:
        assert at <= start <= end and new_start <= new_end
        made += old[at:start] + new[new_start:new_end]
        for part in (old[at:start], old[start:end], new[new_start:new_end]):
            part.decode()
        at = end
    return made + old[at:]


def no_time() -> float:
    return 0.0


def modules(count: int, first: int = 0) -> str:
    """A bundle as Metro makes them, with ids that begin with ``first``."""
    return "".join(
        f"__d(function (global, require, module, exports, _dependencyMap) {{\n"
        f"  var name{number} = require(_dependencyMap[0]);\n"
        f"  module.exports = function () {{ return 'module number {number}'; }};\n"
        f"}},{first + number},[{first + number + 1},{first + number + 2}]);\n"
        for number in range(count)
    )


class Exact(SynchronousTestCase):
    @given(pairs())
    @example(("🛒" * 200, "🛒" * 99 + "🛍" + "🛒" * 100))
    @example(("é" * 200, "é" * 99 + "è" + "é" * 100 + "è"))
    @example(("a" * 100, "a" * 100 + "b"))
    @example(("a" * 100 + "b", "a" * 100))
    @example(("", ""))
    def test_two_builds(self, pair: tuple[str, str]) -> None:
        old, new = (text.encode() for text in pair)
        with contextlib.suppress(TooDifferent):
            self.assertEqual(edited(old, new, diff(old, new, no_time)), new)

    @given(texts(), texts())
    def test_any_two_texts(self, one: str, other: str) -> None:
        old, new = one.encode(), other.encode()
        with contextlib.suppress(TooDifferent):
            self.assertEqual(edited(old, new, diff(old, new, no_time)), new)

    @given(texts())
    def test_nothing_has_changed(self, text: str) -> None:
        self.assertEqual(diff(text.encode(), text.encode(), no_time), [])


class Small(SynchronousTestCase):
    """The edits are those that a person would name."""

    def edits(self, old: str, new: str) -> list[tuple[str, str]]:
        """What is replaced, and what by."""
        before, after = old.encode(), new.encode()
        edits = diff(before, after, no_time)
        self.assertEqual(edited(before, after, edits), after)
        return [(before[a:b].decode(), after[c:d].decode()) for a, b, c, d in edits]

    def test_a_word_and_the_number_of_the_build(self) -> None:
        old = modules(500) + "var BUILD = 'one';\n"
        new = old.replace("number 77'", "number seventy'").replace("'one'", "'two'")
        self.assertEqual(self.edits(old, new), [("77", "seventy"), ("one", "two")])

    def test_a_module_more(self) -> None:
        old = modules(500)
        more = "__d(function () {\n  return 'more';\n});\n"
        at = old.index("__d(", len(old) // 2)
        ((removed, added),) = self.edits(old, old[:at] + more + old[at:])
        self.assertEqual((removed, len(added)), ("", len(more)))

    def test_every_number_changes(self) -> None:
        edits = self.edits(modules(800), modules(800, first=100_000))
        self.assertEqual(len(edits), 800)
        self.assertLess(max(len(added) for _, added in edits), 40)

    def test_a_text_without_lines(self) -> None:
        old = modules(500).replace("\n", " ")
        new = old.replace("number 77'", "number seventy'").replace("number 401", "number four")
        self.assertLess(sum(len(added) for _, added in self.edits(old, new)), 20)

    def test_much_that_is_taken_out_or_put_in(self) -> None:
        old = modules(6000)
        start, end = (old.index("__d(", place) for place in (200_000, 600_000))
        self.assertEqual(len(self.edits(old, old[:start] + old[end:])), 1)
        more = "".join(f"another line, number {number}\n" for number in range(4_000))
        ((removed, added),) = self.edits(old, old[:start] + more + old[start:])
        self.assertEqual((removed, len(added)), ("", len(more)))


class Bounds(SynchronousTestCase):
    def too_different(self, old: str, new: str) -> None:
        with self.assertRaises(TooDifferent):
            diff(old.encode(), new.encode(), no_time)

    def test_too_many_edits(self) -> None:
        lines = [f"this is line {number}, and it is long enough" for number in range(9_000)]
        few = [*lines]
        for at in range(0, 2 * MOST_EDITS - 2, 2):
            few[at] += "!"
        self.assertEqual(
            len(diff("\n".join(lines).encode(), "\n".join(few).encode(), no_time)), 3999
        )
        few[8_100] += "!"
        few[8_200] += "!"
        self.too_different("\n".join(lines), "\n".join(few))

    def test_too_much_inserted(self) -> None:
        old = modules(200)
        most = int(len(old) * MOST_INSERTED)
        self.assertEqual(len(diff(old.encode(), (old + most * "x").encode(), no_time)), 1)
        self.too_different(old, old + 2 * most * "x")

    def test_too_long(self) -> None:
        clock = Clock()

        def seconds() -> float:
            clock.advance(MOST_DIFF_S / 10)
            return clock.seconds()

        old = modules(20)
        new = modules(20, first=1_000)
        self.assertEqual(len(diff(old.encode(), new.encode(), no_time)), 20)
        with self.assertRaises(TooDifferent):
            diff(old.encode(), new.encode(), seconds)

    @given(st.sampled_from([";", ",", "\n", "ab\n"]), st.integers(1, 3000))
    def test_text_that_repeats(self, one: str, count: int) -> None:
        old, new = (one * count).encode(), (one * (count // 2) + "!" + one * count).encode()
        with contextlib.suppress(TooDifferent):
            self.assertEqual(edited(old, new, diff(old, new, no_time)), new)
