"""``GET /health``: for uptime monitors and load balancers."""

from twisted.web.server import Request

from apptuner_relay.service import RelayService
from apptuner_relay.web.json import JsonResource, write_json


class HealthResource(JsonResource):
    """``{"status":"ok","connections":42,"sessions":7}``; readable from any web page (CORS)."""

    def __init__(self, relay: RelayService) -> None:
        super().__init__()
        self._relay = relay

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"access-control-allow-origin", b"*")
        return write_json(
            request,
            {
                "status": "ok",
                "connections": self._relay.connections,
                "sessions": len(self._relay.sessions),
            },
        )
