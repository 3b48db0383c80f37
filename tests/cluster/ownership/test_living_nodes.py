"""A node's view of the others."""

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership.directory import DirectoryUnreachable, NodeInfo
from apptuner_relay.cluster.ownership.living_nodes import LivingNodes


class Directory:
    node = "a"

    def __init__(self) -> None:
        self.draining: dict[str, bool] | None = {}

    def nodes(self) -> Deferred[list[NodeInfo]]:
        if self.draining is None:
            return fail(DirectoryUnreachable("unreachable"))
        return succeed(
            [NodeInfo(node, "", 0, 0, 0, drains, "0") for node, drains in self.draining.items()]
        )


class LivingNodesTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Directory()
        self.ended = 0
        self.living = LivingNodes(
            lambda: self.directory,  # type: ignore[arg-type,return-value]
            self.end,
        )

    def end(self) -> None:
        self.ended += 1

    def refresh(self, **draining: bool) -> bool:
        self.directory.draining = draining
        return bool(self.successResultOf(Deferred.fromCoroutine(self.living.refresh())))

    def names(self) -> list[str]:
        return [one.node for one in self.living.others]

    def test_only_others_that_take_sessions_are_candidates(self) -> None:
        self.assertTrue(self.refresh(a=False, b=False, c=True))
        self.assertEqual(self.names(), ["b"])
        self.assertEqual(len(self.living.nodes), 3)

    def test_the_last_view_stays_while_the_directory_is_unreachable(self) -> None:
        self.refresh(a=False, b=False)
        self.directory.draining = None
        answered = self.successResultOf(Deferred.fromCoroutine(self.living.refresh()))
        self.assertFalse(answered)
        self.assertEqual(self.names(), ["b"])

    def test_a_node_drains_until_it_is_seen_again_without_that(self) -> None:
        self.living.set_draining("b")
        self.assertTrue(self.living.drains("b"))
        self.refresh(a=False, b=True)
        self.assertTrue(self.living.drains("b"))
        # It has been started again.
        self.refresh(a=False, b=False)
        self.assertFalse(self.living.drains("b"))

    def test_a_node_that_is_gone_drains_no_more(self) -> None:
        self.living.set_draining("b")
        self.refresh(a=False)
        self.assertFalse(self.living.drains("b"))

    def test_a_node_that_is_gone_is_told_once(self) -> None:
        self.refresh(a=False, b=False)
        self.refresh(a=False, b=False, c=False)
        self.assertEqual(self.ended, 0)
        self.refresh(a=False)
        self.refresh(a=False)
        self.assertEqual(self.ended, 1)

    def test_an_unreachable_directory_says_nothing_of_nodes(self) -> None:
        self.refresh(a=False, b=False)
        self.directory.draining = None
        self.successResultOf(Deferred.fromCoroutine(self.living.refresh()))
        self.assertEqual(self.ended, 0)
