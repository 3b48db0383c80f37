"""What the relay itself says to one client, as JSON texts between the messages of others."""

import math
from collections.abc import Callable

from apptuner_relay.flow.sink import Sink
from apptuner_relay.flow.source import Source
from apptuner_relay.operator.traffic import Traffic
from apptuner_relay.wire import messages
from apptuner_relay.wire.frames import TEXT, frame

_COMPLAINT_INTERVAL_S = 1.0


class Notices:
    """Those to one client.

    :param seconds: the monotonic clock.
    :param now_ms: gives the time in ms since the epoch.
    """

    # Every client has one.
    __slots__ = ("_complained_s", "_seconds", "_sink", "_source", "_traffic", "now_ms")

    def __init__(
        self,
        sink: Sink,
        source: Source,
        traffic: Traffic,
        seconds: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        self._sink = sink
        self._source = source
        self._traffic = traffic
        self._seconds = seconds
        self.now_ms = now_ms
        self._complained_s = -math.inf

    def tell(self, *those: bytes) -> None:
        """Send messages, together."""
        for message in those:
            self._traffic.notices.said(len(message))
        self._sink.say(b"".join([frame(TEXT, message) for message in those]))

    def answer(self, message: bytes) -> None:
        """Send the answer to a message of the client, which is not read from while it doesn't take
        its answers."""
        self._traffic.notices.said(len(message))
        self._sink.say(frame(TEXT, message), self._source)

    def answer_ping(self, size: int) -> None:
        """Answer a ``ping`` of ``size`` bytes, and count it."""
        self._traffic.pings.passed(1, size, 0)
        self.answer(messages.pong(self.now_ms()))

    def complain(self, text: str) -> None:
        """Answer with an error that may be due for every message; at most once a second."""
        now_s = self._seconds()
        if now_s - self._complained_s >= _COMPLAINT_INTERVAL_S:
            self._complained_s = now_s
            self.answer(messages.error(text, self.now_ms()))
