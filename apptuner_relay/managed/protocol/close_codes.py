"""What to do when a service closes a connection or can't be reached, by the close code. Pure.

The codes are those of the Pusher protocol. Services differ in which one of a range they send, and
some say by ``pusher:error`` what they close for, so the range decides; what an error says without
a Close behind it is information only.
"""

from enum import Enum
from http import HTTPStatus
from typing import NamedTuple


class Reaction(Enum):
    """How a client comes back. In each case it waits, and all wait for different times: a service
    that restarts is not to be hit by everybody at once."""

    RECONNECT = "reconnect"
    """Soon."""
    BACK_OFF = "back off"
    """After a second or more, and longer each time: the service has too much to do, or breaks the
    protocol."""
    SLOWLY = "slowly"
    """After minutes. It will be refused until the operator changes something."""
    USE_TLS = "use TLS"
    """With TLS. A URL that says otherwise is the operator's to change, so that is `SLOWLY`, too."""


class CloseAdvice(NamedTuple):
    """What a close code says to whoever was closed."""

    reaction: Reaction
    text: str
    """What is the matter, for the operator."""

    @property
    def is_permanent(self) -> bool:
        """Whether the operator has to change something."""
        return self.reaction in (Reaction.SLOWLY, Reaction.USE_TLS)


OVER_CONNECTION_QUOTA = 4004
"""More connections than the plan or the server allows."""

_KNOWN: dict[int, CloseAdvice] = {
    4000: CloseAdvice(Reaction.USE_TLS, "the service takes connections with TLS only"),
    4001: CloseAdvice(
        Reaction.SLOWLY, "the service has no application with this key: look at the URL's KEY"
    ),
    4003: CloseAdvice(Reaction.SLOWLY, "the application is disabled at the service"),
    OVER_CONNECTION_QUOTA: CloseAdvice(
        Reaction.SLOWLY, "the application has more connections than its plan allows"
    ),
    4005: CloseAdvice(
        Reaction.SLOWLY, "the service has nothing at this path: look at the URL's prefix"
    ),
    4006: CloseAdvice(Reaction.SLOWLY, "the service does not understand our version"),
    4007: CloseAdvice(Reaction.SLOWLY, "the service does not speak version 7 of the protocol"),
    4008: CloseAdvice(Reaction.SLOWLY, "the service has missed the version of the protocol"),
    4009: CloseAdvice(
        Reaction.SLOWLY, "the service does not authorize us: look at --managed-secret"
    ),
    4100: CloseAdvice(Reaction.BACK_OFF, "the service is over its capacity, or over a quota"),
    4200: CloseAdvice(Reaction.RECONNECT, "the service restarts, or asks to connect anew"),
    4201: CloseAdvice(Reaction.RECONNECT, "the service has missed our pong"),
    4202: CloseAdvice(Reaction.RECONNECT, "the service has closed a connection that was idle"),
    4301: CloseAdvice(
        Reaction.BACK_OFF,
        "the service refuses our events: client events are off, or come too often",
    ),
    4302: CloseAdvice(Reaction.BACK_OFF, "the service has failed"),
}
_RANGES: tuple[tuple[range, CloseAdvice], ...] = (
    (range(1002, 1005), CloseAdvice(Reaction.BACK_OFF, "the service says that we break RFC 6455")),
    (range(4000), CloseAdvice(Reaction.RECONNECT, "the connection to the service is lost")),
    (range(4000, 4100), CloseAdvice(Reaction.SLOWLY, "the service refuses the application")),
    (range(4100, 4200), CloseAdvice(Reaction.BACK_OFF, "the service has too much to do")),
    (range(4200, 4300), CloseAdvice(Reaction.RECONNECT, "the service asks to connect anew")),
)
_UNKNOWN = CloseAdvice(Reaction.BACK_OFF, "the service has closed the connection")
_HINTS: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "the signature is wrong: look at --managed-secret",
}


def advise(code: int | None) -> CloseAdvice:
    """What a Close with that code says.

    :param code: None where the connection has ended without a Close, or was not made.
    """
    if code is None:
        return _RANGES[1][1]
    known = _KNOWN.get(code)
    if known is not None:
        return known
    return next((advice for codes, advice in _RANGES if code in codes), _UNKNOWN)


def explain_error(code: int | None, text: str) -> str:
    """What a ``pusher:error`` or a ``pusher:subscription_error`` means, for the operator.

    :param code: of which some are HTTP statuses.
    :param text: the service's own words, as `envelopes.read_error` has them.
    """
    known = _KNOWN.get(code) if code is not None else None
    if known is not None:
        hint: str | None = known.text
    else:
        hint = _HINTS.get(code) if code is not None else None
    parts = [str(code)] if code is not None else []
    said = f"{' '.join([*parts, text])}".strip() or "an error without a text"
    return f"{said} ({hint})" if hint else said
