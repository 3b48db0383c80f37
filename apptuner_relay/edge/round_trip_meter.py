"""How long a ping and its answer take between the relay and one peer. Pure.

A ping wakes up a phone's radio, so hardly any is sent for this alone: one soon after the connection
is made, when the radio is still awake, and one now and then right after the peer was heard. All
others are those that `Keepalive` sends to a peer that is silent.
"""

from apptuner_relay.support.round_trip import RoundTrip

FIRST_S = 1.0
"""How long after its start a connection is pinged for the first time, at the next look."""
STALE_S = 300.0
"""The age from which a figure is measured again, when the peer was heard just before."""
_JUST_S = 2.0


class RoundTripMeter:
    """The pings to one peer that are timed.

    :param now_s: the monotonic clock's time, as below.
    """

    __slots__ = ("_asked_s", "_began_s", "_number", "last")

    def __init__(self, now_s: float) -> None:
        self._began_s = now_s
        self._number = 0
        self._asked_s: float | None = None
        """When the last ping went out; None where it isn't timed, or was answered."""
        self.last: RoundTrip | None = None
        """The last one that was measured."""

    def ping(self, now_s: float, is_alone: bool) -> bytes:
        """A ping goes out.

        :param is_alone: whether nothing is on its way that it would wait behind: else it isn't
            timed.
        :return: its payload, by which its answer is known.
        """
        self._number += 1
        self._asked_s = now_s if is_alone else None
        return b"%d" % self._number

    def pong(self, payload: bytes, now_s: float) -> bool:
        """A Pong has come. Whether that measured something: it may be one that nobody asked for."""
        if self._asked_s is None or payload != b"%d" % self._number:
            return False
        self.last = RoundTrip(max(0.0, now_s - self._asked_s), now_s)
        self._asked_s = None
        return True

    def is_due(self, now_s: float, heard_s: float) -> bool:
        """Whether to ping the peer just to measure.

        :param heard_s: when it was heard last.
        """
        if self.last is None:
            # Once: to one that doesn't answer no other ping is sent for this.
            return not self._number and now_s - self._began_s >= FIRST_S
        return now_s - self.last.at_s >= STALE_S and now_s - heard_s < _JUST_S
