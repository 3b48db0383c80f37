"""What a connection over which saves are sent is in: the states, and what takes it from one to the
next. Pure: `save_pushing.SavePush` acts on it.
"""

from enum import Enum


class SaveState(Enum):
    """What it may be in."""

    AWAY = "away"
    """There is no connection."""
    LOOKING = "looking"
    """It is new, and the relay is telling who is there."""
    READY = "ready"
    """Nothing is under way."""
    MAKING = "making"
    """What is to be sent is being made, off the reactor's thread."""
    SENDING = "sending"
    """It is on its way."""
    CHECKING = "checking"
    """All is sent, and the relay is to say whether it keeps it."""


class SaveEvent(Enum):
    """What happens to it."""

    WELCOMED = "welcomed"
    """The relay has said its welcome."""
    TOLD = "told"
    """It is known who is there."""
    BEGIN = "begin"
    """A save is to be sent, or sent again, or sent to a phone that has come."""
    MADE = "made"
    """It is ready to be sent."""
    ASKED = "asked"
    """All is sent, and the relay will say whether it keeps it."""
    DONE = "done"
    """It is dealt with, or was given up."""
    LOST = "lost"
    """The connection is gone, or this program leaves."""


TRANSITIONS: dict[tuple[SaveState, SaveEvent], SaveState] = {
    (SaveState.AWAY, SaveEvent.WELCOMED): SaveState.LOOKING,
    (SaveState.LOOKING, SaveEvent.TOLD): SaveState.READY,
    (SaveState.READY, SaveEvent.BEGIN): SaveState.MAKING,
    (SaveState.MAKING, SaveEvent.MADE): SaveState.SENDING,
    (SaveState.MAKING, SaveEvent.DONE): SaveState.READY,
    (SaveState.SENDING, SaveEvent.ASKED): SaveState.CHECKING,
    (SaveState.SENDING, SaveEvent.DONE): SaveState.READY,
    (SaveState.CHECKING, SaveEvent.DONE): SaveState.READY,
    **{(state, SaveEvent.LOST): SaveState.AWAY for state in SaveState},
}
"""Nothing else happens."""
