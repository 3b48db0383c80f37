"""The states of a `follower.Follower`, and the events that change them. Pure."""

from apptuner_relay.support.plain_enum import PlainEnum


class FollowerState(PlainEnum):
    """What a follower waits for."""

    HELD = "held"
    """An answer, such as whether the phone has this bundle already. It keeps its place in the
    queue, and sends nothing."""
    QUEUED = "queued"
    """Its turn: other messages of its connection go first."""
    SENDING = "sending"
    """Nothing: it is sending right now."""
    HEAD = "head"
    """More of the log: it has sent all that there is so far."""
    FULL = "full"
    """Room: the connection takes no more."""
    READING = "reading"
    """The disk: what is next isn't in memory."""
    OVER = "over"
    """Nothing: it has ended."""


class FollowerEvent(PlainEnum):
    """What happens to a follower."""

    RELEASED = "released"
    """The answer is there, and it may send."""
    TURN = "turn"
    """It is at the front of the queue, and there is room, or more of the log."""
    CAUGHT_UP = "caught up"
    """It has sent all that there is so far of a log that grows."""
    FILLED_UP = "filled up"
    """The connection didn't take all that it was offered."""
    YIELDED = "yielded"
    """It is between two messages, the next hasn't begun, and another entry of the queue has
    something to send: that goes first."""
    MISSED = "missed"
    """The next bytes of the file aren't in memory: a thread fetches them."""
    READ = "read"
    """They are there, or can't be read."""
    ENDED = "ended"
    """It has sent all of the log, was superseded, or can't go on; or the connection is closed."""


TRANSITIONS: dict[tuple[FollowerState, FollowerEvent], FollowerState] = {
    (FollowerState.HELD, FollowerEvent.RELEASED): FollowerState.QUEUED,
    (FollowerState.QUEUED, FollowerEvent.TURN): FollowerState.SENDING,
    (FollowerState.HEAD, FollowerEvent.TURN): FollowerState.SENDING,
    (FollowerState.FULL, FollowerEvent.TURN): FollowerState.SENDING,
    (FollowerState.SENDING, FollowerEvent.CAUGHT_UP): FollowerState.HEAD,
    (FollowerState.SENDING, FollowerEvent.FILLED_UP): FollowerState.FULL,
    (FollowerState.SENDING, FollowerEvent.MISSED): FollowerState.READING,
    (FollowerState.HEAD, FollowerEvent.FILLED_UP): FollowerState.FULL,
    (FollowerState.HEAD, FollowerEvent.YIELDED): FollowerState.QUEUED,
    (FollowerState.READING, FollowerEvent.READ): FollowerState.SENDING,
    (FollowerState.HELD, FollowerEvent.ENDED): FollowerState.OVER,
    (FollowerState.QUEUED, FollowerEvent.ENDED): FollowerState.OVER,
    (FollowerState.SENDING, FollowerEvent.ENDED): FollowerState.OVER,
    (FollowerState.HEAD, FollowerEvent.ENDED): FollowerState.OVER,
    (FollowerState.FULL, FollowerEvent.ENDED): FollowerState.OVER,
    (FollowerState.READING, FollowerEvent.ENDED): FollowerState.OVER,
}
"""An event that is missing for a state changes nothing."""


class FollowerEnd(PlainEnum):
    """How a follower ended."""

    WHOLE = "whole"
    """It has sent all of the log, or a frame in its place."""
    SUPERSEDED = "superseded"
    """It was to go no further, and no part of a message was sent without its rest."""
    CUT = "cut"
    """The log was cut, and all of its whole messages were sent; or nothing of it can be read."""
    BROKEN = "broken"
    """Part of a message was sent, and the rest can't be: the connection was closed."""
