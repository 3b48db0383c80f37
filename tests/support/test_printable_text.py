"""`apptuner_relay.support.printable_text`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.support.printable_text import printable_line


class PrintableLine(SynchronousTestCase):
    @given(st.text(), st.integers(1, 50), st.sampled_from(("", "…")))
    def test_any_text(self, text: str, most: int, ending: str) -> None:
        line = printable_line(text, most, ending)
        self.assertLessEqual(len(line), most)
        self.assertTrue(line.isprintable())

    def test_lines(self) -> None:
        for text, ending, expected in (
            (" Pixel 9 ", "…", "Pixel 9"),
            ("a\n b\x1b[2J", "…", "a b [2J"),
            ("0123456789", "…", "01234567…"),
            ("0123456789", "", "012345678"),
            ("0123456 89", "…", "0123456…"),
        ):
            self.assertEqual(printable_line(text, 9, ending), expected)
