"""Keeps the claims of a relay without others in a file, over restarts: else whoever comes first
after one could claim what was another's. Several relays have theirs in Redis.

``claims`` in the state directory has a line for each use of a claim that is worth a line: ``session
proof tokens time``, the last one of a session counts. It is written anew at each start, and added
to in a thread: once a second, and at once for a claim that is new, whose client comes in when it is
on the disk (`MemoryClaims.take`). What is cut off at its end, as by a crash, is left out.

The times are the wall clock's, as no other outlives a machine; in memory they are the monotonic
clock's. When somebody sets the wall clock, the file is written anew with times that fit it, so that
no claim is older after a restart than it is.
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
from apptuner_relay.clocks import WallClock

FILE = "claims"

_DIRECTORY_MODE = 0o700
_FILE_MODE = 0o600
_INTERVAL_S = 1.0
_PATIENCE_S = 5.0
"""How long a client waits for its new claim to be on the disk. After that it comes in without."""
_LINE = re.compile(r"([0-9a-f]{64}) ([A-Za-z0-9_-]{43}) ([01]) ([0-9]{1,12}(?:\.[0-9]{1,9})?)")
_MOST_BYTES = 8 * MOST_CLAIMS * 150
"""No longer file is read."""
_GROWTH_BYTES = 1 << 20
"""A file is written anew when it has four times what is worth keeping, and so much at least."""
_STEP_S = 1.0
"""A wall clock that has moved so far against the monotonic one was set."""
_WORTH = 0.01
"""Which share of the time to live must have passed since the last line for another of the same."""


class _Batch:
    """What is written together."""

    def __init__(self) -> None:
        self.new: dict[str, Claim] = {}
        """The claims in it that are nowhere on the disk yet."""
        self.waiting: list[Deferred[None]] = []
        """Who waits for them."""

    def done(self) -> None:
        """It is written, or never will be."""
        waiting, self.waiting = self.waiting, []
        self.new.clear()
        for one in waiting:
            one.callback(None)


class Journal(Service):
    """Reads the claims when it starts, and writes down what comes to be known."""

    log = Logger()

    def __init__(
        self, claims: MemoryClaims, directory: Path, reactor: Any, wall_s: WallClock = time.time
    ) -> None:
        self._claims = claims
        self._path = directory / FILE
        self._reactor = reactor
        self._wall_s = wall_s
        self._ahead_s = self._look_at_clocks()
        """How far the wall clock was ahead of the monotonic one when the file was written anew."""
        self._file: IO[bytes] | None = None
        self._size = 0
        self._least = 0
        """How long it was when it was written anew."""
        self._written: dict[str, tuple[Claim, float]] = {}
        self._pending: dict[str, tuple[Claim, float]] = {}
        self._next = _Batch()
        """That of what is pending."""
        self._present = _Batch()
        """The one that is being written."""
        self._writing: Deferred[None] | None = None
        self._is_waiting = False
        """Whether another relay has the file."""
        self._call = LoopingCall(self._write)
        self._call.clock = reactor

    def startService(self) -> None:
        """Read what was kept. Where that can't be, claims are kept in memory only, and a line in
        the log says so; while another relay has the file, as one does that hands over to this one,
        it is read, and tried again."""
        super().startService()
        self._take_over()
        self._call.start(_INTERVAL_S, now=False).addErrback(self._failed)

    def _take_over(self) -> None:
        try:
            self._path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            file = open_file(self._path)
            # It may have been replaced between the two.
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
        """Know what is in the file, unless it was used here later."""
        now_s = self._reactor.seconds()
        ahead_s = self._look_at_clocks()
        last = {session: (claim, wall_s) for session, claim, wall_s in read_lines(file)}
        for session, (claim, wall_s) in last.items():
            used_s = wall_s - ahead_s
            if not self._claims.used_since(session, used_s):
                # A clock that was put back makes no claim last for longer.
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
        """A claim was made or used. Fires once it is on the disk; None where it is already."""
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
        """Begin to write down what is pending."""
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
        """All claims there are, with which the file begins anew."""
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
        """Whether somebody has set the wall clock since the file was written anew."""
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
    """What the file has of these claims. The wall clock is ``ahead_s`` ahead of that of their
    times."""
    return "".join(
        f"{session} {claim.proof} {int(claim.tokens)} {max(0.0, used_s + ahead_s):.3f}\n"
        for session, claim, used_s in claims
    ).encode()


def open_file(path: Path) -> IO[bytes]:
    """The file, which is made if there is none.

    :raises OSError: it can't be had.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, _FILE_MODE), "r+b", buffering=0)


def lock(file: IO[bytes]) -> bool:
    """Whether this process has an open file for itself, until it is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_anew(path: Path, data: bytes) -> IO[bytes]:
    """Replace the file; returns it, open and locked.

    :raises OSError: that can't be; the old one is still there.
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
            # So that it is the new one, too, that is found after a power failure.
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
    """What is in the file, in its order; lines that are none are left out.

    :raises OSError: it can't be read, or is too long.
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
