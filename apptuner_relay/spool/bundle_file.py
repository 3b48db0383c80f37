"""The file of a log: a cached bundle, or the part of another log that readers have yet to take.

The file holds messages in their wire form: server frames, as they went to the phones. Beside the
file, a bundle has a content address, and files that hold its code for HTTP.
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

from twisted.internet.defer import Deferred

from apptuner_relay.flow.log_block import Block
from apptuner_relay.spool.bundle import IDENTITY, CodeFile, Digest, StoredForm
from apptuner_relay.spool.bundle_code import BundleCode
from apptuner_relay.spool.code.offload import Digestion
from apptuner_relay.spool.disk import MOST_BACKLOG_BYTES, ThreadedDisk, open_file
from apptuner_relay.spool.file_states import TRANSITIONS, Cut, FileEvent, FileState

_GATHER_BYTES = 64 * 1024
_GATHER_BLOCKS = 256
_WAKE_EVERY_BYTES = 1024 * 1024
"""After how many bytes the reactor's thread is told that a file has grown, if nobody watches it."""


class FileKeeper(Protocol):
    """What a file needs of the store that it is in: of `store.Store`, which imports this module."""

    @property
    def disk(self) -> ThreadedDisk:
        """Where the files are."""

    def grew(self, bundle: "BundleFile") -> None:
        """It has grown. It is cut if there is no room for it."""

    def when_written(self, call: Callable[[], None]) -> None:
        """Call back when what waits now has been written, or never will be."""

    def finishing(self, bundle: "BundleFile") -> None:
        """All of it has come."""

    def completed(self, bundle: "BundleFile") -> None:
        """All of it is in its file, or its code is in one."""

    def failed(self, bundle: "BundleFile", error: OSError) -> None:
        """It can't be written any more."""

    def used(self, bundle: "BundleFile") -> None:
        """A reader has begun to read it, or is done."""

    def drop(self, bundle: "BundleFile") -> None:
        """It can't be read: nobody else is to be given it."""

    def closed(self, bundle: "BundleFile") -> None:
        """Its files have been given away."""

    def start_digest(self, path: Path) -> Digestion:
        """Begin to compute the content address of the bundle in a file."""

    def make_code(self, bundle: "BundleFile", coding: str, base: CodeFile | None) -> Deferred[Path]:
        """Write its code to a file, as `bundle.Bundle.code` says. Fails with `NoCode`."""


def _nobody() -> None:
    """Nobody is to be told."""


class BundleFile:
    """One such file. It is the `log_interfaces.LogFile` of the log that is stored in it, and, when
    it is complete, a `bundle.Bundle`.

    :param path: where it is.
    :param fd: a descriptor of it, which is closed when it is neither written nor read.
    :param size: how many bytes of an earlier bundle are in the file.
    :param is_kept: whether it stays when it has no readers.
    """

    def __init__(
        self,
        keeper: FileKeeper,
        session_hash: str,
        path: Path,
        fd: int,
        form: StoredForm,
        size: int = 0,
        is_kept: bool = True,
    ) -> None:
        self.session_hash = session_hash
        self.path = path
        self._fd: int | None = fd
        self.form = form
        self.state = FileState.GROWING
        self.on_lost: Callable[[], None] = _nobody
        """Called once, in the reactor's thread, when nothing more can be written; `append` may call
        it. What is `written` can still be read. The other blocks are released when it has returned:
        it has to copy those that are needed."""
        self.size = 0
        """How many bytes are in the file, or wait to be written to it."""
        self.written = 0
        """How many bytes can be read; set by the thread that writes."""
        self.given_up = False
        """See `disk.Written`."""
        self.has_failed = False
        """See `disk.Written`."""
        self.is_cut_off = False
        """See `disk.Written`."""
        self.code_bytes = 0
        """How many bytes the files with its code have."""
        self.least_bytes = size
        """How many bytes it takes on the disk at least."""
        self.is_kept = is_kept
        """Whether it stays when it has no readers."""
        self.last_use_s = 0.0
        self.order = 0
        """Its number among all files of its keeper, in the order in which they began."""
        self.content: object = None
        """The `bundle_log.BundleLog` that it belongs to."""
        self._keeper = keeper
        self.bundle_code = BundleCode(path, keeper.start_digest, partial(keeper.make_code, self))
        """What is known of its code, and the files that hold that."""
        self._watchers: list[Callable[[], None]] = []
        self._gathered: list[Block] = []
        self._gathered_bytes = 0
        self._woken_bytes = 0
        self._users = 0
        self._has_last = False
        self._is_deferred = False
        self.is_needed = False
        """Whether somebody needs its messages."""
        self._make_messages: Callable[[], None] = _nobody
        self.why_cut: Cut | None = None
        self.gone = False
        """Whether its files have been given away: it can't be read any more."""

    @property
    def label(self) -> str:
        """How log lines name its session: the first 8 hex digits of the hash of its id."""
        return self.session_hash[:8]

    @property
    def fd(self) -> int:
        """A descriptor of its file, for readers that have retained it.

        :raises OSError: it can't be opened.
        """
        if self._fd is None:
            self._fd = open_file(self.path)
        return self._fd

    @property
    def arriving(self) -> bool:
        """Whether more of it is to come from its sender."""
        return self.state is FileState.GROWING

    @property
    def is_open(self) -> bool:
        """Whether it is neither complete nor cut."""
        return self.state is not FileState.COMPLETE and self.state is not FileState.CUT

    @property
    def in_use(self) -> bool:
        """Whether a reader needs its files."""
        return self._users > 0

    @property
    def is_whole_as_code(self) -> bool:
        """Whether it is deferred, and nobody needs its messages."""
        return self.state is FileState.DEFERRED and not self.in_use

    @property
    def is_behind(self) -> bool:
        """See `log_interfaces.LogFile`."""
        return self._keeper.disk.backlog_bytes > MOST_BACKLOG_BYTES

    def when_written(self, call: Callable[[], None]) -> None:
        """See `log_interfaces.LogFile`."""
        self._keeper.when_written(call)

    def append(self, block: Block) -> None:
        """Write ``block`` behind what was appended before. It is released when it is written, or
        when it won't be. Small blocks wait for more.

        When it can't be written, or there is no room, `on_lost` is called before it is released.
        """
        if self.is_open:
            self.size += block.size
            self._keeper.grew(self)
        if not self.is_open:
            block.release()
            return
        self._gathered.append(block)
        self._gathered_bytes += block.size
        if (
            block.share is not None
            or self.state is FileState.FINISHING
            or self._watchers
            or self._gathered_bytes >= _GATHER_BYTES
            or len(self._gathered) >= _GATHER_BLOCKS
        ):
            self._write()

    def finish(self) -> None:
        """See `log_interfaces.LogFile`."""
        if self._happens(FileEvent.FINISHED):
            self._keeper.finishing(self)
            self._write()

    def read(self, offset: int, length: int) -> memoryview | None:
        """See `log_interfaces.LogFile`. For readers that have retained it."""
        return None if self._fd is None else self._keeper.disk.read_now(self._fd, offset, length)

    def fetch(self, offset: int, length: int) -> Deferred[bytes]:
        """See `log_interfaces.LogFile`. For readers that have retained it."""
        disk = self._keeper.disk
        if self._fd is not None:
            return disk.read(self._fd, offset, length)

        def opened(fd: int) -> Deferred[bytes]:
            if self._fd is not None or self.gone:
                os.close(fd)
            else:
                self._fd = fd
                self._close_if_unused()
            if self._fd is None:
                raise OSError("nobody reads it any more")
            return disk.read(self._fd, offset, length)

        return disk.open(self.path).addCallback(opened)

    def cut(self, why: Cut = Cut.SENDER) -> None:
        """End it: its rest never comes, or can't be written. Harmless when it has ended."""
        if why is Cut.STORE:
            self._lose()
        if self.is_open:
            is_of_use = self.in_use and why not in (Cut.STORE, Cut.UNUSED)
            if is_of_use:
                # For readers that are in the middle of it.
                self._write()
            self.why_cut = why
            self._happens(FileEvent.CUT_SHORT)
            self.given_up = not is_of_use
            # Watchers that are told may release it. Its file is to be given away once, and behind
            # what still waits to be written to it.
            self.is_kept = False
            self._users += 1
            gathered, self._gathered = self._gathered, []
            for block in gathered:
                block.release()
            self.bundle_code.fail("The bundle was cut short")
            # One that was deferred has been given to the keeper.
            self._keeper.drop(self)
            self._wake()
            self._users -= 1
        self._close_if_unused()

    def _lose(self) -> None:
        """Nothing more can be written: tell the log."""
        if not self.given_up and self.state is not FileState.COMPLETE:
            self.given_up = True
            self._users += 1
            self.on_lost()
            self._users -= 1

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call ``watcher`` once, when more of it is written, or its state has changed."""
        self._watchers.append(watcher)
        if self.written < self.size:
            # Nothing else may be written for some time.
            self._write()

    def progressed(self) -> None:
        """See `disk.Written`."""
        if not self.is_open:
            return
        # An earlier bundle, of another session, may still be in the file behind it.
        ends_there = self.is_cut_off or self.size >= self.least_bytes
        is_whole = self.written == self.size and ends_there and self._happens(FileEvent.WRITTEN)
        if is_whole:
            self.least_bytes = 0
        self.bundle_code.written(self.written, is_whole)
        if is_whole and self._is_deferred:
            self._keeper.grew(self)
        elif is_whole:
            self._keeper.completed(self)
        self._wake()
        self._close_if_unused()

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
        if not self.is_kept and not self.in_use:
            self.cut(Cut.UNUSED)
        self._close_if_unused()

    def unreadable(self) -> None:
        """See `log_interfaces.LogFile`."""
        self._keeper.drop(self)

    def drop(self) -> None:
        """Keep it no longer than readers need it."""
        if self.is_kept:
            self.is_kept = False
            if self.is_whole_as_code:
                self.cut(Cut.UNUSED)
            self._close_if_unused()

    def defer(self, make: Callable[[], None]) -> None:
        """All of it is there, as the code that was expected: readers can have it from now on. Have
        ``make`` called, once, when somebody needs its messages, which are to be appended then."""
        if self._happens(FileEvent.DEFERRED):
            self._is_deferred = True
            self._make_messages = make
            self.bundle_code.written(self.written, True)
            self._keeper.completed(self)
            self._close_if_unused()

    def need(self) -> None:
        """Somebody needs its messages."""
        self.is_needed = True
        make, self._make_messages = self._make_messages, _nobody
        make()

    def expect(self, digest: Digest, path: Path) -> None:
        """It is written with this content address. The file at ``path`` has its code, and is its
        own from now on."""
        if self.bundle_code.expect(digest, path, self.code_path(IDENTITY)):
            self.code_bytes += digest.size

    def digest(self) -> Deferred[Digest]:
        """See `bundle.Bundle`. A bundle that grows is followed while it comes."""
        return self.bundle_code.digest()

    def code(self, coding: str, base: CodeFile | None = None) -> Deferred[Path]:
        """See `bundle.Bundle`."""
        return self.bundle_code.file(coding, base)

    def code_path(self, coding: str) -> Path:
        """Where the file with its code in a coding is."""
        return self.path.with_suffix(f".{coding}")

    def _happens(self, event: FileEvent) -> bool:
        """Change the state. Returns whether the event meant anything."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def _write(self) -> None:
        """Have the gathered blocks written. With none, only have its `progressed` called."""
        if not self.is_open:
            return
        blocks, self._gathered, self._gathered_bytes = self._gathered, [], 0
        is_last = self.state is FileState.FINISHING
        wake = is_last or bool(self._watchers)
        if self.size - self._woken_bytes >= _WAKE_EVERY_BYTES:
            wake = True
        if wake:
            self._woken_bytes = self.size
        # Without blocks, only once: the file may be closed behind that.
        last = is_last and (bool(blocks) or not self._has_last)
        self._has_last = self._has_last or last
        self._keeper.disk.append(self.fd, self, blocks, wake, last)

    def _close_if_unused(self) -> None:
        """Close the file if it has no readers, as few of many cached bundles are being read. Give
        it away if it isn't kept either."""
        if self.in_use or self.gone or (self.is_open and not self.is_whole_as_code):
            return
        if not self.is_kept:
            self.gone = self.given_up = True
            codes = self.bundle_code.give_away()
            # These refer to this file: without them it goes without a garbage collector.
            self.content, self.on_lost, self._make_messages = None, _nobody, _nobody
            fd, self._fd = self._fd, None
            self._keeper.disk.discard(fd, self.path, codes)
            self._keeper.closed(self)
        elif self._fd is not None:
            self._keeper.disk.close(self._fd)
            self._fd = None

    def _wake(self) -> None:
        watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher()
