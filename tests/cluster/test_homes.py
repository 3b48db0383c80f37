"""What a relay does of itself when the directory says something."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.directory import AloneDirectory, Directory, Events, Lease
from apptuner_relay.cluster.homes import Homes
from apptuner_relay.session import session_hash
from tests.memory import Relay
from tests.spool import MemoryStore

KEY = session_hash("ABC234")


class LostTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay(MemoryStore)
        self.homes = Homes(self.relay.service, "the-secret-of-these-tests", self.directory)
        self.homes.startService()
        self.addCleanup(self.homes.stopService)

    def directory(self, events: Events) -> Directory:
        return AloneDirectory("a", "", events, connections=lambda: 0, version="0", now_ms=0)

    def keep_a_bundle(self) -> None:
        cli = self.relay.connect("/cli/ABC234")
        cli.send(type="bundle_update", payload={"code": "x"})
        cli.lose()
        self.assertTrue(self.keeps)

    @property
    def keeps(self) -> bool:
        store = self.relay.service.store
        return store is not None and store.keeps(KEY)

    def test_a_bundle_goes_with_the_lease(self) -> None:
        """Nobody is here, but somebody may have been elsewhere, and have sent a later one."""
        self.keep_a_bundle()
        self.homes.lost(KEY, Lease(KEY, "b", "ws://b:1", 2))
        self.assertFalse(self.keeps)

    def test_nobody_has_had_it(self) -> None:
        self.keep_a_bundle()
        self.homes.lost(KEY, None)
        self.assertTrue(self.keeps)
