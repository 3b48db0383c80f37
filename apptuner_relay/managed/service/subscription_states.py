"""The states of a subscription of a channel at a managed service. Pure."""

from enum import Enum


class SubscriptionState(Enum):
    """How far a subscription is."""

    WANTED = "wanted"
    """The service has not been asked, as there is no connection, or other channels are in front."""
    ASKED = "asked"
    """The service was asked, and has not answered."""
    SUBSCRIBED = "subscribed"
    """The relay is in the channel."""
    REFUSED = "refused"
    """The service has refused it, or has not answered. It is asked again after a while."""
    ENDED = "ended"
    """It is not wanted any more."""


class SubscriptionEvent(Enum):
    """What happens to a subscription."""

    ASK = "ask"
    """It is its turn: the service is asked."""
    SUCCEEDED = "succeeded"
    """The service has let the relay in, or says so once more."""
    FAILED = "failed"
    """The service has refused, or was silent for too long."""
    RETRY = "retry"
    """The time after a refusal is over."""
    LOST = "lost"
    """The connection was lost."""
    END = "end"
    """It is not wanted any more."""


TRANSITIONS: dict[tuple[SubscriptionState, SubscriptionEvent], SubscriptionState] = {
    (SubscriptionState.WANTED, SubscriptionEvent.ASK): SubscriptionState.ASKED,
    (SubscriptionState.ASKED, SubscriptionEvent.SUCCEEDED): SubscriptionState.SUBSCRIBED,
    (SubscriptionState.ASKED, SubscriptionEvent.FAILED): SubscriptionState.REFUSED,
    (SubscriptionState.ASKED, SubscriptionEvent.LOST): SubscriptionState.WANTED,
    (SubscriptionState.SUBSCRIBED, SubscriptionEvent.SUCCEEDED): SubscriptionState.SUBSCRIBED,
    (SubscriptionState.SUBSCRIBED, SubscriptionEvent.FAILED): SubscriptionState.REFUSED,
    (SubscriptionState.SUBSCRIBED, SubscriptionEvent.LOST): SubscriptionState.WANTED,
    (SubscriptionState.REFUSED, SubscriptionEvent.RETRY): SubscriptionState.WANTED,
    (SubscriptionState.REFUSED, SubscriptionEvent.SUCCEEDED): SubscriptionState.SUBSCRIBED,
    (SubscriptionState.REFUSED, SubscriptionEvent.LOST): SubscriptionState.WANTED,
    (SubscriptionState.WANTED, SubscriptionEvent.END): SubscriptionState.ENDED,
    (SubscriptionState.ASKED, SubscriptionEvent.END): SubscriptionState.ENDED,
    (SubscriptionState.SUBSCRIBED, SubscriptionEvent.END): SubscriptionState.ENDED,
    (SubscriptionState.REFUSED, SubscriptionEvent.END): SubscriptionState.ENDED,
}
"""What isn't in here changes nothing."""
