"""Beats: how long a node's leases are its own, and what it makes of each answer."""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership import scripts
from apptuner_relay.cluster.ownership.availability import Availability
from apptuner_relay.cluster.ownership.directory import Lease, NodeInfo
from apptuner_relay.cluster.ownership.heartbeat import Heartbeat
from apptuner_relay.cluster.ownership.reconciler import Reconciler
from apptuner_relay.cluster.ownership.redis_link import LinkLost, ServerRefused
from tests.cluster.ownership.cases import SESSIONS, TIMING, A, B, C, Heard, NodesCase


class HeartbeatCase(SynchronousTestCase):
    """A heartbeat whose server answers what the test says."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100)
        self.events = Heard()
        self.availability = Availability(self.clock, self.events, 2.0, "the server")
        self.reconciler = Reconciler(
            self.run_script, "n1", "ws://n1:1", self.events, lambda session, wanted: None
        )
        self.leases = self.reconciler.leases
        self.asked: list[tuple[Any, ...]] = []
        self.answers: dict[str, Callable[..., Any]] = {
            scripts.BEAT: lambda *words: ["kept"],
            scripts.LOOK_FOR: lambda *words: [],
            scripts.RESTORE: lambda *words: [f"mine {epoch}" for epoch in words[1::2]],
            scripts.LOOK: lambda _, *words: ["nobody"] * len(words),
            scripts.RELEASE: lambda *words: len(words),
        }
        self.busy: set[str] = set()
        self.listed: list[list[NodeInfo]] = []
        self.heartbeat = Heartbeat(
            self.run_script,
            self.reconciler,
            self.availability,
            self.clock,
            TIMING,
            lambda: ("ws://n1:1", 7, 1234, "0.1"),
            self.busy,
            self.listed.append,
        )

    def run_script(self, script: str, *words: Any) -> Deferred[Any]:
        self.asked.append((script, *words))
        reply = self.answers[script](*words)
        if isinstance(reply, Deferred):
            return reply
        return fail(reply) if isinstance(reply, Exception) else succeed(reply)

    def beat(self) -> list[str]:
        """Returns what was asked of the server."""
        self.asked.clear()
        self.successResultOf(Deferred.fromCoroutine(self.heartbeat.beat()))
        return [words[0] for words in self.asked]

    def hold(self, *sessions: str, epoch: int = 1) -> None:
        for session in sessions:
            self.leases.hold(Lease(session, "n1", "ws://n1:1", epoch))


class Freshness(HeartbeatCase):
    """Whether the leases are beyond doubt."""

    def test_from_the_first_answer_for_a_lease_time(self) -> None:
        self.assertFalse(self.heartbeat.fresh)
        self.beat()
        self.assertTrue(self.heartbeat.fresh)
        self.clock.advance(TIMING.lease - 0.01)
        self.assertTrue(self.heartbeat.fresh)
        self.clock.advance(0.02)
        self.assertFalse(self.heartbeat.fresh)

    def test_it_counts_from_when_the_beat_was_sent(self) -> None:
        answer: Deferred[Any] = Deferred()
        self.answers[scripts.BEAT] = lambda *words: answer
        beating = Deferred.fromCoroutine(self.heartbeat.beat())
        self.clock.advance(TIMING.lease - 1)
        answer.callback(["kept"])
        self.successResultOf(beating)
        self.assertTrue(self.heartbeat.fresh)
        self.clock.advance(1)
        self.assertFalse(self.heartbeat.fresh)

    def test_not_after_another_process_has_taken_the_id(self) -> None:
        self.beat()
        self.answers[scripts.BEAT] = lambda *words: ["replaced"]
        self.beat()
        self.assertFalse(self.heartbeat.fresh)


class Answers(HeartbeatCase):
    def test_what_it_says_of_itself(self) -> None:
        self.hold(A, B)
        self.heartbeat.draining = True
        self.beat()
        [(_, lease_ms, grace_ms, first, draining, *said)] = self.asked[:1]
        self.assertEqual((lease_ms, grace_ms, first, draining), (8000, 1000, 1, 1))
        address, sessions, connections, since_ms, version, lists, count, *renewed = said
        self.assertEqual((address, sessions, connections), ("ws://n1:1", 2, 7))
        self.assertEqual((since_ms, version), (1234, "0.1"))
        self.assertEqual((lists, count), (1, 1))
        self.assertEqual(set(renewed), {A, B})
        self.beat()
        self.assertEqual(self.asked[0][3], 0)

    def test_the_living_nodes_with_every_third(self) -> None:
        row = "{} ws://n:1 1 2 3 0 0.1"
        self.hold(A)
        self.answers[scripts.BEAT] = lambda *words: (
            ["kept", row.format("n2"), row.format("n1"), "n3 damaged", A] if words[9] else ["kept"]
        )
        for _ in range(4):
            self.beat()
        self.assertEqual(
            [[info.node for info in nodes] for nodes in self.listed], 2 * [["n1", "n2"]]
        )
        self.assertEqual(self.listed[0][0], NodeInfo("n1", "ws://n:1", 1, 2, 3, False, "0.1"))
        # What is behind the nodes are sessions that the server has lost.
        self.assertIn(A, self.leases.held)

    def test_less_often_where_they_are_many(self) -> None:
        rows = [f"n{n} ws://n:1 1 2 3 0 0.1" for n in range(200)]
        self.answers[scripts.BEAT] = lambda *words: ["kept", *(rows if words[9] else ())]
        for _ in range(13):
            self.beat()
        self.assertEqual([len(nodes) for nodes in self.listed], [200] * 3)

    def test_a_server_that_is_back_has_all_leases_compared_before_anybody_is_told(self) -> None:
        self.availability.start()
        self.hold(A)
        self.leases.others[B] = Lease(B, "n2", "ws://n2:1", 1)
        self.availability.lost("refused")
        self.events.take()
        self.assertEqual(self.beat(), [scripts.BEAT, scripts.RESTORE, scripts.LOOK])
        self.assertFalse(self.availability.is_unreachable)
        self.assertEqual(self.events.take(), [("moved", B), ("reachable",)])

    def test_nothing_is_compared_where_nothing_is_in_doubt(self) -> None:
        self.beat()
        self.availability.reached()
        self.hold(A, B)
        self.assertEqual(self.beat(), [scripts.BEAT])

    def test_what_the_server_has_lost_is_restored(self) -> None:
        self.availability.reached()
        self.hold(A, B, C)
        self.answers[scripts.BEAT] = lambda *words: ["kept", B]
        self.assertEqual(self.beat(), [scripts.BEAT, scripts.RESTORE])
        self.assertEqual(self.asked[1][1:], (B, 1))

    def test_one_that_had_been_taken_for_dead_restores_all(self) -> None:
        self.availability.reached()
        self.hold(A, B)
        self.answers[scripts.BEAT] = lambda *words: ["new"]
        self.beat()
        self.assertEqual(set(self.asked[1][1::2]), {A, B})

    def test_another_process_has_its_id(self) -> None:
        self.availability.reached()
        self.hold(A, B)
        self.answers[scripts.BEAT] = lambda *words: ["replaced"]
        self.assertEqual(self.beat(), [scripts.BEAT])
        self.assertEqual(dict(self.leases.held), {})
        first, *rest = self.events.take()
        self.assertEqual(first, ("unreachable",))
        self.assertCountEqual(rest, [("lost", A, None), ("lost", B, None)])

    def test_after_a_silence_in_which_epochs_are_forgotten_all_is_given_back(self) -> None:
        self.availability.reached()
        self.beat()
        self.hold(A)
        self.clock.advance(TIMING.keep + 1)
        self.assertEqual(self.beat(), [scripts.BEAT, scripts.RELEASE])
        self.assertEqual(self.events.take(), [("lost", A, None)])
        self.assertEqual((dict(self.leases.held), self.leases.doubtful), ({}, set()))

    def test_what_is_in_doubt_is_given_back_unless_somebody_is_at_it(self) -> None:
        self.availability.reached()
        self.leases.doubtful |= {A, B}
        self.busy.add(B)
        self.assertEqual(self.beat(), [scripts.BEAT, scripts.RELEASE])
        self.assertEqual(self.asked[1][1:], (A,))
        self.assertEqual(self.leases.doubtful, {B})

    def test_no_answer_changes_nothing(self) -> None:
        self.availability.reached()
        self.hold(A)
        for wrong in (LinkLost("cut"), ServerRefused("BUSY")):
            self.answers[scripts.BEAT] = lambda *words, wrong=wrong: wrong
            self.beat()
            self.assertEqual((list(self.leases.held), self.events.take()), ([A], []))
            self.assertFalse(self.heartbeat.fresh)


class Turns(HeartbeatCase):
    def test_one_at_a_time(self) -> None:
        answers: list[Deferred[Any]] = []

        def answer(*words: Any) -> Deferred[Any]:
            answers.append(Deferred())
            return answers[-1]

        self.answers[scripts.BEAT] = answer
        beats = [Deferred.fromCoroutine(self.heartbeat.beat()) for _ in range(2)]
        self.assertEqual(len(answers), 1)
        answers[0].callback(["kept"])
        self.assertEqual(len(answers), 2)
        self.successResultOf(beats[0])
        answers[1].callback(["kept"])
        self.successResultOf(beats[1])

    def test_they_go_on_after_one_has_failed(self) -> None:
        self.heartbeat.start()
        self.answers[scripts.BEAT] = lambda *words: ValueError("odd")
        self.clock.advance(TIMING.renew)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.answers[scripts.BEAT] = lambda *words: ["kept"]
        self.asked.clear()
        self.clock.advance(TIMING.renew)
        self.assertEqual([words[0] for words in self.asked], [scripts.BEAT])

    def test_none_after_a_stop(self) -> None:
        self.heartbeat.start()
        self.heartbeat.stop()
        self.availability.stop()
        self.clock.advance(10 * TIMING.renew)
        self.assertEqual(self.beat(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_answer_after_a_stop_counts_for_nothing(self) -> None:
        answer: Deferred[Any] = Deferred()
        self.answers[scripts.BEAT] = lambda *words: answer
        self.hold(A)
        beating = Deferred.fromCoroutine(self.heartbeat.beat())
        self.availability.stop()
        answer.callback(["replaced"])
        self.successResultOf(beating)
        self.assertEqual((list(self.leases.held), self.events.seen), ([A], []))

    def test_every_lease_is_renewed_long_before_it_is_forgotten(self) -> None:
        self.availability.reached()
        self.hold(*SESSIONS)
        renewed: set[str] = set()
        while renewed != set(SESSIONS):
            self.assertLess(self.clock.seconds(), 100 + TIMING.keep / 2)
            self.beat()
            count = self.asked[0][11]
            renewed |= set(self.asked[0][12 : 12 + count])
            self.clock.advance(TIMING.renew)


class WithAServer(NodesCase):
    """The same with what the server makes of it."""

    def test_a_node_that_is_not_heard_loses_its_sessions_to_who_asks(self) -> None:
        one, other = self.nodes(2)
        self.assertEqual(self.claim(one).node, "n1")
        self.network.part("n1", "redis")
        self.wait(TIMING.lease / 2)
        self.assertEqual(self.claim(other).node, "n1")
        self.wait(TIMING.lease)
        lease = self.claim(other)
        self.assertEqual((lease.node, lease.epoch), ("n2", 2))
        # It is told when it is heard again, and not before: until then it can't know.
        self.assertNotIn(("lost", A, "n2"), one.events.seen)
        self.network.join("n1", "redis")
        self.wait(TIMING.lease)
        self.assertIn(("lost", A, "n2"), one.events.seen)

    def test_a_beat_of_an_older_process_is_refused(self) -> None:
        [one] = self.nodes(1)
        self.claim(one)
        [again] = self.nodes(1)
        self.wait(TIMING.renew)
        self.assertIn(("unreachable",), one.events.seen)
        self.assertFalse(one.holds(A))
        self.assertEqual(self.claim(again).epoch, 2)
