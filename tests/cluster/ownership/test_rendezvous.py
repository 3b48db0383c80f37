"""Which node all relays choose for a session."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership.rendezvous import weight
from apptuner_relay.session.session import session_hash

NODES = st.lists(st.from_regex(r"[a-z0-9.-]{1,12}", fullmatch=True), min_size=2, unique=True)


def choose(session: str, nodes: list[str]) -> str:
    return max(nodes, key=lambda node: weight(session, node))


class RendezvousTest(SynchronousTestCase):
    @given(st.integers(), NODES, st.randoms(use_true_random=False))
    def test_the_order_of_the_nodes_does_not_matter(self, n: int, nodes: list[str], r) -> None:  # type: ignore[no-untyped-def]
        session, others = session_hash(str(n)), list(nodes)
        r.shuffle(others)
        self.assertEqual(choose(session, nodes), choose(session, others))

    @given(st.integers(), NODES)
    def test_only_the_sessions_of_a_node_that_is_gone_get_another_one(
        self, n: int, nodes: list[str]
    ) -> None:
        session = session_hash(str(n))
        before = choose(session, nodes)
        for gone in nodes:
            left = [node for node in nodes if node != gone]
            if gone != before:
                self.assertEqual(choose(session, left), before)

    def test_sessions_are_spread(self) -> None:
        nodes = ["a", "b", "c"]
        chosen = [choose(session_hash(str(n)), nodes) for n in range(300)]
        for node in nodes:
            self.assertGreater(chosen.count(node), 60)
