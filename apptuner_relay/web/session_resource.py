"""What all requests about one session have in common: an answer in JSON, which may take a while.
Where relays share their sessions, other relays may have it: see `PeerSessions`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import ensureDeferred
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import BadRequest
from apptuner_relay.web.json_body import JsonResource, write_json
from apptuner_relay.web.session_access import SecretRefused, SessionAccess
from apptuner_relay.web.streaming import Reactor, ResponseWriter

_SLOW_S = 30.0


class PeerSessions(Protocol):
    """The sessions that other relays have: `session_proxy.SessionProxy`."""

    def is_peer_request(self, request: Request, session_hash: str) -> bool:
        """Whether the request is from another relay, which has let its client in.

        :raises BadRequest: 401, the request has no valid proof of that.
        """

    async def answer(self, request: Request, writer: ResponseWriter, session_hash: str) -> bool:
        """Have the relay answer that has the session; False, and no answer, where that is no other
        one.

        :raises BadRequest: 503, the other relay can't be reached, or is of an earlier version.
        """

    async def is_elsewhere(self, session_hash: str) -> bool:
        """Whether another relay has the session."""


class SessionParts(NamedTuple):
    """What these resources share."""

    relay: RelayService
    access: SessionAccess
    peers: PeerSessions | None
    listening: Callable[[], Sequence[IAddress | None]]
    """Gives the addresses at which the relay speaks plain HTTP."""
    reactor: Reactor | None
    """Has the threads in which QR codes are made; None to make them at once."""


class SessionResource(JsonResource):
    """Answers requests about one session."""

    log = Logger()

    def __init__(self, parts: SessionParts) -> None:
        super().__init__()
        self.parts = parts
        self.relay = parts.relay

    def render(self, request: Request) -> bytes | int:
        request.setHeader(b"x-content-type-options", b"nosniff")
        return super().render(request)

    def begin(self, request: Request) -> int:
        """Begin to answer; to be called by ``render_`` methods."""
        clock: Any = self.relay.clock
        writer = ResponseWriter(request, clock, _SLOW_S)
        answering = ensureDeferred(self._run(request, writer))
        answering.addErrback(self._refuse, request, writer)
        answering.addErrback(self._fail, request, writer)
        return NOT_DONE_YET

    async def _run(self, request: Request, writer: ResponseWriter) -> None:
        value = await self.answer(request, writer)
        if value is not None and not writer.gone:
            writer.finish(write_json(request, value))

    async def answer(self, request: Request, writer: ResponseWriter) -> object | None:
        """What to answer; None where another relay has answered.

        :raises BadRequest: another status than 200.
        """
        raise NotImplementedError

    def _refuse(self, failure: Failure, request: Request, writer: ResponseWriter) -> None:
        """Answer a request that is refused, which is no fault of the relay."""
        failure.trap(BadRequest)
        no = failure.value
        assert isinstance(no, BadRequest)
        if writer.gone:
            return
        for name, value in no.headers:
            request.setHeader(name.encode(), value.encode())
        body: dict[str, object] = {"error": str(no)}
        if isinstance(no, SecretRefused):
            body["claimed"] = True
        writer.finish(write_json(request, body, no.status))

    def _fail(self, failure: Failure, request: Request, writer: ResponseWriter) -> None:
        self.log.failure("a request about a session could not be answered", failure)
        if request.startedWriting:
            writer.abort()
        elif not writer.gone:
            writer.finish(write_json(request, {"error": "The relay has failed at this"}, 500))
