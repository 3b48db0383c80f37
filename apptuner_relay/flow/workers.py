"""Threads for work that is too long for the event loop, in steps of about a millisecond.

Steps are begun in the order in which they were submitted. A job that submits its next step when the
one before is done has its steps done in order, and gets no more than its share of the time.
"""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

from twisted.internet.interfaces import IReactorFromThreads

T = TypeVar("T")

MOST_THREADS = 2
_SWITCH_INTERVAL_S = 0.001
"""How long the event loop waits at most for the interpreter's lock, where a thread doesn't release
it by itself. The codecs do."""
_MOST_RESULTS = 4
"""How many results are handled before the event loop does something else."""

_Task = tuple[Callable[[], object], Callable[[object], None]]


class ThreadWorkers:
    """Does work beside the event loop: in daemon threads, which are started with the first work.

    :param count: how many; 0 for one fewer than there are processors, 1 to `MOST_THREADS`.
    """

    def __init__(self, reactor: IReactorFromThreads, count: int = 0) -> None:
        self._reactor = reactor
        self._count = count or max(1, min(MOST_THREADS, (os.cpu_count() or 1) - 1))
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._results: deque[tuple[Callable[[object], None], object]] = deque()
        self._is_called = False
        self._is_stopped = False
        self._threads: list[threading.Thread] = []

    def submit(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """Have ``work`` done. ``done`` is called in the reactor's thread with what it returned or
        raised. After `stop` nothing is done."""
        if self._is_stopped:
            return
        if not self._threads:
            sys.setswitchinterval(min(sys.getswitchinterval(), _SWITCH_INTERVAL_S))
            for number in range(1, self._count + 1):
                thread = threading.Thread(target=self._run, name=f"worker {number}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._tasks.put((work, done))  # type: ignore[arg-type]

    def stop(self) -> None:
        """Begin nothing more, and call back no more. Waits for the steps that are being done."""
        self._is_stopped = True
        self._results.clear()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _run(self) -> None:
        """Do work until `stop`. In a thread."""
        while (task := self._tasks.get()) is not None and not self._is_stopped:
            work, done = task
            self._results.append((done, do(work)))
            # Otherwise they would stay in memory until there is more to do.
            del task, work, done
            # `_deliver` clears this before it looks for results, so no result is left.
            if not self._is_called:
                self._is_called = True
                self._reactor.callFromThread(self._deliver)

    def _deliver(self) -> None:
        """Hand over results. In the reactor's thread."""
        self._is_called = False
        for _ in range(_MOST_RESULTS):
            if self._is_stopped or not self._results:
                return
            done, result = self._results.popleft()
            done(result)
        if self._results and not self._is_called:
            self._is_called = True
            self._reactor.callFromThread(self._deliver)


def do(work: Callable[[], object]) -> object:
    """What ``work`` returns, or the exception that it raises."""
    try:
        return work()
    except Exception as error:
        return error
