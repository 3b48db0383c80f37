"""The spool: keeps the last bundle of every session on disk, for a while and within a budget.

Where the disk fails, the store turns itself off, once and loudly; relaying goes on without.
"""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from apptuner_relay.bundles.bundle import NoCode
from apptuner_relay.bundles.directory import SpoolDirectory
from apptuner_relay.bundles.disk import Disk, Spares
from apptuner_relay.bundles.spooled import Cut, Digesting, Form, SpooledBundle, State
from apptuner_relay.options import Settings

_SWEEP_S = 1.0
_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)
_STUCK_S = 10.0
"""A disk that takes longer for one write has failed."""


class StoreDisk(Disk, Protocol):
    """The disk, to who starts and stops it."""

    def start(self) -> None:
        """Begin to write."""

    def stop(self) -> Deferred[None]:
        """Fires when everything has been written."""

    @property
    def spares(self) -> Spares:
        """Files to be written over."""

    def busy_s(self) -> float:
        """For how many seconds the same thing has been written."""


class Offloading(Protocol):
    """What finds out a bundle's content address and makes files of its code: `offload.Offload`."""

    def digest(self, path: Path) -> Digesting:
        """Follow a file that is being written."""

    def make(self, path: Path, coding: str, output: Path) -> Deferred[int]:
        """Write the code of a complete bundle to ``output``; fires with its size in bytes."""

    def stop(self) -> Deferred[None]:
        """End it; what it was asked for fails with `NoCode`."""


class Store(Service):
    """Holds the bundles. It is a `bundle.Shelf` to readers, a `tape.Recorder` to senders, and a
    `playback.Library` to phones.

    :param directory: where relays have their folders.
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        clock: IReactorTime,
        disk: StoreDisk,
        offload: Offloading,
    ) -> None:
        self.max_message = settings.max_message
        self.disk = disk
        self.off: str | None = "The relay is starting"
        """Why nothing is kept; None while the store works."""
        self.failures = 0
        """How often the disk has failed."""
        self.evicted = 0
        """Bundles that had to go before their time, for want of room."""
        self.limit_bytes = settings.spool_limit
        """What all files may take."""
        self._most_bytes = settings.spool_limit - disk.spares.most_bytes
        """What bundles may; spare files may have the rest."""
        self._ttl_s = settings.bundle_ttl
        self._parent = directory
        self._clock = clock
        self._offload = offload
        self._directory: SpoolDirectory | None = None
        self._latest: dict[str, SpooledBundle] = {}
        self._growing: dict[str, SpooledBundle] = {}
        self._finishing: dict[str, SpooledBundle] = {}
        self._counted: dict[SpooledBundle, int] = {}
        self._bundle_bytes = 0
        self._recorded = 0
        self._complained = False
        self._waiting: list[Callable[[], None]] = []
        self._sweeping = LoopingCall(self.sweep)
        self._sweeping.clock = clock

    @property
    def bundles(self) -> int:
        """How many complete bundles are kept."""
        return len(self._latest)

    @property
    def used_bytes(self) -> int:
        """What all files take, spare ones included."""
        return self._bundle_bytes + self.disk.spares.size

    @property
    def backlog_bytes(self) -> int:
        """See `tape.Recorder`."""
        return self.disk.backlog_bytes

    def startService(self) -> None:
        """Take the folder, and clear what relays that ended badly have left there."""
        super().startService()
        try:
            self._directory = directory = SpoolDirectory(self._parent)
        except OSError as error:
            self._turn_off(error)
            return
        self.off = None
        self.disk.start()
        self._sweeping.start(_SWEEP_S, now=False).addErrback(
            lambda failure: self.log.failure("looking after the spool has failed", failure)
        )
        self.log.info(
            "keeping each session's last bundle in {path}{cleared}",
            path=str(directory.path),
            cleared=f" ({directory.cleared} left by others cleared)" if directory.cleared else "",
        )

    def stopService(self) -> Deferred[None]:
        """Remove all files; fires when nothing is left, processes included."""
        super().stopService()
        if self._sweeping.running:
            self._sweeping.stop()
        self.off = self.off or "The relay is stopping"
        self._drop_all()
        ended = DeferredList([self.disk.stop(), self._offload.stop()], consumeErrors=True)

        def remove(_: object) -> None:
            directory, self._directory = self._directory, None
            if directory is not None:
                directory.remove()

        return ended.addCallback(remove)

    def record(self, session_hash: str, form: Form) -> SpooledBundle | None:
        """See `tape.Recorder`."""
        directory = self._directory
        if self.off is not None or directory is None:
            return None
        try:
            path, fd = self.disk.spares.take() or directory.create()
        except OSError as error:
            if error.errno not in _OUT_OF_DESCRIPTORS:
                self._turn_off(error)
            elif not self._complained:
                self._complained = True
                self.log.warn("bundles are not kept while there are no file descriptors left")
            return None
        self._complained = False
        bundle = SpooledBundle(self, session_hash, path, fd, form)
        bundle.last_use_s = self._clock.seconds()
        self._recorded += 1
        bundle.order = self._recorded
        self._growing[session_hash] = bundle
        self._counted[bundle] = 0
        return bundle

    def when_written(self, call: Callable[[], None]) -> None:
        """See `tape.Recorder`."""
        self._waiting.append(call)

        def written() -> None:
            if call in self._waiting:
                self._waiting.remove(call)
                call()

        self.disk.after(written)

    def growing(self, session_hash: str) -> SpooledBundle | None:
        """See `playback.Library`."""
        bundle = self._growing.get(session_hash)
        if bundle is not None and bundle.arriving:
            return bundle
        # There may be one of another sender, which began earlier: but later than what there is.
        last = self.last(session_hash)
        ours = (one for one in self._counted if one.session_hash == session_hash)
        return next((one for one in ours if one.arriving and one.order > _order(last)), None)

    def last(self, session_hash: str) -> SpooledBundle | None:
        """See `playback.Library`."""
        bundle = self._finishing.get(session_hash)
        if bundle is not None and bundle.state is State.GROWING:
            return bundle
        return self._latest.get(session_hash)

    def latest(self, session_hash: str) -> SpooledBundle | None:
        """See `bundle.Shelf`."""
        return self._latest.get(session_hash)

    def keeps(self, session_hash: str) -> bool:
        """Whether there is anything of a session, or about to be."""
        return self.growing(session_hash) is not None or self.last(session_hash) is not None

    def forget(self, session_hash: str) -> None:
        """The session is another relay's from now on, and so are its bundles."""
        bundle = self._latest.get(session_hash)
        if bundle is not None:
            self.drop(bundle)

    def sweep(self) -> None:
        """Drop what nobody has used for so long, and see that the disk still works."""
        oldest_s = self._clock.seconds() - self._ttl_s
        for bundle in tuple(self._latest.values()):
            if bundle.last_use_s <= oldest_s and not bundle.in_use:
                self.drop(bundle)
        if self.off is None and self.disk.busy_s() > _STUCK_S:
            self._turn_off(OSError(f"a write takes more than {_STUCK_S:g} s"))

    # What bundles call: `spooled.Keeper`

    def grew(self, bundle: SpooledBundle) -> None:
        """See `spooled.Keeper`."""
        self._count(bundle)
        self._make_room()
        if self._bundle_bytes > self._most_bytes and bundle.state is State.GROWING:
            self.log.warn(
                "session {session}: a bundle is not kept: the spool may have no more than {limit}"
                " bytes",
                session=bundle.label,
                limit=self.limit_bytes,
            )
            self.evicted += 1
            self._forget_growing(bundle)
            bundle.cut(Cut.STORE)

    def finishing(self, bundle: SpooledBundle) -> None:
        """See `spooled.Keeper`."""
        if bundle.order > _order(self.last(bundle.session_hash)):
            self._finishing[bundle.session_hash] = bundle

    def completed(self, bundle: SpooledBundle) -> None:
        """See `spooled.Keeper`."""
        self._forget_growing(bundle)
        before = self._latest.get(bundle.session_hash)
        if _order(before) > bundle.order:
            # Of two senders' bundles phones go on with the one that began last.
            bundle.drop()
            return
        self._latest.pop(bundle.session_hash, None)
        self._latest[bundle.session_hash] = bundle
        bundle.last_use_s = self._clock.seconds()
        if before is not None:
            before.drop()

    def failed(self, bundle: SpooledBundle, error: OSError) -> None:
        """See `spooled.Keeper`."""
        self._turn_off(error)

    def used(self, bundle: SpooledBundle) -> None:
        """See `spooled.Keeper`."""
        bundle.last_use_s = self._clock.seconds()

    def drop(self, bundle: SpooledBundle) -> None:
        """See `spooled.Keeper`."""
        if self._latest.get(bundle.session_hash) is bundle:
            del self._latest[bundle.session_hash]
            bundle.drop()

    def closed(self, bundle: SpooledBundle) -> None:
        """See `spooled.Keeper`."""
        self._forget_growing(bundle)
        self._bundle_bytes -= self._counted.pop(bundle, 0)

    def start_digest(self, path: Path) -> Digesting:
        """See `spooled.Keeper`."""
        return self._offload.digest(path)

    def make_code(self, bundle: SpooledBundle, coding: str) -> Deferred[Path]:
        """See `spooled.Keeper`."""
        if self.off is not None:
            return fail(NoCode(f"Bundles can't be had now: {self.off}"))
        bundle.retain()
        path = bundle.code_path(coding)

        def made(size: int) -> Path:
            bundle.code_bytes += size
            self._count(bundle)
            self._make_room()
            return path

        def release(result: Any) -> Any:
            bundle.release()
            return result

        return self._offload.make(bundle.path, coding, path).addCallback(made).addBoth(release)

    def _count(self, bundle: SpooledBundle) -> None:
        size = bundle.size + bundle.code_bytes
        self._bundle_bytes += size - self._counted.get(bundle, 0)
        self._counted[bundle] = size

    def _make_room(self) -> None:
        """Drop what was used least recently, until the rest is within the limit."""
        if self._bundle_bytes <= self._most_bytes:
            return
        for bundle in sorted(self._latest.values(), key=lambda one: one.last_use_s):
            if self._bundle_bytes <= self._most_bytes:
                return
            if not bundle.in_use:
                self.evicted += 1
                self.drop(bundle)

    def _forget_growing(self, bundle: SpooledBundle) -> None:
        for those in (self._growing, self._finishing):
            if those.get(bundle.session_hash) is bundle:
                del those[bundle.session_hash]

    def _drop_all(self) -> None:
        for bundle in tuple(self._counted):
            bundle.cut(Cut.STORE)
        for bundle in tuple(self._latest.values()):
            self.drop(bundle)
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    def _turn_off(self, error: OSError) -> None:
        if self.off is not None and self.failures:
            return
        self.failures += 1
        why = error.strerror or str(error)
        self.off = why
        self.log.critical(
            "THE SPOOL IS OFF: {why} ({path}). Bundles are relayed, but none is kept for phones "
            "that come late or are slow, nor served over HTTP. Restart the relay when that is "
            "mended.",
            why=why,
            path=str(self._parent),
        )
        self.disk.spares.most_bytes = 0
        self._drop_all()
        self.disk.after(self.disk.spares.drop)


def _order(bundle: SpooledBundle | None) -> int:
    """Which of all bundles it is; 0 for none."""
    return 0 if bundle is None else bundle.order
