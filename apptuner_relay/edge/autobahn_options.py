"""Autobahn's options for the relay's connections, whoever has opened them."""

from typing import Any

COMMON_OPTIONS: dict[str, Any] = {
    # The relay has time-outs of its own, on the service's clock.
    "openHandshakeTimeout": 0,
    "closeHandshakeTimeout": 0,
    "autoPingInterval": 0,
    "echoCloseCodeReason": True,
    "failByDrop": False,
    "tcpNoDelay": True,
}
