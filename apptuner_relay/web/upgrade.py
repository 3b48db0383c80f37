"""Hands an HTTP connection over to the WebSocket protocol, and refuses what is no handshake.

Autobahn's own ``WebSocketResource`` does this too, but drops data that arrives in one piece with
the request. A client may send frames right behind its handshake, and a proxy or the kernel may put
them into one packet.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from apptuner_relay.web.json_body import write_json
from apptuner_relay.wire.handshake import write_head

if TYPE_CHECKING:
    from autobahn.twisted.websocket import WebSocketServerFactory

WEBSOCKET_VERSION = b"13"
_OTHER_VERSION = "Only WebSocket version 13 is spoken here"


class WebSocketResource(Resource):
    """A path that WebSocket clients connect to.

    :param find_factory: returns what makes their connections; called for each of them.
    :param refused: called with a handshake that is refused here, its HTTP status, and why.
    """

    isLeaf = True

    def __init__(
        self,
        find_factory: "Callable[[], WebSocketServerFactory]",
        refused: Callable[[Request, int, str], None],
    ) -> None:
        super().__init__()
        self._find_factory = find_factory
        self._refused = refused

    def render(self, request: Request) -> bytes | int:
        if request.method != b"GET" or not _asks_for_websocket(request):
            return self.refuse_other(request)
        if request.getHeader(b"sec-websocket-version") != WEBSOCKET_VERSION:
            self._refused(request, 426, _OTHER_VERSION)
            request.setHeader(b"sec-websocket-version", WEBSOCKET_VERSION)
            return write_json(request, {"error": _OTHER_VERSION}, 426)
        return upgrade(request, self._find_factory())

    def refuse_other(self, request: Request) -> bytes:
        """Answer a request that is no handshake."""
        request.setHeader(b"upgrade", b"websocket")
        return write_json(request, {"error": "This path takes WebSocket connections only"}, 426)


def _asks_for_websocket(request: Request) -> bool:
    """Upgrade is a list (RFC 9110 §7.8)."""
    fields: Sequence[bytes] = request.requestHeaders.getRawHeaders(b"upgrade", ())
    return b"websocket" in [name.strip().lower() for name in b",".join(fields).split(b",")]


def upgrade(request: Request, factory: "WebSocketServerFactory") -> int:
    """Have a protocol of ``factory`` take over the connection of ``request``, the request included.

    :return: the value to return from ``render``.
    """
    channel: Any = request.channel
    protocol: Any = factory.buildProtocol(channel.getPeer())
    fields = request.requestHeaders.getAllRawHeaders()
    channel.hand_over(protocol, write_head(request.uri, fields))
    return NOT_DONE_YET
