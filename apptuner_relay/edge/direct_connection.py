"""The WebSocket connection of a client whose handshake was read in one go (`client_request`).
Neither twisted.web nor Autobahn has a part in it.
"""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.edge.client_connection import MOST_EARLY_BYTES, ClientConnection
from apptuner_relay.edge.client_side import ClientSide
from apptuner_relay.edge.closing_states import ClosingState
from apptuner_relay.edge.transport import BlockTransport
from apptuner_relay.relay.interfaces import Place
from apptuner_relay.session.session import BadRequest
from apptuner_relay.support.eager import run_eagerly
from apptuner_relay.wire.client_request import ClientRequest
from apptuner_relay.wire.closing import close_payload
from apptuner_relay.wire.frames import CLOSE, Frame, frame
from apptuner_relay.wire.offers import choose_subprotocol

_log = Logger()


class DirectConnection(ClientConnection, Protocol):  # type: ignore[misc]
    """One client's connection. It is connected when the request is there.

    :param peer: the other end of the connection; None where the transport is to be asked.
    """

    factory: ClientSide
    _answer = b""
    """The handshake's answer, until the first message goes out behind it."""
    _early = b""
    """What was received before the handshake was answered."""
    _is_close_sent = False
    _has_waited = False
    """Whether something else may have happened since its place was looked for."""

    def __init__(
        self, factory: ClientSide, request: ClientRequest, peer: IAddress | None = None
    ) -> None:
        super().__init__()
        self.factory = factory
        self.relay = factory.relay
        self._peer = peer
        self._request: ClientRequest | None = request
        """None once it is answered."""
        self._deflates = factory.deflates and request.deflate is not None
        self.origin = request.fields.get("origin")

    # What the client shows

    @property
    def other_end(self) -> IAddress:
        """See `OpeningConnection`."""
        return self._peer or super().other_end

    @property
    def request(self) -> ClientRequest:
        """Its handshake."""
        assert self._request is not None
        return self._request

    @property
    def request_target(self) -> str:
        """See `OpeningConnection`."""
        return self.request.target

    @property
    def request_fields(self) -> Mapping[str, str]:
        """See `OpeningConnection`."""
        return self.request.fields

    @property
    def spoken(self) -> str | None:
        """See `ClientConnection`."""
        spoken = self.relay.settings.listening.subprotocol
        return choose_subprotocol(self.request.subprotocols, spoken)

    @property
    def deflates(self) -> bool:
        """See `ClientConnection`."""
        return self._deflates

    # What the transport calls

    def connectionMade(self) -> None:
        """See `IProtocol`: find the client's place, or refuse its handshake."""
        set_no_delay = getattr(self.transport, "setTcpNoDelay", None)
        if set_no_delay is not None:
            set_no_delay(True)
        self._early = self.request.rest
        try:
            path = self.request.target.partition("?")[0]
            admission, caller = self.admit(path, self.deflates)
        except Exception as wrong:
            self._not_found(wrong)
            return
        run_eagerly(
            self.factory.admission_control.find_place(admission, caller),
            self._found,
            self._not_found,
        )
        self._has_waited = True

    def dataReceived(self, data: bytes) -> None:
        """See `IProtocol`."""
        if self.closing.state is not ClosingState.CONNECTING:
            self.bytes_received(data)
            return
        # Nothing is due from a client that waits for its answer, and little is kept.
        self._early += data
        if len(self._early) > MOST_EARLY_BYTES:
            self.transport.pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `IProtocol`."""
        self.onClose(False, None, None)

    # The handshake

    def _found(self, place: Place) -> None:
        if self.closing.state is not ClosingState.CONNECTING:
            place.abandon()
            return
        try:
            if self._has_waited:
                place.check()
        except BadRequest as refusal:
            place.abandon()
            self._not_found(refusal)
            return
        self.place = place
        self._answer = self.request.answer(self.factory.server, self.spoken, self.deflates)
        self.establish()
        self.start()
        self._send_answer()
        self._request = None
        early, self._early = self._early, b""
        if len(early) > MOST_EARLY_BYTES:
            self.transport.resumeProducing()
        if early:
            self.bytes_received(early)

    def _not_found(self, wrong: BaseException) -> None:
        if self.closing.state is not ClosingState.CONNECTING:
            return
        if isinstance(wrong, BadRequest):
            self._refusal = wrong
            status, reason = wrong.status, str(wrong)
        else:
            _log.failure("looking for a client's place has failed", Failure(wrong))
            status, reason = HTTPStatus.INTERNAL_SERVER_ERROR, "The relay has failed at this"
        self.transport.write(self.refusal(status, reason, ()))
        self.dropped()
        self.transport.loseConnection()

    def start(self) -> None:
        """See `FramedConnection`."""
        if not isinstance(self.transport, BlockTransport):
            self._send_answer()
        super().start()

    def outgoing(self, transport: BlockTransport) -> Callable[[Sequence[Frame]], int]:
        """See `FramedConnection`: the first message goes out together with the answer."""

        def offer_first(parts: Sequence[Frame]) -> int:
            answer, self._answer = self._answer, b""
            self.offer = transport.offer
            sent = transport.offer([answer, *parts])
            if sent < len(answer):
                transport.write(answer[sent:])
            return max(0, sent - len(answer))

        return offer_first

    def _send_answer(self) -> None:
        if self._answer:
            answer, self._answer = self._answer, b""
            self.transport.write(answer)

    # What `FramedConnection` calls

    def send_close(self, code: int | None, reason: bytes | None) -> None:
        """See `FramedConnection`."""
        if not self._is_close_sent:
            self._is_close_sent = True
            # A client may be closed in the middle of entering its place.
            self._send_answer()
            closing = frame(CLOSE, close_payload(code, reason))
            if isinstance(self.transport, BlockTransport):
                self.transport.send(closing)
            else:
                self.transport.write(closing)

    def finish_closing(self) -> None:
        """See `FramedConnection`."""
        self.dropped()
        self.transport.unregisterProducer()
        if isinstance(self.transport, BlockTransport):
            self.transport.end()
        else:
            self.transport.loseConnection()

    def drop(self) -> None:
        """See `FramedConnection`."""
        self.dropped()
        self.transport.unregisterProducer()
        self.transport.abortConnection()
