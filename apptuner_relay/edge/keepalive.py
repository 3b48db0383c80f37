"""Whether a peer is still there, and when to ask it: the rules of WebSocket pings. Pure.

A peer that is silent is pinged, if only to have the routers and load balancers between keep the
connection. A peer that leaves a ping unanswered is dropped, unless the relay doesn't read from it
at present (it is *held*: by the disk, by slow receivers, for its rate, or while its session moves):
its answer may be there, and can't be seen.

A peer that says something of itself at regular intervals, as released phones do every 30 s, isn't
pinged before it is due to speak, where these are little longer than the relay's: its radio may
sleep.

    ASLEEP        --silent for the interval, and not due to speak--> ASKED (ping)
    ASKED         --a sign of life--> ASLEEP;  --held--> ASLEEP;  --silent for the time-out--> drop
    ASLEEP, held  --the interval, again and again--> ASLEEP (ping)
"""

from enum import Enum

RHYTHM_LIMIT = 1.6
"""How many of the relay's intervals a peer's own may be long for the relay to wait for it: released
phones speak every 30 s, where the relay's interval is 20 s unless it is told otherwise."""
LATE_S = 1.0
"""By how much a peer may be late that speaks at regular intervals."""
LATELY_S = 1.0
"""A peer that was heard this shortly before is known to be alive without a ping."""


class KeepaliveAction(Enum):
    """What is to be done about a peer."""

    NOTHING = "nothing"
    PING = "ping"
    DROP = "drop"


class Keepalive:
    """The signs of life of one peer, and the ping that it hasn't answered.

    Signs of life are what it sends and, for one that is sent much, that it reads: that its sink has
    drained, which the connection tells by the sink's count.

    :param interval_s: how long a peer may be silent before it is pinged.
    :param timeout_s: how long it may take to answer.
    :param now_s: the monotonic clock's time, as below.
    """

    __slots__ = (
        "_answered_s",
        "_drains",
        "_has_sign",
        "_interval_s",
        "_rhythm_s",
        "_spoke_s",
        "_timeout_s",
        "heard_s",
        "is_asked",
        "since_s",
    )

    def __init__(self, interval_s: float, timeout_s: float, now_s: float) -> None:
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._drains = 0
        """How often the sink had drained at the last look."""
        self._has_sign = True
        """Whether something was received since the last look, or may be there unread."""
        self.heard_s = now_s
        """When something was received last."""
        self._answered_s = -1.0
        """When a Pong was received last."""
        self._spoke_s = now_s
        """When something else was received last, by the last look."""
        self._rhythm_s = 0.0
        """How long it was silent before, where the relay waits that long; else 0."""
        self.is_asked = False
        """Whether the peer was pinged, and its answer is due."""
        self.since_s = now_s
        """When it gave the last sign of life, or was pinged."""

    def heard(self, now_s: float) -> None:
        """Something was received."""
        self._has_sign = True
        self.heard_s = now_s

    def answered(self) -> None:
        """What was just `heard` is a Pong."""
        self._answered_s = self.heard_s

    def read_again(self) -> None:
        """The relay reads from the peer again: what it has sent meanwhile, answers to pings too, is
        yet to be received."""
        self._has_sign = True

    def was_heard_lately(self, now_s: float) -> bool:
        """Whether the peer is known to be alive without a ping."""
        return now_s - self.heard_s < LATELY_S

    def last_sign_s(self, now_s: float, drains: int, is_held: bool) -> float:
        """When the peer gave the last sign of life; parameters as those of `look`."""
        reads = drains != self._drains
        if is_held or (reads and self.is_asked):
            # What it sends isn't read, or it has read something since it was asked.
            return now_s
        return max(self.heard_s, self.since_s) if reads else self.heard_s

    def ask(self, now_s: float, drains: int) -> bool:
        """Whether to ping the peer out of turn; False while an answer is due already."""
        if self.is_asked and not self._has_sign:
            return False
        self._has_sign, self._drains = False, drains
        self.is_asked = True
        self.since_s = now_s
        return True

    def look(self, now_s: float, drains: int, is_held: bool) -> KeepaliveAction:
        """What is to be done now. To be called at intervals.

        :param drains: how often the peer's sink has drained so far.
        :param is_held: whether the peer is not read from now.
        """
        is_alive = self._has_sign or drains != self._drains
        self._has_sign, self._drains = False, drains
        if is_alive or is_held:
            self.is_asked = False
        if is_alive:
            self._note_rhythm()
            self.since_s = now_s
            return KeepaliveAction.NOTHING
        silent_s = now_s - self.since_s
        if self.is_asked:
            is_over = silent_s >= self._timeout_s
            return KeepaliveAction.DROP if is_over else KeepaliveAction.NOTHING
        is_due_later = now_s < self._spoke_s + self._rhythm_s + LATE_S and self._rhythm_s > 0
        if silent_s < self._interval_s or is_due_later:
            return KeepaliveAction.NOTHING
        self.is_asked = not is_held
        self.since_s = now_s
        return KeepaliveAction.PING

    def _note_rhythm(self) -> None:
        """Note for how long the peer was silent before it spoke, if it did since the last look."""
        if self.heard_s in (self._answered_s, self._spoke_s):
            return
        silent_s, self._spoke_s = self.heard_s - self._spoke_s, self.heard_s
        is_rhythm = self._interval_s < silent_s <= RHYTHM_LIMIT * self._interval_s
        self._rhythm_s = silent_s if is_rhythm else 0.0
