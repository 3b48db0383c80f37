"""The states of an `upstream.Exchange`, a request that is forwarded, and the events that change
them.

Pure.
"""

from enum import Enum


class ExchangeState(Enum):
    """How far a forwarded request has got."""

    RECEIVING = "receiving"
    """The request is arriving, and the upstream has not been asked."""
    SENT = "sent"
    """The upstream has been asked, and its answer is awaited for ``--forward-timeout``."""
    ANSWERED = "answered"
    """The upstream has begun to answer, or has failed."""


class ExchangeEvent(Enum):
    """What happens to a forwarded request."""

    SENT = "sent"
    """The request goes to the upstream."""
    ANSWERED = "answered"
    """The head of the answer has arrived, or the upstream has failed or was given up."""


TRANSITIONS: dict[tuple[ExchangeState, ExchangeEvent], ExchangeState] = {
    (ExchangeState.RECEIVING, ExchangeEvent.SENT): ExchangeState.SENT,
    (ExchangeState.SENT, ExchangeEvent.ANSWERED): ExchangeState.ANSWERED,
}
"""An event that is missing for a state changes nothing."""
