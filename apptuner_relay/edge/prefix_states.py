"""What a connection waits for before HTTP begins on it, at an endpoint with a ``proxy:`` or a
``tls:`` prefix. Pure: `prefixes.PrefixProtocol` has the connection.
"""

from enum import Enum


class PrefixState(Enum):
    """What a connection may be in."""

    PROXY_HEADER = "proxy header"
    """The load balancer's PROXY header is due, whole."""
    FIRST_BYTE = "first byte"
    """The first byte of the client's is due: it shows whether the client speaks TLS."""
    HANDED_ON = "handed on"
    """TLS or HTTP has the connection."""
    REJECTED = "rejected"
    """The connection is being closed, and what is received is dropped."""


class PrefixEvent(Enum):
    """What happens to a connection."""

    HEADER_READ = "header read"
    """The PROXY header was received, whole."""
    HAND_ON = "hand on"
    """The client has begun, as it should."""
    REJECT = "reject"
    """What was received is wrong, or took too long."""


TRANSITIONS: dict[tuple[PrefixState, PrefixEvent], PrefixState] = {
    (PrefixState.PROXY_HEADER, PrefixEvent.HEADER_READ): PrefixState.FIRST_BYTE,
    (PrefixState.PROXY_HEADER, PrefixEvent.REJECT): PrefixState.REJECTED,
    (PrefixState.FIRST_BYTE, PrefixEvent.HAND_ON): PrefixState.HANDED_ON,
    (PrefixState.FIRST_BYTE, PrefixEvent.REJECT): PrefixState.REJECTED,
}
"""What isn't in here changes nothing."""
