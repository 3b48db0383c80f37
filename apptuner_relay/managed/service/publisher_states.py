"""The states of what publishes by a service's HTTP API. Pure."""

from enum import Enum


class PublisherState(Enum):
    """What becomes of an event that is to be published."""

    OPEN = "open"
    """It is published, as soon as its channel has no request in flight."""
    PAUSED = "paused"
    """It waits: the service can't be reached, or gets more requests than it allows."""
    REFUSED = "refused"
    """It is not taken: the service has refused one for a reason that all others would meet as
    well."""
    STOPPED = "stopped"
    """It is not taken: the relay stops."""


class PublisherEvent(Enum):
    """What happens to what publishes."""

    FAILED = "failed"
    """A request has failed, and a later one may succeed."""
    REFUSED = "refused"
    """The key, the secret or the application is wrong, or a quota is used up."""
    RESUME = "resume"
    """The time is over."""
    STOP = "stop"
    """The relay stops."""


TRANSITIONS: dict[tuple[PublisherState, PublisherEvent], PublisherState] = {
    (PublisherState.OPEN, PublisherEvent.FAILED): PublisherState.PAUSED,
    (PublisherState.OPEN, PublisherEvent.REFUSED): PublisherState.REFUSED,
    (PublisherState.PAUSED, PublisherEvent.REFUSED): PublisherState.REFUSED,
    (PublisherState.PAUSED, PublisherEvent.RESUME): PublisherState.OPEN,
    (PublisherState.REFUSED, PublisherEvent.RESUME): PublisherState.OPEN,
    (PublisherState.OPEN, PublisherEvent.STOP): PublisherState.STOPPED,
    (PublisherState.PAUSED, PublisherEvent.STOP): PublisherState.STOPPED,
    (PublisherState.REFUSED, PublisherEvent.STOP): PublisherState.STOPPED,
}
"""What isn't in here changes nothing."""
