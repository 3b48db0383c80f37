"""A store on a disk in memory, and what its tests say often."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.settings import make_settings
from apptuner_relay.flow.log_block import Block
from apptuner_relay.flow.series import Series
from apptuner_relay.spool.bundle import StoredForm
from apptuner_relay.spool.bundle_file import BundleFile
from apptuner_relay.wire.frames import TEXT, frame
from tests.memory_store import MemoryStore

TTL_S = 100.0
MIB = 1024 * 1024


def wire_form(size: int) -> bytes:
    text = b'{"type":"bundle_update","payload":{"code":"%b"}}' % (b"x" * size)
    return frame(TEXT, text)


class StoreCase(SynchronousTestCase):
    limit = 10 * MIB

    def setUp(self) -> None:
        self.clock = Clock()
        settings = make_settings(bundle_ttl=TTL_S, spool_limit=self.limit)
        self.store = MemoryStore(self.clock, settings)
        self.store.startService()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        if self.store.running:
            self.successResultOf(self.store.stopService())

    def begin(self, session: str) -> BundleFile:
        bundle = self.store.record(session, StoredForm(Series(None), None, 0))
        assert bundle is not None
        return bundle

    def put(self, session: str, size: int = 10, finish: bool = True) -> BundleFile:
        """Keep a bundle of about that size."""
        bundle = self.begin(session)
        data = wire_form(size)
        bundle.append(Block(0, len(data), [data]))
        if finish:
            bundle.finish()
        return bundle
