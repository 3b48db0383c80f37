"""What waits to be sent on one connection to a managed service: it leaves at the rate that the
service allows and at the pace of the socket, and is bounded.

What the protocol itself needs goes in front of events. Events that wait when the connection ends
are lost, as the service promises no more either.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from apptuner_relay.access.bucket import TokenBucket

MOST_WAITING = 1000
MOST_WAITING_BYTES = 1024 * 1024
"""How many events may wait, and how many bytes they may have."""
BURST_S = 0.2
"""How many seconds' worth of the rate may be sent at once."""
SATURATED_S = 1.0
"""A connection on which events have waited for so long takes no further channels."""
_LEAST_WAIT_S = 0.001
"""A timer that comes too early, by the rounding of a sum, is not set again for no time at all."""
_AT_ONCE = 50
"""How many messages are sent in one turn of the reactor."""


class SendRates(NamedTuple):
    """What a service takes from one connection in a second; None for any number."""

    events: float | None = None
    """Of events."""
    messages: float | None = None
    """Of all that is sent."""


class MessageOutlet(Protocol):
    """What sends a text message: `service_websocket.ServiceWebSocket`."""

    def send(self, message: bytes) -> None:
        """Send it."""


class WaitingEvent(NamedTuple):
    """An event that waits."""

    message: bytes
    on_sent: Callable[[], None]
    on_dropped: Callable[[], None]


@implementer(IPushProducer)
class PacedSender:
    """The queue of one connection. It is the producer of the socket."""

    def __init__(self, clock: IReactorTime, rates: SendRates) -> None:
        self._clock = clock
        self._request_buckets = _make_buckets(clock, rates.messages)
        self._event_buckets = self._request_buckets + _make_buckets(clock, rates.events)
        self._outlet: MessageOutlet | None = None
        self._requests: deque[Callable[[], bytes | None]] = deque()
        self._events: deque[WaitingEvent] = deque()
        self._waiting_bytes = 0
        self._waits_since_s: float | None = None
        self._is_paused = False
        self._timer: IDelayedCall | None = None

    @property
    def is_saturated(self) -> bool:
        """Whether events have been waiting for long."""
        since_s = self._waits_since_s
        return since_s is not None and self._clock.seconds() - since_s >= SATURATED_S

    def begin(self, outlet: MessageOutlet) -> None:
        """Messages can be sent from now on."""
        self._outlet, self._is_paused = outlet, False
        self._send_more()

    def end(self) -> None:
        """The connection is over. What waits is dropped."""
        self._outlet = None
        self._cancel_timer()
        self._requests.clear()
        events, self._events = self._events, deque()
        self._waiting_bytes, self._waits_since_s = 0, None
        for event in events:
            event.on_dropped()

    def request(self, make: Callable[[], bytes | None]) -> None:
        """Send what ``make`` returns when it is its turn, in front of all events; nothing, if that
        is None."""
        self._requests.append(make)
        self._send_more()

    def send_event(self, event: WaitingEvent) -> bool:
        """Send an event behind those before it. Returns whether there was room for it."""
        size = len(event.message)
        full = self._waiting_bytes + size > MOST_WAITING_BYTES or len(self._events) >= MOST_WAITING
        if self._outlet is None or full:
            return False
        self._events.append(event)
        self._waiting_bytes += size
        self._send_more()
        return True

    def pauseProducing(self) -> None:
        """See `IPushProducer`."""
        self._is_paused = True
        self._cancel_timer()

    def resumeProducing(self) -> None:
        """See `IPushProducer`."""
        self._is_paused = False
        self._send_more()

    def stopProducing(self) -> None:
        """See `IPushProducer`."""
        self._is_paused = True

    def _send_more(self) -> None:
        if self._timer is None:
            self._send_some()

    def _send_some(self) -> None:
        self._timer = None
        for _ in range(_AT_ONCE):
            outlet = self._outlet
            if outlet is None or self._is_paused or not (self._requests or self._events):
                break
            wait_s = self._take_token()
            if wait_s > 0:
                self._timer = self._clock.callLater(max(wait_s, _LEAST_WAIT_S), self._send_some)
                break
            self._send_one(outlet)
        else:
            if self._requests or self._events:
                self._timer = self._clock.callLater(0, self._send_some)
        if not self._events:
            self._waits_since_s = None
        elif self._waits_since_s is None:
            self._waits_since_s = self._clock.seconds()

    def _take_token(self) -> float:
        """Returns the seconds to wait; 0 if the next message may be sent now."""
        now_s = self._clock.seconds()
        buckets = self._request_buckets if self._requests else self._event_buckets
        wait_s = max((bucket.wait_s(now_s) for bucket in buckets), default=0.0)
        if wait_s == 0:
            for bucket in buckets:
                bucket.take(now_s)
        return wait_s

    def _send_one(self, outlet: MessageOutlet) -> None:
        if self._requests:
            message = self._requests.popleft()()
            if message is not None:
                outlet.send(message)
            return
        event = self._events.popleft()
        self._waiting_bytes -= len(event.message)
        outlet.send(event.message)
        event.on_sent()

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


def _make_buckets(clock: IReactorTime, rate_per_s: float | None) -> tuple[TokenBucket, ...]:
    if rate_per_s is None:
        return ()
    # A burst and what is added within a second are the rate together.
    burst = max(1.0, rate_per_s * BURST_S)
    return (TokenBucket(max(rate_per_s - burst, rate_per_s / 2), burst, clock.seconds()),)
