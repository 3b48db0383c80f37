"""The store of the spool: caches the last bundle of every session on disk, for a while and within a
budget.

Where the disk fails, the store turns itself off, once and loudly (`outage`), and relaying goes on
without it. Bundles that are complete stay, and are read as long as that works.
"""

import errno
from collections.abc import Callable, Sequence
from pathlib import Path

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from apptuner_relay.config.groups.bundle_settings import BundleSettings
from apptuner_relay.flow.series import Series
from apptuner_relay.spool.bundle import CodeFile, StoredForm
from apptuner_relay.spool.bundle_file import BundleFile
from apptuner_relay.spool.code.offload import Digestion, Offload
from apptuner_relay.spool.code_files import write_code
from apptuner_relay.spool.disk import ThreadedDisk
from apptuner_relay.spool.file_pool import FilePool
from apptuner_relay.spool.file_states import Cut, FileState
from apptuner_relay.spool.outage import Outage
from apptuner_relay.spool.patches import Patches
from apptuner_relay.spool.previous_bundles import PreviousBundles, find_base

_SWEEP_S = 1.0


class Store(Service):
    """Keeps bundles. It is a `bundle.BundleCache` to HTTP, and the `bundle_file.FileKeeper` of its
    files.

    :param max_message: the size of the largest message, in bytes.
    :param directory: the directory in which each relay has one of its own.
    """

    log = Logger()

    def __init__(
        self,
        settings: BundleSettings,
        max_message: int,
        directory: Path,
        clock: IReactorTime,
        disk: ThreadedDisk,
        offload: Offload,
    ) -> None:
        self.max_message = max_message
        self.disk = disk
        self.evicted = 0
        """How many bundles were dropped before their time, for want of room."""
        self.limit_bytes = settings.spool_limit
        """How many bytes all files may have together."""
        self._most_bytes = settings.spool_limit - disk.spares.most_bytes
        """How many of them bundles may have. Spare files may have the rest."""
        self._ttl_s = settings.bundle_ttl
        self._outage = Outage(directory, clock, disk, self._give_up_all, self._free)
        self._clock = clock
        self._offload = offload
        self._latest: dict[str, BundleFile] = {}
        self._previous = PreviousBundles()
        self.keep_previous, self.lend = self._previous.keep, self._previous.lend
        """See `PreviousBundles`."""
        self.patches = Patches(self._bases, offload, self)
        self._growing: dict[str, BundleFile] = {}
        self._outdated: set[BundleFile] = set()
        """Those that grow, and won't be kept: phones have other code by now."""
        self._finishing: dict[str, BundleFile] = {}
        self._begun: dict[BundleFile, None] = {}  # Few, where thousands are kept.
        self._counted: dict[BundleFile, int] = {}
        self._bundle_bytes = 0
        """Those of files beside bundles included."""
        self._recorded = 0
        self._files = FilePool(disk, self._outage.fail)
        self._waiting: list[Callable[[], None]] = []
        self._sweeping = LoopingCall(self.sweep)
        self._sweeping.clock = clock

    @property
    def off(self) -> str | None:
        """Why no new bundles are cached; None while the store works."""
        return self._outage.off

    @property
    def failures(self) -> int:
        """How often the disk has failed."""
        return self._outage.failures

    @property
    def bundles(self) -> int:
        """How many complete bundles are cached."""
        return len(self._latest)

    @property
    def used_bytes(self) -> int:
        """How many bytes all files have, spare ones included."""
        return self._bundle_bytes + self.disk.spares.size

    @property
    def is_exceeded(self) -> bool:
        """See `patches.Room`."""
        return self._bundle_bytes > self._most_bytes

    def take(self, size: int) -> None:
        """See `patches.Room`."""
        self._bundle_bytes += size
        self._make_room()

    @property
    def backlog_bytes(self) -> int:
        """How many bytes wait to be written."""
        return self.disk.backlog_bytes

    def startService(self) -> None:
        """Make this relay's directory, and remove those of relays that were killed."""
        super().startService()
        self.disk.start()
        self._outage.start()
        if self._outage.directory is not None:
            self._files.make_ready(self._outage.directory)
        self._sweeping.start(_SWEEP_S, now=False).addErrback(
            lambda failure: self.log.failure("failed to sweep the spool", failure)
        )

    def stopService(self) -> Deferred[None]:
        """Remove all files; fires when nothing is left, processes included."""
        super().stopService()
        if self._sweeping.running:
            self._sweeping.stop()
        self._outage.stop()
        self._give_up_all()
        for bundle in (*self._previous.values(), *self._latest.values()):
            self.drop(bundle)
        ended = DeferredList([self.disk.stop(), self._offload.stop()], consumeErrors=True)

        def remove(_: object) -> None:
            # A disk that is stuck would be waited for. The next relay removes what is left.
            if not self.disk.busy_s():
                self._outage.remove()

        return ended.addCallback(remove)

    def record(self, session_hash: str, form: StoredForm) -> BundleFile | None:
        """Open a file for a bundle that begins. It is its session's cached bundle when it is
        complete. None where nothing can be cached now."""
        bundle = self._open(session_hash, form, is_kept=True)
        if bundle is None:
            self.outdate(session_hash)
        else:
            self._growing[session_hash] = bundle
        return bundle

    def scratch(self, session_hash: str) -> BundleFile | None:
        """Open a file for a log that isn't kept. It goes with the last reader that has retained it.
        None where there is none now."""
        return self._open(session_hash, StoredForm(Series(None), None, 0), is_kept=False)

    def _open(self, session_hash: str, form: StoredForm, is_kept: bool) -> BundleFile | None:
        directory = self._outage.directory
        if self.off is not None or directory is None:
            return None
        file = self._files.take(directory, session_hash[:8])
        if file is None:
            return None
        path, fd, size = file
        bundle = BundleFile(self, session_hash, path, fd, form, size, is_kept)
        bundle.last_use_s = self._clock.seconds()
        self._recorded += 1
        bundle.order = self._recorded
        self._begun[bundle] = None
        self._count(bundle)
        return bundle

    def when_written(self, call: Callable[[], None]) -> None:
        """See `bundle_file.FileKeeper`."""
        self._waiting.append(call)

        def written() -> None:
            if call in self._waiting:
                self._waiting.remove(call)
                call()

        self.disk.after(written)

    def growing(self, session_hash: str) -> BundleFile | None:
        """The bundle of a session of which more is to come, where there is one."""
        bundle = self._growing.get(session_hash)
        if bundle is not None and bundle.arriving:
            return bundle
        # Another sender's may have begun earlier, but later than the cached bundle.
        least, ours = _order(self.last(session_hash)), self._open_ones(session_hash)
        return next((one for one in ours if one.arriving and one.order > least), None)

    def _open_ones(self, session_hash: str) -> list[BundleFile]:
        """The bundles of a session that are to be kept when they are complete."""
        ours = (one for one in self._begun if one.session_hash == session_hash)
        return [one for one in ours if one.is_kept and one.is_open and one not in self._outdated]

    def last(self, session_hash: str) -> BundleFile | None:
        """The last bundle of a session of which all has come, though it may still be on its way to
        the disk; None where there is none."""
        bundle = self._finishing.get(session_hash)
        if bundle is not None and bundle.is_open:
            return bundle
        return self._latest.get(session_hash)

    def latest(self, session_hash: str) -> BundleFile | None:
        """See `bundle.BundleCache`."""
        return self.last(session_hash) or self.growing(session_hash)

    async def base(self, session_hash: str, sha256: str) -> BundleFile | None:
        """See `bundle.BundleCache`."""
        those = (self._latest.get(session_hash), self._previous.get(session_hash))
        return await find_base((self.last(session_hash), *those), sha256)

    def keeps(self, session_hash: str) -> bool:
        """Whether a session has a bundle, or one is growing."""
        return self.latest(session_hash) is not None

    def may_keep(self, bundle: BundleFile) -> bool:
        """Whether it is its session's last bundle, or will be when it is complete."""
        is_kept = bundle.is_kept and bundle not in self._outdated
        return is_kept and bundle.order >= _order(self.last(bundle.session_hash))

    def outdate(self, session_hash: str, order: int | None = None) -> None:
        """Phones of a session get other code, which isn't cached: keep nothing that has begun.

        :param order: the number of that code's bundle, where it has one: what has begun later is
            newer.
        """
        self.forget(session_hash)
        for one in self._open_ones(session_hash):
            if order is None or one.order < order:
                self._outdated.add(one)
                self._forget_growing(one)

    def forget(self, session_hash: str) -> None:
        """Drop the whole bundles of a session that has moved to another relay."""
        for those in (self._previous, self._latest, self._finishing):
            bundle = those.get(session_hash)
            if bundle is not None:
                self.drop(bundle)

    def _bases(self, bundle: BundleFile) -> Sequence[BundleFile]:
        """The session's whole bundles other than ``bundle``."""
        session = bundle.session_hash
        those = (self._latest.get(session), self._previous.get(session))
        return [one for one in those if one is not None and one is not bundle]

    def sweep(self) -> None:
        """Drop the bundles that nobody has used for their lifetime, and watch the disk."""
        oldest_s = self._clock.seconds() - self._ttl_s
        for bundle in (*self._previous.values(), *self._latest.values()):
            if bundle.last_use_s <= oldest_s and not bundle.in_use:
                self.drop(bundle)
        self._outage.look()

    # What bundles call: `bundle_file.FileKeeper`

    def grew(self, bundle: BundleFile) -> None:
        """See `bundle_file.FileKeeper`."""
        self._count(bundle)
        self._make_room()
        if self.is_exceeded and bundle.is_open:
            self.log.warn(
                "session {session}: a bundle is not cached: the spool may have no more than {limit}"
                " bytes",
                session=bundle.label,
                limit=self.limit_bytes,
            )
            self.evicted += 1
            self._give_up(bundle)

    def finishing(self, bundle: BundleFile) -> None:
        """See `bundle_file.FileKeeper`."""
        if self.may_keep(bundle):
            self._finishing[bundle.session_hash] = bundle

    def completed(self, bundle: BundleFile) -> None:
        """See `bundle_file.FileKeeper`."""
        self._forget_growing(bundle)
        self._count(bundle)
        if not bundle.is_kept:
            return
        before = self._latest.get(bundle.session_hash)
        if bundle in self._outdated or _order(before) > bundle.order:
            # Of two senders' bundles, phones have the one that began last.
            bundle.drop()
            return
        self._latest.pop(bundle.session_hash, None)
        self._latest[bundle.session_hash] = bundle
        bundle.last_use_s = self._clock.seconds()
        if before is not None:
            self._previous.retire(before)

    def failed(self, bundle: BundleFile, error: OSError) -> None:
        """See `bundle_file.FileKeeper`."""
        if error.errno == errno.EFBIG:
            self.log.warn(
                "session {session}: a bundle is not cached: no file may be so big here",
                session=bundle.label,
            )
        else:
            self._outage.fail(error, bundle.size)
        self._give_up(bundle)

    def used(self, bundle: BundleFile) -> None:
        """See `bundle_file.FileKeeper`."""
        bundle.last_use_s = self._clock.seconds()

    def drop(self, bundle: BundleFile) -> None:
        """See `bundle_file.FileKeeper`."""
        for those in (self._latest, self._previous, self._finishing):
            if those.get(bundle.session_hash) is bundle:
                del those[bundle.session_hash]
                bundle.drop()

    def closed(self, bundle: BundleFile) -> None:
        """See `bundle_file.FileKeeper`."""
        self._forget_growing(bundle)
        self._outdated.discard(bundle)
        self._bundle_bytes -= self._counted.pop(bundle, 0)

    def start_digest(self, path: Path) -> Digestion:
        """See `bundle_file.FileKeeper`."""
        return self._offload.digest(path)

    def make_code(self, bundle: BundleFile, coding: str, base: CodeFile | None) -> Deferred[Path]:
        """See `bundle_file.FileKeeper`."""
        return Deferred.fromCoroutine(self._make_code(bundle, coding, base))

    async def _make_code(self, bundle: BundleFile, coding: str, base: CodeFile | None) -> Path:
        bundle.retain()
        try:
            path, size = await write_code(self._offload, bundle, coding, base)
            bundle.code_bytes += size
            self._count(bundle)
            self._make_room()
            return path
        finally:
            bundle.release()

    def _count(self, bundle: BundleFile) -> None:
        size = max(bundle.size, bundle.least_bytes) + bundle.code_bytes
        self._bundle_bytes += size - self._counted.get(bundle, 0)
        self._counted[bundle] = size

    def _make_room(self) -> None:
        """Drop the bundles that were used least recently, until the rest is within the limit."""
        if self.is_exceeded:
            self._free(self._bundle_bytes - self._most_bytes)

    def _free(self, wanted_bytes: int) -> None:
        """Drop bundles of ``wanted_bytes`` together: those that were used least recently, and that
        nobody reads now. The last but one of sessions go first."""
        before = self._bundle_bytes
        last = sorted(self._latest.values(), key=lambda one: one.last_use_s)
        for bundle in (*self._previous.values(), *last):
            if before - self._bundle_bytes >= wanted_bytes:
                return
            if not bundle.in_use:
                self.evicted += bundle is self._latest.get(bundle.session_hash)
                self.drop(bundle)

    def _forget_growing(self, bundle: BundleFile) -> None:
        self._begun.pop(bundle, None)
        for those in (self._growing, self._finishing):
            if those.get(bundle.session_hash) is bundle:
                del those[bundle.session_hash]

    def _give_up(self, bundle: BundleFile) -> None:
        """Cut a bundle that can't be cached. Its sender goes on, so what the session had before is
        its last bundle no more."""
        self._forget_growing(bundle)
        is_last = bundle.is_kept and bundle.order >= _order(self._latest.get(bundle.session_hash))
        bundle.cut(Cut.STORE)
        if is_last:
            self.outdate(bundle.session_hash, bundle.order)

    def _give_up_all(self) -> None:
        """Cut all bundles that aren't complete: nothing more can be written."""
        for bundle in tuple(self._counted):
            # It may be complete without having been told so.
            bundle.progressed()
            if bundle.state is not FileState.COMPLETE and not bundle.is_whole_as_code:
                self._give_up(bundle)
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()


def _order(bundle: BundleFile | None) -> int:
    """The number of ``bundle`` among all that have begun; 0 for none."""
    return 0 if bundle is None else bundle.order
