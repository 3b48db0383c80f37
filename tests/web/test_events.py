"""`apptuner_relay.web.events`: the stream of statuses."""

import json
import re

from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.views import Views
from apptuner_relay.web.events import INTERVAL_S, MAX_LISTENERS, PATIENCE_S
from tests.memory import Relay
from tests.web.http import Requester, parse


def statuses(transport: StringTransport) -> list[int]:
    """The ``sessions`` of each event that came since the last call."""
    text = transport.value().decode()
    transport.clear()
    events = re.findall(r"event: status\ndata: (\{.*\})\n\n", text)
    return [json.loads(event)["sessions"] for event in events]


class Events(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()
        self.requester = Requester(self.relay.service)

    @property
    def clock(self) -> Clock:
        return self.relay.clock

    def listen(self) -> StringTransport:
        return self.requester.open("/api/events")

    def test_one_at_once_and_then_at_intervals(self) -> None:
        listener = self.listen()
        head = parse(listener.value())
        self.assertEqual((head.status, head.headers["content-type"]), (200, "text/event-stream"))
        self.assertEqual(head.headers["cache-control"], "no-store")
        self.assertEqual(statuses(listener), [0])
        self.relay.connect("/cli/ABC234")
        self.clock.advance(INTERVAL_S)
        self.assertEqual(statuses(listener), [1])

    def test_nothing_is_made_for_nobody(self) -> None:
        before = len(self.clock.getDelayedCalls())
        listener = self.listen()
        self.assertGreater(len(self.clock.getDelayedCalls()), before)
        listener.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(len(self.clock.getDelayedCalls()), before)
        again = self.listen()
        self.clock.advance(INTERVAL_S)
        self.assertEqual(statuses(again), [0, 0])

    def test_a_slow_listener_skips_to_the_latest(self) -> None:
        slow, quick = self.listen(), self.listen()
        slow.clear()
        slow.producer.pauseProducing()
        for session in ("AAA", "BBB", "CCC"):
            self.relay.connect(f"/cli/{session}")
            self.clock.advance(INTERVAL_S)
        self.assertEqual(statuses(slow), [])
        self.assertEqual(statuses(quick), [0, 1, 2, 3])
        slow.producer.resumeProducing()
        self.assertEqual(statuses(slow), [3])
        self.clock.advance(INTERVAL_S)
        self.assertEqual(statuses(slow), [3])

    def test_a_listener_that_reads_nothing_is_dropped(self) -> None:
        stuck, quick = self.listen(), self.listen()
        stuck.producer.pauseProducing()
        self.clock.pump([INTERVAL_S] * int(PATIENCE_S / INTERVAL_S + 2))
        self.assertTrue(stuck.disconnecting)
        self.assertFalse(quick.disconnecting)

    def test_there_is_a_limit(self) -> None:
        listeners = [self.listen() for _ in range(MAX_LISTENERS)]
        refused = parse(self.listen().value())
        self.assertEqual(refused.status, 503)
        self.assertIn("retry-after", refused.headers)
        self.assertTrue(refused.error)
        self.assertEqual(self.requester.ask("/api/events", "HEAD").status, 503)
        listeners[0].protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(parse(self.listen().value()).status, 200)

    def test_head_has_no_stream(self) -> None:
        answer = self.requester.ask("/api/events", "HEAD")
        self.assertEqual((answer.status, answer.body), (200, b""))

    def test_a_status_that_fails_ends_the_streams_and_not_the_relay(self) -> None:
        made = [{"sessions": 7}]
        self.patch(Views, "status", lambda _: made.pop())
        listener = Requester(self.relay.service).open("/api/events")
        self.assertEqual(statuses(listener), [7])
        self.clock.advance(INTERVAL_S)
        self.assertTrue(listener.disconnecting)
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)
