"""How to reach a host, for the companion's connections."""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS


def endpoint_of(reactor: Any, host: str, port: int, secure: bool) -> IStreamClientEndpoint:
    """Where a host is; a `secure` one with its certificate and name verified."""
    plain = HostnameEndpoint(reactor, host, port)
    if not secure:
        return plain
    encrypted: IStreamClientEndpoint = wrapClientTLS(optionsForClientTLS(host), plain)
    return encrypted
