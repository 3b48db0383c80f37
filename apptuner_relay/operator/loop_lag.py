"""The event loop's lag: how late it makes a call that is due."""

import time
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from apptuner_relay.operator.traffic import Histogram

INTERVAL_S = 0.25
DELAYS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class LoopLag:
    """Schedules a call four times a second, and measures how late it is made.

    :param seconds: a monotonic clock: a wall clock that is set forward would look like lag.
    """

    def __init__(self, clock: IReactorTime, seconds: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds = seconds
        self._due_s = 0.0
        self._call: IDelayedCall | None = None
        self._worst_s = 0.0
        self.delays = Histogram(DELAYS_S)
        """Of every call, since the start."""

    def start(self) -> None:
        """Begin to measure."""
        self._due_s = self._seconds() + INTERVAL_S
        self._call = self._clock.callLater(INTERVAL_S, self._called)

    def stop(self) -> None:
        """Stop measuring. Harmless if it hasn't begun."""
        if self._call is not None and self._call.active():
            self._call.cancel()
        self._call = None

    @property
    def worst_s(self) -> float:
        """The worst lag since the last `take`, in seconds."""
        if self._call is None:
            return self._worst_s
        return max(self._worst_s, self._seconds() - self._due_s)

    def take(self) -> float:
        """Return `worst_s`, and reset it."""
        worst_s, self._worst_s = self.worst_s, 0.0
        return worst_s

    def _called(self) -> None:
        self.delays.observe(max(0.0, self._seconds() - self._due_s))
        self._worst_s = self.worst_s
        self.start()
