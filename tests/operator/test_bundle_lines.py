"""`apptuner_relay.operator.bundle_lines` and `bundle_log_lines`: what the log says of bundles."""

import json
from typing import Any, ClassVar

from twisted.logger import LogEvent, LogLevel, formatEvent, globalLogPublisher

from apptuner_relay.operator.bundle_lines import show_seconds
from apptuner_relay.operator.bundle_log_lines import MOST_OF_ALL, MOST_OF_SESSION, BundleLogLines
from apptuner_relay.operator.bundle_record import BundleForm
from apptuner_relay.operator.logs import json_line
from apptuner_relay.session.session import Role
from tests.memory import Client
from tests.operator.test_bundle_records import HASH, RecordsCase
from tests.spool.cases import sha256, some_code

LABEL = HASH[:8]


class LinesCase(RecordsCase):
    def setUp(self) -> None:
        super().setUp()
        self.events: list[LogEvent] = []
        self.levels: list[object] = []
        """Of the lines that `lines` returned last."""
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: LogEvent) -> None:
        if str(event.get("log_namespace", "")).startswith(BundleLogLines.__module__):
            self.events.append(event)

    def lines(self) -> list[str]:
        """What has been logged since the last call, without the session."""
        events, self.events = self.events, []
        self.levels = [event["log_level"] for event in events]
        return [formatEvent(event).removeprefix(f"session {LABEL}: ") for event in events]

    def ack(self, phone: Client, error: object = None) -> None:
        more = {} if error is None else {"error": error}
        phone.send(type="bundle_ack", success=error is None, **more)


class OfBundles(LinesCase):
    def test_all_is_well(self) -> None:
        cli, ann, bob = self.connect("cli"), self.phone("ann"), self.phone("bob")
        cli.send(type="bundle_start", totalChunks=1)
        self.relay.clock.advance(0.21)
        cli.send(type="bundle_chunk", index=0, data="x" * 99_900)
        self.relay.clock.advance(0.2)
        self.ack(ann)
        self.assertEqual(self.lines(), [])
        self.relay.clock.advance(0.3)
        self.ack(bob)
        self.assertEqual(
            self.lines(),
            ["bundle 100.0 kB in 0.21 s; 2 of 2 phones in 0.21 s; acknowledged 0.71 s"],
        )
        self.assertEqual(self.levels, [LogLevel.info])

    def test_a_phone_that_can_not_run_it(self) -> None:
        cli, ann, bob = self.connect("cli"), self.phone("ann"), self.phone("bob")
        self.bundle(cli, "code")
        self.relay.clock.advance(0.5)
        self.ack(ann)
        self.ack(bob, "SyntaxError:\n\x1b[2J" + "x" * 300)
        (line,) = self.lines()
        start = "2 of 2 phones in 0 s; acknowledged 0.5 s; Bob: SyntaxError: [2Jxxx"
        self.assertIn(start, line)
        self.assertTrue(line.endswith("x…"))
        self.assertLess(len(line), 350)
        self.assertEqual(self.levels, [LogLevel.warn])

    def test_one_that_does_not_answer(self) -> None:
        cli, ann = self.connect("cli"), self.phone("ann")
        self.phone("bob")
        self.bundle(cli, "code")
        self.ack(ann)
        self.relay.wait(30)
        (line,) = self.lines()
        self.assertTrue(line.endswith("1 acknowledged 0 s; Bob has not answered"), line)

    def test_without_phones(self) -> None:
        cli = self.connect("cli")
        self.bundle(cli, "code")
        self.assertRegex(self.lines()[0], r"^bundle \d+ B in 0 s; no phone$")

    def test_one_that_is_cut_short(self) -> None:
        cli = self.connect("cli")
        self.phone("ann")
        self.half(cli, some_code(300_000))
        cli.lose()
        (line,) = self.lines()
        self.assertRegex(line, r"^bundle 0 B, cut short: .*; 0 of 1 phone; Ann did not get all of")
        self.assertEqual(self.levels, [LogLevel.warn])

    def test_one_that_gives_way_to_a_newer_one_has_not_failed(self) -> None:
        cli = self.connect("cli")
        self.phone("ann")
        cli.send(type="bundle_start", totalChunks=2)
        self.bundle(cli, "code")
        self.lines()
        self.assertEqual(self.levels, [LogLevel.info])

    def test_of_a_phone_that_is_not_there(self) -> None:
        cli = self.connect("cli")
        cli.send(type="bundle_update", targetDeviceId="bob", payload={"code": "x"})
        self.assertTrue(self.lines()[0].endswith("; phone bob is not connected"))

    def test_as_json(self) -> None:
        cli, ann = self.connect("cli"), self.phone("ann")
        self.bundle(cli, "code")
        self.ack(ann, {"message": "no"})
        fields: dict[str, Any] = json.loads(json_line(self.events[-1]))
        self.assertEqual((fields["kind"], fields["session"]), ("bundle", LABEL))
        self.assertEqual(fields["bundle"], self.row())
        self.assertEqual(fields["bundle"]["phones"][0]["error"], "no")
        self.assertNotIn("bundle_text", fields)
        self.assertNotIn("ABC234", json.dumps(fields))


class OfManyPhones(LinesCase):
    settings: ClassVar[dict[str, Any]] = {"max_mobiles": 8}

    def test_five_are_named(self) -> None:
        cli = self.connect("cli")
        phones = [self.phone(f"d{n}") for n in range(8)]
        self.bundle(cli, "code")
        for phone in phones:
            self.ack(phone, "no")
        (line,) = self.lines()
        self.assertTrue(line.endswith("; D0: no; D1: no; D2: no; D3: no; D4: no; and 3 more"))


class OfPhones(LinesCase):
    def test_a_late_joiner(self) -> None:
        self.bundle(self.connect("cli"), some_code(300_000))
        self.lines()
        phone = self.phone("ann", "&replay=1")
        self.relay.clock.advance(0.7)
        self.ack(phone)
        (line,) = self.lines()
        self.assertRegex(
            line, r"^Ann got the cached bundle, \d+\.\d kB, in 0 s; acknowledged 0\.7 s$"
        )

    def test_others(self) -> None:
        self.bundle(self.connect("cli"), "code")
        self.lines()
        told = self.phone("ann", f"&replay=1&have={sha256('code')}")
        self.ack(told)
        self.ack(self.phone("bob", "&replay=1"), "no")
        self.phone("cat", "&replay=1&announce=1").lose()
        ann, bob, cat = self.lines()
        self.assertEqual(
            ann, "Ann was told that it has the cached bundle, in 0 s; acknowledged 0 s"
        )
        self.assertTrue(bob.endswith("in 0 s; Bob: no"))
        self.assertTrue(
            cat.startswith("Cat was told where the cached bundle is, in 0 s; Cat left:")
        )

    def test_a_late_answer(self) -> None:
        cli, ann = self.connect("cli"), self.phone("ann")
        self.bundle(cli, "code")
        self.relay.wait(41)
        self.lines()
        self.ack(ann)
        self.assertRegex(self.lines()[0], r"^Ann got the bundle, \d+ B, in 0 s; acknowledged 41 s$")


class Throttle(LinesCase):
    def test_a_burst(self) -> None:
        cli = self.connect("cli")
        for n in range(1000):
            self.bundle(cli, str(n))
        self.assertEqual(len(self.lines()), MOST_OF_SESSION)
        self.relay.wait(10)
        self.assertEqual(
            self.lines(), [f"{1000 - MOST_OF_SESSION} more lines like this were not logged"]
        )
        self.bundle(cli, "again")
        self.assertEqual(len(self.lines()), 1)

    def test_a_failure_is_not_lost_among_others(self) -> None:
        cli = self.connect("cli")
        for n in range(100):
            self.bundle(cli, str(n))
        ann = self.phone("ann")
        self.bundle(cli, "code")
        self.lines()
        self.ack(ann, "no")
        self.assertTrue(self.lines()[0].endswith("Ann: no"))

    def test_many_sessions(self) -> None:
        for n in range(MOST_OF_ALL + 7):
            admission = self.relay.service.admit(Role.CLI, f"S{n}", "")
            record = self.records.begin(admission, BundleForm.WHOLE)
            record.come()
        self.assertEqual(len(self.lines()), MOST_OF_ALL)
        self.relay.wait(10)
        self.assertEqual(self.lines(), ["7 more lines about bundles of 7 sessions were not logged"])

    def test_what_was_skipped_is_told_at_the_end(self) -> None:
        cli = self.connect("cli")
        for n in range(MOST_OF_SESSION + 1):
            self.bundle(cli, str(n))
        self.lines()
        cli.lose()
        self.relay.service.stopService()
        self.relay.wait(5)
        self.assertEqual(self.lines(), ["1 more lines like this were not logged"])


class Chosen(LinesCase):
    settings: ClassVar[dict[str, Any]] = {"log_bundles": "failed"}

    def test_only_failures(self) -> None:
        cli, ann = self.connect("cli"), self.phone("ann")
        self.bundle(cli, "code")
        self.ack(ann)
        self.assertEqual(self.lines(), [])
        self.bundle(cli, "other")
        self.ack(ann, "no")
        self.assertEqual(len(self.lines()), 1)


class Silent(LinesCase):
    settings: ClassVar[dict[str, Any]] = {"log_bundles": "off"}

    def test_nothing(self) -> None:
        cli, ann = self.connect("cli"), self.phone("ann")
        self.bundle(cli, "code")
        self.ack(ann, "no")
        self.assertEqual(self.lines(), [])


class Seconds(RecordsCase):
    def test_three_digits(self) -> None:
        shown = [show_seconds(s) for s in (0.0, 0.004, 0.21, 1.5, 12.345, 99.96, 140.4, 5000.0)]
        expected = ["0 s", "0.004 s", "0.21 s", "1.5 s", "12.3 s", "100 s", "140 s", "5000 s"]
        self.assertEqual(shown, expected)
