"""`apptuner_relay.config.help`: what --help says."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.help import TUNE_VARIABLE, format_help, headings, tunes
from apptuner_relay.config.settings import OPTIONS


class Help(SynchronousTestCase):
    def test_every_option_variable_range_and_default(self) -> None:
        text = " ".join(format_help(80).split())
        for option in OPTIONS:
            dashes = "" if option.tune else "--"
            self.assertIn(f" {dashes}{option.name}={option.parse.metavar} ", text)
            self.assertIn(" ".join(option.doc.split()), text)
            self.assertIn(option.parse.accepts, text)
            self.assertIn(f"default: {option.default or 'none'}", text)
            if not option.tune:
                self.assertIn(f"; {option.variable}]", text)
        self.assertIn(TUNE_VARIABLE, text)
        for option in OPTIONS:
            if option.parse.metavar in ("SIZE", "TIME", "NUMBER", "PERCENT"):
                self.assertIn(" to ", option.parse.accepts, option.name)

    def test_each_option_is_below_one_heading(self) -> None:
        listed = [option for _, options in headings() for option in options] + tunes()
        self.assertEqual(sorted(one.name for one in listed), sorted(one.name for one in OPTIONS))
        text = format_help(80)
        places = [text.index(f"\n{heading}:\n") for heading, _ in headings()]
        self.assertEqual(places, sorted(places))
        self.assertEqual(len(tunes()), 14)

    def test_lines_are_no_longer_than_the_terminal(self) -> None:
        for width in (60, 80, 120):
            for line in format_help(width).splitlines():
                self.assertTrue(len(line) <= width or " " not in line.strip(), line)

    def test_texts_are_sentences(self) -> None:
        for option in OPTIONS:
            self.assertRegex(option.doc, r"^[A-Zt]")
            self.assertFalse(option.doc.endswith("."), option.name)
