"""``GET /api/status``: what the status page shows, as JSON. `Views.status` says what is in it."""

from twisted.web.server import Request

from apptuner_relay.operator.views import Views
from apptuner_relay.web.json_body import JsonResource, write_json


class StatusResource(JsonResource):
    """The relay's metrics now, today, in the last hour and on the last 30 days."""

    def __init__(self, views: Views) -> None:
        super().__init__()
        self._views = views

    def render_GET(self, request: Request) -> bytes:
        return write_json(request, self._views.status())
