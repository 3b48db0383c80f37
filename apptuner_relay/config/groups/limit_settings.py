"""How much a client may send, and how long the relay waits for it."""

from dataclasses import dataclass
from typing import ClassVar

from apptuner_relay.config.option import option
from apptuner_relay.config.parsers import KIB, MIB, count, duration, limit, or_off, size


@dataclass(frozen=True)
class LimitSettings:
    """How much a client may send, and how long the relay waits for it.

    Sizes are in bytes, times in seconds.
    """

    HEADING: ClassVar[str] = "Limits"

    max_mobiles: int = option(
        "5",
        count(1, 1000),
        "Phones that a session may have at once. A dead one makes room for another",
    )
    max_pages: int = option(
        "10",
        count(1, 1000),
        "Dashboards and desktops together that a session may have at once. To make room for one "
        "more, the relay closes a dead one, or else the one that has been idle for longest",
    )
    max_message: int = option(
        "50MiB",
        size(KIB, 1024 * MIB),
        "Largest message that a client may send: all of its frames together, and inflated",
    )
    message_rate: int = option(
        "100",
        limit(1_000_000),
        "Messages per second that a client may send, and five times as many at once. Above that, "
        "console logs wait for up to a second; the relay then drops all but the last second's and "
        "says how many (warnings and errors have a rate of their own). For other messages the "
        "relay stops reading from the client for a while. Bundles always pass",
    )
    """Messages a second; 0 is for no limit."""
    window: int = option(
        "256KiB",
        size(16 * KIB, 64 * MIB),
        "Bytes of one sender that may wait in memory for a client before the relay stops reading "
        "from the sender: small messages, and long ones without a file for them, as with "
        "--spool-dir off. As many bytes of the relay's own notices may wait for a client",
        tune=True,
    )
    session_timeout: float = option(
        "30m",
        duration(1, 7 * 86400),
        "Close a session in which no client has sent a message for this time",
    )
    stall_timeout: float = option(
        "30s",
        duration(1, 3600),
        "Close (1008) a client that stops in the middle of a message for this time",
    )
    ping_interval: float = option(
        "20s",
        duration(0.1, 3600),
        "Ping a client that has sent nothing for this time",
    )
    ping_timeout: float = option(
        "20s",
        duration(0.1, 3600),
        "Close (1008) a client that does not answer a ping within this time",
        tune=True,
    )
    close_timeout: float = option(
        "5s",
        duration(0.1, 300),
        "Drop the connection of a client that does not finish the closing handshake within this "
        "time",
        tune=True,
    )
    drain_timeout: float = option(
        "30s",
        or_off(duration(0, 3600), 0.0),
        "Time that a stopping relay has to deliver the bundles on their way and, with --redis, to "
        "move sessions to other relays. 0 or off: close every client at once, as a second SIGTERM "
        "or SIGINT does",
    )
    drain_spread: float = option(
        "3s",
        or_off(duration(0, 600), 0.0),
        "Time over which a stopping relay spreads the closing of many sessions, so that their "
        "clients do not all reconnect at once. It takes less for a hundred sessions a second or "
        "fewer",
        tune=True,
    )
