"""`apptuner_relay.client.serve`: what twistd is told, and the help."""

import contextlib
import io

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.main import main
from apptuner_relay.client.serve import twistd_arguments
from apptuner_relay.config.settings import OPTIONS


class ServeTest(SynchronousTestCase):
    def test_words_go_to_the_relay_and_the_log_file_to_twistd(self) -> None:
        start = ["twistd", "-n", "--pidfile="]
        for words, expected in (
            ([], [*start, "apptuner-relay"]),
            (
                ["--listen", "tcp:1", "--check"],
                [*start, "apptuner-relay", "--listen", "tcp:1", "--check"],
            ),
            (
                ["--logfile", "/l", "--node=a"],
                [*start, "--logfile=/l", "apptuner-relay", "--node=a"],
            ),
            (["--node=a", "--logfile=/l"], [*start, "--logfile=/l", "apptuner-relay", "--node=a"]),
        ):
            self.assertEqual(twistd_arguments(words), expected)

    def test_its_help_has_every_option_below_its_heading(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as out, self.assertRaises(SystemExit) as end:
            main(["serve", "--help"])
        self.assertEqual(end.exception.code, 0)
        # Lines may end at a hyphen.
        text = "".join(out.getvalue().split())
        for option in OPTIONS:
            self.assertIn(option.name if option.tune else f"--{option.name}", text)
        self.assertIn("\nLimits:\n", out.getvalue())
