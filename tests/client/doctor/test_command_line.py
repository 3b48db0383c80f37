"""What `doctor` prints."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import inlineCallbacks

from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.screen import Screen
from tests.client.little_relay import RelayTestCase
from tests.client.schema import check_line


class CommandLineTest(RelayTestCase):
    """With a relay that has no `/health`: one check fails, as it is no relay of this project."""

    @inlineCallbacks
    def test_a_run(self) -> Any:
        running, screen = self.begin("doctor")
        self.assertEqual((yield running.done), Exit.FAILED)
        lines = screen.out.getvalue().splitlines()
        titles = [line[2:14].strip() for line in lines if not line.startswith("  ")]
        self.assertEqual(titles[:4], ["DNS", "TCP", "HTTP", "WebSocket"])
        self.assertIn("checks: ", lines[-1])
        self.assertRegex(lines[-1], r"^\d+ checks: \d failed, \d warnings?$")
        hint = lines[[line.startswith("✗ HTTP") for line in lines].index(True) + 1]
        self.assertTrue(hint.startswith(" " * 15), hint)

    @inlineCallbacks
    def test_json(self) -> Any:
        running, screen = self.begin("doctor", "--json")
        self.assertEqual((yield running.done), Exit.FAILED)
        [line] = screen.out.getvalue().splitlines()
        document = check_line(line)
        self.assertEqual((document["command"], document["event"]), ("doctor", "result"))
        self.assertEqual(document["exit"], 1)
        self.assertEqual(document["relay"], str(self.relay.address))
        self.assertIs(document["ok"], False)
        self.assertEqual(document["checks"][0]["name"], "dns")
        broken = [one for one in document["checks"] if one["state"] == "failed"]
        self.assertTrue(all(one["hint"] for one in broken))

    @inlineCallbacks
    def test_quiet(self) -> Any:
        running, screen = self.begin("doctor", "--quiet", quiet=True)
        self.assertEqual((yield running.done), Exit.FAILED)
        self.assertEqual(screen.out.getvalue(), "")
        first, second = screen.err.getvalue().splitlines()[:2]
        self.assertTrue(first.startswith("HTTP: "), first)
        self.assertTrue(second.startswith("  "), second)

    @inlineCallbacks
    def test_interrupted(self) -> Any:
        running, screen = self.begin("doctor", "--json")
        running.leave(Exit.TERMINATED)
        running.leave(Exit.INTERRUPTED)
        self.assertEqual((yield running.done), Exit.TERMINATED)
        document = check_line(screen.out.getvalue())
        self.assertEqual(document["checks"][-1]["text"], "not checked: interrupted")

    @inlineCallbacks
    def test_ascii(self) -> Any:
        self.patch(Screen, "can_show", lambda *_: False)
        running, screen = self.begin("doctor")
        yield running.done
        self.assertIn("\nx HTTP ", screen.out.getvalue())
        self.assertIn("\n+ TCP ", screen.out.getvalue())

    @inlineCallbacks
    def test_a_terminal(self) -> Any:
        self.patch(Screen, "width", property(lambda _: 60))
        running, screen = self.begin("doctor")
        yield running.done
        lines = screen.out.getvalue().splitlines()
        self.assertTrue(any(line.startswith("  ") for line in lines), lines)
        self.assertTrue(all(len(line) <= 60 for line in lines), lines)

    @inlineCallbacks
    def test_a_clients_path(self) -> Any:
        url = f"{self.relay.address}/mobile/ABC234"
        running, screen = self.begin("doctor", "--relay", url)
        yield running.done
        self.assertIn("without --relay", screen.err.getvalue())

    @inlineCallbacks
    def test_nobody_listens(self) -> Any:
        yield self.relay.close()
        running, screen = self.begin("doctor")
        self.assertEqual((yield running.done), Exit.NO_CONNECTION)
        self.assertIn("refused the connection", screen.out.getvalue())
