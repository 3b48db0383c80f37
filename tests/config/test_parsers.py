"""`apptuner_relay.config.parsers`: what each takes, and what it says of what it doesn't."""

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config import parsers
from apptuner_relay.config.parsers import (
    DAY_S,
    GIB,
    KIB,
    MIB,
    TIB,
    Parser,
    choice,
    count,
    duration,
    limit,
    or_auto,
    or_none,
    or_off,
    show_size,
    show_time,
    size,
)

LONG_S = 366 * DAY_S


class Numbers(SynchronousTestCase):
    def test_sizes(self) -> None:
        parse = size(0, TIB)
        for text, expected in [
            ("0", 0),
            ("2048", 2048),
            ("2048B", 2048),
            ("1kB", 1000),
            ("1 KB", 1000),
            ("50mb", 50_000_000),
            ("1.5GB", 1_500_000_000),
            ("0.5TB", 500_000_000_000),
            ("1KiB", KIB),
            (" 1.5 mib ", 3 << 19),
            ("2GIB", 2 * GIB),
            ("1TiB", TIB),
        ]:
            self.assertEqual(parse(text), expected, text)
        for text in ("", "-1", "1e3", "12 parsecs", "1K", "1iB", "KiB", "1,5MiB", "٣", "2TiB"):
            self.assertRaises(ValueError, parse, text)

    def test_times(self) -> None:
        parse = duration(0, LONG_S)
        for text, expected in [
            ("90", 90),
            ("90S", 90),
            ("500ms", 0.5),
            ("1.5 M", 90),
            ("2h", 7200),
            ("7D", 7 * DAY_S),
        ]:
            self.assertEqual(parse(text), expected, text)
        for text in ("", "-1s", "1w", "1h30m", "s", "367d", "1" * 400):
            self.assertRaises(ValueError, parse, text)

    def test_what_is_out_of_range_is_told_the_range(self) -> None:
        for parse, text, said in [
            (size(KIB, 64 * MIB), "1", "must be 1KiB to 64MiB"),
            (duration(0.1, DAY_S), "2d", "must be 100ms to 1d"),
            (duration(0, 90), "2m", "must be 0 to 90s"),
            (count(1, 5), "6", "must be a whole number, 1 to 5"),
            (limit(5), "6", "must be a whole number, 0 to 5"),
            (parsers.share, "101%", "must be a percentage, 1% to 100%"),
            (parsers.memory_limit, "1MiB", "must be 16MiB to 16TiB"),
        ]:
            with self.assertRaises(ValueError) as caught:
                parse(text)
            self.assertEqual(str(caught.exception), said)

    @given(st.integers(0, TIB))
    def test_a_size_that_is_shown_is_read_as_it_was(self, value: int) -> None:
        self.assertEqual(size(0, TIB)(show_size(value)), value)

    @given(st.one_of(st.integers(0, LONG_S), st.integers(1, 999).map(lambda ms: ms / 1000)))
    def test_a_time_that_is_shown_is_read_as_it_was(self, value: float) -> None:
        self.assertAlmostEqual(duration(0, LONG_S)(show_time(value)), value)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        for parse in (size(1, MIB), duration(1, 60), count(1, 5), limit(5), parsers.memory_limit):
            try:
                parse(text)
            except ValueError as wrong:
                self.assertTrue(str(wrong).startswith("must be "))


class TurnedOff(SynchronousTestCase):
    def test_every_way_to_say_so(self) -> None:
        for text in ("off", "OFF", " Off ", "none", "None"):
            self.assertEqual(limit(5)(text), 0)
            self.assertEqual(or_off(duration(0, 1), 0.0)(text), 0.0)
            self.assertIsNone(or_off(count(0, 5), None)(text))
            self.assertIsNone(or_none(count(0, 5), None)(text))
            self.assertIsNone(parsers.spool_directory(text))
            self.assertEqual(parsers.state_directory(text), "off")
            self.assertEqual(parsers.memory_limit(text), 0)
            for parse in (parsers.file_path, parsers.web_url, parsers.token):
                self.assertIsNone(parse(text))
            self.assertFalse(parsers.switch(text))
            self.assertEqual(parsers.base_url(text), "")
        self.assertEqual(limit(5)("0"), 0)
        self.assertEqual(parsers.memory_limit("0"), 0)

    def test_nothing_at_all_turns_no_limit_off(self) -> None:
        # A variable that a script left empty must not.
        for parse in (limit(5), or_off(count(0, 5), None), parsers.memory_limit, parsers.switch):
            self.assertRaises(ValueError, parse, "")
        for parse in (parsers.file_path, parsers.web_url, parsers.token):
            self.assertIsNone(parse(""))


class Words(SynchronousTestCase):
    def test_choices(self) -> None:
        self.assertEqual(choice("text", "json")(" JSON "), "json")
        self.assertEqual(choice("text", "json").metavar, "text|json")
        self.assertRaises(ValueError, choice("text", "json"), "xml")
        self.assertEqual((parsers.switch("On"), parsers.switch("OFF")), (True, False))
        self.assertEqual(parsers.words(" a  b "), ("a", "b"))

    def test_auto(self) -> None:
        parse = or_auto(str.upper, "NAME")
        self.assertEqual((parse("Auto"), parse(" a ")), (None, "A"))

    def test_paths_are_absolute(self) -> None:
        self.assertEqual(parsers.file_path("here"), Path("here").absolute())
        self.assertEqual(parsers.file_path("~/x"), Path("~/x").expanduser())
        self.assertEqual(parsers.state_directory("here"), os.path.abspath("here"))
        self.assertEqual(parsers.state_directory("AUTO"), "auto")
        self.assertEqual(parsers.spool_directory("/a/../b"), "/b")
        for parse, text in (
            (parsers.spool_directory, "here"),
            (parsers.state_directory, " "),
            (parsers.state_directory, "a\0b"),
            (parsers.file_path, "a\0b"),
        ):
            self.assertRaises(ValueError, parse, text)

    def test_base_urls(self) -> None:
        self.assertEqual(parsers.base_url("https://h:1/a/"), "https://h:1/a")
        for text in ("h", "ftp://h", "https://h?a", "https://"):
            self.assertRaises(ValueError, parsers.base_url, text)

    def test_a_parser_says_what_it_takes(self) -> None:
        for parse, metavar, accepts in [
            (limit(10), "NUMBER", "1 to 10; 0 or off: no limit"),
            (or_off(duration(0, 3600), 0.0), "TIME", "0 to 1h or off"),
            (size(KIB, GIB), "SIZE", "1KiB to 1GiB"),
            (Parser(str, "TEXT"), "TEXT", ""),
        ]:
            self.assertEqual((parse.metavar, parse.accepts), (metavar, accepts))
