"""Which clock is for what. Two tell the time, and no value of one is compared with the other's.

The *monotonic clock* measures how long something takes: timers, time-outs, times to live,
allowances, ages. Nobody sets it. It is the reactor's, or a `task.Clock`, and goes by ``clock`` or
``seconds``.

The *wall clock* tells the time of day, in seconds since the epoch: for people, for what is signed
or kept, for other machines. NTP, an operator or a resumed virtual machine may set it, either way
and by any amount. It goes by ``wall_s``.
"""

import time
from collections.abc import Callable
from typing import Any

WallClock = Callable[[], float]
"""Tells the time of day, in seconds since the epoch."""


def in_ms(time_s: float) -> int:
    """A time as the wire and JSON have it, in milliseconds."""
    return int(time_s * 1000)


def use_monotonic_clock(reactor: Any) -> None:
    """Have a Twisted reactor go by the monotonic clock. Harmless when it does already.

    Twisted's reactors go by ``time.time()``: were the clock put back by an hour, no timer would run
    for that hour, systemd's watchdog's included; were it put forward, all would run at once. There
    is no option for it, but ``seconds`` (`IReactorTime`) is the only clock that they read, and they
    read it anew each time. To be called before anything else takes a time from the reactor; calls
    that are scheduled already keep what is left of their time.
    """
    if reactor.seconds is time.monotonic:
        return
    calls = [(call, call.getTime() - reactor.seconds()) for call in reactor.getDelayedCalls()]
    reactor.seconds = time.monotonic
    for call, left_s in calls:
        # All of them are shifted alike, so they stay in the reactor's order.
        call.seconds = time.monotonic
        call.time, call.delayed_time = time.monotonic() + left_s, 0.0
