"""Finds the clients that are too slow for others.

A client that follows a log in a file holds nobody up. Two kinds of clients may: one for which small
messages pile up, and one that follows a log that is in memory for want of a file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from apptuner_relay.flow.source import Fed, Source
from apptuner_relay.wire.frames import CLOSE_TRY_AGAIN_LATER

PATIENCE_S = 2.0
"""How long others wait for a client that takes nothing at all."""
BRIDGED_PATIENCE_S = 8.0
"""The same for a client that is connected to another relay. That relay reads up to 512 KiB at once,
and then nothing until its client has taken them."""


class Consumer(Fed, Protocol):
    """What is watched: a `sink.Sink`, which imports this module."""

    patience_s: float
    """`PATIENCE_S`, or `BRIDGED_PATIENCE_S`."""

    @property
    def delivered(self) -> int:
        """Bytes that have reached the peer so far."""

    @property
    def holding(self) -> set[Source]:
        """The sources that are held because of this sink."""

    def cut(self, code: int, reason: str) -> None:
        """Close it, with a close code and a reason."""


@dataclass
class _Watch:
    """The measurements of a sink in which something waits. Times are in seconds of the clock."""

    full_since_s: float
    """Since when something has waited in it without a pause."""
    since_s: float
    """Since when its pace is measured."""
    since_bytes: int
    """What it had taken by then."""
    moved_s: float
    """When it was last seen to have taken something."""
    moved_bytes: int
    """What it had taken by then."""


class SlowConsumers:
    """Watches the sinks whose transports are full, and closes those that hold others up.

    A sink is closed when it holds a source and

    - has taken nothing for its `Consumer.patience_s`, while another sink of that source could take
      more;
    - has taken less than ``slow_rate`` bytes/s for ``slow_s``, while another could take more;
    - has taken nothing for ``slow_s``, even if it holds up nobody but its source.
    """

    def __init__(self, slow_rate: float, slow_s: float, seconds: Callable[[], float]) -> None:
        self._slow_rate = slow_rate
        self._slow_s = slow_s
        self._seconds = seconds
        self._watched: dict[Consumer, _Watch] = {}

    def add(self, sink: Consumer) -> None:
        """Watch ``sink``: its transport is full, or more than the window waits there."""
        if sink not in self._watched:
            now_s, delivered = self._seconds(), sink.delivered
            self._watched[sink] = _Watch(now_s, now_s, delivered, now_s, delivered)

    def discard(self, sink: Consumer) -> None:
        """Stop watching ``sink``: it has sent all that waited, or is closed."""
        self._watched.pop(sink, None)

    def waits_s(self, sink: Consumer) -> float:
        """How many seconds ago ``sink`` last had sent all that waited; 0.0 when nothing waits."""
        watch = self._watched.get(sink)
        return 0.0 if watch is None else max(0.0, self._seconds() - watch.full_since_s)

    def check(self) -> None:
        """Close the sinks that are too slow. Call it about every second."""
        now_s = self._seconds()
        for sink, watch in tuple(self._watched.items()):
            if sink not in self._watched:
                continue
            delivered = sink.delivered
            if delivered > watch.moved_bytes:
                watch.moved_s, watch.moved_bytes = now_s, delivered
            sources = [source for source in sink.holding if not source.gone]
            if not sources:
                # Nobody waits for it: its time begins when somebody does.
                watch.since_s, watch.since_bytes = now_s, delivered
                watch.moved_s = now_s
                continue
            still_s, lasted_s = now_s - watch.moved_s, now_s - watch.since_s
            others_wait = any(
                other is not sink and not (other.full or other.closed)
                for source in sources
                for other in source.feeds
            )
            if still_s >= (sink.patience_s if others_wait else self._slow_s):
                sink.cut(CLOSE_TRY_AGAIN_LATER, f"too slow: read nothing for {still_s:.0f} s")
            elif lasted_s >= self._slow_s:
                took = delivered - watch.since_bytes
                watch.since_s, watch.since_bytes = now_s, delivered
                if others_wait and took < self._slow_rate * lasted_s:
                    sink.cut(
                        CLOSE_TRY_AGAIN_LATER,
                        f"too slow: under {self._slow_rate:g} bytes/s while others wait",
                    )
