"""What a node remembers of sessions, and what the server has written, brought into agreement: every
reply to every lease."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership import scripts
from apptuner_relay.cluster.ownership.directory import Lease
from apptuner_relay.cluster.ownership.leases import BATCH
from apptuner_relay.cluster.ownership.reconciler import Reconciler
from apptuner_relay.cluster.ownership.redis_link import LinkLost, ServerRefused
from tests.cluster.ownership.cases import SESSIONS, A, B, Heard

ADDRESS = "ws://n1:1"


def mine(session: str, epoch: int) -> Lease:
    return Lease(session, "n1", ADDRESS, epoch)


class ReconcilerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.events = Heard()
        self.subscribed: list[tuple[str, bool]] = []
        self.asked: list[tuple[Any, ...]] = []
        self.answer: Callable[..., Any] = lambda *words: []
        self.reconciler = Reconciler(
            self.run_script,
            "n1",
            ADDRESS,
            self.events,
            lambda session, wanted: self.subscribed.append((session, wanted)),
        )
        self.leases = self.reconciler.leases

    def run_script(self, *words: Any) -> Deferred[Any]:
        self.asked.append(words)
        reply = self.answer(*words)
        return fail(reply) if isinstance(reply, Exception) else succeed(reply)

    def do(self, work: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))


class Learning(ReconcilerCase):
    """What the reply to a claim says, for a session that is nobody's, this node's or another's."""

    def test_it_is_ours(self) -> None:
        self.assertEqual(self.reconciler.learn(A, "mine 3"), mine(A, 3))
        self.assertEqual(dict(self.leases.held), {A: mine(A, 3)})
        self.assertEqual((self.subscribed, self.events.seen), ([], []))

    def test_it_is_anothers(self) -> None:
        lease = self.reconciler.learn(A, "other 3 n2 ws://n2:1")
        self.assertEqual(lease, Lease(A, "n2", "ws://n2:1", 3))
        self.assertEqual(self.leases.others, {A: lease})
        self.assertEqual(self.subscribed, [(A, True)])
        # It is asked for once.
        self.reconciler.learn(A, "other 4 n3 ws://n3:1")
        self.assertEqual(self.subscribed, [(A, True)])

    def test_it_was_anothers(self) -> None:
        self.reconciler.learn(A, "other 3 n2 ws://n2:1")
        self.reconciler.learn(A, "mine 4")
        self.assertEqual((self.leases.others, dict(self.leases.held)), ({}, {A: mine(A, 4)}))
        self.assertEqual(self.subscribed, [(A, True), (A, False)])

    def test_it_was_ours(self) -> None:
        self.reconciler.learn(A, "mine 3")
        self.reconciler.learn(A, "other 4 n2 ws://n2:1")
        self.assertEqual(self.events.seen, [("lost", A, "n2")])
        self.assertEqual(dict(self.leases.held), {})
        self.assertEqual(self.reconciler.counters.lost, 1)

    def test_nothing_is_learnt_of_anything_else(self) -> None:
        self.reconciler.learn(A, "mine 3")
        for reply in ("draining", "settling 500", "unregistered", "other 4 n2", "mine x", ""):
            self.assertIsNone(self.reconciler.learn(A, reply))
        self.assertEqual(dict(self.leases.held), {A: mine(A, 3)})
        self.assertEqual(self.events.seen, [])


class Restoring(ReconcilerCase):
    """What the server says of a lease that this node holds."""

    def restore(self, reply: str) -> None:
        self.reconciler.learn(A, "mine 3")
        self.answer = lambda *words: [reply]
        self.do(self.reconciler.restore([A]))
        self.assertEqual(self.asked, [(scripts.RESTORE, A, 3)])

    def test_it_agrees(self) -> None:
        self.restore("mine 3")
        self.assertEqual((dict(self.leases.held), self.events.seen), ({A: mine(A, 3)}, []))

    def test_it_knows_of_a_later_epoch(self) -> None:
        self.restore("mine 5")
        self.assertEqual((dict(self.leases.held), self.events.seen), ({A: mine(A, 5)}, []))

    def test_another_node_has_it(self) -> None:
        self.restore("other 4 n2 ws://n2:1")
        self.assertEqual((dict(self.leases.held), self.events.seen), ({}, [("lost", A, "n2")]))

    def test_nobody_has_it(self) -> None:
        self.restore("nobody")
        self.assertEqual((dict(self.leases.held), self.events.seen), ({}, [("lost", A, None)]))

    def test_what_it_says_is_damaged(self) -> None:
        self.restore("other 4 n2 http://n2")
        self.assertEqual(self.events.seen, [("lost", A, None)])

    def test_nobody_is_asked_of_what_is_not_held(self) -> None:
        self.do(self.reconciler.restore([A, B]))
        self.assertEqual(self.asked, [])

    def test_a_lease_that_was_given_back_meanwhile_is_not_lost(self) -> None:
        self.reconciler.learn(A, "mine 3")
        self.reconciler.learn(B, "mine 1")

        def answer(*words: Any) -> list[str]:
            self.leases.held.pop(A)
            self.leases.hold(mine(B, 2))
            return ["nobody", "nobody"]

        self.answer = answer
        self.do(self.reconciler.restore([A, B]))
        self.assertEqual((self.events.seen, dict(self.leases.held)), ([], {B: mine(B, 2)}))

    def test_in_batches(self) -> None:
        sessions = [f"{n:064x}" for n in range(BATCH + 1)]
        for session in sessions:
            self.reconciler.learn(session, "mine 1")
        self.answer = lambda script, *pairs: ["mine 1"] * (len(pairs) // 2)
        self.do(self.reconciler.restore(sessions))
        self.assertEqual([len(words) // 2 for words in self.asked], [BATCH, 1])

    def test_the_server_is_lost(self) -> None:
        self.reconciler.learn(A, "mine 3")
        self.answer = lambda *words: LinkLost("cut")
        failing = Deferred.fromCoroutine(self.reconciler.restore([A]))
        self.failureResultOf(failing, LinkLost)
        self.assertEqual((dict(self.leases.held), self.events.seen), ({A: mine(A, 3)}, []))


class Others(ReconcilerCase):
    """Sessions of others, while nothing was heard."""

    def check(self, reply: str) -> list[tuple[Any, ...]]:
        self.reconciler.learn(A, "other 3 n2 ws://n2:1")
        self.answer = lambda *words: [reply]
        self.do(self.reconciler.check_others())
        self.assertEqual(self.asked, [(scripts.LOOK, 0, A)])
        return self.events.seen

    def test_nothing_has_changed(self) -> None:
        self.assertEqual(self.check("other 3 n2 ws://n2:1"), [])

    def test_it_has_another_owner_or_epoch_or_nobody(self) -> None:
        for reply in ("other 3 n3 ws://n3:1", "other 4 n2 ws://n2:1", "nobody"):
            self.setUp()
            self.assertEqual(self.check(reply), [("moved", A)], reply)

    def test_nobody_minds_any_more(self) -> None:
        self.reconciler.learn(A, "other 3 n2 ws://n2:1")

        def answer(*words: Any) -> list[str]:
            self.reconciler.forget_other(A)
            return ["nobody"]

        self.answer = answer
        self.do(self.reconciler.check_others())
        self.assertEqual(self.events.seen, [])


class Releasing(ReconcilerCase):
    def test_what_was_given_back_is_in_no_doubt(self) -> None:
        self.do(self.reconciler.release([A, B]))
        self.assertEqual(self.asked, [(scripts.RELEASE, A, B)])
        self.assertEqual(self.leases.doubtful, set())

    def test_what_could_not_be_is(self) -> None:
        for wrong in (LinkLost("cut"), ServerRefused("READONLY")):
            self.answer = lambda *words, wrong=wrong: wrong
            self.do(self.reconciler.release([A, B]))
            self.assertEqual(self.leases.doubtful, {A, B})

    def test_in_doubt_is_only_what_was_not_reached(self) -> None:
        sessions = [f"{n:064x}" for n in range(BATCH + 2)]
        replies = [BATCH, LinkLost("cut")]
        self.answer = lambda *words: replies.pop(0)
        self.do(self.reconciler.release(sessions))
        self.assertEqual(self.leases.doubtful, set(sessions[BATCH:]))


REPLIES = ("mine 1", "mine 2", "other 1 n2 ws://n2:1", "other 3 n3 ws://n3:1", "nobody", "draining")


class Anything(ReconcilerCase):
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(("learn", "restore", "check_others", "release", "forget_other")),
                st.sampled_from(SESSIONS[:3]),
                st.sampled_from(REPLIES),
            )
        )
    )
    def test_a_session_is_ours_or_anothers_and_all_losses_are_told(self, steps: list[Any]) -> None:
        self.setUp()
        leases = self.reconciler.leases
        for what, session, reply in steps:
            held = set(leases.held)
            self.events.take()
            self.answer = lambda script, *words, reply=reply: [reply] * len(words)
            if what == "learn":
                self.reconciler.learn(session, reply)
            elif what == "restore":
                # Each lease is two words.
                self.answer = lambda script, *words, reply=reply: [reply] * (len(words) // 2)
                self.do(self.reconciler.restore([session]))
            elif what == "check_others":
                self.answer = lambda script, _, *words, reply=reply: [reply] * len(words)
                self.do(self.reconciler.check_others())
            elif what == "release":
                leases.held.pop(session, None)
                held.discard(session)
                self.do(self.reconciler.release([session]))
            else:
                self.reconciler.forget_other(session)
            lost = {event[1] for event in self.events.seen if event[0] == "lost"}
            self.assertEqual(held - set(leases.held), lost, (what, session, reply))
            self.assertFalse(set(leases.held) & set(leases.others))
            wanted: dict[str, bool] = {}
            for name, is_wanted in self.subscribed:
                self.assertNotEqual(wanted.get(name, False), is_wanted)
                wanted[name] = is_wanted
            listening = {name for name, is_wanted in wanted.items() if is_wanted}
            self.assertEqual(listening, set(leases.others))
