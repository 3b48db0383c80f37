"""What a node does when others publish something, each notice in turn."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership.availability import Availability
from apptuner_relay.cluster.ownership.directory import Events, Lease
from apptuner_relay.cluster.ownership.leases import Leases
from apptuner_relay.cluster.ownership.peer_notices import PeerNotices
from apptuner_relay.cluster.ownership.redis_link import LinkLost

MINE, OTHERS, UNKNOWN = (digit * 64 for digit in "123")


class Subscriber:
    on_connected: Any = None
    on_disconnected: Any = None
    on_notice: Any = None

    def __init__(self) -> None:
        self.channels: set[str] = set()
        self.pings = 0

    def start(self) -> None: ...

    def subscribe(self, channel: str) -> None:
        self.channels.add(channel)

    def unsubscribe(self, channel: str) -> None:
        self.channels.discard(channel)

    def ping(self) -> None:
        self.pings += 1


class Reconciler:
    def __init__(self) -> None:
        self.leases = Leases()
        self.leases.hold(Lease(MINE, "a", "ws://a:1", 1))
        self.leases.learn(Lease(OTHERS, "b", "ws://b:1", 1))
        self.restored: list[Sequence[str]] = []
        self.checks = 0
        self.is_lost = False

    async def restore(self, sessions: Sequence[str]) -> None:
        if self.is_lost:
            raise LinkLost("lost")
        self.restored.append(tuple(sessions))

    async def check_others(self) -> None:
        self.checks += 1


class Heartbeat:
    beats = 0

    def beat(self) -> Any:
        self.beats += 1
        return _nothing()


async def _nothing() -> None: ...


class Heard(Events):
    def __init__(self) -> None:
        self.events: list[tuple[str, ...]] = []

    def moved(self, session: str) -> None:
        self.events.append(("moved", session))

    def drained(self, node: str) -> None:
        self.events.append(("drained", node))

    def kicked(self, session: str, role: str, reason: str) -> None:
        self.events.append(("kicked", session, role, reason))

    def emptied(self) -> None:
        self.events.append(("emptied",))


class PeerNoticesTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.subscriber, self.reconciler, self.heartbeat = Subscriber(), Reconciler(), Heartbeat()
        self.heard = Heard()
        self.availability = Availability(self.clock, Events(), 2.0, "redis")
        self.availability.reached()
        self.notices = PeerNotices(
            self.subscriber,  # type: ignore[arg-type]
            self.clock,
            "a",
            "x:",
            "redis",
            self.heard,
            self.reconciler,  # type: ignore[arg-type]
            self.heartbeat,  # type: ignore[arg-type]
            self.availability,
        )
        self.notices.start()
        self.addCleanup(self.notices.stop_pings)

    def publish(self, text: str) -> None:
        self.subscriber.on_notice("x:all", text)

    def test_what_it_subscribes_to(self) -> None:
        self.subscriber.on_connected()
        self.assertEqual(self.subscriber.channels, {"x:all", "x:news", "x:to:a", f"x:on:{OTHERS}"})
        self.notices.subscribe(UNKNOWN, True)
        self.notices.subscribe(OTHERS, False)
        self.assertIn(f"x:on:{UNKNOWN}", self.subscriber.channels)
        self.assertNotIn(f"x:on:{OTHERS}", self.subscriber.channels)

    def test_a_new_connection_compares_everything(self) -> None:
        """Notices may have been missed."""
        self.subscriber.on_connected()
        self.assertEqual(self.reconciler.restored, [(MINE,)])
        self.assertEqual(self.reconciler.checks, 1)

    def test_but_not_while_the_server_is_unreachable(self) -> None:
        self.availability.lost("lost")
        self.subscriber.on_connected()
        self.assertEqual((self.reconciler.restored, self.reconciler.checks), ([], 0))

    def test_moved(self) -> None:
        self.publish(f"moved {OTHERS} c")
        self.assertEqual(self.heard.events, [("moved", OTHERS)])
        self.publish(f"moved {MINE} c")
        self.assertEqual(self.reconciler.restored, [(MINE,)])
        for text in (f"moved {UNKNOWN} c", f"moved {OTHERS} a", f"moved {MINE} a"):
            self.publish(text)
        self.assertEqual(len(self.heard.events), 1)
        self.assertEqual(len(self.reconciler.restored), 1)

    def test_begun(self) -> None:
        """Its lease may have been evicted: it is written again."""
        self.publish(f"begun {MINE} c")
        self.assertEqual(self.reconciler.restored, [(MINE,)])
        self.publish(f"begun {MINE} a")
        self.publish(f"begun {OTHERS} c")
        self.assertEqual(len(self.reconciler.restored), 1)

    def test_emptied(self) -> None:
        self.publish("emptied")
        self.assertEqual(self.heard.events, [("emptied",)])
        self.assertEqual(self.heartbeat.beats, 1)

    def test_drained_and_kicked(self) -> None:
        for text in ("drained b", "drained a", f"kicked {MINE} mobile be gone"):
            self.publish(text)
        kicked = ("kicked", MINE, "mobile", "be gone")
        self.assertEqual(self.heard.events, [("drained", "b"), kicked])

    def test_what_is_malformed(self) -> None:
        lines: list[str] = []

        def observe(event: LogEvent) -> None:
            lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        for text in ("", "hello", "moved", f"moved {MINE}", "drained ", "kicked x y z"):
            self.publish(text)
        self.assertEqual(self.heard.events, [])
        self.assertEqual(lines, ["redis: ignored a malformed notice"] * 6)

    def test_nothing_is_done_after_a_stop(self) -> None:
        self.availability.stop()
        for text in ("emptied", f"moved {OTHERS} c", "nonsense"):
            self.publish(text)
        self.assertEqual((self.heard.events, self.heartbeat.beats), ([], 0))

    def test_a_connection_that_is_lost_meanwhile(self) -> None:
        self.reconciler.is_lost = True
        self.publish(f"moved {MINE} c")
        self.subscriber.on_connected()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(self.reconciler.checks, 0)

    def test_pings_while_it_listens(self) -> None:
        self.clock.pump([10.0] * 9)
        self.assertEqual(self.subscriber.pings, 3)
        self.notices.stop_pings()
        self.notices.stop_pings()
        self.clock.pump([10.0] * 9)
        self.assertEqual(self.subscriber.pings, 3)

    def test_a_lost_subscription_is_logged_where_the_server_is_reachable(self) -> None:
        self.subscriber.on_disconnected("cut")
        self.assertFalse(self.availability.is_unreachable)
