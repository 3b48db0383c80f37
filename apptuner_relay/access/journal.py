"""Keeps the claims of a single relay in a file, over restarts: without it, the first client after a
restart could claim a session of somebody else. Several relays keep their claims in Redis.

The file ``claims`` in the state directory has lines of ``session proof tokens time``; the last line
of a session counts. A use of a claim is written only when enough time has passed since the last.
The file is rewritten at each start, and appended to in a thread: once a second, and at once for a
new claim, whose client joins when the claim is on the disk (`MemoryClaims.take`). Where it can't be
read or written, claims are in memory only, and it is tried again every `RETRY_S`: what is in both
is put together then. `claims_file` has the file's lines, and what becomes of bad ones.

The times in the file are the wall clock's, as no other clock outlives a machine; in memory they are
the monotonic clock's. When somebody sets the wall clock, the file is rewritten with times that fit
it, so that no claim seems older after a restart than it is.
"""

import os
import time
from pathlib import Path
from typing import IO, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.access.claims import MOST_CLAIMS, Claim, MemoryClaims
from apptuner_relay.access.claims_file import (
    BAD_FILE,
    FILE,
    Contents,
    TooLong,
    append,
    is_at,
    keep_bad,
    lines_of,
    lock,
    open_file,
    read_claims,
    write_anew,
)
from apptuner_relay.access.journal_states import TRANSITIONS, JournalEvent, JournalState
from apptuner_relay.support.clocks import WallClock

RETRY_S = 10.0
"""A file that can't be used is tried again after so long."""

_DIRECTORY_MODE = 0o700
_INTERVAL_S = 1.0
_PATIENCE_S = 5.0
"""How long a client waits for its new claim to be on the disk before it joins all the same."""
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
    """Reads the claims when it starts, and writes new and renewed ones.

    :param patience_s: for how long another relay may have the file before that is worth a warning:
        one that hands over to this one has it until it ends.
    """

    log = Logger()

    def __init__(
        self,
        claims: MemoryClaims,
        directory: Path,
        reactor: Any,
        wall_s: WallClock = time.time,
        patience_s: float = 0.0,
    ) -> None:
        self.state = JournalState.STARTING
        self.bad_lines = 0
        """How many lines of the file were none of a claim, and went to ``claims.bad``."""
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
        self._patience_s = patience_s
        self._since_s = 0.0
        """Since when the state is what it is."""
        self._why = ""
        """Why the file can't be used."""
        self._again_s = 0.0
        """When it is tried again."""
        self._read_last: os.stat_result | None = None
        """The file as it was when it was read while another relay had it."""
        self._kept_bad: list[bytes] = []
        """The bad lines that are in ``claims.bad`` by now, and may still be in the file."""
        self._gone: dict[str, float] = {}
        """The sessions of which the claim was forgotten while the file could not be written, and
        when: the file still has them."""
        self._call = LoopingCall(self._write)
        self._call.clock = reactor

    @property
    def trouble(self) -> str | None:
        """Why claims are not kept over restarts now; None while they are."""
        if self.state is JournalState.FAILED:
            return f"{self._path}: {self._why}"
        waited_s = self._reactor.seconds() - self._since_s
        if self.state is JournalState.WAITING and waited_s >= self._patience_s:
            return f"{self._path}: another relay has it (give this one its own --state-dir)"
        return None

    def startService(self) -> None:
        """Read the file. Where another relay has it locked, for instance one that hands over to
        this one, it is read, and locked as soon as that is possible."""
        super().startService()
        self._claims.on_use = self._note
        self._take_over()
        self._call.start(_INTERVAL_S, now=False).addErrback(self._failed)

    def _take_over(self) -> None:
        try:
            self._path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
            with open_file(self._path) as file:
                status = os.fstat(file.fileno())
                # It may have been replaced between the opening and the locking.
                mine = lock(file) and is_at(self._path, file)
                if mine:
                    self._lock(self._read_own(file))
                elif self._read_last is None or _differ(self._read_last, status):
                    self._merge(read_claims(file))
                    self._read_last = status
        except OSError as wrong:
            self._give_up(wrong)
            return
        if not mine and self._happens(JournalEvent.TAKEN):
            self.log.warn("claims are not kept yet: another relay has {path}", path=self._path)

    def _read_own(self, file: IO[bytes]) -> Contents:
        """What is in the file, which no other relay has. Bad lines are in ``claims.bad`` then."""
        try:
            found = read_claims(file)
        except TooLong as wrong:
            self._path.replace(self._path.with_name(BAD_FILE))
            self._report_bad(1, wrong.strerror or "")
            return Contents([], [])
        if found.bad and found.bad != self._kept_bad:
            keep_bad(self._path, found.bad)
            self._kept_bad = found.bad
            self._report_bad(len(found.bad), "they are no claims")
        return found

    def _report_bad(self, count: int, why: str) -> None:
        self.bad_lines += count
        self.log.warn(
            "{count} bad lines of {path} are in {bad} now: {why}",
            count=count,
            path=self._path,
            bad=BAD_FILE,
            why=why,
        )

    def _lock(self, found: Contents) -> None:
        """The file is this relay's: go on with it."""
        self._merge(found)
        self._file = write_anew(self._path, self._all())
        self._gone.clear()
        before = self.state
        if self._happens(JournalEvent.LOCKED) and before is not JournalState.STARTING:
            self.log.info("claims are kept in {path} from now on", path=self._path)

    def _merge(self, found: Contents) -> None:
        """Take the claims of the file, except those that were used or forgotten here later."""
        now_s = self._reactor.seconds()
        ahead_s = self._look_at_clocks()
        last = {session: (claim, wall_s) for session, claim, wall_s in found.claims}
        for session, (claim, wall_s) in last.items():
            used_s = wall_s - ahead_s
            is_gone = session in self._gone and used_s <= self._gone[session]
            if not is_gone and not self._claims.used_since(session, used_s):
                # A clock that was set back makes no claim last longer.
                self._claims.put(session, claim, min(used_s, now_s))
        self._claims.sort()

    def _happens(self, event: JournalEvent) -> bool:
        """Change the state. Returns whether the event meant anything."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state, self._since_s = state, self._reactor.seconds()
        return True

    def stopService(self) -> "Deferred[None] | None":
        """Write the rest."""
        super().stopService()
        if self._call.running:
            self._call.stop()
        self._claims.on_use = None
        self._happens(JournalEvent.STOPPED)
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
        if self.state is not JournalState.WRITING:
            self._note_gone(session, used_s)
            return None
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
        if past_s < 0:
            # It was released, and is not to come back after a crash.
            self._write()
        return None

    def _note_gone(self, session: str, used_s: float) -> None:
        """The file can't be written: remember what it must not bring back."""
        self._gone.pop(session, None)
        now_s = self._reactor.seconds()
        if now_s - used_s >= self._claims.ttl_s:
            self._gone[session] = now_s
            if len(self._gone) > MOST_CLAIMS:
                del self._gone[next(iter(self._gone))]

    def _too_slow(self, result: object, timeout_s: float) -> None:
        self.log.warn(
            "a new claim was not on the disk within {seconds:g} s: {path}",
            seconds=timeout_s,
            path=str(self._path),
        )

    def _write(self) -> None:
        """Begin to write what is pending."""
        is_due = self.state is JournalState.FAILED and self._reactor.seconds() >= self._again_s
        if (is_due and self._writing is None) or self.state is JournalState.WAITING:
            # Most failures are told at once: a full disk, missing rights.
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
            self._writing = deferToThreadPool(
                self._reactor, pool, append, self._path, self._file, data
            )
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
            if self._was_set or not is_at(self._path, self._file):
                self._go_on_with(write_anew(self._path, self._all()))
            else:
                append(self._path, self._file, self._take_pending())
        except OSError as wrong:
            self._give_up(wrong)
        self._next.done()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _give_up(self, wrong: OSError) -> None:
        """The file can't be used now."""
        why = wrong.strerror or str(wrong)
        if self._happens(JournalEvent.FAILED) or why != self._why:
            self._why = why
            self.log.warn(
                "claims are not kept over restarts: {path}: {why}", path=str(self._path), why=why
            )
        self._again_s = self._reactor.seconds() + RETRY_S
        self._pending.clear()
        self._written.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
        self._next.done()

    def _failed(self, failure: Failure) -> None:
        self.log.failure("claims are not kept over restarts any more", failure)


def _differ(before: os.stat_result, now: os.stat_result) -> bool:
    return (before.st_ino, before.st_size) != (now.st_ino, now.st_size)
