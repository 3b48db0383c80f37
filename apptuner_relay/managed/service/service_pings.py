"""Finds out whether a managed service still answers, by ``pusher:ping``, and how long that takes.

Some services don't count a Ping of the WebSocket as life, and none charges for these.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from apptuner_relay.managed.protocol import service_frames

PING_S = 30.0
"""The service is pinged as often as this, or as often as it asks for."""
PONG_S = 30.0
"""How long it may say nothing after a ping."""
_LEAST_PING_S = 5.0


class ServicePings:
    """The pings of one connection.

    :param send: sends a message.
    :param hung: is called with the reason when the service has said nothing for too long.
    """

    def __init__(
        self, clock: IReactorTime, send: Callable[[bytes], None], hung: Callable[[str], None]
    ) -> None:
        self._clock = clock
        self._send = send
        self._hung = hung
        self._interval_s = PING_S
        self._heard_s = 0.0
        self._pinged_s: float | None = None
        """When the ping was sent that is not answered yet."""
        self._timer: IDelayedCall | None = None
        self._deadline: IDelayedCall | None = None

    def start(self, activity_timeout_s: float) -> None:
        """Begin to ping, at once.

        :param activity_timeout_s: after how much silence the service wants a ping.
        """
        self.stop()
        self._interval_s = max(_LEAST_PING_S, min(PING_S, activity_timeout_s))
        self._ping()

    def stop(self) -> None:
        """The connection is over."""
        for call in (self._timer, self._deadline):
            if call is not None and call.active():
                call.cancel()
        self._timer = self._deadline = self._pinged_s = None

    def heard(self) -> None:
        """Something has come. Anything is life."""
        self._heard_s = self._clock.seconds()

    def answered(self) -> float | None:
        """A ``pusher:pong`` has come. Returns the seconds since its ping; None where there was
        none."""
        pinged_s, self._pinged_s = self._pinged_s, None
        return None if pinged_s is None else self._clock.seconds() - pinged_s

    def _ping(self) -> None:
        self._pinged_s = now_s = self._clock.seconds()
        self._send(service_frames.PING)
        if self._deadline is None:
            self._deadline = self._clock.callLater(PONG_S, self._look, now_s)
        self._timer = self._clock.callLater(self._interval_s, self._ping)

    def _look(self, pinged_s: float) -> None:
        self._deadline = None
        if self._heard_s < pinged_s:
            self._hung(f"it said nothing for {PONG_S:g} s after a ping")
