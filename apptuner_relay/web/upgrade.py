"""Hands a connection on which HTTP has been spoken over to the WebSocket protocol.

Autobahn's own ``WebSocketResource`` does this too, but drops what came in one packet behind the
request: a client need not wait for the answer of its handshake to be sent before it sends frames
that a proxy, or the kernel, puts together with it.
"""

from typing import Any

from twisted.web.server import NOT_DONE_YET, Request

from apptuner_relay.protocol import RelayFactory
from apptuner_relay.wire.handshake import write_head


def upgrade(request: Request, factory: RelayFactory) -> int:
    """Have a protocol of ``factory`` take over the connection that ``request`` came by, beginning
    with the request itself; what to return from ``render``."""
    channel: Any = request.channel
    protocol: Any = factory.buildProtocol(channel.getPeer())
    fields = request.requestHeaders.getAllRawHeaders()
    channel.hand_over(protocol, write_head(request.uri, fields))
    return NOT_DONE_YET
