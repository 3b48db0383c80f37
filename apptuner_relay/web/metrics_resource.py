"""``GET /metrics``. What makes the answer is loaded when it is first asked for, in a thread: with
Prometheus' library it takes 20 ms and 2 MiB, which a relay that nobody scrapes does without.
"""

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from apptuner_relay.operator.meters import Meters
from apptuner_relay.web.headers import header
from apptuner_relay.web.json_body import JsonResource
from apptuner_relay.web.streaming import Reactor, in_thread

if TYPE_CHECKING:
    from apptuner_relay.web.metrics import Exposition


class MetricsResource(JsonResource):
    """The metrics.

    :param reactor: has the threads; None to load in the thread of the caller.
    """

    def __init__(self, meters: Meters, reactor: Reactor | None) -> None:
        super().__init__()
        self._meters = meters
        self._reactor = reactor
        self._exposition: Exposition | None = None

    def render_GET(self, request: Request) -> bytes | int:
        if self._exposition is None and self._reactor is not None:
            loading = in_thread(self._reactor, _load)
            Deferred.fromCoroutine(self._answer_later(request, loading))
            return NOT_DONE_YET
        return self._answer(request, self._exposition or self._make(_load()))

    async def _answer_later(self, request: Request, loading: "Deferred[type[Exposition]]") -> None:
        lost = list[Failure]()
        request.notifyFinish().addErrback(lost.append)
        try:
            body = self._answer(request, self._make(await loading))
        except Exception:  # as twisted.web does where a resource fails at once
            request.processingFailed(Failure())
            return
        if not lost:
            request.write(body)
            request.finish()

    def _make(self, kind: "type[Exposition]") -> "Exposition":
        self._exposition = self._exposition or kind(self._meters)
        return self._exposition

    def _answer(self, request: Request, exposition: "Exposition") -> bytes:
        body, content_type = exposition.encode(header(request, "accept") or "")
        request.setHeader(b"content-type", content_type.encode())
        request.setHeader(b"cache-control", b"no-store")
        request.setHeader(b"content-length", str(len(body)).encode())
        return b"" if request.method == b"HEAD" else body


def _load() -> "type[Exposition]":
    from apptuner_relay.web.metrics import Exposition

    return Exposition
