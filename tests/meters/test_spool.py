"""What the meters tell of the spool."""

import errno

from twisted.trial.unittest import SynchronousTestCase

from tests.memory import Relay
from tests.spool import MemoryStore


class SpoolFigures(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay(MemoryStore, spool_limit=1 << 20)
        self.meters = self.relay.service.meters
        cli = self.relay.connect("/cli/ABC234")
        cli.send(type="bundle_update", payload={"code": "x" * 990_000})

    def worries(self) -> dict[str, str]:
        self.meters.check_worries()
        return {worry.name: worry.text for worry in self.meters.worries.active}

    def test_what_is_kept(self) -> None:
        spool = self.meters.status()["spool"]
        assert isinstance(spool, dict)
        self.assertEqual((spool["off"], spool["bundles"], spool["evicted"]), (None, 1, 0))
        self.assertGreater(spool["used_bytes"], 990_000)
        self.assertEqual(spool["limit_bytes"], 1 << 20)

    def test_near_its_budget(self) -> None:
        self.assertIn("above 90% of --spool-limit", self.worries()["spool_budget"])
        self.relay.wait(601)
        self.assertEqual(self.worries(), {})

    def test_too_little_for_what_comes(self) -> None:
        self.relay.wait(601)
        for session in ("ABC234", "XYZ789"):
            cli = self.relay.connect(f"/cli/{session}")
            cli.send(type="bundle_update", payload={"code": "x" * 600_000})
        self.assertIn("1.0 MiB, is too little", self.worries()["spool_budget"])
        self.relay.wait(599)
        self.assertEqual(list(self.worries()), ["spool_budget"])
        self.relay.wait(1)
        self.assertEqual(self.worries(), {})

    def test_off(self) -> None:
        store = self.relay.store
        assert isinstance(store, MemoryStore)
        store.disk.error = OSError(errno.ENOSPC, "No space left on device")
        self.relay.connect("/cli/ABC234").send(type="bundle_update", payload={})
        self.assertIn("No space left on device", self.worries()["spool"])
        spool = self.meters.status()["spool"]
        assert isinstance(spool, dict)
        self.assertEqual(spool["off"], "No space left on device")
        self.flushLoggedErrors()

    def test_a_relay_that_keeps_nothing(self) -> None:
        self.assertIsNone(Relay().service.meters.status()["spool"])
