"""`apptuner_relay.operator.first_line`: what a run's log begins with."""

import json

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.options import Options
from apptuner_relay.operator.first_line import FirstLine
from apptuner_relay.operator.logs import json_line
from apptuner_relay.support.version import release


class FirstLineTest(SynchronousTestCase):
    def written(self, *options: str, **environment: str) -> tuple[str, dict[str, object]]:
        """As text and as JSON."""
        parsed = Options(environment)
        parsed.parseOptions(list(options))
        with capturedLogs() as events:
            FirstLine(parsed.in_force, lambda: ["tcp:0.0.0.0:3000", "unix:/run/x"]).write()
        (event,) = events
        return formatEvent(event), json.loads(json_line(event))

    def test_defaults(self) -> None:
        text, line = self.written()
        self.assertEqual(
            text,
            f"AppTuner Relay {release()} starts: listens on tcp:0.0.0.0:3000, unix:/run/x; all "
            "options at their defaults",
        )
        self.assertEqual(line["listening"], ["tcp:0.0.0.0:3000", "unix:/run/x"])
        self.assertEqual((line["options"], line["release"]), ({}, release()))

    def test_options(self) -> None:
        text, line = self.written(
            *("--listen", "tcp:0", "--max-mobiles", "8", "--tune", "window=131072"),
            APPTUNER_ADMIN_TOKEN="correct-horse-battery",
        )
        self.assertTrue(
            text.endswith("; options --admin-token ***, --max-mobiles 8, --tune window=131072"),
            text,
        )
        self.assertEqual(
            line["options"], {"admin-token": "***", "max-mobiles": "8", "window": "131072"}
        )

    def test_nothing_but_where_to_listen(self) -> None:
        text, _ = self.written("--listen", "tcp:0")
        self.assertTrue(text.endswith("; all other options at their defaults"), text)

    def test_one_line(self) -> None:
        text, _ = self.written("--state-dir", "/a\nb\x1b[31m" + "x" * 300)
        self.assertTrue(text.isprintable())
        self.assertIn("--state-dir /a b [31mxx", text)
        self.assertLess(len(text), 350)
