"""`apptuner_relay.operator.descriptors`: how many are kept back, and who is closed then."""

import os

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.descriptors import FULL, DescriptorGate, DescriptorReserve, lowest_free
from tests.memory import Client, Relay

CLIENT = IPv4Address("TCP", "192.0.2.7", 4711)


class Some(DescriptorReserve):
    """A process that may have 100, and uses as many as a test says."""

    used: int | None = 10

    def __init__(self) -> None:
        super().__init__(lambda: 100, lambda: self.used)


class KeptTest(SynchronousTestCase):
    def test_how_many(self) -> None:
        for limit, kept in ((100, 25), (256, 32), (1024, 64), (65536, 1024), (1 << 30, 1024)):
            self.assertEqual(DescriptorReserve(lambda limit=limit: limit).kept, kept)  # type: ignore[misc]

    @given(st.integers(1, 1 << 30), st.integers(0, 1 << 30))
    def test_short_comes_before_gone(self, limit: int, used: int) -> None:
        some = DescriptorReserve(lambda: limit, lambda: used)
        self.assertLessEqual(some.are_gone, some.are_short)
        self.assertEqual(some.are_short, used >= limit - some.kept)

    def test_none_at_all(self) -> None:
        some = Some()
        some.used = None
        self.assertTrue(some.are_short and some.are_gone)

    def test_the_lowest_free_one(self) -> None:
        lowest = lowest_free()
        fd = os.dup(0)
        self.addCleanup(os.close, fd)
        self.assertEqual(lowest, fd)
        self.assertGreater(lowest_free() or 0, fd)


class ClientTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()
        self.descriptors = self.relay.service.descriptors = Some()

    def test_a_client_is_refused(self) -> None:
        phone = self.relay.connect("/mobile/ABC234")
        self.descriptors.used = 75
        for target in ("/cli/ABC234", "/mobile/ABC234"):
            refused = Client(self.relay.service, target)
            self.assertEqual(refused.status, 503)
            self.assertIn(b"Retry-After: ", refused.head)
            self.assertIn(FULL.encode(), refused.body)
        self.descriptors.used = 74
        self.relay.connect("/cli/ABC234")
        phone.read()

    def test_nobody_is_warned_of_too_many_where_none_are_left(self) -> None:
        conditions = self.relay.service.meters.health.conditions
        self.relay.clock.advance(0)
        self.relay.service.meters.process.descriptors_limit = 1
        health = self.relay.service.meters.health
        health.check()
        self.relay.clock.advance(60)
        health.check()
        self.assertEqual([one.name for one in conditions.active], ["descriptors"])
        self.descriptors.used = 72
        health.check()
        self.assertEqual([one.name for one in conditions.active], ["descriptors_used_up"])

    def test_the_warning(self) -> None:
        meters = self.relay.service.meters
        meters.health.check()
        self.assertEqual(meters.health.state, "ok")
        self.descriptors.used = 72
        (change,) = meters.health.check()
        self.assertEqual((change.started, change.condition.name), (True, "descriptors_used_up"))
        self.assertEqual(meters.health.state, "degraded")
        self.assertIn("25", meters.health.reasons[0])
        self.descriptors.used = 10
        (change,) = meters.health.check()
        self.assertFalse(change.started)


class Web(ServerFactory):
    starts = 0

    def doStart(self) -> None:
        self.starts += 1

    def doStop(self) -> None:
        self.starts -= 1

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return Protocol()


class GateTest(SynchronousTestCase):
    def test_who_is_closed(self) -> None:
        some, web, turned_away = Some(), Web(), list[str | None]()
        gate = DescriptorGate(web, some, turned_away.append)
        gate.doStart()
        self.assertEqual(web.starts, 1)
        some.used = 87
        self.assertIsNotNone(gate.buildProtocol(CLIENT))
        self.assertEqual(turned_away, [])
        some.used = 88
        self.assertIsNone(gate.buildProtocol(CLIENT))
        self.assertEqual(turned_away, ["192.0.2.7"])
        gate.doStop()
        self.assertEqual(web.starts, 0)
