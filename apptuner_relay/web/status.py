"""``GET /api/status``: what the status page shows, as JSON. `Meters.status` says what is in it."""

from twisted.web.server import Request

from apptuner_relay.service import RelayService
from apptuner_relay.web.json import JsonResource, write_json


class StatusResource(JsonResource):
    """The relay's figures now, today, in the last hour and on the last 30 days."""

    def __init__(self, relay: RelayService) -> None:
        super().__init__()
        self._relay = relay

    def render_GET(self, request: Request) -> bytes:
        return write_json(request, self._relay.meters.status())
