"""Which sinks are too slow for the others."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from apptuner_relay.flow import Sink, Source

from apptuner_relay.wire.frames import CLOSE_TRY_AGAIN_LATER


class _Trial(NamedTuple):
    """How much a sink had taken, and when it was looked at."""

    since_s: float
    delivered: int
    full_since_s: float
    """When the first of its trials began that followed each other."""


class SlowSinks:
    """Watches the sinks whose transports are full, and has those that hold others up leave them, or
    cuts them.

    A sink is too slow when it never was rid of all that waits for ``slow_s`` seconds, took less
    than ``slow_rate`` bytes/s in them, and holds a source which has another sink that could take
    more. A sink that took nothing at all is cut even if it holds up nobody but its source.
    """

    def __init__(self, slow_rate: float, slow_s: float, seconds: Callable[[], float]) -> None:
        self._slow_rate = slow_rate
        self._slow_s = slow_s
        self._seconds = seconds
        self._trials: dict[Sink, _Trial] = {}

    def add(self, sink: "Sink") -> None:
        """``sink``'s transport is full; a trial that runs goes on."""
        if sink not in self._trials:
            now_s = self._seconds()
            self._trials[sink] = _Trial(now_s, sink.delivered, now_s)

    def discard(self, sink: "Sink") -> None:
        """``sink`` has sent all that it had, or is closed."""
        self._trials.pop(sink, None)

    def waits_s(self, sink: "Sink") -> float:
        """For how many seconds ``sink`` was never rid of all that waits; 0.0 when it is."""
        trial = self._trials.get(sink)
        return 0.0 if trial is None else max(0.0, self._seconds() - trial.full_since_s)

    def check(self) -> None:
        """Find those that are too slow by now. Call it every second or so."""
        now_s = self._seconds()
        for sink, trial in list(self._trials.items()):
            lasted_s = now_s - trial.since_s
            if lasted_s < self._slow_s or self._trials.get(sink) is not trial:
                continue
            took = sink.delivered - trial.delivered
            self._trials[sink] = _Trial(now_s, sink.delivered, trial.full_since_s)
            holding = [source for source in sink.holding if not source.gone]
            if not holding or took >= self._slow_rate * lasted_s:
                continue
            if took <= 0:
                sink.cut(CLOSE_TRY_AGAIN_LATER, f"too slow: read nothing for {lasted_s:.0f} s")
            elif _holds_up_others(sink, holding) and not sink.leave():
                sink.cut(
                    CLOSE_TRY_AGAIN_LATER,
                    f"too slow: under {self._slow_rate:g} bytes/s while others wait",
                )


def _holds_up_others(sink: "Sink", holding: "list[Source]") -> bool:
    return any(
        not (other is sink or other.full or other.closed)
        for source in holding
        for other in source.feeds
    )
