"""The states of the queue of `alerts.Alerts`, and the events that change them. Pure."""

from enum import Enum


class AlertQueueState(Enum):
    """What the queue of alerts does."""

    IDLE = "idle"
    """No alert waits."""
    SENDING = "sending"
    """The first alert is being sent."""
    PAUSED = "paused"
    """The receiver was unreachable: the first alert is sent again after a pause."""
    STOPPING = "stopping"
    """The relay shuts down: each alert that waits is sent once more."""
    STOPPED = "stopped"
    """Nothing is sent any more."""


class AlertQueueEvent(Enum):
    """What happens to the queue of alerts."""

    ADDED = "added"
    """An alert was added."""
    UNDELIVERED = "undelivered"
    """The first alert was not delivered, and another try may help."""
    PAUSE_OVER = "pause over"
    """The time of a pause is over."""
    EMPTIED = "emptied"
    """The last alert was delivered, or given up."""
    STOP = "stop"
    """The relay shuts down."""
    DEADLINE = "deadline"
    """The shutdown waits no longer."""


TRANSITIONS: dict[tuple[AlertQueueState, AlertQueueEvent], AlertQueueState] = {
    (AlertQueueState.IDLE, AlertQueueEvent.ADDED): AlertQueueState.SENDING,
    (AlertQueueState.IDLE, AlertQueueEvent.STOP): AlertQueueState.STOPPED,
    (AlertQueueState.SENDING, AlertQueueEvent.UNDELIVERED): AlertQueueState.PAUSED,
    (AlertQueueState.SENDING, AlertQueueEvent.EMPTIED): AlertQueueState.IDLE,
    (AlertQueueState.SENDING, AlertQueueEvent.STOP): AlertQueueState.STOPPING,
    (AlertQueueState.PAUSED, AlertQueueEvent.PAUSE_OVER): AlertQueueState.SENDING,
    (AlertQueueState.PAUSED, AlertQueueEvent.STOP): AlertQueueState.STOPPING,
    (AlertQueueState.STOPPING, AlertQueueEvent.EMPTIED): AlertQueueState.STOPPED,
    (AlertQueueState.STOPPING, AlertQueueEvent.DEADLINE): AlertQueueState.STOPPED,
}
"""An event that is missing for a state changes nothing."""
