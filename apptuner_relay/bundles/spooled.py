"""A bundle in the spool: its file, how far that has come, and who waits for more of it.

The file holds the bundle's messages in their wire form: server's frames, as they went to the
phones. What is known of a bundle beside that is its digest, and where its code has been put for
HTTP.
"""

import os
from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure

from apptuner_relay.bundles.bundle import Digest, NoCode, NotNow
from apptuner_relay.bundles.disk import Disk
from apptuner_relay.flow import Frame
from apptuner_relay.series import Series

_GATHER_BYTES = 64 * 1024
_GATHER_PARTS = 256
_WAKE_EVERY_BYTES = 1024 * 1024
"""How often those are told who only want to know that something came."""


class State(Enum):
    """What has become of a bundle."""

    GROWING = "growing"
    COMPLETE = "complete"
    CUT = "cut"
    """Its rest never comes; it is kept only for those who are in the middle of it."""


class Cut(Enum):
    """Why the rest of a bundle never comes."""

    SENDER = "sender"
    """Its sender has gone, or has stopped."""
    SUPERSEDED = "superseded"
    """Its sender has begun another."""
    STORE = "store"
    """The store can't keep it; its sender goes on."""


class Form(NamedTuple):
    """What the sender said of a bundle when it began."""

    series: Series
    size: int | None
    """The payload of its first message in bytes, where it was announced."""
    began_ms: int


class Digesting(Protocol):
    """The content address on its way: `offload.Digestion`."""

    @property
    def result(self) -> Deferred[Digest]:
        """Fires when all has been read. Fails with `NoCode`."""

    def written(self, size: int) -> None:
        """The file has come so far."""

    def finish(self) -> None:
        """That was all."""

    def cancel(self) -> None:
        """Nobody wants to know any more."""


class Keeper(Protocol):
    """Who keeps bundles: `store.Store`."""

    @property
    def disk(self) -> Disk:
        """Where the files are."""

    def grew(self, bundle: "SpooledBundle") -> None:
        """More of it has come, or files with its code have been made."""

    def finishing(self, bundle: "SpooledBundle") -> None:
        """All of it has come."""

    def completed(self, bundle: "SpooledBundle") -> None:
        """All of it is in its file."""

    def failed(self, bundle: "SpooledBundle", error: OSError) -> None:
        """It can't be written."""

    def used(self, bundle: "SpooledBundle") -> None:
        """Somebody begins to read it, or is done."""

    def drop(self, bundle: "SpooledBundle") -> None:
        """It is of no use any more."""

    def closed(self, bundle: "SpooledBundle") -> None:
        """Its files are gone."""

    def start_digest(self, path: Path) -> Digesting:
        """Find out the content address of the bundle in that file."""

    def make_code(self, bundle: "SpooledBundle", coding: str) -> Deferred[Path]:
        """Put its code into a file. Fails with `NoCode`."""


class SpooledBundle:
    """One bundle; to readers it is a `bundle.Bundle`.

    :param path, fd: its file, which is open for as long as it is written or read.
    """

    def __init__(
        self,
        keeper: Keeper,
        session_hash: str,
        path: Path,
        fd: int,
        form: Form,
    ) -> None:
        self.session_hash = session_hash
        self.path = path
        self._fd: int | None = fd
        self.form = form
        self.state = State.GROWING
        self.size = 0
        """Bytes that have come; those who append them count them."""
        self.written = 0
        """Bytes that can be read; counted by the thread that writes."""
        self.whole = 0
        """Up to where the messages are complete."""
        self.code_bytes = 0
        """What the files with its code take."""
        self.last_use_s = 0.0
        self.order = 0
        """Which one it is of all that its keeper was given."""
        self._keeper = keeper
        self._digesting: Digesting | None = None
        self._digest: Digest | NoCode | None = None
        self._digest_waiters: list[Deferred[Digest]] = []
        self._codes: dict[str, Path] = {}
        self._code_waiters: dict[str, list[Deferred[Path]]] = {}
        self._watchers: list[Callable[[], None]] = []
        self._pending: list[bytes] = []
        self._woken_bytes = 0
        self._users = 0
        self._kept = True
        self._finishing = False
        self.why_cut: Cut | None = None
        self.gone = False
        """Whether its files have been given away: nothing can be read of it any more."""

    @property
    def label(self) -> str:
        """How logs name its session."""
        return self.session_hash[:8]

    @property
    def fd(self) -> int:
        """A descriptor of its file, for who has retained it.

        :raises OSError: it can't be opened.
        """
        if self._fd is None:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        return self._fd

    @property
    def arriving(self) -> bool:
        """Whether more of it is to come."""
        return self.state is State.GROWING and not self._finishing

    @property
    def lost(self) -> bool:
        """Whether it was cut short by the store, not by its sender."""
        return self.why_cut is Cut.STORE

    @property
    def in_use(self) -> bool:
        """Whether anybody beside its keeper needs its files."""
        return self._users > 0

    def append(self, parts: Sequence[bytes]) -> None:
        """Write frames at its end; a few small ones wait for more."""
        if self.state is not State.GROWING:
            return
        self._pending += parts
        if (
            self._finishing
            or self._watchers
            or sum(map(len, self._pending)) >= _GATHER_BYTES
            or len(self._pending) >= _GATHER_PARTS
        ):
            self._write((), None)

    def append_lent(self, parts: Sequence[Frame], done: Callable[[], None] | None) -> None:
        """Write frames at its end; ``done`` is called, in any thread, when they are needed no
        more."""
        self._write(parts, done)

    def finish(self) -> None:
        """What is appended next is its last part."""
        self._finishing = True
        self._keeper.finishing(self)

    def cut(self, why: Cut = Cut.SENDER) -> None:
        """The rest of it never comes."""
        if self.state is State.GROWING:
            self.why_cut = why
            self.state = State.CUT
            self._pending.clear()
            # Those who are told of it may let go of it: its file is given away once, and behind
            # what still waits to be written to it.
            self._kept = False
            self._users += 1
            self._digest_is(NoCode("The bundle was cut short"))
            self._wake()
            self._users -= 1
            self._rest()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` once, when there is more of it, or its state has changed."""
        self._watchers.append(watcher)
        if self.written < self.size:
            # What waits or is being written may be the last for some time.
            self._write((), None)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        """Don't call it."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def progressed(self) -> None:
        """See `disk.Written`."""
        if self.state is not State.GROWING:
            return
        if self._digesting is not None:
            self._digesting.written(self.written)
        self._keeper.grew(self)
        if self.state is not State.GROWING:
            return
        if self._finishing and self.written == self.size:
            self.state = State.COMPLETE
            if self._digesting is not None:
                self._digesting.finish()
            self._keeper.completed(self)
        self._wake()
        self._rest()

    def failed(self, error: OSError) -> None:
        """See `disk.Written`."""
        self._keeper.failed(self, error)

    def retain(self) -> None:
        """See `bundle.Bundle`."""
        self._users += 1
        self._keeper.used(self)

    def release(self) -> None:
        """See `bundle.Bundle`."""
        self._users -= 1
        self._keeper.used(self)
        self._rest()

    def unreadable(self) -> None:
        """Its file can't be read as it should: nobody else is to be given it."""
        self._keeper.drop(self)

    def drop(self) -> None:
        """Its keeper needs it no more."""
        if self._kept:
            self._kept = False
            self._rest()

    def digest(self) -> Deferred[Digest]:
        """See `bundle.Bundle`. Work on it begins when it is first asked for: it takes several times
        what relaying does. While the bundle grows it is followed as it comes."""
        if isinstance(self._digest, Digest):
            return succeed(self._digest)
        if isinstance(self._digest, NoCode):
            return fail(self._digest)
        waiter: Deferred[Digest] = Deferred()
        self._digest_waiters.append(waiter)
        if self._digesting is None:
            self._digesting = self._keeper.start_digest(self.path)
            self._digesting.result.addCallbacks(self._digested, self._digest_failed)
            self._digesting.written(self.written)
            if self.state is State.COMPLETE:
                self._digesting.finish()
        return waiter

    def code(self, coding: str) -> Deferred[Path]:
        """See `bundle.Bundle`."""
        path = self._codes.get(coding)
        if path is not None:
            return succeed(path)
        waiter: Deferred[Path] = Deferred()
        waiters = self._code_waiters.setdefault(coding, [])
        waiters.append(waiter)
        if len(waiters) == 1:
            self._keeper.make_code(self, coding).addBoth(self._code_made, coding)
        return waiter

    def code_path(self, coding: str) -> Path:
        """Where its code is put, in one of `bundle.CODINGS`."""
        return self.path.with_suffix(f".{coding}")

    def _write(self, parts: Sequence[Frame], done: Callable[[], None] | None) -> None:
        if self.state is not State.GROWING:
            if done is not None:
                done()
            return
        pending, self._pending = self._pending, []
        wake = self._finishing or bool(self._watchers)
        if self.size - self._woken_bytes >= _WAKE_EVERY_BYTES:
            wake = True
        if wake:
            self._woken_bytes = self.size
        last = self._finishing and bool(pending or parts)
        self._keeper.disk.append(self.fd, self, [*pending, *parts], wake, last, done)

    def _rest(self) -> None:
        """Close the file if nobody reads it: of the many bundles that are kept few are read. Give
        it away if nobody keeps it either."""
        if self.in_use or self.gone or self.state is State.GROWING:
            return
        if not self._kept:
            self.gone = True
            # Whoever still reads it for its digest may find another bundle in its file soon.
            if self._digesting is not None:
                self._digesting.cancel()
            self._digest_is(NoCode("The bundle is no longer kept"))
            codes = list(self._codes.values())
            fd, self._fd = self._fd, None
            self._keeper.disk.discard(fd, self.path, codes)
            self._keeper.closed(self)
        elif self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _wake(self) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher()

    def _code_made(self, result: Path | Failure, coding: str) -> None:
        if isinstance(result, Path):
            self._codes[coding] = result
        for waiter in self._code_waiters.pop(coding):
            waiter.callback(result)

    def _digested(self, digest: Digest) -> None:
        self._digest_is(digest)

    def _digest_failed(self, failure: Failure) -> None:
        failure.trap(NoCode)
        assert isinstance(failure.value, NoCode)
        self._digesting = None
        self._digest_is(failure.value)

    def _digest_is(self, digest: Digest | NoCode) -> None:
        if self._digest is not None:
            return
        if not isinstance(digest, NotNow):
            self._digest = digest
        waiters, self._digest_waiters = self._digest_waiters, []
        for waiter in waiters:
            if isinstance(digest, Digest):
                waiter.callback(digest)
            else:
                waiter.errback(digest)
