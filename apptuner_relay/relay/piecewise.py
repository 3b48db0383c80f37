"""`PiecewiseRound`: looks at every one of many, some in each turn of the reactor, so that nobody
waits for all of it.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

PIECE = 100
"""How many are looked at in one turn: a millisecond or two."""

T = TypeVar("T")


class PiecewiseRound(Generic[T]):
    """To be begun at intervals.

    :param all_of_them: those that are to be looked at, when a round begins.
    :param look: looks at one, which may be gone by then.
    """

    log = Logger()

    def __init__(
        self, clock: IReactorTime, all_of_them: Callable[[], Iterable[T]], look: Callable[[T], None]
    ) -> None:
        self._clock = clock
        self._all = all_of_them
        self._look = look
        self._left: Iterator[T] = iter(())
        self._next: IDelayedCall | None = None

    def begin(self) -> None:
        """Begin a round, unless the last one goes on. The first piece is looked at now."""
        if self._next is None:
            self._left = iter(tuple(self._all()))
            self._go_on()

    def stop(self) -> None:
        """Look at no more. Harmless where no round goes on."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _go_on(self) -> None:
        self._next = None
        piece = tuple(islice(self._left, PIECE))
        if len(piece) == PIECE:
            self._next = self._clock.callLater(0, self._go_on)
        for one in piece:
            try:
                self._look(one)
            except Exception:  # whatever is wrong with one, the others are looked at
                self.log.failure("a check of one of many has failed; it will be made again")
