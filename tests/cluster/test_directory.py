"""The directory of a node that is alone, and what it costs a node not to share one."""

import sys

from twisted.internet.defer import ensureDeferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from apptuner_relay.cluster.directory import (
    AloneDirectory,
    Draining,
    Events,
    NodeInfo,
    check_address,
    check_node,
)
from tests.live.processes import checkout_env, run

SESSION, OTHER = "a" * 64, "b" * 64


class Kicks(Events):
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []

    def kicked(self, session: str, role: str, reason: str) -> None:
        self.seen.append((session, role, reason))


class Alone(SynchronousTestCase):
    def setUp(self) -> None:
        self.events = Kicks()
        self.directory = AloneDirectory(
            "n1", "", self.events, connections=lambda: 3, version="0.1", now_ms=5
        )
        self.successResultOf(self.directory.start())

    def test_every_session_is_its_own(self) -> None:
        lease = self.successResultOf(self.directory.claim(SESSION))
        self.assertEqual((lease.session, lease.node), (SESSION, "n1"))
        self.assertEqual(self.successResultOf(self.directory.claim(SESSION)), lease)
        self.assertEqual(self.directory.held(), [lease])
        self.assertEqual((self.directory.state, self.directory.away_since_s), ("connected", None))
        self.assertTrue(self.directory.fresh)

    def test_a_look_is_no_claim(self) -> None:
        self.assertIsNone(self.successResultOf(self.directory.look(SESSION)))
        self.assertEqual(self.directory.held(), [])
        lease = self.successResultOf(self.directory.claim(SESSION))
        self.assertEqual(self.successResultOf(self.directory.look(SESSION)), lease)

    def test_a_later_lease_has_the_higher_epoch(self) -> None:
        first = self.successResultOf(self.directory.claim(SESSION))
        self.successResultOf(self.directory.release(SESSION))
        self.successResultOf(self.directory.release(SESSION))
        self.assertEqual(self.directory.held(), [])
        second = self.successResultOf(self.directory.claim(SESSION))
        self.assertGreater(second.epoch, first.epoch)

    def test_a_draining_node_keeps_what_it_has(self) -> None:
        lease = self.successResultOf(self.directory.claim(SESSION))
        self.successResultOf(self.directory.announce_drain())
        self.assertEqual(self.successResultOf(self.directory.claim(SESSION)), lease)
        self.failureResultOf(self.directory.claim(OTHER), Draining)

    def test_it_knows_itself(self) -> None:
        self.successResultOf(self.directory.claim(SESSION))
        self.assertEqual(
            self.successResultOf(self.directory.nodes()),
            [NodeInfo("n1", "", 1, 3, 5, False, "0.1")],
        )

    def test_a_kick_arrives(self) -> None:
        self.successResultOf(self.directory.kick(SESSION, "cli", "two\nlines"))
        self.assertEqual(self.events.seen, [(SESSION, "cli", "two lines")])

    def test_ids_are_no_hashes(self) -> None:
        for bad in ("ABC234", SESSION.upper(), SESSION + "\n", ""):
            self.assertRaises(ValueError, self.directory.look, bad)
            wrong = self.assertRaises(ValueError, self.directory.claim, bad)
            self.assertNotIn("ABC234", str(wrong))


class Names(SynchronousTestCase):
    def test_nodes_and_addresses(self) -> None:
        check_node("relay-1.example_com")
        check_address("wss://[::1]:3000")
        for bad in ("", "a b", "a/b", "é", "a" * 65, "a\n"):
            self.assertRaises(ValueError, check_node, bad)
        for bad in ("", "10.0.0.1:3000", "http://a", "ws://", "ws://a/b", "ws://a b", "ws://a\n"):
            self.assertRaises(ValueError, check_address, bad)


class Imports(TestCase):
    timeout = 60

    def test_without_redis_its_library_is_not_imported(self) -> None:
        async def check() -> None:
            code = (
                "import sys, apptuner_relay.tap, apptuner_relay.cluster.directory\n"
                "import apptuner_relay.cluster.redis_url\n"
                "print('txredisapi' in sys.modules)"
            )
            child = await run([sys.executable, "-c", code], env=checkout_env())
            self.assertEqual(child.out.strip(), "False", repr(child))

        return ensureDeferred(check())
