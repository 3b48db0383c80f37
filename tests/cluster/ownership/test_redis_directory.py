"""A node's directory: with a server in memory that may be lost, slow, emptied or parted from it,
and with one whose replies are made up."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership import scripts
from apptuner_relay.cluster.ownership.directory import (
    DirectoryUnreachable,
    Draining,
    Events,
    Lease,
)
from apptuner_relay.cluster.ownership.redis_directory import RedisDirectory, Timing
from apptuner_relay.cluster.ownership.redis_link import CommandLink, SubscriberLink
from apptuner_relay.config.redis_url import parse_redis_url
from tests.cluster.ownership.cases import SESSIONS, TIMING, A, B, Node, NodesCase
from tests.cluster.ownership.test_redis_errors import AT, RUNNING
from tests.fake_redis import FakeRedis

URL = parse_redis_url("redis://127.0.0.1:6379")
MANY = [f"{n:064x}" for n in range(40)]
READONLY = "-READONLY You can't write against a read only replica."
ANSWER_S = 2.0


class Claiming(NodesCase):
    def test_who_asks_first_has_it_and_others_hear_so(self) -> None:
        one, other = self.nodes(2)
        lease = Lease(A, "n1", "ws://n1:1", 1)
        self.assertEqual(self.claim(one), lease)
        self.assertEqual(self.claim(other), lease)
        self.assertEqual((one.directory.held(), other.directory.held()), ([lease], []))

    def test_what_is_held_is_known_without_asking(self) -> None:
        [one] = self.nodes(1)
        self.claim(one)
        commands = one.directory.counters.commands
        self.successResultOf(one.directory.claim(A))
        self.successResultOf(one.directory.look(A))
        self.assertEqual(one.directory.counters.commands, commands)

    def test_until_it_is_in_doubt(self) -> None:
        [one] = self.nodes(1)
        self.claim(one)
        self.redis.model.refusal = "BUSY"
        self.wait(TIMING.lease)
        self.assertFalse(one.directory.fresh)
        self.redis.model.refusal = None
        commands = one.directory.counters.commands
        self.claim(one)
        self.assertGreater(one.directory.counters.commands, commands)

    def test_after_it_was_given_back_the_epoch_goes_on(self) -> None:
        one, other = self.nodes(2)
        self.claim(one)
        self.claim(other)
        self.result(one.directory.release(A))
        self.assertIn(("moved", A), other.events.seen)
        self.assertEqual(self.claim(other), Lease(A, "n2", "ws://n2:1", 2))

    def test_who_has_no_interest_any_more_hears_nothing(self) -> None:
        one, other = self.nodes(2)
        self.claim(one)
        self.claim(other)
        self.assertIn(f"apptuner:on:{A}", other.subscriber.channels)
        self.result(other.directory.release(A))
        self.result(one.directory.release(A))
        self.assertEqual(other.events.seen, [])
        self.assertNotIn(f"apptuner:on:{A}", other.subscriber.channels)

    def test_a_draining_node_takes_none_but_knows_of_others(self) -> None:
        one, other = self.nodes(2)
        self.claim(other, B)
        self.claim(one, A)
        self.result(one.directory.announce_drain())
        self.assertIn(("drained", "n1"), other.events.seen)
        self.assertNotIn(("drained", "n1"), one.events.seen)
        self.assertEqual(self.claim(one, B).node, "n2")
        self.assertEqual(self.claim(one, A).node, "n1")
        asked = one.directory.claim(SESSIONS[2])
        self.wait(0)
        self.failureResultOf(asked, Draining)

    def test_many_at_once_for_one_session_agree(self) -> None:
        nodes = self.nodes(3)
        for link in self.redis.links:
            link.delay_s = 0.05 if link.host == "n1" else 0.01
        asked = [node.directory.claim(A) for node in nodes for _ in range(3)]
        leases = {self.result(one) for one in asked}
        self.assertEqual(len(leases), 1)
        self.assertEqual(sum(node.holds(A) for node in nodes), 1)

    def test_a_claim_that_is_given_back_while_it_is_asked_for(self) -> None:
        one, other = self.nodes(2)
        one.commands.delay_s = 0.1
        claiming = one.directory.claim(A)
        releasing = one.directory.release(A)
        self.result(claiming)
        self.result(releasing)
        self.assertFalse(one.holds(A))
        self.assertEqual(self.claim(other).node, "n2")


class HandingOver(NodesCase):
    def test_nobody_else_can_have_it_in_between(self) -> None:
        one, other, third = self.nodes(3)
        lease = self.claim(one)
        self.claim(third)
        taken = self.result(other.directory.take_over(A, "n1", lease.epoch), 0)
        self.assertEqual(taken, Lease(A, "n2", "ws://n2:1", 2))
        one.directory.hand_over(A)
        self.wait(TIMING.renew)
        # Who gave it away isn't told that it has lost it; who asked for it hears that it moved.
        self.assertNotIn("lost", [event[0] for event in one.events.seen])
        self.assertIn(("moved", A), third.events.seen)
        self.assertEqual(self.claim(third).node, "n2")

    def test_what_is_not_the_givers_is_not_taken(self) -> None:
        one, other, third = self.nodes(3)
        lease = self.claim(one)
        for node, epoch in (("n3", lease.epoch), ("n1", lease.epoch + 1)):
            found = self.result(other.directory.take_over(A, node, epoch))
            self.assertEqual(found.node, "n1")
        self.result(one.directory.release(A))
        asked = other.directory.take_over(A, "n1", lease.epoch)
        self.wait(0)
        self.failureResultOf(asked, DirectoryUnreachable)
        self.assertFalse(other.holds(A))
        self.assertEqual(self.claim(third).epoch, 2)

    def test_one_that_drains_takes_none(self) -> None:
        one, other = self.nodes(2)
        lease = self.claim(one)
        self.result(other.directory.announce_drain())
        self.failureResultOf(other.directory.take_over(A, "n1", lease.epoch), Draining)


class ServerGone(NodesCase):
    """The server stops, or nothing gets there."""

    def test_leases_go_on_and_other_claims_fail_in_time(self) -> None:
        [one] = self.nodes(1)
        lease = self.claim(one)
        self.redis.stop()
        self.wait(0)
        self.assertEqual(one.directory.state, "away")
        asked = one.directory.claim(B)
        self.assertEqual(self.claim(one), lease)
        self.wait(TIMING.answer)
        self.failureResultOf(asked, DirectoryUnreachable)
        # It is known to be gone now, and nobody waits any more.
        self.failureResultOf(one.directory.claim(B), DirectoryUnreachable)
        self.assertEqual(one.events.take(), [("unreachable",)])
        self.redis.start()
        self.wait(1)
        self.assertEqual(one.events.take(), [("reachable",)])
        self.assertEqual(self.claim(one, B).node, "n1")

    def test_a_way_that_swallows_everything(self) -> None:
        [one] = self.nodes(1)
        self.network.part("n1", "redis")
        asked = one.directory.claim(A)
        self.wait(TIMING.answer)
        self.failureResultOf(asked, DirectoryUnreachable)
        self.wait(TIMING.answer)
        self.assertEqual(one.directory.state, "away")
        self.network.join("n1", "redis")
        self.wait(TIMING.lease)
        self.assertEqual(one.directory.state, "connected")

    def test_an_answer_that_was_lost_is_no_lease_that_nobody_knows_of(self) -> None:
        one, other = self.nodes(2)
        one.commands.delay_s = 0.2
        asked = one.directory.claim(A)
        # The server has it now, and its answer is on the way.
        self.wait(0.3)
        self.assertEqual(self.redis.model.owner(A), "n1")
        self.redis.stop()
        self.wait(TIMING.answer)
        self.failureResultOf(asked, DirectoryUnreachable)
        self.redis.start()
        self.wait(2)
        self.assertIsNone(self.redis.model.owner(A))
        self.assertEqual(self.claim(other).node, "n2")

    def test_it_lets_nobody_wait_for_its_stop(self) -> None:
        one, other = self.nodes(2)
        self.claim(one)
        self.network.part("n1", "redis")
        stopping = one.directory.stop()
        self.wait(TIMING.answer)
        self.successResultOf(stopping)
        self.network.join("n1", "redis")
        self.wait(TIMING.lease)
        self.assertEqual(self.claim(other).node, "n2")

    def test_a_stop_gives_all_back_at_once(self) -> None:
        one, other = self.nodes(2)
        self.claim(one)
        self.result(one.directory.stop(), 0)
        self.assertEqual(self.claim(other).node, "n2")
        self.assertEqual([info.node for info in self.result(other.directory.nodes())], ["n2"])


class DataLost(NodesCase):
    """The server is emptied, or has dropped a key."""

    def test_owners_stay_owners(self) -> None:
        one, other = self.nodes(2)
        self.claim(one)
        self.redis.model.empty()
        asked = other.directory.claim(A)
        self.wait(TIMING.renew)
        self.assertEqual(self.result(asked).node, "n1")
        self.assertEqual(
            (one.events.seen.count(("emptied",)), other.events.seen), (1, [("emptied",)])
        )
        self.assertTrue(one.holds(A))

    def test_a_single_key_that_was_dropped_is_written_again(self) -> None:
        one, _ = self.nodes(2)
        self.claim(one)
        self.redis.model.evict(A)
        self.wait(TIMING.renew)
        self.assertEqual(self.redis.model.owner(A), "n1")
        self.assertTrue(one.holds(A))

    def test_of_two_owners_one_is_left_and_the_other_is_told(self) -> None:
        one, other = self.nodes(2)
        self.claim(one)
        self.redis.model.evict(A)
        self.result(other.directory.claim(A), 0)
        # That somebody begins it says enough: no beat is waited for.
        self.wait(0.1)
        self.assertEqual(one.holds(A) + other.holds(A), 1)
        loser = other if one.holds(A) else one
        self.assertIn("lost", [event[0] for event in loser.events.seen])


class Notices(NodesCase):
    def test_a_kick_reaches_whoever_has_to_do_with_the_session(self) -> None:
        one, other, third = self.nodes(3)
        self.claim(one)
        self.claim(other)
        self.result(third.directory.kick(A, "cli", "too loud"))
        kicked = ("kicked", A, "cli", "too loud")
        self.assertEqual(
            [node.events.seen.count(kicked) for node in (one, other, third)], [1, 1, 0]
        )

    def test_what_was_said_while_nothing_was_heard_is_found_out(self) -> None:
        one, other = self.nodes(2)
        self.claim(one)
        self.claim(other)
        other.subscriber.lose("reset")
        self.result(one.directory.release(A), 0)
        self.assertEqual(other.events.seen, [])
        self.wait(1)
        self.assertEqual(other.events.seen, [("moved", A)])

    def test_what_no_relay_says(self) -> None:
        [one] = self.nodes(1)
        self.redis.model.listen("apptuner:all", "shutdown now")
        self.wait(0)
        self.assertEqual(one.events.seen, [])


class Anything(NodesCase):
    """Two nodes and whatever may happen to them: in the end they agree."""

    @settings(max_examples=40)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    (
                        "claim",
                        "release",
                        "look",
                        "part",
                        "join",
                        "stop",
                        "start",
                        "empty",
                        "evict",
                        "slow",
                        "quick",
                        "deaf",
                    )
                ),
                st.sampled_from((0, 1)),
                st.sampled_from((A, B)),
                st.sampled_from((0.0, 0.05, 0.5, 3.0)),
            ),
            max_size=25,
        )
    )
    def test_one_owner_and_both_know_it(self, steps: list[Any]) -> None:
        self.setUp()
        nodes = [Node(self.redis, "n1"), Node(self.redis, "n2")]
        self.wait(0)
        asked = []
        for what, number, session, wait_s in steps:
            node = nodes[number]
            if what in ("claim", "look"):
                done = getattr(node.directory, what)(session)
                asked.append(done.addErrback(lambda failure: failure.trap(DirectoryUnreachable)))
            elif what == "release":
                node.directory.release(session)
            elif what in ("part", "join"):
                getattr(self.network, what)(node.name, "redis")
            elif what in ("stop", "start"):
                getattr(self.redis, what)()
            elif what == "empty":
                self.redis.model.empty()
            elif what == "evict":
                self.redis.model.evict(session)
            elif what == "deaf":
                node.subscriber.lose("reset")
            else:
                node.commands.delay_s = 0.3 if what == "slow" else 0.0
            self.wait(wait_s)
        self.network.join_all()
        self.redis.start()
        self.wait(2 * TIMING.lease)
        self.assertTrue(all(one.called for one in asked), "somebody waits for ever")
        for session in (A, B):
            holders = [node.name for node in nodes if node.holds(session)]
            owner = self.redis.model.owner(session)
            self.assertEqual(holders, [] if owner is None else [owner])
            seen = {self.claim(node, session) for node in nodes}
            self.assertEqual(len(seen), 1)
        for node in nodes:
            self.stop(node)
        self.assertIsNone(self.redis.model.owner(A))


class MadeUpReplies(SynchronousTestCase):
    """A node's directory, with a server that answers beats and lets claims wait."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.redis = FakeRedis(self.clock, self.answer)
        self.claim: Any = None
        self.directory = RedisDirectory(
            CommandLink(self.redis, URL, self.clock, ANSWER_S),  # type: ignore[arg-type]
            SubscriberLink(self.redis, URL, self.clock, ANSWER_S),  # type: ignore[arg-type]
            self.clock,
            "n1",
            "ws://n1:1",
            Events(),
            connections=lambda: 0,
            version="0",
            timing=Timing(),
        )
        self.directory.start()
        self.clock.pump([0.0] * 4)
        self.assertEqual(self.directory.state, "connected")

    def answer(self, words: Sequence[str]) -> Any:
        replies = {scripts.CLAIM: self.claim, scripts.BEAT: ["kept"]}
        return replies.get(words[0], [] if words[0] == scripts.NODES else "noeviction")

    def test_the_server_dies_while_claims_wait(self) -> None:
        claims = [self.directory.claim(session) for session in MANY]
        self.clock.advance(0)
        self.redis.die()
        self.assertEqual(self.directory.state, "away")
        self.clock.pump([0.1] * 25)
        for claim in claims:
            self.failureResultOf(claim, DirectoryUnreachable)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_the_server_dies_and_is_there_again_at_once(self) -> None:
        claims = [self.directory.claim(session) for session in MANY]
        self.clock.advance(0)
        self.redis.die()
        self.redis.is_there, self.claim = True, "mine 1"
        self.clock.pump([0.1] * 10)
        for session, claim in zip(MANY, claims, strict=True):
            self.assertEqual(self.successResultOf(claim), Lease(session, "n1", "ws://n1:1", 1))

    def test_a_server_that_was_demoted_and_keeps_its_connections(self) -> None:
        """What answers at the next connection may be the server to talk to."""
        self.claim = Exception(RUNNING + AT + READONLY)
        claim = self.directory.claim(MANY[0])
        self.clock.pump([0.0] * 3)
        self.assertNoResult(claim)
        self.claim = "mine 1"
        self.clock.pump([0.1] * 10)
        self.assertEqual(self.successResultOf(claim).epoch, 1)

    def test_a_refusal_that_will_not_pass(self) -> None:
        self.claim = Exception("NOPERM this user has no permissions to run the 'eval' command")
        claim = self.directory.claim(MANY[0])
        self.clock.pump([0.0] * 3)
        self.failureResultOf(claim, DirectoryUnreachable)
        self.assertEqual(self.directory.state, "away")
