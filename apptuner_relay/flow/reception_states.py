"""The states of a `reception.Reception`: what one phone has got of bundles. Pure."""

from apptuner_relay.support.plain_enum import PlainEnum


class ReceptionState(PlainEnum):
    """What a phone's connection has got of bundles."""

    WHOLE = "whole"
    """Whole ones only."""
    INSIDE = "inside"
    """The beginning of the newest one, of which there is more."""
    SKIPPING = "skipping"
    """Part of one that another has superseded, and nothing of that other one."""
    CUT = "cut"
    """Part of one, and the rest never comes: the connection is to be closed."""


class ReceptionEvent(PlainEnum):
    """What happens to the newest bundle of a phone."""

    PROMISED = "promised"
    """It begins, or is to be replayed, and supersedes what came before."""
    BEGUN = "begun"
    """Its first message has been sent, and there are more."""
    ENDED = "ended"
    """All of it has been sent, or a message in its place."""
    LOST = "lost"
    """What has not been sent of it never will be."""


TRANSITIONS: dict[tuple[ReceptionState, ReceptionEvent], ReceptionState] = {
    (ReceptionState.WHOLE, ReceptionEvent.PROMISED): ReceptionState.WHOLE,
    (ReceptionState.WHOLE, ReceptionEvent.BEGUN): ReceptionState.INSIDE,
    (ReceptionState.WHOLE, ReceptionEvent.ENDED): ReceptionState.WHOLE,
    (ReceptionState.WHOLE, ReceptionEvent.LOST): ReceptionState.WHOLE,
    (ReceptionState.INSIDE, ReceptionEvent.PROMISED): ReceptionState.SKIPPING,
    (ReceptionState.INSIDE, ReceptionEvent.BEGUN): ReceptionState.INSIDE,
    (ReceptionState.INSIDE, ReceptionEvent.ENDED): ReceptionState.WHOLE,
    (ReceptionState.INSIDE, ReceptionEvent.LOST): ReceptionState.CUT,
    (ReceptionState.SKIPPING, ReceptionEvent.PROMISED): ReceptionState.SKIPPING,
    (ReceptionState.SKIPPING, ReceptionEvent.BEGUN): ReceptionState.INSIDE,
    (ReceptionState.SKIPPING, ReceptionEvent.ENDED): ReceptionState.WHOLE,
    (ReceptionState.SKIPPING, ReceptionEvent.LOST): ReceptionState.CUT,
    (ReceptionState.CUT, ReceptionEvent.PROMISED): ReceptionState.CUT,
    (ReceptionState.CUT, ReceptionEvent.BEGUN): ReceptionState.CUT,
    (ReceptionState.CUT, ReceptionEvent.ENDED): ReceptionState.CUT,
    (ReceptionState.CUT, ReceptionEvent.LOST): ReceptionState.CUT,
}
