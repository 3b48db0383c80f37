"""The states of a client's placement: where its session is, as this relay sees it. Pure.

The session of a client is here, and the client a `Member` of it; or it is at the other end of a
link to its owner, and the client is a `RemoteMember`. Sessions move between relays, and their
clients follow them without being disconnected.
"""

from enum import Enum

from apptuner_relay.session.session import Arrival


class PlacementState(Enum):
    """Where the session of a client is."""

    FINDING = "finding"
    """The client has just connected. Its session's owner is being looked for."""
    LOCAL = "local"
    """The session is this relay's."""
    REMOTE = "remote"
    """The session is another relay's, and there is a link to that."""
    HALTED = "halted"
    """Likewise, and the session is about to move: the client's messages are held."""
    MOVING = "moving"
    """The session was handed over, and its new owner is being looked for. Nothing is lost."""
    LOST = "lost"
    """The session's owner has failed, or has lost the lease, and the new owner is being looked for.
    Messages may be lost."""
    CLOSING = "closing"
    """The client is being closed, and needs no place any more."""
    GONE = "gone"
    """The client is disconnected."""


class PlacementEvent(Enum):
    """What happens to a client's placement."""

    ENTERED = "entered"
    """The client has become a member of a session of this relay."""
    LINKED = "linked"
    """A link to the owner of the session was opened."""
    HALT = "halt"
    """The owner has asked for no more messages after the one that is under way."""
    RESUME = "resume"
    """The owner has asked to go on, as the rest of a bundle is missing."""
    SESSION_MOVED = "session moved"
    """The owner has handed over the session, and every message until then has arrived."""
    SESSION_LOST = "session lost"
    """The session has another owner, or the link to the owner was lost."""
    REFUSED = "refused"
    """The session has closed the client, or there is no place for it."""
    DISCONNECTED = "disconnected"
    """The client is disconnected."""


TRANSITIONS: dict[tuple[PlacementState, PlacementEvent], PlacementState] = {
    (PlacementState.FINDING, PlacementEvent.ENTERED): PlacementState.LOCAL,
    (PlacementState.FINDING, PlacementEvent.LINKED): PlacementState.REMOTE,
    (PlacementState.FINDING, PlacementEvent.REFUSED): PlacementState.CLOSING,
    (PlacementState.FINDING, PlacementEvent.DISCONNECTED): PlacementState.GONE,
    (PlacementState.LOCAL, PlacementEvent.SESSION_MOVED): PlacementState.MOVING,
    (PlacementState.LOCAL, PlacementEvent.SESSION_LOST): PlacementState.LOST,
    (PlacementState.LOCAL, PlacementEvent.REFUSED): PlacementState.CLOSING,
    (PlacementState.LOCAL, PlacementEvent.DISCONNECTED): PlacementState.GONE,
    (PlacementState.REMOTE, PlacementEvent.HALT): PlacementState.HALTED,
    (PlacementState.REMOTE, PlacementEvent.SESSION_MOVED): PlacementState.MOVING,
    (PlacementState.REMOTE, PlacementEvent.SESSION_LOST): PlacementState.LOST,
    (PlacementState.REMOTE, PlacementEvent.REFUSED): PlacementState.CLOSING,
    (PlacementState.REMOTE, PlacementEvent.DISCONNECTED): PlacementState.GONE,
    (PlacementState.HALTED, PlacementEvent.RESUME): PlacementState.REMOTE,
    (PlacementState.HALTED, PlacementEvent.SESSION_MOVED): PlacementState.MOVING,
    (PlacementState.HALTED, PlacementEvent.SESSION_LOST): PlacementState.LOST,
    (PlacementState.HALTED, PlacementEvent.REFUSED): PlacementState.CLOSING,
    (PlacementState.HALTED, PlacementEvent.DISCONNECTED): PlacementState.GONE,
    (PlacementState.MOVING, PlacementEvent.ENTERED): PlacementState.LOCAL,
    (PlacementState.MOVING, PlacementEvent.LINKED): PlacementState.REMOTE,
    (PlacementState.MOVING, PlacementEvent.REFUSED): PlacementState.CLOSING,
    (PlacementState.MOVING, PlacementEvent.DISCONNECTED): PlacementState.GONE,
    (PlacementState.LOST, PlacementEvent.ENTERED): PlacementState.LOCAL,
    (PlacementState.LOST, PlacementEvent.LINKED): PlacementState.REMOTE,
    (PlacementState.LOST, PlacementEvent.REFUSED): PlacementState.CLOSING,
    (PlacementState.LOST, PlacementEvent.DISCONNECTED): PlacementState.GONE,
    (PlacementState.CLOSING, PlacementEvent.DISCONNECTED): PlacementState.GONE,
}
"""What isn't in here changes nothing."""

READS_NO_MORE = frozenset({PlacementState.HALTED, PlacementState.MOVING, PlacementState.LOST})
"""The states in which only the message that is under way is still read from the client."""


def next_state(state: PlacementState, event: PlacementEvent) -> PlacementState:
    """What a client's state is after an event."""
    return TRANSITIONS.get((state, event), state)


def leaving_event(arrival: Arrival) -> PlacementEvent:
    """The event of a session that leaves, for a client that is to arrive elsewhere in this way."""
    if arrival is Arrival.MOVED:
        return PlacementEvent.SESSION_MOVED
    return PlacementEvent.SESSION_LOST
