"""What a node remembers of sessions, and how it reads what the server says of them."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership.directory import Lease, NodeInfo
from apptuner_relay.cluster.ownership.leases import (
    BATCH,
    Leases,
    batches,
    parse_mine,
    parse_node,
    parse_other,
)

SESSION = "0" * 63 + "a"


class Replies(SynchronousTestCase):
    def test_owners(self) -> None:
        lease = Lease(SESSION, "n1", "ws://10.0.0.1:3000", 7)
        self.assertEqual(parse_other(SESSION, "other 7 n1 ws://10.0.0.1:3000"), lease)
        self.assertEqual(parse_mine("mine 7"), 7)
        for text in ("nobody", "other 7 n1", "other x n1 ws://a", "other 7 n1 http://a"):
            self.assertIsNone(parse_other(SESSION, text))
            self.assertIsNone(parse_mine(text))

    def test_nodes(self) -> None:
        self.assertEqual(
            parse_node("n1 wss://r:1 2 3 4 1 0.1"),
            NodeInfo("n1", "wss://r:1", 2, 3, 4, True, "0.1"),
        )
        for text in (
            "",
            "n1 wss://r:1 2 3 4 1",
            "n1 wss://r:1 2 x 4 1 0.1",
            "n/1 ws://r 2 3 4 0 v",
        ):
            self.assertIsNone(parse_node(text))


class LeaseMemory(SynchronousTestCase):
    def test_every_lease_has_its_turn(self) -> None:
        leases = Leases()
        for n in range(10):
            leases.hold(Lease(f"{n}", "n1", "ws://a", 1))
        turns = [leases.due(3) for _ in range(3)]
        self.assertEqual({len(turn) for turn in turns}, {4})
        self.assertEqual({session for turn in turns for session in turn}, set(leases.held))

    def test_a_session_is_ours_or_anothers(self) -> None:
        leases = Leases()
        mine, other = Lease(SESSION, "n1", "ws://a", 1), Lease(SESSION, "n2", "ws://b", 2)
        leases.doubtful.add(SESSION)
        leases.hold(mine)
        self.assertEqual(
            (list(leases.held), leases.others, leases.doubtful), ([SESSION], {}, set())
        )
        leases.learn(other)
        self.assertEqual((list(leases.held), leases.others), ([], {SESSION: other}))

    def test_batches(self) -> None:
        sizes = [len(some) for some in batches([str(n) for n in range(BATCH + 1)])]
        self.assertEqual(sizes, [BATCH, 1])
