"""``GET /api/nodes``: the relays that share their sessions with this one, as they are now."""

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from apptuner_relay.operator.meters import Meters
from apptuner_relay.operator.views import Views
from apptuner_relay.web.json_body import JsonResource, write_json


class NodesResource(JsonResource):
    """``{"node":"a","connections":42,"cluster":{"redis":"connected","nodes":[…],…}}``; ``cluster``
    is null for a relay that is alone. While Redis is unreachable, ``nodes`` are those that were
    seen last."""

    log = Logger()

    def __init__(self, meters: Meters, views: Views) -> None:
        super().__init__()
        self._meters = meters
        self._views = views

    def render_GET(self, request: Request) -> bytes | int:
        cluster = self._meters.cluster
        if cluster is None:
            return self._write(request)
        looking = cluster.look()
        answering = looking.addCallback(lambda _: self._write(request))
        answering.addErrback(self._failed, request).addCallback(_finish, request)
        return NOT_DONE_YET

    def _failed(self, failure: Failure, request: Request) -> bytes:
        self.log.failure("GET /api/nodes has failed", failure)
        return write_json(request, {"error": "The relay has failed to list its nodes"}, 500)

    def _write(self, request: Request) -> bytes:
        meters = self._meters
        row = {
            "node": meters.node,
            "connections": meters.counters.connection_count,
            "cluster": self._views.cluster(),
        }
        return write_json(request, row)


def _finish(body: bytes, request: Request) -> None:
    if request.channel is not None:
        request.write(body)
        request.finish()
