"""`apptuner_relay.operator.reporting`: lines at their times, files between runs, warnings on their
way out."""

import json
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.alerts import Alert, Alerts
from apptuner_relay.operator.day_book import DAY_S
from apptuner_relay.operator.reporting import Reporting
from apptuner_relay.operator.views import Views
from tests.memory import Relay


class Post:
    where = "http://alerts.example"

    def __init__(self) -> None:
        self.taken: list[Alert] = []

    async def post(self, alert: Alert) -> None:
        self.taken.append(json.loads(json.dumps(alert)))


class ReportingCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.directory = Path(self.mktemp()).resolve()
        self.post = Post()
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: dict[str, Any]) -> None:
        if event.get("log_namespace", "").endswith(".Reporting"):
            self.events.append(event)

    def lines(self) -> list[str]:
        lines = [event["log_format"].format(**event) for event in self.events]
        self.events.clear()
        return lines

    def start(
        self,
        begin_s: float = 0,
        directory: Path | None = None,
        patience_s: float = 0.0,
        **settings: Any,
    ) -> Relay:
        relay = Relay(memory_limit=0, ping_timeout=9e9, session_timeout=9e9, **settings)
        relay.clock.advance(begin_s)
        meters = relay.service.meters
        alerts = Alerts(self.post, relay.clock, meters.counters.alerts)
        self.reporting = Reporting(
            meters,
            relay.clock,
            relay.service.settings.logs.log_interval,
            directory or self.directory,
            alerts,
            in_thread=lambda function: maybeDeferred(function),
            patience_s=patience_s,
        )
        self.reporting.startService()
        return relay

    def stop(self) -> None:
        self.successResultOf(self.reporting.stopService())

    def kept(self) -> Any:
        return json.loads((self.directory / "days.json").read_text())


class LogTest(ReportingCase):
    def test_a_line_each_interval(self) -> None:
        relay = self.start(log_interval=60.0)
        relay.connect("/cli/ABC234")
        relay.wait(59, step=1)
        self.assertEqual(self.lines(), [])
        relay.wait(1, step=1)
        (event,) = self.events
        self.assertEqual((event["kind"], event["connections"], event["sessions"]), ("minute", 1, 1))
        (line,) = self.lines()
        self.assertTrue(line.startswith("1 connection (cli 1, "), line)
        relay.connect("/mobile/ABC234")
        relay.wait(60, step=1)
        self.assertEqual(len(self.lines()), 1)
        self.stop()

    def test_where_nothing_changes_one_an_hour(self) -> None:
        relay = self.start(log_interval=60.0)
        cli = relay.connect("/cli/ABC234")
        times = []
        for _ in range(150):
            cli.send(type="ping")
            relay.wait(60, step=10)
            times += [relay.clock.seconds() - 1000 for _ in self.lines()]
        self.assertEqual(times, [60, 3660, 7260])
        self.assertIn("1 connection", self.kept()["run"]["last_minute_line"])
        self.stop()

    def test_the_days_line_at_midnight_and_at_the_end(self) -> None:
        relay = self.start(log_interval=3600.0, begin_s=DAY_S - 1000 - 30)
        relay.connect("/cli/ABC234")
        relay.wait(40, step=1)
        (line,) = self.lines()
        self.assertEqual(
            line,
            "day 1970-01-01: peak 1 session, 1 connection; 0 bundles, 0 B; 96 B sent; "
            "1 client connected".replace("96 B", line.split("; ")[2].removesuffix(" sent")),
        )
        self.stop()
        (line,) = self.lines()
        self.assertTrue(line.startswith("day 1970-01-02 so far: peak 1 session, "), line)

    def test_nothing_is_left_on_the_clock(self) -> None:
        relay = self.start()
        before = len(relay.clock.getDelayedCalls())
        self.stop()
        self.assertLess(len(relay.clock.getDelayedCalls()), before)
        own = [call for call in relay.clock.getDelayedCalls() if "meters" in repr(call)]
        self.assertEqual(own, [])

    def test_a_report_that_fails_does_not_end_the_others(self) -> None:
        relay = self.start(log_interval=60.0)
        self.patch(self.reporting._meters, "sample", lambda: 1 / 0)
        relay.wait(60, step=1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 6)
        self.assertIn("0 connections", "".join(self.lines()))
        self.stop()


class FileTest(ReportingCase):
    def test_days_survive(self) -> None:
        relay = self.start()
        clients = [relay.connect(f"/cli/{name}") for name in "abc"]
        for client in clients:
            client.lose()
        self.stop()
        self.assertIs(self.kept()["run"]["clean"], True)
        self.lines()
        relay = self.start(begin_s=100)
        relay.connect("/cli/a")
        today = Views(relay.service.meters).status()["today"]
        self.assertEqual((today["peak_sessions"], today["connections"]), (3, 4))
        self.assertEqual(self.lines(), [])
        self.stop()

    def test_a_peak_is_not_lost_with_the_process(self) -> None:
        relay = self.start(log_interval=3600.0)
        clients = [relay.connect(f"/cli/{name}") for name in "abc"]
        for client in clients:
            client.lose()
        relay.wait(10, step=1)
        day = self.kept()["days"]["1970-01-01"]
        self.assertEqual((day["peak_sessions"], day["peak_connections"]), (3, 3))
        self.stop()

    def test_an_unclean_end(self) -> None:
        relay = self.start(log_interval=60.0)
        relay.connect("/cli/a")
        relay.wait(65, step=1)
        (line,) = self.lines()
        # As if the process were gone: nothing is said, but the lock is free.
        self.reporting._state.close()
        self.assertIs(self.kept()["run"]["clean"], False)
        relay = self.start(begin_s=200)
        self.assertEqual(
            self.lines(),
            [f"the previous run ended without shutdown; its last minute line: {line}"],
        )
        (alert,) = self.post.taken
        self.assertEqual((alert["name"], alert["event"]), ("unclean_end", "happened"))
        self.assertEqual(alert["last_minute_line"], line)
        self.assertEqual(Views(relay.service.meters).status()["today"]["connections"], 1)
        self.stop()

    def test_an_end_before_the_first_line(self) -> None:
        self.start()
        self.reporting._state.close()
        self.start()
        (line,) = self.lines()
        self.assertTrue(line.endswith("it had logged no minute line yet"), line)
        self.stop()

    def test_a_file_cannot_forge_lines(self) -> None:
        self.directory.mkdir()
        run = {
            "clean": False,
            "last_minute_line": "x\n2026 [admin] all is well\x1b[2J" + "y" * 5000,
        }
        (self.directory / "days.json").write_text(json.dumps({"run": run}))
        self.start()
        (line,) = self.lines()
        self.assertNotIn("\n", line)
        self.assertNotIn("\x1b", line)
        self.assertLess(len(line), 1200)
        self.stop()

    def test_a_second_relay_waits(self) -> None:
        first_relay = self.start()
        first_relay.connect("/cli/a")
        first = self.reporting
        relay = self.start(log_interval=60.0, patience_s=90.0)
        second = self.reporting
        (line,) = self.lines()
        self.assertIn("are not saved yet", line)
        self.assertIn("another relay has it", line)
        relay.wait(61, step=1)
        self.assertEqual(len(self.lines()), 1, "the minute line")
        self.assertIsNone(second.trouble, "it may be handing over")
        relay.wait(30, step=1)
        self.assertIn("another relay has it", second.trouble or "")
        self.successResultOf(first.stopService())
        self.lines()
        relay.wait(1, step=1)
        self.assertIsNone(second.trouble)
        self.assertIn("are saved in", self.lines()[0])
        relay.connect("/cli/b")
        self.stop()
        self.assertEqual(self.kept()["days"]["1970-01-01"]["connections"], 2)

    def test_a_directory_that_comes_later(self) -> None:
        self.directory.write_text("a file")
        relay = self.start()
        self.assertIn(str(self.directory), self.reporting.trouble or "")
        relay.wait(30, step=1)
        self.assertEqual(len(self.lines()), 1, "the same reason is told once")
        self.directory.unlink()
        relay.wait(10, step=1)
        self.assertIsNone(self.reporting.trouble)
        self.stop()
        self.assertIs(self.kept()["run"]["clean"], True)

    def test_a_bad_file_is_said_and_replaced(self) -> None:
        self.directory.mkdir()
        (self.directory / "days.json").write_text("nonsense")
        self.start()
        (line,) = self.lines()
        self.assertIn("days.json.bad", line)
        self.stop()
        self.assertIn("1970-01-01", self.kept()["days"])

    def test_a_full_disk_is_said_once(self) -> None:
        relay = self.start(log_interval=3600.0)
        (self.directory / "days.json.new").mkdir()
        relay.wait(300, step=1)
        (line,) = self.lines()
        self.assertIn("can't be saved", line)
        (self.directory / "days.json.new").rmdir()
        relay.wait(60, step=1)
        self.stop()
        self.assertIs(self.kept()["run"]["clean"], True)

    def test_a_write_under_way_is_waited_for(self) -> None:
        relay = self.start(log_interval=3600.0)
        disk: Deferred[None] = Deferred()
        self.reporting._in_thread = lambda function: disk
        relay.wait(130, step=1)
        stopped = self.reporting.stopService()
        self.assertNoResult(stopped)
        disk.callback(None)
        self.successResultOf(stopped)
        self.assertIs(self.kept()["run"]["clean"], True)


class WarningTest(ReportingCase):
    def test_start_and_end(self) -> None:
        relay = self.start(
            notice_sessions=100, warning_sessions=0, warning_time=60.0, log_interval=3600.0
        )
        cli = relay.connect("/cli/ABC234")
        relay.wait(100, step=1)
        (line,) = self.lines()
        self.assertEqual(line, "warning: 1 session, consistently above --warning-sessions, 0")
        (alert,) = self.post.taken
        self.assertEqual(
            list(alert),
            ["text", "event", "name", "level", "node", "version", "timestamp", "since_ms"],
        )
        self.assertEqual(
            (alert["event"], alert["name"], alert["level"]),
            ("started", "sessions_warning", "warning"),
        )
        self.assertIn(": 1 session, consistently", alert["text"])
        cli.lose()
        relay.wait(20, step=1)
        (line,) = self.lines()
        self.assertRegex(line, r"^warning sessions_warning is over after (\d+ s|1 min \d+ s)$")
        ended = self.post.taken[-1]
        self.assertEqual((ended["event"], ended["name"]), ("ended", "sessions_warning"))
        self.assertGreater(ended["lasted_s"], 0)
        self.assertIn(": over: 1 session", ended["text"])
        self.assertEqual(relay.service.meters.counters.alerts, {"delivered": 2})
        self.stop()
