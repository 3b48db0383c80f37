"""Workers without threads."""

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from apptuner_relay.flow.workers import do

T = TypeVar("T")


class Inline:
    """In place of `ThreadWorkers`: does the work in the reactor's thread.

    :param at_once: whether `submit` does the work; otherwise `run` does.
    """

    def __init__(self, at_once: bool = True) -> None:
        self._at_once = at_once
        self._is_running = False
        self._tasks: deque[tuple[Callable[[], object], Callable[[object], None]]] = deque()

    def submit(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """See `ThreadWorkers.submit`."""
        self._tasks.append((work, done))  # type: ignore[arg-type]
        if self._at_once and not self._is_running:
            self.run()

    def run(self, most: int | None = None) -> int:
        """Do up to ``most`` tasks, and what they submit; returns how many there were."""
        count = 0
        self._is_running = True
        try:
            while self._tasks and (most is None or count < most):
                work, done = self._tasks.popleft()
                count += 1
                done(do(work))
        finally:
            self._is_running = False
        return count
