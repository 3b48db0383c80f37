"""Writes the log in a thread of its own, so that the event loop never waits for a log reader.

Any write can block: to a pipe or a terminal that nobody reads, to journald's socket, to a file on a
disk that is stuck. O_NONBLOCK is no solution: it would change the descriptor for every process that
shares it, such as a shell. So lines wait in a queue with a limit. While it is full, lines are
dropped and counted, and a line says how many once the log can be written again.
"""

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from threading import Condition, Thread, current_thread
from typing import NamedTuple, Protocol

MOST_BYTES = 1024 * 1024
"""The limit of the queue; the thread may be writing as much again."""
FLUSH_S = 2.0
"""How long the end of the process waits, in all, for lines that are not yet written."""
STUCK_S = 5.0
"""A write that takes longer is reported as a log that nobody reads."""

PAUSE_S = 0.05
"""How long the thread rests when it has written: lines that come close behind each other are
written together, and the thread takes the event loop's time less often. It rests no longer once the
queue is half full."""
_LINE_COST_BYTES = 100
"""Roughly the memory that a line in the queue takes beside its text."""


class LogTarget(Protocol):
    """What a log is written to."""

    def write(self, lines: list[bytes]) -> int:
        """Write whole lines; may block.

        :return: how many of the lines, counted from the last, were lost.
        """

    @property
    def fault(self) -> str | None:
        """Why the last lines were lost; None if they weren't."""


class LogWriter:
    """A file object for Twisted's log observers.

    :param notice: makes the line that says how many lines were dropped.
    :param encoding: of the target's text; characters that it lacks are escaped.
    """

    def __init__(
        self,
        target: LogTarget,
        notice: Callable[[int], str],
        encoding: str = "utf-8",
        most_bytes: int = MOST_BYTES,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._target = target
        self._notice = notice
        self._encoding = encoding
        self._most_bytes = most_bytes
        self._seconds = seconds
        # Reentrant: a finalizer may log wherever Python collects garbage.
        self._changed = Condition()
        self._queue: deque[bytes | Callable[[], None]] = deque()
        self._queued_bytes = 0
        self._refused = 0
        """Lines that found the queue full and are not reported yet."""
        self._lost = 0
        """Lines that could not be written and are not reported yet."""
        self.dropped = 0
        """Lines that were dropped since the start."""
        self._busy_since_s: float | None = None
        self._thread: Thread | None = None
        self._deadline_s: float | None = None
        self._held = False
        self._is_waiting = False
        """Whether the thread waits for lines."""

    # What any thread calls

    def write(self, text: str) -> None:
        """Queue a line or more. Returns at once; after `finish`, once they are written."""
        data = text.encode(self._encoding, "backslashreplace")
        with self._changed:
            if self._is_full(data) and self._deadline_s is not None:
                self.wait()
            if self._is_full(data):
                self.dropped += 1
                self._refused += 1
                return
            self._put(data)
        if self._deadline_s is not None:
            self.wait()

    def flush(self) -> None:
        """Nothing: the thread writes as soon as it can."""

    def call(self, call: Callable[[], None]) -> None:
        """Call ``call`` in the thread, after the lines that were queued before. What it raises is
        ignored."""
        with self._changed:
            self._put(call)

    # What the relay calls

    def hold(self) -> None:
        """Write nothing before `start`: a daemon forks until then, and threads don't survive a
        fork."""
        self._held = True

    def start(self) -> None:
        """Begin to write. Without `hold`, the first line does that."""
        with self._changed:
            self._held = False
            self._start()

    def finish(self) -> None:
        """The process is about to end: from now on `write` waits until its lines are written, for
        `FLUSH_S` in all."""
        if self._deadline_s is None:
            self._deadline_s = self._seconds() + FLUSH_S

    def wait(self) -> None:
        """Wait until all lines are written; see `finish`."""
        assert self._deadline_s is not None
        with self._changed:
            if self._thread is None or current_thread() is self._thread:
                return
            left_s = self._deadline_s - self._seconds()
            self._changed.notify_all()
            self._changed.wait_for(self._is_idle, max(0.0, left_s))

    @property
    def trouble(self) -> str | None:
        """What is wrong with the log now, for people; None if nothing is."""
        since_s = self._busy_since_s
        if since_s is not None and self._seconds() - since_s > STUCK_S:
            return f"nobody reads the log; {self.dropped} of its lines have been dropped so far"
        if self._target.fault is not None:
            return f"the log can't be written: {self._target.fault}"
        return None

    def finish_at_exit(self) -> None:
        """`finish`, then wait; for `atexit`."""
        self.finish()
        if self._queue:
            # Since Python 3.12 no thread can be started while the interpreter ends.
            with suppress(RuntimeError):
                self.start()
        self.wait()

    def _put(self, what: bytes | Callable[[], None]) -> None:
        self._queue.append(what)
        if isinstance(what, bytes):
            self._queued_bytes += len(what) + _LINE_COST_BYTES
        self._start()
        if self._is_waiting or self._is_pause_over():
            self._is_waiting = False
            self._changed.notify_all()

    def _is_full(self, data: bytes) -> bool:
        return self._queued_bytes + len(data) > self._most_bytes

    def _is_idle(self) -> bool:
        return not self._queue and self._busy_since_s is None

    def _start(self) -> None:
        if self._thread is None and not self._held:
            self._thread = Thread(target=self._write_all, name="log", daemon=True)
            self._thread.start()

    # What the thread does

    def _write_all(self) -> None:
        while True:
            batch, lost, refused = self._take()
            lines = self._notices(lost)
            for one in batch:
                if isinstance(one, bytes):
                    lines.append(_Line(one))
                    continue
                self._write(lines)
                lines = []
                # Whatever it raises, the log goes on.
                with suppress(Exception):
                    one()
            # These lines came after all that was in the queue, as it was full.
            self._write(lines + self._notices(refused))
            with self._changed:
                self._busy_since_s = None
                self._changed.notify_all()
                self._changed.wait_for(self._is_pause_over, PAUSE_S)

    def _is_pause_over(self) -> bool:
        return self._deadline_s is not None or 2 * self._queued_bytes > self._most_bytes

    def _take(self) -> tuple[list[bytes | Callable[[], None]], int, int]:
        """Wait for lines, and take all that there are.

        :return: the queue, and how many dropped lines to report before and after it.
        """
        with self._changed:
            while not self._queue:
                self._is_waiting = True
                self._changed.wait()
            self._is_waiting = False
            self._busy_since_s = self._seconds()
            batch = list(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
            lost, self._lost = self._lost, 0
            refused, self._refused = self._refused, 0
            return batch, lost, refused

    def _write(self, lines: "list[_Line]") -> None:
        try:
            lost = self._target.write([line.data for line in lines]) if lines else 0
        except Exception:  # there is nowhere to report it, and the log goes on
            lost = len(lines)
        for line in lines[len(lines) - lost :]:
            self._lost += line.reports or 1
            with self._changed:
                self.dropped += not line.reports

    def _notices(self, count: int) -> "list[_Line]":
        """The line that reports ``count`` dropped lines, if there are any."""
        if not count:
            return []
        return [_Line(self._notice(count).encode(self._encoding, "backslashreplace"), count)]


class _Line(NamedTuple):
    data: bytes
    reports: int = 0
    """How many dropped lines it reports."""
