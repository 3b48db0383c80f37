"""`report` and `plan` as commands: over files, and over HTTP against servers that misbehave."""

from __future__ import annotations

import csv
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from apptuner_relay.client import main as main_module
from apptuner_relay.client import report, sources
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.records import COUNTS

from .little_relay import Recorder

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
TOKEN = "swordfish-1"


def counts(scale: int = 1) -> dict[str, int]:
    return {
        "peak_sessions": 4 * scale,
        "peak_connections": 9 * scale,
        "bundles": 100 * scale,
        "bundle_bytes": 1_500_000_000 * scale,
        "bytes_out": 3_000_000_000 * scale,
        "connections": 70 * scale,
    }


DAYS = {"2026-10-31": counts(5), "2026-11-21": counts(1), "2026-11-22": counts(2),
        "2026-11-23": counts(1)}  # fmt: skip


def status(**changes: object) -> dict[str, object]:
    past = [{"date": day, **DAYS[day]} for day in sorted(DAYS, reverse=True)[1:]]
    return {
        "now_ms": int(NOW * 1000),
        "days": past,
        "today": {"date": "2026-11-23", **DAYS["2026-11-23"]},
        "sessions": 40,
        "memory_bytes": 64 * 2**20 + 40 * 100_000,
        "version": "7",
        **changes,
    }


class Asked(Resource):
    """Answers with what it was told to, and keeps what it was asked."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.code = 200
        self.body: bytes | None = json.dumps(status()).encode()
        self.paths: list[bytes] = []
        self.tokens: list[str | None] = []
        self.came: Deferred[None] = Deferred()

    def render_GET(self, request: Any) -> Any:
        self.paths.append(request.path)
        self.tokens.append(request.getHeader("authorization"))
        request.setResponseCode(self.code)
        if not self.came.called:
            self.came.callback(None)
        return NOT_DONE_YET if self.body is None else self.body


class Time:
    """The reactor, with a clock that is turned by hand."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.seconds = self.clock.seconds
        self.callLater = self.clock.callLater

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


class CommandCase(TestCase):
    timeout = 30

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        (self.directory / "days.json").write_text(json.dumps({"days": DAYS, "run": {}}))
        self.time = Time()
        self.patch(report, "wall_s", lambda: NOW)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("APPTUNER_")}
        self.patch(os, "environ", environment)

    def begin(self, *arguments: str, quiet: bool = False) -> tuple[Any, Recorder]:
        screen = Recorder(quiet=quiet)
        parsed = main_module._parser(main_module._commands()).parse_args(arguments)
        return parsed.command.start(parsed, self.time, screen), screen

    def run_command(self, *arguments: str, code: Exit = Exit.DONE) -> Recorder:
        errand, screen = self.begin(*arguments)
        self.assertEqual(self.successResultOf(errand.done), code, screen.err.getvalue())
        return screen

    def report(self, *arguments: str, code: Exit = Exit.DONE) -> Recorder:
        return self.run_command("report", *arguments, "--state-dir", str(self.directory), code=code)


class ReportTest(CommandCase):
    def rows(self, screen: Recorder) -> list[list[str]]:
        """A table's cells, which two spaces part."""
        lines = screen.out.getvalue().splitlines()
        cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
        return [row for row in cells if len(row) > 1]

    def test_today(self) -> None:
        titles, row = self.rows(self.report())
        self.assertEqual(titles[:3], ["date", "peak sessions", "peak connections"])
        self.assertEqual(row, ["2026-11-23", "4", "9", "100", "1.5 GB", "3 GB", "70"])

    def test_a_day(self) -> None:
        for when in ("yesterday", "2026-11-22"):
            _, row = self.rows(self.report(when))
            self.assertEqual(row, ["2026-11-22", "8", "18", "200", "3 GB", "6 GB", "140"])

    def test_a_month_that_goes_on(self) -> None:
        for when in ("month", "2026-11"):
            screen = self.report(when)
            rows = self.rows(screen)
            self.assertEqual(len(rows), 5)
            self.assertEqual(rows[-1], ["2026-11", "8", "18", "400", "6 GB", "12 GB", "280"])
            # 9 GB on two whole days; today and seven more days at 4.5 GB each.
            self.assertIn("At this pace 2026-11 will come to 45 GB sent.", screen.out.getvalue())
            self.assertIn("20 days have no record", screen.err.getvalue())

    def test_a_month_that_is_over(self) -> None:
        screen = self.report("2026-10")
        self.assertEqual(self.rows(screen)[-1][0], "2026-10")
        self.assertNotIn("At this pace", screen.out.getvalue())

    def test_no_record(self) -> None:
        for when in ("2026-11-01", "2027-01", "2026-09"):
            screen = self.report(when, code=Exit.FAILED)
            self.assertEqual(screen.out.getvalue(), "")
            self.assertIn(f"there is no record of {when}", screen.err.getvalue())

    def test_csv(self) -> None:
        screen = self.report("month", "--format", "csv")
        rows = list(csv.DictReader(screen.out.getvalue().splitlines()))
        self.assertEqual([row["date"] for row in rows], sorted(DAYS)[1:])
        self.assertEqual({name: int(rows[1][name]) for name in COUNTS}, counts(2))

    def test_json(self) -> None:
        said = json.loads(self.report("month", "--format", "json").out.getvalue())
        self.assertEqual(said["days"][0], {"date": "2026-11-21", **counts(1)})
        self.assertEqual(said["total"]["bytes_out"], 12_000_000_000)
        self.assertEqual(said["total"]["peak_sessions"], 8)
        self.assertEqual(said["missing_days"], 20)
        self.assertEqual(said["expected_bytes_out"], 45_000_000_000)

    def test_where_a_relay_keeps_it(self) -> None:
        os.environ["APPTUNER_STATE_DIR"] = str(self.directory)
        self.run_command("report")
        os.environ["APPTUNER_STATE_DIR"] = "off"
        wrong = self.assertRaises(UsageError, self.begin, "report")
        self.assertIn("keeps no record", str(wrong))

    def test_files_that_are_none(self) -> None:
        file = self.directory / "days.json"
        for content, words in (
            (b"{", "it is no JSON"),
            (b"\xff", "it is no JSON"),
            (b"[" * 100_000, "it is no JSON"),
            (b'{"days":[]}', "days is no JSON object"),
            (b'{"days":{"\\u001b[2J":{}}}', "\\x1b[2J"),
        ):
            file.write_bytes(content)
            wrong = self.assertRaises(UsageError, self.report)
            self.assertIn(words, str(wrong))
            self.assertTrue(str(wrong).isprintable())
        file.unlink()
        self.assertIn("no such file", str(self.assertRaises(UsageError, self.report)))
        os.mkfifo(file)
        self.assertIn("not a regular file", str(self.assertRaises(UsageError, self.report)))

    def test_arguments(self) -> None:
        for when in ("2026-13", "2026-02-30", "tomorrow", "0000-01", "2026-1-1"):
            self.patch(main_module.sys, "stderr", Recorder().err)
            self.assertRaises(SystemExit, self.report, when)
        wrong = self.assertRaises(UsageError, self.report, "--from", "http://127.0.0.1")
        self.assertIn("not both", str(wrong))

    def test_quiet(self) -> None:
        errand, screen = self.begin("report", "--state-dir", str(self.directory), quiet=True)
        self.assertEqual(self.successResultOf(errand.done), Exit.DONE)
        self.assertEqual(screen.out.getvalue() + screen.err.getvalue(), "")


class PlanTest(CommandCase):
    def test_the_plans_table(self) -> None:
        text = self.run_command("plan", "--bundle-mb", "15").out.getvalue()
        for users, data, month in (
            ("50", "750 MB", "22 GB"),
            ("500", "7.5 GB", "225 GB"),
            ("2,000", "30 GB", "900 GB"),
            ("10,000", "150 GB", "4.5 TB"),
        ):
            self.assertRegex(text, rf"(?m)^ {users} +{data} +{month} ")
        self.assertIn("50 users: stage 1 of 3, one small relay; stage 2 from 101 users", text)
        self.assertRegex(text, r"(?m)^ a bundle, as it is sent +15 MB +given *$")
        self.assertRegex(text, r"(?m)^ sessions of a user +1 +assumed *$")

    def test_json_and_csv_say_the_same(self) -> None:
        arguments = ("plan", "--users", "2,000", "7", "--peak-share", "12.5%", "--format")
        said = json.loads(self.run_command(*arguments, "json").out.getvalue())
        rows = list(csv.DictReader(self.run_command(*arguments, "csv").out.getvalue().splitlines()))
        self.assertEqual([row["users"] for row in rows], ["2000", "7"])
        for row, projection in zip(rows, said["projections"], strict=True):
            self.assertEqual(row, {k: "" if v is None else str(v) for k, v in projection.items()})
        self.assertEqual(said["projections"][0]["peak_sessions"], 250)
        self.assertEqual(said["figures"]["peak_share"]["value"], 0.125)
        self.assertEqual(said["figures"]["peak_share"]["from"], "given")

    def test_arguments(self) -> None:
        for arguments in (
            ["--users", "0"],
            ["--users", "1e9"],
            ["--users"],
            ["--bundle-mb", "0"],
            ["--bundle-mb", "15%"],
            ["--bundle-mb", "1e999999999"],
            ["--bundle-mb", "1/3"],
            ["--copies", "nan"],
            ["--peak-share", "101"],
            ["--peak-share", "-1"],
            ["--admin-token", "short"],
            ["--admin-token", "@/nonexistent"],
            ["--from", "ftp://x"],
        ):
            errors = Recorder().err
            self.patch(main_module.sys, "stderr", errors)
            ended = self.assertRaises(SystemExit, self.begin, "plan", *arguments)
            self.assertEqual(ended.code, Exit.USAGE)
            self.assertIn(arguments[0], errors.getvalue())
        for arguments in (["--users-now", "5"], ["--notice-sessions", "301"]):
            self.assertRaises(UsageError, self.begin, "plan", *arguments)


class FromRelayTest(CommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.asked = Asked()
        site = Site(self.asked)
        site.noisy = False
        site.log = lambda request: None
        self.port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.url = f"http://127.0.0.1:{self.port.getHost().port}"

    @inlineCallbacks
    def ask(self, *arguments: str, code: Exit = Exit.DONE) -> Any:
        errand, screen = self.begin(*arguments, "--from", self.url)
        ended = yield errand.done
        self.assertEqual(ended, code, screen.err.getvalue())
        self.assertEqual(self.time.clock.getDelayedCalls(), [])
        return screen

    @inlineCallbacks
    def test_report(self) -> Any:
        screen = yield self.ask("report", "month", "--format", "json")
        said = json.loads(screen.out.getvalue())
        self.assertEqual([day["date"] for day in said["days"]], sorted(DAYS)[1:])
        self.assertEqual(self.asked.paths, [b"/api/status"])
        self.assertEqual(self.asked.tokens, [None])

    @inlineCallbacks
    def test_below_a_path(self) -> Any:
        self.url += "/relay"
        yield self.ask("report")
        self.assertEqual(self.asked.paths, [b"/relay/api/status"])

    @inlineCallbacks
    def test_the_token(self) -> Any:
        file = self.directory / "token"
        file.write_text(f"{TOKEN}\n")
        yield self.ask("report", "--admin-token", f"@{file}")
        os.environ["APPTUNER_ADMIN_TOKEN"] = TOKEN
        screen = yield self.ask("report")
        self.assertEqual(self.asked.tokens, [f"Bearer {TOKEN}"] * 2)
        self.assertNotIn(TOKEN, screen.out.getvalue() + screen.err.getvalue())
        self.assertNotIn("unencrypted", screen.err.getvalue())

    @inlineCallbacks
    def test_a_plan_says_what_is_measured(self) -> Any:
        screen = yield self.ask("plan", "--users", "60", "--format", "json")
        figures = json.loads(screen.out.getvalue())["figures"]
        origins = {name: figure["from"] for name, figure in figures.items()}
        measured = {name for name, origin in origins.items() if origin == "measured"}
        self.assertEqual(
            measured, {"bundle_bytes", "copies", "bundles_per_day", "session_memory_bytes"}
        )
        self.assertEqual(origins["peak_share"], "assumed")
        self.assertEqual(figures["bundle_bytes"]["value"], 15_000_000)
        self.assertEqual(figures["copies"]["value"], 2)
        self.assertEqual(figures["bundles_per_day"]["value"], 25)
        self.assertEqual(figures["session_memory_bytes"]["value"], 100_000)

    @inlineCallbacks
    def test_a_plan_with_the_number_of_users(self) -> Any:
        screen = yield self.ask("plan", "--users", "60", "--users-now", "40", "--bundle-mb", "3")
        text = screen.out.getvalue()
        self.assertRegex(text, r"there at the peak +50% +measured: 3 days with 40 users")
        self.assertRegex(text, r"a bundle, as it is sent +3 MB +given")

    @inlineCallbacks
    def test_refusals(self) -> Any:
        for status_code, body, token, words in (
            (401, b"{}", [], "asks for a token: --admin-token, or $APPTUNER_ADMIN_TOKEN"),
            (401, b"{}", ["--admin-token", TOKEN], "does not take this token"),
            (403, b'{"error":"Not from there"}', [], "403: Not from there (without a token"),
            (404, b"{}", [], "has no /api/status"),
            (500, b"oops", [], "answers with 500"),
            (503, b'{"error":"\\u001b[2J"}', [], "503: \\x1b[2J"),
            (200, b"oops", [], "not as a relay of this version does: it is no JSON"),
            (200, b'{"days":[]}', [], "today is no JSON object"),
            (200, b"[" * (sources.MAX_ANSWER_BYTES + 1), [], "too long"),
        ):
            self.asked.code, self.asked.body = status_code, body
            for command in ("report", "plan"):
                screen = yield self.ask(command, *token, code=Exit.FAILED)
                self.assertIn(words, screen.err.getvalue())
                self.assertEqual(screen.out.getvalue(), "")

    @inlineCallbacks
    def test_nobody_there(self) -> Any:
        yield self.port.stopListening()
        # Connecting has timers of its own, between one address and the next.
        self.patch(self.time, "callLater", reactor.callLater)
        screen = yield self.ask("report", code=Exit.NO_CONNECTION)
        self.assertIn(f"could not ask {self.url}: ", screen.err.getvalue())

    @inlineCallbacks
    def test_hosts_that_there_can_not_be(self) -> Any:
        for host in ("a b", "..", "x" * 64 + ".\u00fc"):
            errand, screen = self.begin("report", "--from", f"http://{host}:1/")
            self.assertEqual((yield errand.done), Exit.USAGE)
            self.assertIn(f"http://{host}:1: there can be no host", screen.err.getvalue())

    @inlineCallbacks
    def test_no_answer(self) -> Any:
        self.asked.body = None
        errand, screen = self.begin("report", "--from", self.url)
        yield self.asked.came
        self.time.clock.advance(sources.ANSWER_SECONDS)
        self.assertEqual((yield errand.done), Exit.NO_CONNECTION)
        self.assertIn("did not answer in 20 s", screen.err.getvalue())

    @inlineCallbacks
    def test_interrupted(self) -> Any:
        self.asked.body = None
        errand, screen = self.begin("plan", "--from", self.url)
        yield self.asked.came
        errand.leave(Exit.INTERRUPTED)
        self.assertEqual((yield errand.done), Exit.INTERRUPTED)
        self.assertEqual(screen.out.getvalue() + screen.err.getvalue(), "")
        self.assertEqual(self.time.clock.getDelayedCalls(), [])

    def test_a_bug_ends_the_command(self) -> None:
        def show(_: object) -> Exit:
            raise ZeroDivisionError

        errand = sources.Inquiry(succeed(None), show, Recorder())
        self.assertEqual(self.successResultOf(errand.done), Exit.FAILED)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
