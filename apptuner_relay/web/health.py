"""``GET /health``, ``/ready`` and ``/live``: for uptime monitors, load balancers and container
platforms. Open to everybody, so they tell what everybody may know.
"""

from twisted.web.server import Request

from apptuner_relay import __version__
from apptuner_relay.meters.cluster import claims_row
from apptuner_relay.service import RelayService
from apptuner_relay.web.json import JsonResource, write_json


class HealthResource(JsonResource):
    """``{"status":"ok","connections":42,"sessions":7,…}``, readable from any web page (CORS).

    503 with ``"status":"degraded"`` or ``"draining"`` and ``"reasons":[text…]`` while new clients
    had better go elsewhere. A relay that shares its sessions adds ``"node"`` and ``"cluster"``. It
    goes on when its Redis is away, so that is no reason.
    """

    def __init__(self, relay: RelayService) -> None:
        super().__init__()
        self._relay = relay

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"access-control-allow-origin", b"*")
        meters = self._relay.meters
        body: dict[str, object] = {
            "status": meters.state,
            "connections": self._relay.connections,
            "sessions": len(self._relay.sessions),
            "uptime_s": int(meters.uptime_s),
            "version": __version__,
        }
        if meters.cluster is not None:
            body["node"] = meters.node
            body["cluster"] = {
                "redis": meters.cluster.directory.state,
                **claims_row(meters.cluster.claims),
                "nodes": len(meters.cluster.nodes),
                "bridged": meters.cluster.bridged_count,
                "visitors": meters.visitors,
            }
        if meters.state == "ok":
            return write_json(request, body)
        return write_json(request, body | {"reasons": meters.reasons}, 503)


class ReadyResource(JsonResource):
    """``{"status":"ready"}``; 503 while the relay takes in nobody.

    One that is degraded is still ready: a platform that took the only one out of service, or all
    of them under the same load, would make it worse.
    """

    def __init__(self, relay: RelayService) -> None:
        super().__init__()
        self._relay = relay

    def render_GET(self, request: Request) -> bytes:
        if self._relay.meters.draining:
            return write_json(request, {"status": "draining"}, 503)
        if not self._relay.running:
            return write_json(request, {"status": "starting"}, 503)
        return write_json(request, {"status": "ready"})


class LiveResource(JsonResource):
    """``{"status":"alive"}``: the process answers. Whatever else is wrong, a restart would not
    help."""

    def __init__(self, relay: RelayService) -> None:
        super().__init__()

    def render_GET(self, request: Request) -> bytes:
        return write_json(request, {"status": "alive"})
