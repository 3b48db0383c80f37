"""``GET /health``, ``/ready`` and ``/live``: for uptime monitors, load balancers and container
platforms. They are open to everybody, so they say only what everybody may know.
"""

from twisted.web.server import Request

from apptuner_relay import __version__
from apptuner_relay.operator.cluster_view import claims_row
from apptuner_relay.operator.managed_view import managed_health
from apptuner_relay.relay.service import RelayService
from apptuner_relay.support.version import commit, deployed_as
from apptuner_relay.web.json_body import JsonResource, write_json


class HealthResource(JsonResource):
    """``{"status":"ok","connections":42,"sessions":7,…}``, readable from any web page (CORS).

    503 with ``"status":"degraded"`` or ``"draining"`` and ``"reasons":[text…]`` while load
    balancers should send new clients elsewhere. A relay that shares its sessions adds ``"node"``
    and ``"cluster"``. It goes on while Redis is unreachable, so that is no reason. One with a
    managed service adds ``"managed"``; while only that is missing, it is ``degraded`` with 200. One
    that ops/deploy has installed adds ``"release"``.
    """

    def __init__(self, relay: RelayService) -> None:
        super().__init__()
        self._relay = relay

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"access-control-allow-origin", b"*")
        meters = self._relay.meters
        body: dict[str, object] = {
            "status": meters.health.state,
            "connections": self._relay.connections,
            "sessions": len(self._relay.sessions),
            "uptime_s": int(meters.uptime_s),
            "version": __version__,
            "commit": commit(),
        }
        if (name := deployed_as()) is not None:
            body["release"] = name
        if meters.cluster is not None:
            body["node"] = meters.node
            body["cluster"] = {
                "redis": meters.cluster.directory.state,
                **claims_row(meters.cluster.claims),
                "nodes": len(meters.cluster.nodes),
                "bridged": meters.cluster.bridged_count,
                "visitors": meters.counters.inbound,
            }
        if meters.managed is not None:
            body["managed"] = managed_health(meters.managed)
        if meters.health.state != "ok":
            body["reasons"] = meters.health.reasons
        return write_json(request, body, 503 if meters.health.diverts else 200)


class ReadyResource(JsonResource):
    """``{"status":"ready"}``; 503 while the relay accepts no clients.

    A relay that is degraded is still ready: a platform that took the only relay out of service, or
    all of them under the same load, would make matters worse.
    """

    def __init__(self, relay: RelayService) -> None:
        super().__init__()
        self._relay = relay

    def render_GET(self, request: Request) -> bytes:
        if self._relay.meters.health.draining:
            return write_json(request, {"status": "draining"}, 503)
        if not self._relay.running:
            return write_json(request, {"status": "starting"}, 503)
        return write_json(request, {"status": "ready"})


class LiveResource(JsonResource):
    """``{"status":"alive"}``: the event loop answers. A restart would mend nothing else."""

    def __init__(self, relay: RelayService) -> None:
        super().__init__()

    def render_GET(self, request: Request) -> bytes:
        return write_json(request, {"status": "alive"})
