"""Keeps the claims of a single relay in a file, over restarts: without it, the first client after a
restart could claim a session of somebody else. Several relays keep their claims in Redis.

The file ``claims`` in the state directory has lines of ``session proof tokens time``; the last line
of a session counts. A use of a claim is written only when enough time has passed since the last.
The file is rewritten at each start, and appended to in a thread: once a second, and at once for a
new claim, whose client joins when the claim is on the disk (`MemoryClaims.take`). A line that was
cut short at the end, for instance by a crash, is ignored.

The times in the file are the wall clock's, as no other clock outlives a machine; in memory they are
the monotonic clock's. When somebody sets the wall clock, the file is rewritten with times that fit
it, so that no claim seems older after a restart than it is.
"""

import fcntl
import math
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.access.claims import MOST_CLAIMS, Claim, MemoryClaims
from apptuner_relay.support.clocks import WallClock

FILE = "claims"

_DIRECTORY_MODE = 0o700
_FILE_MODE = 0o600
_INTERVAL_S = 1.0
_PATIENCE_S = 5.0
"""How long a client waits for its new claim to be on the disk before it joins all the same."""
_LINE = re.compile(r"([0-9a-f]{64}) ([A-Za-z0-9_-]{43}) ([01]) ([0-9]{1,12}(?:\.[0-9]{1,9})?)")
_MOST_BYTES = 8 * MOST_CLAIMS * 150
"""A longer file is not read."""
_GROWTH_BYTES = 1 << 20
"""The file is rewritten when it has four times the size that it had after the last time, and at
least this size."""
_STEP_S = 1.0
"""A wall clock that has moved by this much against the monotonic one was set."""
_WORTH = 0.01
"""The share of the time to live that has to pass before a claim's use is written again."""


class _Batch:
    """Claims that are written together."""

    def __init__(self) -> None:
        self.new: dict[str, Claim] = {}
        """The claims that are not on the disk in any form yet."""
        self.waiting: list[Deferred[None]] = []
        """The clients that wait for them."""

    def done(self) -> None:
        """The batch is written, or never will be: let its clients join."""
        waiting, self.waiting = self.waiting, []
        self.new.clear()
        for one in waiting:
            one.callback(None)


class Journal(Service):
    """Reads the claims when it starts, and writes new and renewed ones."""

    log = Logger()

    def __init__(
        self, claims: MemoryClaims, directory: Path, reactor: Any, wall_s: WallClock = time.time
    ) -> None:
        self._claims = claims
        self._path = directory / FILE
        self._reactor = reactor
        self._wall_s = wall_s
        self._ahead_s = self._look_at_clocks()
        """How far the wall clock was ahead of the monotonic one when the file was rewritten."""
        self._file: IO[bytes] | None = None
        self._size = 0
        self._least = 0
        """The file's size when it was rewritten, in bytes."""
        self._written: dict[str, tuple[Claim, float]] = {}
        self._pending: dict[str, tuple[Claim, float]] = {}
        self._next = _Batch()
        """The batch of what is pending."""
        self._present = _Batch()
        """The batch that is being written."""
        self._writing: Deferred[None] | None = None
        self._is_waiting = False
        """Whether another relay has the file locked."""
        self._call = LoopingCall(self._write)
        self._call.clock = reactor

    def startService(self) -> None:
        """Read the file. Where it can't be read, claims are kept in memory only, and a line in the
        log says so. Where another relay has it locked, for instance one that hands over to this
        one, it is read, and locked as soon as that is possible."""
        super().startService()
        self._take_over()
        self._call.start(_INTERVAL_S, now=False).addErrback(self._failed)

    def _take_over(self) -> None:
        try:
            self._path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            file = open_file(self._path)
            # It may have been replaced between the opening and the locking.
            mine = lock(file) and os.path.samestat(os.fstat(file.fileno()), self._path.stat())
            self._read(file)
            if mine:
                data = self._all()
                self._file = write_anew(self._path, data)
                self._claims.on_use = self._note
            elif not self._is_waiting:
                self.log.warn("claims are not kept yet: another relay has {path}", path=self._path)
            self._is_waiting = not mine
            file.close()
        except OSError as wrong:
            self._give_up(wrong)

    def _read(self, file: IO[bytes]) -> None:
        """Take the claims of the file, except those that were used here later."""
        now_s = self._reactor.seconds()
        ahead_s = self._look_at_clocks()
        last = {session: (claim, wall_s) for session, claim, wall_s in read_lines(file)}
        for session, (claim, wall_s) in last.items():
            used_s = wall_s - ahead_s
            if not self._claims.used_since(session, used_s):
                # A clock that was set back makes no claim last longer.
                self._claims.put(session, claim, min(used_s, now_s))
        self._claims.sort()

    def stopService(self) -> "Deferred[None] | None":
        """Write the rest."""
        super().stopService()
        if self._call.running:
            self._call.stop()
        self._claims.on_use = None
        if self._writing is None:
            self._close()
            return None
        over: Deferred[None] = Deferred()

        def written(_: None) -> None:
            self._close()
            over.callback(None)

        self._writing.addCallback(written)
        return over

    def _note(self, session: str, claim: Claim, used_s: float) -> Deferred[None] | None:
        """A claim was made or used; see `MemoryClaims.on_use`."""
        before = self._written.get(session)
        is_new = before is None or before[0] != claim
        past_s = 0.0 if before is None else used_s - before[1]
        if is_new or past_s >= self._claims.ttl_s * _WORTH or past_s < 0:
            self._pending[session] = self._written[session] = (claim, used_s)
        if is_new:
            self._next.new[session] = claim
        for batch in (self._next, self._present):
            if batch.new.get(session) == claim:
                safe: Deferred[None] = Deferred()
                safe.addTimeout(_PATIENCE_S, self._reactor, self._too_slow)
                batch.waiting.append(safe)
                self._write()
                return safe
        return None

    def _too_slow(self, result: object, timeout_s: float) -> None:
        self.log.warn(
            "a new claim was not on the disk within {seconds:g} s: {path}",
            seconds=timeout_s,
            path=str(self._path),
        )

    def _write(self) -> None:
        """Begin to write what is pending."""
        if self._is_waiting:
            self._take_over()
        if self._writing is not None or self._file is None:
            return
        if not self._pending and not self._was_set:
            return
        self._present, self._next = self._next, _Batch()
        pool = self._reactor.getThreadPool()
        if self._size > max(_GROWTH_BYTES, 4 * self._least) or self._was_set:
            data = self._all()
            anew = deferToThreadPool(self._reactor, pool, write_anew, self._path, data)
            self._writing = anew.addCallback(self._go_on_with)
        else:
            data = self._take_pending()
            self._writing = deferToThreadPool(self._reactor, pool, _append, self._file, data)
        self._writing.addBoth(self._wrote)

    def _go_on_with(self, file: IO[bytes]) -> None:
        if self._file is not None:
            self._file.close()
        self._file = file

    def _all(self) -> bytes:
        """The contents with which the file is rewritten: all claims."""
        items = self._claims.items()
        self._pending = {}
        self._written = {session: (claim, used_s) for session, claim, used_s in items}
        self._ahead_s = self._look_at_clocks()
        data = lines_of(items, self._ahead_s)
        self._size = self._least = len(data)
        return data

    def _look_at_clocks(self) -> float:
        ahead_s: float = self._wall_s() - self._reactor.seconds()
        return ahead_s

    @property
    def _was_set(self) -> bool:
        """Whether somebody has set the wall clock since the file was rewritten."""
        return abs(self._look_at_clocks() - self._ahead_s) >= _STEP_S

    def _take_pending(self) -> bytes:
        pending, self._pending = self._pending, {}
        items = ((session, claim, used_s) for session, (claim, used_s) in pending.items())
        data = lines_of(items, self._ahead_s)
        self._size += len(data)
        return data

    def _wrote(self, result: Failure | None) -> None:
        self._writing = None
        if isinstance(result, Failure):
            result.trap(OSError)
            assert isinstance(result.value, OSError)
            self._give_up(result.value)
        self._present.done()
        if self._next.waiting and self.running:
            self._write()

    def _close(self) -> None:
        if self._file is None:
            return
        try:
            if self._was_set:
                self._go_on_with(write_anew(self._path, self._all()))
            else:
                _append(self._file, self._take_pending())
        except OSError as wrong:
            self._give_up(wrong)
        self._next.done()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _give_up(self, wrong: OSError) -> None:
        self.log.warn(
            "claims are not kept over restarts: {path}: {why}",
            path=str(self._path),
            why=wrong.strerror or str(wrong),
        )
        self._claims.on_use = None
        self._is_waiting = False
        if self._call.running:
            self._call.stop()
        if self._file is not None:
            self._file.close()
            self._file = None
        self._next.done()

    def _failed(self, failure: Failure) -> None:
        self.log.failure("claims are not kept over restarts any more", failure)


def lines_of(claims: Iterable[tuple[str, Claim, float]], ahead_s: float) -> bytes:
    """The file's lines for these claims. The wall clock is ``ahead_s`` ahead of the clock of their
    times."""
    return "".join(
        f"{session} {claim.proof} {int(claim.tokens)} {max(0.0, used_s + ahead_s):.3f}\n"
        for session, claim, used_s in claims
    ).encode()


def open_file(path: Path) -> IO[bytes]:
    """Open the file, or create it.

    :raises OSError: that has failed.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, _FILE_MODE), "r+b", buffering=0)


def lock(file: IO[bytes]) -> bool:
    """Lock an open file until it is closed. Returns False where another process has it locked."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_anew(path: Path, data: bytes) -> IO[bytes]:
    """Replace the file. Returns the new one, open and locked.

    :raises OSError: that has failed; the old file is still there.
    """
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
    file = os.fdopen(os.open(new, flags, _FILE_MODE), "r+b", buffering=0)
    try:
        lock(file)
        _write_all(file, data)
        os.fsync(file.fileno())
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # So that the new file is there after a power failure, too.
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError:
        file.close()
        raise
    return file


def _append(file: IO[bytes], data: bytes) -> None:
    _write_all(file, data)
    os.fdatasync(file.fileno())


def read_lines(file: IO[bytes]) -> Iterable[tuple[str, Claim, float]]:
    """The claims in the file, in its order; malformed lines are ignored.

    :raises OSError: the file can't be read, or is too long.
    """
    file.seek(0)
    # Unbuffered: it may take several reads.
    data = b"".join(iter(lambda: file.read(1 << 20), b""))
    if len(data) > _MOST_BYTES:
        raise OSError(0, "it is too long to be a file of claims")
    for line in data.decode("ascii", "replace").split("\n")[:-1]:
        match = _LINE.fullmatch(line)
        if match is not None and math.isfinite(float(match[4])):
            yield match[1], Claim(match[2], match[3] == "1"), float(match[4])


def _write_all(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]
