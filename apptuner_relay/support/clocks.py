"""The two clocks. A time of one is never compared with a time of the other.

The *monotonic clock* measures durations: timers, timeouts, times to live, rates, ages. Nobody sets
it. It is the reactor's, or a `task.Clock`. Names: ``clock``, ``seconds``.

The *wall clock* tells the time of day, in seconds since the epoch: for people, for signed or stored
data, for other machines. NTP, an operator or a resumed virtual machine may set it, forward or back
by any amount. Name: ``wall_s``.
"""

import time
from collections.abc import Callable
from typing import Any

WallClock = Callable[[], float]
"""Returns the time of day, in seconds since the epoch."""


def in_ms(time_s: float) -> int:
    """A time in whole milliseconds, as in messages and JSON."""
    return int(time_s * 1000)


def use_monotonic_clock(reactor: Any) -> None:
    """Have a Twisted reactor use the monotonic clock. A second call does nothing.

    Twisted's reactors use ``time.time()``. If that clock is put back by an hour, no timer runs for
    that hour, not even systemd's watchdog's; if it is put forward, all timers run at once. Twisted
    has no option for this. But ``seconds`` (`IReactorTime`) is the only clock that a reactor reads,
    and it looks the method up each time. Call this before anything else asks the reactor for the
    time. Calls that are already scheduled keep the rest of their delay.
    """
    if reactor.seconds is time.monotonic:
        return
    calls = [(call, call.getTime() - reactor.seconds()) for call in reactor.getDelayedCalls()]
    reactor.seconds = time.monotonic
    for call, left_s in calls:
        # All are shifted by the same amount, so their order in the reactor stays right.
        call.seconds = time.monotonic
        call.time, call.delayed_time = time.monotonic() + left_s, 0.0
