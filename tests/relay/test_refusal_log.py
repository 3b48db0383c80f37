"""`apptuner_relay.relay.refusal_log`: refused handshakes are counted, and logged now and then."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay.refusal_log import (
    MOST_LINES_A_SECOND,
    MOST_LINES_AT_ONCE,
    Refusal,
    RefusalLog,
    make_refusal,
)
from apptuner_relay.session.session import Role

LABEL = hashlib.sha256(b"ABC234").hexdigest()[:8]
FULL = "This session already has 5 phones, the most it may have"


class Refusals(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.log = RefusalLog(self.clock.seconds)

    def test_a_flood_is_a_few_lines(self) -> None:
        with capturedLogs() as events:
            for _ in range(5):
                self.log.add(make_refusal(403, "203.0.113.9", FULL, "/mobile/ABC234?name=me"))
            self.clock.advance(60)
            self.log.add(make_refusal(403, "203.0.113.9", FULL, "/mobile/ABC234"))
            self.log.add(make_refusal(503, None, "The relay restarts", "/what"))
        asked = f"as mobile of session {LABEL}"
        self.assertEqual(
            list(map(formatEvent, events)),
            [
                f"a handshake from 203.0.113.9 {asked} was refused with 403: {FULL}",
                f"a handshake from 203.0.113.9 {asked} was refused with 403: {FULL} (5 such since "
                "the last such line)",
                "a handshake from an unknown address was refused with 503: The relay restarts",
            ],
        )
        self.assertEqual((events[0]["session"], events[0]["role"]), (LABEL, "mobile"))
        self.assertNotIn("session", events[2])

    def test_one_flood_does_not_hide_others(self) -> None:
        with capturedLogs() as events:
            for _ in range(50):
                self.log.add(make_refusal(403, "203.0.113.9", FULL, ""))
            self.log.add(make_refusal(403, "198.51.100.7", FULL, ""))
            self.log.add(make_refusal(429, "203.0.113.9", "Too many", ""))
        self.assertEqual(
            [(one["address"], one["status"]) for one in events],
            [("203.0.113.9", 403), ("198.51.100.7", 403), ("203.0.113.9", 429)],
        )

    def test_many_addresses_do_not_fill_the_disk(self) -> None:
        with capturedLogs() as events:
            for n in range(5000):
                self.log.add(make_refusal(403, f"10.0.{n // 250}.{n % 250}", FULL, ""))
        self.assertEqual(len(events), MOST_LINES_AT_ONCE)
        self.clock.advance(1 / MOST_LINES_A_SECOND)
        with capturedLogs() as events:
            self.log.add(make_refusal(403, "203.0.113.9", FULL, ""))
        (line,) = map(formatEvent, events)
        self.assertRegex(line, r"\(1 such since the last such line, and 3\d\d\d others\)$")

    @given(st.text(), st.text())
    def test_no_path_and_one_printable_line(self, why: str, target: str) -> None:
        refusal = make_refusal(400, None, why, target)
        self.assertTrue(refusal.why.isprintable() and len(refusal.why) <= 200)
        if refusal.session is not None:
            self.assertRegex(refusal.session, "^[0-9a-f]{8}$")

    def test_an_upload(self) -> None:
        with capturedLogs() as events:
            self.log.add(make_refusal(409, "203.0.113.9", "Another upload", "/bundles/ABC234?x=1"))
        self.assertEqual(
            list(map(formatEvent, events)),
            [f"an upload from 203.0.113.9 to session {LABEL} was refused with 409: Another upload"],
        )

    def test_what_was_asked_for(self) -> None:
        self.assertEqual(
            make_refusal(401, None, "why", "/cli/ABC234?key=secret"),
            Refusal(401, None, "why", Role.CLI, LABEL),
        )
        self.assertEqual(make_refusal(400, None, "why", "/cli/no id").role, None)
