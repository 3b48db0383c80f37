"""The rules of ownership: a few nodes and whatever may happen to them, against a real Redis.

Nodes run their real code on a clock that the test moves; scripts run at once, one after the other.
What would take time is done by hand: a node that isn't heard for its lease time is one whose
heartbeat is taken away.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership.directory import (
    DirectoryUnreachable,
    Draining,
    Events,
    Lease,
    NodeLife,
    Suspicion,
)
from apptuner_relay.cluster.ownership.redis_directory import RedisDirectory, Timing
from apptuner_relay.cluster.ownership.redis_link import LinkLost
from tests.live.redis import RedisClient, blocking_server, missing_redis

SESSIONS = [digit * 64 for digit in "abc"]
TIMING = Timing(lease=3600, renew=1, answer=2, grace=3600, keep=7200)
"""Nothing of this passes in a test by itself."""
NOTHING_KNOWN = Suspicion(NodeLife.UNKNOWN)


class InlineCommands:
    """Runs scripts before it returns, over a connection that the test can cut."""

    def __init__(self, path: Path) -> None:
        self._client = RedisClient(path)
        self.is_up = False
        self.loses_replies = False
        self.sent = 0
        self.on_connected: Callable[[], None] = lambda: None
        self.on_disconnected: Callable[[str], None] = lambda reason: None

    def start(self) -> None:
        self.is_up = True
        self.on_connected()

    async def stop(self) -> None:
        self.is_up = False
        self._client.close()

    def reset(self, reason: str) -> None:
        self.is_up = False
        self.on_disconnected(reason)

    def run(self, script: str, *args: str | int) -> Deferred[Any]:
        if not self.is_up:
            return fail(LinkLost("cut"))
        self.sent += 1
        reply = self._client("EVAL", script, 0, *args)
        if self.loses_replies:
            self.loses_replies = False
            self.reset("cut")
            return fail(LinkLost("cut"))
        return succeed(reply)


class InlineNotices:
    """Hears what was published when the test says so."""

    def __init__(self, path: Path) -> None:
        self._client = RedisClient(path)
        self.on_connected: Callable[[], None] = lambda: None
        self.on_disconnected: Callable[[str], None] = lambda reason: None
        self.on_notice: Callable[[str, str], None] = lambda channel, text: None
        self._early: list[tuple[str, str]] = []

    def start(self) -> None:
        self.on_connected()

    async def stop(self) -> None:
        self._client.close()

    def reset(self, reason: str) -> None:
        return

    def subscribe(self, channel: str) -> None:
        self._send("SUBSCRIBE", channel)

    def unsubscribe(self, channel: str) -> None:
        self._send("UNSUBSCRIBE", channel)

    def ping(self) -> None:
        self._send("PING")

    def _send(self, *words: str) -> None:
        self._client.send(*words)
        while True:
            reply: Any = self._client.read()
            if reply[0] != "message":
                return
            self._early.append((reply[1], reply[2]))

    def deliver(self) -> bool:
        """All that was published so far; whether there was any."""
        self.ping()
        early, self._early = self._early, []
        for channel, text in early:
            self.on_notice(channel, text)
        return bool(early)


class Node(Events):
    """A node, and what the test expects of it."""

    def __init__(self, name: str, path: Path) -> None:
        self.clock = Clock()
        self.clock.advance(1e9)
        self.commands = InlineCommands(path)
        self.notices = InlineNotices(path)
        self.directory = RedisDirectory(
            self.commands,
            self.notices,
            self.clock,
            name,
            f"ws://{name}:3000",
            self,
            connections=lambda: 0,
            version="0",
            timing=TIMING,
        )
        self.has: dict[str, Lease] = {}
        self.events: list[tuple[str, object]] = []
        self.frozen = False
        self.times_emptied = 0
        started: list[None] = []
        self.directory.start().addCallback(started.append)
        assert started

    @property
    def in_touch(self) -> bool:
        return self.commands.is_up and not self.frozen

    def lost(self, session: str, lease: Lease | None) -> None:
        assert session in self.has, "lost what it had not"
        assert lease is None or lease.node != self.directory.node
        del self.has[session]
        self.events.append(("lost", lease))

    def moved(self, session: str) -> None:
        self.events.append(("moved", session))

    def drained(self, node: str) -> None:
        self.events.append(("drained", node))

    def kicked(self, session: str, role: str, reason: str) -> None:
        self.events.append(("kicked", role))

    def emptied(self) -> None:
        self.times_emptied += 1

    def unreachable(self) -> None:
        self.events.append(("away", None))

    def reachable(self) -> None:
        self.events.append(("back", None))

    def claim(self, session: str) -> Lease | Exception:
        """A claim's result; it fails when there was none for as long as it may take."""
        results: list[Any] = []
        self.directory.claim(session).addBoth(results.append)
        if not results:
            self.clock.advance(TIMING.answer)
        result = results[0].value if isinstance(results[0], Failure) else results[0]
        if isinstance(result, Lease) and result.node == self.directory.node:
            self.has[session] = result
        return result  # type: ignore[no-any-return]

    def release(self, session: str) -> None:
        results: list[None] = []
        self.has.pop(session, None)
        self.directory.release(session).addCallback(results.append)
        assert results

    def take_over(self, lease: Lease) -> Lease | Exception:
        """Have what another one gives away, whatever comes of it."""
        results: list[Any] = []
        self.directory.take_over(lease.session, lease.node, lease.epoch).addBoth(results.append)
        if not results:
            self.clock.advance(TIMING.answer)
        result = results[0].value if isinstance(results[0], Failure) else results[0]
        if isinstance(result, Lease) and result.node == self.directory.node:
            self.has[lease.session] = result
        return result  # type: ignore[no-any-return]

    def hand_over(self, session: str) -> None:
        del self.has[session]
        self.directory.hand_over(session)

    def beat(self) -> None:
        self.clock.advance(TIMING.renew)

    def cut(self) -> None:
        self.commands.reset("cut")

    def heal(self) -> None:
        self.commands.start()
        self.notices.start()

    def stop(self) -> None:
        self.directory.stop()


def deliver(nodes: list[Node]) -> None:
    """Everything said reaches everyone who can hear, and what follows from it too."""
    while sum(node.notices.deliver() for node in nodes if not node.frozen):
        pass


class Ownership(RuleBasedStateMachine):
    """Three nodes, three sessions."""

    path: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.redis = RedisClient(self.path)
        self.redis("FLUSHALL")
        self.nodes = [Node(name, self.path) for name in ("n1", "n2", "n3")]
        self.redis("DEL", "apptuner:settling")
        self.latest: dict[str, int] = {}

    @initialize()
    def calm(self) -> None:
        deliver(self.nodes)

    node = st.integers(0, 2)
    session = st.sampled_from(SESSIONS)

    @rule(n=node, session=session)
    def claim(self, n: int, session: str) -> None:
        node = self.nodes[n]
        if node.frozen:
            return
        had = node.has.get(session)
        was_in_touch = node.in_touch
        result = node.claim(session)
        if isinstance(result, Exception):
            settling = self.redis("EXISTS", "apptuner:settling")
            assert isinstance(result, DirectoryUnreachable)
            assert settling or not was_in_touch
            return
        if result.node == node.directory.node and result != had:
            assert result.epoch == self.latest.get(session, 0) + 1
            self.latest[session] = result.epoch
        if was_in_touch:
            # Nobody else answers anything else.
            for other in self.nodes:
                if other.in_touch:
                    assert other.claim(session) == result
        deliver(self.nodes)

    @rule(n=node, session=session)
    def claim_and_lose_the_reply(self, n: int, session: str) -> None:
        node = self.nodes[n]
        if not node.in_touch or session in node.has:
            return
        node.commands.loses_replies = True
        assert isinstance(node.claim(session), DirectoryUnreachable)
        node.commands.loses_replies = False
        node.heal() if not node.in_touch else None
        # It may have been written down, and was taken back.
        owner = self.redis("GET", f"apptuner:session:{session}")
        assert not isinstance(owner, str) or f" {node.directory.node} " not in f"{owner} "
        self.latest[session] = max(self.latest.get(session, 0), epoch_in(owner))
        deliver(self.nodes)

    @rule(n=node, session=session)
    def release(self, n: int, session: str) -> None:
        if not self.nodes[n].frozen:
            self.nodes[n].release(session)
            deliver(self.nodes)

    @rule(n=node, m=node, session=session)
    def hand_over(self, n: int, m: int, session: str) -> None:
        giver, taker = self.nodes[n], self.nodes[m]
        lease = giver.has.get(session)
        if n == m or lease is None or giver.frozen or taker.frozen:
            return
        result = taker.take_over(lease)
        if isinstance(result, Exception):
            assert isinstance(result, DirectoryUnreachable)
        elif result.node == taker.directory.node:
            if giver.in_touch:
                assert result.epoch == lease.epoch + 1
            self.latest[session] = max(self.latest.get(session, 0), result.epoch)
            giver.hand_over(session)
        deliver(self.nodes)

    @rule(n=node)
    def freeze(self, n: int) -> None:
        self.nodes[n].frozen = True

    @rule(n=node)
    def cut(self, n: int) -> None:
        if self.nodes[n].in_touch:
            self.nodes[n].cut()

    @rule(n=node)
    def stay_silent_past_the_lease(self, n: int) -> None:
        if not self.nodes[n].in_touch:
            self.redis("DEL", f"apptuner:node:{self.nodes[n].directory.node}")

    @rule(n=node)
    def come_back(self, n: int) -> None:
        node = self.nodes[n]
        if node.frozen:
            node.frozen = False
            node.beat()
        elif not node.in_touch:
            node.heal()
        deliver(self.nodes)

    @precondition(lambda self: not any(node.in_touch for node in self.nodes))
    @rule()
    def all_stay_silent(self) -> None:
        names = [f"apptuner:node:{node.directory.node}" for node in self.nodes]
        self.redis("DEL", "apptuner:pulse", *names)

    @rule(order=st.permutations(range(3)))
    def start_empty(self, order: list[int]) -> None:
        """The server is killed and started; who isn't frozen finds it again."""
        for node in self.nodes:
            if node.in_touch:
                node.cut()
        self.redis("FLUSHALL")
        back = [self.nodes[n] for n in order if not self.nodes[n].frozen]
        for node in back:
            node.heal()
        deliver(self.nodes)
        self.latest = {}
        for node in back:
            for session, lease in node.has.items():
                self.latest[session] = max(self.latest.get(session, 0), lease.epoch)

    @rule(n=node)
    def empty(self, n: int) -> None:
        """Everything is deleted under nodes that stay connected; one of them notices."""
        in_touch = [node for node in self.nodes if node.in_touch]
        if not in_touch:
            return
        self.redis("FLUSHALL")
        in_touch[n % len(in_touch)].beat()
        deliver(self.nodes)
        self.latest = {}
        for node in in_touch:
            for session, lease in node.has.items():
                self.latest[session] = max(self.latest.get(session, 0), lease.epoch)

    @rule(n=node, session=session)
    def evict(self, n: int, session: str) -> None:
        """A lease is deleted, and a node claims the session before its owner has noticed."""
        self.redis("DEL", f"apptuner:session:{session}")
        self.latest.pop(session, None)
        node = self.nodes[n]
        if node.in_touch:
            node.claim(session)
        deliver(self.nodes)
        for node in self.nodes:
            if node.in_touch:
                node.beat()
        deliver(self.nodes)

    @rule()
    def settle(self) -> None:
        self.redis("DEL", "apptuner:settling")

    @rule(n=node)
    def beat(self, n: int) -> None:
        if not self.nodes[n].frozen:
            self.nodes[n].beat()
            deliver(self.nodes)

    @invariant()
    def a_node_knows_what_it_has(self) -> None:
        for node in self.nodes:
            held = {lease.session: lease for lease in node.directory.held()}
            assert held == node.has

    @invariant()
    def one_owner(self) -> None:
        for session in SESSIONS:
            owners = [node for node in self.nodes if node.in_touch and session in node.has]
            assert len(owners) <= 1
            for node in owners:
                value = self.redis("GET", f"apptuner:session:{session}")
                epoch = node.has[session].epoch
                assert isinstance(value, str)
                assert value.startswith(f"{epoch} {node.directory.node} ")
                self.latest[session] = max(self.latest.get(session, 0), epoch)

    def teardown(self) -> None:
        for node in self.nodes:
            node.frozen = False
            node.stop()
        self.redis.close()


def epoch_in(value: object) -> int:
    return int(value.partition(" ")[0]) if isinstance(value, str) else 0


class OwnershipTest(SynchronousTestCase):
    skip = missing_redis()

    def test_whatever_happens_a_session_has_one_owner(self) -> None:
        with blocking_server() as path:
            Ownership.path = path
            run_state_machine_as_test(
                Ownership,
                settings=settings(
                    max_examples=60,
                    stateful_step_count=40,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )


class StoryTest(SynchronousTestCase):
    """Single stories of two nodes."""

    skip = missing_redis()

    def setUp(self) -> None:
        server = blocking_server()
        self.path = server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        self.redis = RedisClient(self.path)
        self.addCleanup(self.redis.close)
        self.one, self.two = self.node("n1"), self.node("n2")
        self.settle()

    def node(self, name: str) -> Node:
        node = Node(name, self.path)
        self.addCleanup(node.stop)
        return node

    def settle(self) -> None:
        self.redis("DEL", "apptuner:settling")

    def owned(self, result: Lease | Exception) -> Lease:
        assert isinstance(result, Lease), result
        return result

    def test_an_owner_that_was_silent_for_too_long_hears_who_has_its_session(self) -> None:
        first = self.owned(self.one.claim(SESSIONS[0]))
        self.one.frozen = True
        self.redis("DEL", "apptuner:node:n1")
        second = self.owned(self.two.claim(SESSIONS[0]))
        self.assertEqual((second.node, second.epoch), ("n2", first.epoch + 1))
        self.one.frozen = False
        self.one.beat()
        self.assertEqual(self.one.events, [("lost", second)])
        self.assertEqual(self.one.directory.counters.lost, 1)

    def test_after_a_silence_all_leases_are_compared_at_once(self) -> None:
        for session in SESSIONS:
            self.owned(self.one.claim(session))
        self.redis("DEL", "apptuner:node:n1")
        taken = [self.owned(self.two.claim(session)) for session in SESSIONS[1:]]
        self.one.beat()
        self.assertEqual(self.one.events, [("lost", lease) for lease in taken])
        self.assertEqual(list(self.one.has), SESSIONS[:1])

    def suspect(
        self, before: Suspicion = NOTHING_KNOWN, address: str = "ws://n1:3000"
    ) -> Suspicion:
        """What the second node finds out of the first."""
        found: list[Suspicion] = []
        self.two.directory.suspect("n1", address, before).addCallback(found.append)
        if not found:
            self.two.clock.advance(TIMING.answer)
        return found[0]

    def test_a_node_that_is_subscribed_lives(self) -> None:
        self.assertEqual(self.suspect().life, NodeLife.LIVES)

    def test_one_that_is_not_has_ended_where_it_is_asked_of_twice(self) -> None:
        first = self.owned(self.one.claim(SESSIONS[0]))
        self.one.notices.unsubscribe("apptuner:to:n1")
        silence = self.suspect()
        self.assertEqual(silence.life, NodeLife.SILENT)
        self.assertEqual(self.two.claim(SESSIONS[0]), first)
        self.assertEqual(self.suspect(silence).life, NodeLife.ENDED)
        self.assertEqual(self.suspect(silence).life, NodeLife.ENDED)
        second = self.owned(self.two.claim(SESSIONS[0]))
        self.assertEqual((second.node, second.epoch), ("n2", first.epoch + 1))
        # If it lives all the same, it is as one that was frozen.
        self.one.beat()
        self.assertEqual(self.one.events, [("lost", second)])

    def test_one_that_gives_a_sign_of_life_in_between_lives(self) -> None:
        def is_subscribed_again() -> None:
            self.one.notices.subscribe("apptuner:to:n1")

        def is_started_again() -> None:
            self.redis("HSET", "apptuner:node:n1", "run", "another")

        def beats() -> None:
            self.redis("PEXPIRE", "apptuner:node:n1", 2 * 1000 * int(TIMING.lease))

        for lives in (is_subscribed_again, is_started_again, beats):
            self.one.notices.unsubscribe("apptuner:to:n1")
            silence = self.suspect()
            self.assertEqual(silence.life, NodeLife.SILENT)
            lives()
            self.assertEqual(self.suspect(silence).life, NodeLife.LIVES, lives)

    def test_one_at_another_address_is_not_the_one_that_refused(self) -> None:
        self.one.notices.unsubscribe("apptuner:to:n1")
        self.assertEqual(self.suspect(address="ws://n3:3000").life, NodeLife.LIVES)

    def test_who_is_not_subscribed_itself_knows_nothing(self) -> None:
        """Redis may have been started again, with all that it had."""
        for node in (self.one, self.two):
            node.notices.unsubscribe(f"apptuner:to:{node.directory.node}")
        self.assertEqual(self.suspect().life, NodeLife.UNKNOWN)
        self.two.cut()
        self.assertEqual(self.suspect().life, NodeLife.UNKNOWN)

    def test_who_claims_before_its_heartbeat_is_heard_again_beats_first(self) -> None:
        self.redis("DEL", "apptuner:node:n1")
        lease = self.owned(self.one.claim(SESSIONS[0]))
        self.assertEqual((lease.node, self.two.claim(SESSIONS[0])), ("n1", lease))

    def test_a_frozen_node_does_not_trust_its_leases(self) -> None:
        self.owned(self.one.claim(SESSIONS[0]))
        self.redis("DEL", "apptuner:node:n1")
        second = self.owned(self.two.claim(SESSIONS[0]))
        self.one.directory._heartbeat.stop()
        self.one.clock.advance(TIMING.lease)
        self.assertFalse(self.one.directory.fresh)
        self.assertEqual(self.one.claim(SESSIONS[0]), second)

    def test_after_a_silence_of_all_nobody_is_robbed(self) -> None:
        first = self.owned(self.one.claim(SESSIONS[0]))
        self.one.cut()
        self.two.cut()
        self.redis("DEL", "apptuner:pulse", "apptuner:node:n1", "apptuner:node:n2")
        self.two.heal()
        self.assertIsInstance(self.two.claim(SESSIONS[0]), DirectoryUnreachable)
        self.one.heal()
        self.assertEqual(self.two.claim(SESSIONS[0]), first)

    def test_of_two_owners_the_one_with_the_higher_epoch_stays(self) -> None:
        for _ in range(3):
            self.one.release(SESSIONS[0])
            first = self.owned(self.one.claim(SESSIONS[0]))
        self.one.cut()
        self.redis("FLUSHALL")
        self.two.beat()
        self.settle()
        second = self.owned(self.two.claim(SESSIONS[0]))
        self.assertLess(second.epoch, first.epoch)
        self.one.heal()
        deliver([self.one, self.two])
        self.assertEqual(self.two.events, [("lost", first)])
        self.assertEqual([event for event, _ in self.one.events], ["away", "back"])

    def test_of_two_owners_with_the_same_epoch_the_one_written_down_stays(self) -> None:
        self.owned(self.one.claim(SESSIONS[0]))
        self.one.cut()
        self.redis("FLUSHALL")
        self.two.beat()
        self.settle()
        second = self.owned(self.two.claim(SESSIONS[0]))
        self.one.heal()
        self.assertIn(("lost", second), self.one.events)

    def test_without_the_server_a_node_goes_on_with_what_it_has(self) -> None:
        lease = self.owned(self.one.claim(SESSIONS[0]))
        self.one.cut()
        self.assertEqual(self.one.claim(SESSIONS[0]), lease)
        self.assertIsInstance(self.one.claim(SESSIONS[1]), DirectoryUnreachable)
        self.assertEqual(self.one.directory.state, "away")
        self.assertIsInstance(self.one.directory.unreachable_since_s, float)

    def test_after_so_long_a_silence_that_epochs_are_forgotten_all_leases_are_lost(self) -> None:
        self.owned(self.one.claim(SESSIONS[0]))
        self.one.cut()
        self.one.clock.advance(TIMING.keep + 1)
        self.one.heal()
        self.assertIn(("lost", None), self.one.events)
        self.assertEqual(self.owned(self.one.claim(SESSIONS[0])).epoch, 2)

    def test_an_event_that_fails_disturbs_nothing(self) -> None:
        lease = self.owned(self.one.claim(SESSIONS[0]))
        self.patch(self.one, "unreachable", lambda: 1 / 0)
        self.one.cut()
        self.one.heal()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.two.claim(SESSIONS[0]), lease)

    def test_what_was_released_while_away_is_released_when_back(self) -> None:
        self.owned(self.one.claim(SESSIONS[0]))
        self.one.cut()
        self.one.release(SESSIONS[0])
        self.one.heal()
        self.assertEqual(self.owned(self.two.claim(SESSIONS[0])).node, "n2")

    def test_who_asked_for_anothers_session_hears_that_it_moves(self) -> None:
        self.owned(self.one.claim(SESSIONS[0]))
        self.owned(self.two.claim(SESSIONS[0]))
        self.one.release(SESSIONS[0])
        deliver([self.one, self.two])
        self.assertEqual(self.two.events, [("moved", SESSIONS[0])])
        self.two.release(SESSIONS[0])
        self.owned(self.one.claim(SESSIONS[0]))
        deliver([self.one, self.two])
        self.assertEqual(len(self.two.events), 1)

    def test_what_moved_while_nothing_was_heard_is_told_later(self) -> None:
        self.owned(self.one.claim(SESSIONS[0]))
        self.owned(self.two.claim(SESSIONS[0]))
        self.two.cut()
        self.one.release(SESSIONS[0])
        self.two.heal()
        self.assertIn(("moved", SESSIONS[0]), self.two.events)

    def test_a_session_is_handed_over(self) -> None:
        three = self.node("n3")
        first = self.owned(self.one.claim(SESSIONS[0]))
        self.owned(three.claim(SESSIONS[0]))
        self.one.directory.announce_drain()
        second = self.owned(self.two.take_over(first))
        self.assertEqual((second.node, second.epoch), ("n2", first.epoch + 1))
        self.one.hand_over(SESSIONS[0])
        self.one.beat()
        deliver([self.one, self.two, three])
        # Who has given it away isn't told that it is lost, and whoever asked for it is.
        self.assertEqual(self.one.events, [])
        self.assertEqual(self.one.directory.counters.lost, 0)
        self.assertIn(("moved", SESSIONS[0]), three.events)
        self.assertEqual(self.one.claim(SESSIONS[0]), second)
        self.assertEqual(three.claim(SESSIONS[0]), second)

    def test_what_is_not_the_givers_any_more_is_not_taken(self) -> None:
        first = self.owned(self.one.claim(SESSIONS[0]))
        self.one.release(SESSIONS[0])
        self.assertIsInstance(self.two.take_over(first), DirectoryUnreachable)
        again = self.owned(self.one.claim(SESSIONS[0]))
        self.assertEqual(self.two.take_over(first), again)
        self.assertEqual(self.two.has, {})

    def test_a_draining_node_takes_nothing_over(self) -> None:
        first = self.owned(self.one.claim(SESSIONS[0]))
        self.two.directory.announce_drain()
        self.assertIsInstance(self.two.take_over(first), Draining)
        self.assertEqual(self.two.claim(SESSIONS[0]), first)

    def test_an_answer_that_is_lost(self) -> None:
        first = self.owned(self.one.claim(SESSIONS[0]))
        self.two.commands.loses_replies = True
        self.assertIsInstance(self.two.take_over(first), DirectoryUnreachable)
        self.two.heal()
        self.two.beat()
        # It doesn't keep what it doesn't know to have.
        self.one.hand_over(SESSIONS[0])
        self.assertEqual(self.owned(self.one.claim(SESSIONS[0])).node, "n1")

    def test_a_draining_node_takes_nothing_new_and_says_so(self) -> None:
        lease = self.owned(self.one.claim(SESSIONS[0]))
        self.one.directory.announce_drain()
        deliver([self.one, self.two])
        self.assertEqual(self.two.events, [("drained", "n1")])
        self.assertEqual(self.one.events, [])
        self.assertIsInstance(self.one.claim(SESSIONS[1]), Draining)
        self.assertEqual(self.one.claim(SESSIONS[0]), lease)
        other = self.owned(self.two.claim(SESSIONS[1]))
        self.assertEqual(self.one.claim(SESSIONS[1]), other)
        nodes: list[Any] = []
        self.two.directory.nodes().addCallback(nodes.extend)
        self.assertEqual([(n.node, n.draining) for n in nodes], [("n1", True), ("n2", False)])

    def test_a_kick_reaches_the_owner_and_who_asked_for_the_session(self) -> None:
        three = self.node("n3")
        self.owned(self.one.claim(SESSIONS[0]))
        self.owned(self.two.claim(SESSIONS[0]))
        three.directory.kick(SESSIONS[0], "cli", "too loud")
        deliver([self.one, self.two, three])
        self.assertEqual(self.one.events, [("kicked", "cli")])
        self.assertEqual(self.two.events, [("kicked", "cli")])
        self.assertEqual(three.events, [])

    def test_a_later_process_of_the_same_id_has_it(self) -> None:
        self.owned(self.one.claim(SESSIONS[0]))
        later = self.node("n1")
        self.assertEqual(self.owned(self.two.claim(SESSIONS[0])).epoch, 2)
        self.one.beat()
        self.assertEqual(self.one.events, [("away", None), ("lost", None)])
        later.beat()
        self.assertEqual((later.directory.state, self.one.directory.state), ("connected", "away"))
        later.stop()
        self.one.beat()
        self.assertEqual(self.one.directory.state, "connected")

    def test_stop_gives_all_back_at_once(self) -> None:
        sessions = [f"{n:064x}" for n in range(500)]
        for session in sessions:
            self.owned(self.one.claim(session))
        self.owned(self.two.claim(sessions[0]))
        self.one.stop()
        deliver([self.two])
        self.assertEqual(self.two.events, [("moved", sessions[0])])
        for session in sessions:
            self.assertEqual(self.owned(self.two.claim(session)).epoch, 2)

    def test_a_beat_is_one_command_however_many_sessions(self) -> None:
        for n in range(500):
            self.owned(self.one.claim(f"{n:064x}"))
        before = self.one.directory.counters.commands
        for _ in range(60):
            self.one.beat()
        self.assertEqual(self.one.directory.counters.commands - before, 60)
        self.assertEqual(self.one.directory.counters.claims, 500)

    def test_renewed_in_turn_all_leases_are_remembered(self) -> None:
        sessions = [f"{n:064x}" for n in range(20)]
        for session in sessions:
            self.owned(self.one.claim(session))
            self.redis("PEXPIRE", f"apptuner:session:{session}", 100_000)
        for _ in range(int(TIMING.keep / TIMING.renew / 3)):
            self.one.beat()
        left = [self.redis("PTTL", f"apptuner:session:{session}") for session in sessions]
        self.assertTrue(all(isinstance(ms, int) and ms > 100_000 for ms in left), left)

    def test_a_lease_that_was_taken_out_of_the_server_is_written_again(self) -> None:
        first = self.owned(self.one.claim(SESSIONS[0]))
        self.redis("DEL", f"apptuner:session:{SESSIONS[0]}")
        self.one.beat()
        self.assertEqual(self.owned(self.two.claim(SESSIONS[0])), first)

    def test_of_many_leases_a_beat_misses_each(self) -> None:
        sessions = [f"{n:064x}" for n in range(2500)]
        for session in sessions:
            self.owned(self.one.claim(session))
        for session in (sessions[0], sessions[1400], sessions[-1]):
            self.redis("DEL", f"apptuner:session:{session}")
            self.one.beat()
            self.assertEqual(epoch_in(self.redis("GET", f"apptuner:session:{session}")), 1)
        self.assertEqual(self.one.events, [])

    def test_who_claims_a_session_that_was_evicted_is_not_alone_for_long(self) -> None:
        """Its owner hears of it at once, and of the two the later lease counts."""
        for _ in range(2):
            self.one.release(SESSIONS[0])
            first = self.owned(self.one.claim(SESSIONS[0]))
        self.owned(self.one.claim(SESSIONS[1]))
        deliver([self.one, self.two])
        for session in SESSIONS[:2]:
            self.redis("DEL", f"apptuner:session:{session}")
        taken = [self.owned(self.two.claim(session)) for session in SESSIONS[:2]]
        self.assertEqual([lease.node for lease in taken], ["n2", "n2"])
        deliver([self.one, self.two])
        self.assertEqual(self.two.events, [("lost", first)])
        self.assertEqual(self.one.events, [("lost", taken[1])])
        self.assertEqual((list(self.one.has), list(self.two.has)), (SESSIONS[:1], SESSIONS[1:2]))

    def test_a_server_that_was_emptied_under_its_nodes(self) -> None:
        """Who has a session writes that again before anybody else can claim it."""
        first = self.owned(self.one.claim(SESSIONS[0]))
        self.redis("FLUSHALL")
        self.assertIsInstance(self.two.claim(SESSIONS[0]), DirectoryUnreachable)
        deliver([self.one, self.two])
        self.assertGreater(self.one.times_emptied, 0)
        self.settle()
        self.assertEqual(self.two.claim(SESSIONS[0]), first)
        self.assertEqual(self.one.has, {SESSIONS[0]: first})

    def test_who_looks_into_a_server_that_was_emptied(self) -> None:
        first = self.owned(self.one.claim(SESSIONS[0]))
        self.redis("FLUSHALL")
        found: list[Any] = []
        self.two.directory.look(SESSIONS[0]).addBoth(found.append)
        deliver([self.one, self.two])
        self.two.clock.advance(TIMING.answer)
        self.assertEqual(found, [first])

    def test_keys_hold_hashes_and_ids_of_nodes_and_nothing_else(self) -> None:
        self.owned(self.one.claim(SESSIONS[0]))
        keys = self.redis("KEYS", "*")
        assert isinstance(keys, list)
        names = {"node:n1", "node:n2", "nodes", "pulse", f"session:{SESSIONS[0]}"}
        self.assertEqual(set(map(str, keys)), {f"apptuner:{name}" for name in names})

    def test_junk_from_others_is_ignored(self) -> None:
        lease = self.owned(self.one.claim(SESSIONS[0]))
        self.owned(self.two.claim(SESSIONS[0]))
        for text in ("moved", "x" * 9999, f"moved {SESSIONS[0]} n9"):
            self.redis("PUBLISH", "apptuner:to:n1", text)
        deliver([self.one, self.two])
        self.assertEqual((self.one.directory.held(), self.one.events), ([lease], []))
