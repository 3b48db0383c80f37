"""Whether a client is still there, and when to ask: the rules of WebSocket pings, and nothing else.
Pure.

Every client that is silent is pinged, be it only so that routers and balancers between keep the
connection. Who doesn't answer is given up, unless it is not read from at present (it is *held*, for
a slow phone's sake, for its rate or as its session moves): its answer is there, and can't be seen.

    ASLEEP  --silent for the interval--> ASKED (ping)
    ASKED   --a sign of life--> ASLEEP;  --held--> ASLEEP;  --silent for the time-out--> dead
    ASLEEP, held  --the interval, again and again--> ASLEEP (ping)
"""

from enum import Enum


class Call(Enum):
    """What is to be done."""

    NOTHING = "nothing"
    PING = "ping"
    DROP = "drop"


class Pulse:
    """One client's.

    :param interval_s: how long a client may be silent, until it is pinged.
    :param timeout_s: how long it may take to answer.
    :param now_s: the monotonic clock's time, as below.
    """

    __slots__ = ("_interval_s", "_timeout_s", "is_asked", "since_s")

    def __init__(self, interval_s: float, timeout_s: float, now_s: float) -> None:
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self.is_asked = False
        """Whether it was pinged, and its answer is due."""
        self.since_s = now_s
        """When it gave the last sign, or was pinged."""

    def ask(self, now_s: float) -> None:
        """It is pinged out of turn."""
        self.is_asked = True
        self.since_s = now_s

    def look(self, now_s: float, is_alive: bool, is_held: bool) -> Call:
        """Look at it. To be called at intervals.

        :param is_alive: whether it has given a sign of life since the last look.
        :param is_held: whether it is not read from now.
        """
        if is_alive or is_held:
            self.is_asked = False
        if is_alive:
            self.since_s = now_s
            return Call.NOTHING
        silent_s = now_s - self.since_s
        if self.is_asked:
            return Call.DROP if silent_s >= self._timeout_s else Call.NOTHING
        if silent_s < self._interval_s:
            return Call.NOTHING
        self.is_asked = not is_held
        self.since_s = now_s
        return Call.PING
