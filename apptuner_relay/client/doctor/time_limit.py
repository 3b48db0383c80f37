"""How long checks may take: each for itself, and all together."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IReactorTime

_T = TypeVar("_T")


class OutOfTimeError(Exception):
    """All the time that there was is used up."""


class TimeLimit:
    """So many seconds, from its making on."""

    def __init__(self, clock: IReactorTime, total_s: float) -> None:
        self.clock = clock
        self._until_s = clock.seconds() + total_s

    @property
    def left_s(self) -> float:
        """How much is left; 0 or more."""
        return max(self._until_s - self.clock.seconds(), 0.0)

    def extend(self, seconds: float) -> None:
        """Give more."""
        self._until_s += seconds

    async def within(self, seconds: float, work: Coroutine[Any, Any, _T] | Deferred[_T]) -> _T:
        """What `work` returns. It is cancelled when it takes longer, or when all time is used up.

        :raises TimeoutError: it took that long.
        :raises OutOfTimeError: no time is left to begin it.
        """
        waiting = work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)
        if not self.left_s:
            waiting.addErrback(lambda _: None)
            waiting.cancel()
            raise OutOfTimeError
        is_late = False

        def give_up() -> None:
            nonlocal is_late
            is_late = True
            waiting.cancel()

        # Not `addTimeout`: it takes a connection that is given up for one that has failed.
        call = self.clock.callLater(min(seconds, self.left_s), give_up)
        try:
            return await waiting
        except (CancelledError, ConnectingCancelledError):
            raise (TimeoutError() if is_late else CancelledError()) from None
        finally:
            if call.active():
                call.cancel()


__all__ = ["OutOfTimeError", "TimeLimit", "TimeoutError"]
