"""``GET /api/events``: the status as server-sent events (WHATWG HTML §9.2), for the status page.

A listener gets one ``status`` event at once and one every `INTERVAL_S`. Events are made once for
all listeners, and only while there are any. A listener that is too slow misses events; one that
reads nothing for `PATIENCE_S` is dropped.
"""

from collections.abc import Callable, Mapping

from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from apptuner_relay.web.json_body import JsonResource, write_json
from apptuner_relay.wire.messages import compact_json

INTERVAL_S = 2.0
PATIENCE_S = 30.0
MAX_LISTENERS = 32
_RETRY_MS = 2000


class EventsResource(JsonResource):
    """Streams ``status()``, a JSON object.

    :param clock: the reactor, or a `task.Clock`.
    """

    log = Logger()

    def __init__(self, status: Callable[[], Mapping[str, object]], clock: IReactorTime) -> None:
        super().__init__()
        self._status = status
        self._clock = clock
        self._listeners: set[_Listener] = set()
        self._call = LoopingCall(self._send)
        self._call.clock = clock

    def render_GET(self, request: Request) -> bytes | int:
        if len(self._listeners) >= MAX_LISTENERS:
            return _refuse(request)
        _set_headers(request)
        listener = _Listener(request, self._clock)
        self._listeners.add(listener)
        request.notifyFinish().addBoth(self._gone, listener)
        request.registerProducer(listener, True)
        request.write(b"retry: %d\n\n" % _RETRY_MS)
        listener.send(self._event())
        if not self._call.running:
            self._call.start(INTERVAL_S, now=False).addErrback(self._failed)
        return NOT_DONE_YET

    def render_HEAD(self, request: Request) -> bytes:
        if len(self._listeners) >= MAX_LISTENERS:
            return _refuse(request)
        _set_headers(request)
        return b""

    def _event(self) -> bytes:
        return b"event: status\ndata: " + compact_json(self._status()) + b"\n\n"

    def _send(self) -> None:
        event = self._event()
        for listener in tuple(self._listeners):
            if listener.stuck_s > PATIENCE_S:
                listener.drop()
            else:
                listener.send(event)

    def _gone(self, _: object, listener: "_Listener") -> None:
        self._listeners.discard(listener)
        if not self._listeners and self._call.running:
            self._call.stop()

    def _failed(self, failure: Failure) -> None:
        self.log.failure(
            "the events of the status page have failed; the page will connect again", failure
        )
        for listener in tuple(self._listeners):
            listener.drop()


@implementer(IPushProducer)
class _Listener:
    """One listener. While it is paused, only the latest event is kept for it."""

    def __init__(self, request: Request, clock: IReactorTime) -> None:
        self._request = request
        self._clock = clock
        self._paused_s: float | None = None
        self._missed: bytes | None = None

    @property
    def stuck_s(self) -> float:
        """For how many seconds it has been paused."""
        return 0.0 if self._paused_s is None else self._clock.seconds() - self._paused_s

    def send(self, event: bytes) -> None:
        if self._paused_s is None:
            self._request.write(event)
        else:
            self._missed = event

    def drop(self) -> None:
        channel = self._request.channel
        if channel is not None:
            channel.forceAbortClient()

    def pauseProducing(self) -> None:
        if self._paused_s is None:
            self._paused_s = self._clock.seconds()

    def resumeProducing(self) -> None:
        self._paused_s = None
        missed, self._missed = self._missed, None
        if missed is not None:
            self._request.write(missed)

    def stopProducing(self) -> None:
        self._missed = None


def _set_headers(request: Request) -> None:
    request.setHeader(b"content-type", b"text/event-stream")
    request.setHeader(b"cache-control", b"no-store")
    # nginx would buffer the events otherwise.
    request.setHeader(b"x-accel-buffering", b"no")


def _refuse(request: Request) -> bytes:
    request.setHeader(b"retry-after", b"10")
    text = f"Already {MAX_LISTENERS} listeners, the most there may be"
    return write_json(request, {"error": text}, 503)
