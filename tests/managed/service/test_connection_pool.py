"""`managed.service.connection_pool`, with connections that only keep lists."""

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.service.connection_pool import IDLE_S, ConnectionPool
from apptuner_relay.operator.managed_counters import ManagedCounters
from tests.managed.service.fake_listener import FakeListener


class ListConnection:
    """A connection that is up, and takes everything."""

    def __init__(self) -> None:
        self.is_up = self.is_saturated = False
        self.subscriptions: dict[str, Any] = {}

    def start(self) -> None:
        self.is_up = True

    def stop(self) -> Deferred[None]:
        self.is_up = False
        return succeed(None)

    def subscribe(self, channel: str, listener: object) -> None:
        self.subscriptions[channel] = listener

    def unsubscribe(self, channel: str) -> None:
        del self.subscriptions[channel]


class PoolTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.counters = Clock(), ManagedCounters()
        self.make_pool(2)

    def make_pool(self, most_channels: int | None) -> None:
        self.pool = ConnectionPool(
            ListConnection,  # type: ignore[arg-type]
            most_channels,
            self.counters,
            self.clock,
        )
        self.pool.start()

    def subscribe(self, *channels: str) -> None:
        for channel in channels:
            self.pool.subscribe(channel, FakeListener())

    @property
    def loads(self) -> list[int]:
        return [len(one.subscriptions) for one in self.pool.connections]

    def test_the_first_is_open_without_any_channel(self) -> None:
        self.assertTrue(self.pool.is_up)
        self.subscribe("a")
        self.pool.unsubscribe("a")
        self.clock.advance(2 * IDLE_S)
        self.assertEqual(self.loads, [0])

    def test_one_carries_everything_where_there_is_no_limit(self) -> None:
        self.make_pool(None)
        self.subscribe(*map(str, range(1000)))
        self.assertEqual(self.loads, [1000])

    def test_more_are_opened_on_demand_and_gaps_are_filled(self) -> None:
        self.subscribe("a", "b", "c", "d", "e")
        self.assertEqual(self.loads, [2, 2, 1])
        self.assertEqual(self.counters.channels, 5)
        self.pool.unsubscribe("b")
        self.subscribe("f")
        self.assertEqual(self.loads, [2, 2, 1])

    def test_those_that_carry_nothing_are_closed_after_a_while(self) -> None:
        self.subscribe("a", "b", "c")
        self.pool.unsubscribe("c")
        self.pool.unsubscribe("c")
        self.clock.advance(IDLE_S - 1)
        self.assertEqual(self.loads, [2, 0])
        self.clock.advance(1)
        self.assertEqual(self.loads, [2])

    def test_one_that_is_needed_again_stays(self) -> None:
        self.subscribe("a", "b", "c")
        self.pool.unsubscribe("c")
        self.clock.advance(IDLE_S - 1)
        self.subscribe("d")
        self.clock.advance(IDLE_S)
        self.assertEqual(self.loads, [2, 1])

    def test_one_with_too_much_to_send_gets_no_further_channel(self) -> None:
        self.subscribe("a")
        self.pool.connections[0].is_saturated = True  # type: ignore[misc]
        self.subscribe("b")
        self.assertEqual(self.loads, [1, 1])

    def test_a_channel_that_is_subscribed_twice_has_the_last_listener(self) -> None:
        self.subscribe("a", "a")
        self.assertEqual(self.loads, [1])

    def test_stopping(self) -> None:
        self.subscribe("a", "b", "c", "d", "e")
        self.pool.unsubscribe("e")
        self.assertIsNone(self.successResultOf(self.pool.stop()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(self.pool.is_up)
