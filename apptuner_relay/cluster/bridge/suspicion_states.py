"""The states of the suspicion that another relay's process has ended. Pure.

Two signs have to come together, twice each: the relay's host refuses connections, and the relay has
no connection to Redis. A process that is frozen or busy shows neither, as its kernel goes on
accepting connections and keeps those that there are. One that only refuses connections shows the
first alone.
"""

from enum import Enum


class SuspicionState(Enum):
    """How far it is known that the relay has ended."""

    TRUSTED = "trusted"
    """Nothing speaks against it."""
    DOUBTED = "doubted"
    """A connection for a client was refused. After a pause another one is tried."""
    ASKED = "asked"
    """That was refused as well. Redis is asked whether the relay is connected to it."""
    SILENT = "silent"
    """It is not. After a pause a third connection is tried."""
    CONFIRMING = "confirming"
    """That was refused, too. Redis is asked to end the relay's leases, if the same process is still
    not connected to it."""
    SETTLED = "settled"
    """The relay has ended, or it lives, or that can't be told. For a moment it is not doubted
    again."""


class SuspicionEvent(Enum):
    """What is seen of the relay."""

    NOT_REACHED = "not reached"
    """It has refused the connection for a client."""
    REFUSED = "refused"
    """It has refused a connection that was tried because of the doubt."""
    ACCEPTED = "accepted"
    """It has accepted that, or nothing was heard of it."""
    LIVES = "lives"
    """It is connected to Redis, has beaten meanwhile, or was started again."""
    SILENT = "silent"
    """It is not connected to Redis."""
    ENDED = "ended"
    """Its leases have ended."""
    UNKNOWN = "unknown"
    """Redis is unreachable, or this relay's own connection to it was lost a moment ago."""
    FORGOTTEN = "forgotten"
    """The moment is over."""


TRANSITIONS: dict[tuple[SuspicionState, SuspicionEvent], SuspicionState] = {
    (SuspicionState.TRUSTED, SuspicionEvent.NOT_REACHED): SuspicionState.DOUBTED,
    (SuspicionState.DOUBTED, SuspicionEvent.REFUSED): SuspicionState.ASKED,
    (SuspicionState.DOUBTED, SuspicionEvent.ACCEPTED): SuspicionState.SETTLED,
    (SuspicionState.ASKED, SuspicionEvent.SILENT): SuspicionState.SILENT,
    (SuspicionState.ASKED, SuspicionEvent.LIVES): SuspicionState.SETTLED,
    (SuspicionState.ASKED, SuspicionEvent.ENDED): SuspicionState.SETTLED,
    (SuspicionState.ASKED, SuspicionEvent.UNKNOWN): SuspicionState.SETTLED,
    (SuspicionState.SILENT, SuspicionEvent.REFUSED): SuspicionState.CONFIRMING,
    (SuspicionState.SILENT, SuspicionEvent.ACCEPTED): SuspicionState.SETTLED,
    (SuspicionState.CONFIRMING, SuspicionEvent.SILENT): SuspicionState.SETTLED,
    (SuspicionState.CONFIRMING, SuspicionEvent.LIVES): SuspicionState.SETTLED,
    (SuspicionState.CONFIRMING, SuspicionEvent.ENDED): SuspicionState.SETTLED,
    (SuspicionState.CONFIRMING, SuspicionEvent.UNKNOWN): SuspicionState.SETTLED,
    (SuspicionState.SETTLED, SuspicionEvent.FORGOTTEN): SuspicionState.TRUSTED,
}
"""What isn't in here changes nothing."""

ASKS = frozenset({SuspicionState.ASKED, SuspicionState.CONFIRMING})
"""The states in which Redis is asked."""


def next_state(state: SuspicionState, event: SuspicionEvent) -> SuspicionState:
    """What the suspicion of a relay is after an event."""
    return TRANSITIONS.get((state, event), state)
