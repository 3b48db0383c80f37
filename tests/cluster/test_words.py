"""What is read from the directory and from other nodes: replies and notices, however damaged."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.directory import Lease, NodeInfo, clean_reason
from apptuner_relay.cluster.leases import (
    BATCH,
    Leases,
    batches,
    parse_mine,
    parse_node,
    parse_other,
)
from apptuner_relay.cluster.notices import (
    Begun,
    Drained,
    Emptied,
    Kicked,
    Moved,
    kicked_text,
    parse_notice,
)

SESSION = "0" * 63 + "a"


class Notices(SynchronousTestCase):
    def test_each_kind(self) -> None:
        self.assertEqual(parse_notice(f"moved {SESSION} n1"), Moved(SESSION, "n1"))
        self.assertEqual(parse_notice(f"begun {SESSION} n1"), Begun(SESSION, "n1"))
        self.assertEqual(parse_notice("drained n1"), Drained("n1"))
        self.assertEqual(parse_notice("emptied"), Emptied())
        self.assertEqual(
            parse_notice(f"kicked {SESSION} cli too loud"), Kicked(SESSION, "cli", "too loud")
        )

    @given(st.text())
    def test_what_was_kicked_arrives_and_fits_a_close_frame(self, reason: str) -> None:
        notice = parse_notice(kicked_text(SESSION, "mobile", reason))
        assert isinstance(notice, Kicked)
        self.assertEqual(notice.reason, clean_reason(reason))
        self.assertLessEqual(len(notice.reason.encode()), 123)
        self.assertTrue(not notice.reason or notice.reason.isprintable())

    def test_junk_is_refused(self) -> None:
        for text in (
            "",
            "moved",
            "moved x n1",
            f"moved {SESSION}",
            f"moved {SESSION} n 1",
            f"moved {SESSION.upper()} n1",
            "drained a/b",
            f"kicked {SESSION} CLI x",
            "shutdown",
        ):
            self.assertRaises(ValueError, parse_notice, text)

    def test_a_session_id_is_no_hash_and_is_not_repeated(self) -> None:
        wrong = self.assertRaises(ValueError, kicked_text, "ABC234", "cli", "")
        self.assertNotIn("ABC234", str(wrong))


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
