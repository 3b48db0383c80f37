"""HTTP connections, with limits on the time and the size of a request.

twisted.web restarts its timer with every byte, so that a client which sends one now and then keeps
a connection for ever. Here the timer runs from the start of the connection, or from the first byte
of a further request, until the head of the request is complete. Between requests a connection may
be idle for longer, so that load balancers can use it again.

A client may close its side of the connection once it has sent its requests (half-close). It
still gets the answers to all of them.
"""

import socket
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IProtocol
from twisted.internet.protocol import connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from apptuner_relay.support.private_names.of_twisted import QuietChannel
from apptuner_relay.web.channel_states import BODY_DUE, TRANSITIONS, ChannelEvent, ChannelState
from apptuner_relay.wire.messages import http_refusal

MOST_FIELDS = 100
"""Header fields in a request."""

_LINE_END_BYTES = 2
_LINGER_S = 1.0
"""How long the rest of a refused request is still read, so that its client gets the answer."""


@implementer(IHalfCloseableProtocol)
class RelayChannel(QuietChannel):
    """One connection; `set_up` gives it its limits."""

    transport: Any
    _head_bytes = 0
    _head_lines = 0
    state = ChannelState.HEAD
    _linger: IDelayedCall | None = None
    _is_half_closed = False
    """Whether the client has closed its side."""
    _successor: IProtocol | None = None
    """The protocol that has taken over the connection."""

    def set_up(
        self,
        header_limit: int,
        keep_alive_s: float,
        on_request: Callable[[object], None] = lambda channel: None,
    ) -> None:
        """To be called before the channel is connected.

        :param header_limit: how many bytes a request line and its header fields may have.
        :param keep_alive_s: for how many seconds a connection is kept between requests.
        :param on_request: called with the channel once its first request has begun, or it is lost.
        """
        self._on_request = on_request
        # `TimeoutMixin.timeOut` is whatever was set last.
        self._head_s = self.timeOut
        self._keep_alive_s = keep_alive_s
        self._header_limit = header_limit
        self.MAX_LENGTH = header_limit
        # Twisted's own limit is higher, so that ours applies, which says what is wrong.
        self.totalHeadersSize = 2 * header_limit

    def begin_with(self, left_s: float) -> None:
        """Have the first request's head arrive within ``left_s``. To be called behind `set_up`."""
        self.timeOut = left_s  # type: ignore[assignment]

    @property
    def is_body_due(self) -> bool:
        """Whether the head of a request has arrived, and not all of its body."""
        return self.state in BODY_DUE

    @property
    def _is_refused(self) -> bool:
        return self.state is ChannelState.REFUSED

    def resetTimeout(self) -> None:
        """Do nothing: data is no reason to wait for longer."""

    def dataReceived(self, data: bytes) -> None:
        """See IProtocol. Data after a refusal is dropped."""
        self._begin_request()
        if not self._is_refused:
            super().dataReceived(data)
        if not data.endswith(b"\n"):
            # The data may end one request and begin another.
            self._begin_request()

    def setLineMode(self, extra: bytes = b"") -> Any:
        """Called when a request has been answered, with the data of the next."""
        self._happens(ChannelEvent.PIPELINED if extra else ChannelEvent.ANSWERED)
        self.setTimeout(self._head_s if extra else self._keep_alive_s)
        return super().setLineMode(extra)

    def _begin_request(self) -> None:
        """Data of a request has arrived: its time runs from now on."""
        if self.state is ChannelState.IDLE:
            self._happens(ChannelEvent.DATA)
            self.setTimeout(self._head_s)

    def lineReceived(self, line: bytes) -> None:
        """A line of a request's head has arrived."""
        self._begin_request()
        if self._is_refused:
            return
        self._head_bytes += len(line) + _LINE_END_BYTES
        self._head_lines += 1
        if self._head_bytes > self._header_limit or self._head_lines > MOST_FIELDS + 1:
            self._refuse_head()
        else:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line of a request's head is longer than the whole head may be."""
        if not self._is_refused:
            self._refuse_head()

    def request_began(self) -> None:
        """The line with which a request begins has arrived."""
        self._on_request(self)

    def allHeadersReceived(self) -> None:
        """The head of a request is complete."""
        if self.length != 0:
            self._happens(ChannelEvent.BODY_DUE)
        super().allHeadersReceived()

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """Whether another request may follow. Connection is a list with commas (RFC 9110 §7.6.1),
        which Twisted splits at spaces."""
        fields: Sequence[bytes] = request.requestHeaders.getRawHeaders(b"connection", ())
        options = [option.strip().lower() for option in b",".join(fields).split(b",")]
        if b"close" in options:
            request.responseHeaders.setRawHeaders(b"connection", [b"close"])
            return False
        return bool(super().checkPersistence(request, version))

    def expect_body(self) -> None:
        """The caller limits the time of the request's body, so the channel doesn't."""
        self._happens(ChannelEvent.FORWARDED)
        self.setTimeout(None)

    def allContentReceived(self) -> None:
        """A request is complete."""
        if self._is_refused:
            # It was answered in the middle of the block in which its body ends.
            return
        self._head_bytes = self._head_lines = 0
        if self.state is ChannelState.FORWARDED_BODY:
            # Twisted stops the timer.
            self.setTimeout(self._head_s)
        self._happens(ChannelEvent.COMPLETE)
        super().allContentReceived()

    def timeoutConnection(self) -> None:
        """The head of a request did not arrive in time."""
        if self._head_lines and not self._is_refused:
            self._refuse(408, "The request took too long to come (--handshake-timeout)")
        super().timeoutConnection()

    def rawDataReceived(self, data: bytes) -> None:
        """See `LineReceiver`. Data that arrives in one piece with a request that hands the
        connection over is for the protocol that takes it."""
        if self._successor is not None:
            self._successor.dataReceived(data)
        elif not self._is_refused:
            super().rawDataReceived(data)

    def may_ask_for_body(self) -> bool:
        """See `QuietChannel`."""
        if self._is_refused:
            return False
        request = self.requests[-1]
        return not (request.startedWriting or request.asks_for_body)

    def hand_over(self, protocol: IProtocol, data: bytes) -> None:
        """Leave the connection to ``protocol``, which gets ``data`` first."""
        self._happens(ChannelEvent.HANDED_OVER)
        transport, self.transport = self.transport, None
        if isinstance(transport, ProtocolWrapper):
            transport.wrappedProtocol = protocol
        else:
            transport.protocol = protocol
        self._successor = protocol
        protocol.makeConnection(transport)
        transport.resumeProducing()
        protocol.dataReceived(data)
        # The request refers to the channel: without it, both go without a garbage collector.
        self.requests.clear()

    def readConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`: the client has closed its side."""
        self._is_half_closed = True
        for request in self.requests:
            request.half_closed()
        self._close_if_done()

    @property
    def is_reset(self) -> bool:
        """Whether the client's system has reset the connection. Once the client has closed its
        side, the reactor doesn't report that."""
        below = getattr(self.transport, "transport", self.transport)
        connection: socket.socket | None = getattr(below, "socket", None)
        return connection is not None and bool(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        )

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`. The relay never closes its side alone."""

    def requestDone(self, request: Any) -> None:
        """A request has been answered."""
        if self.is_body_due:
            # The rest of the body must not be read as another request.
            self.requests.remove(request)
            self._happens(ChannelEvent.REFUSED)
            self._close_soon()
            return
        super().requestDone(request)
        if self._is_half_closed:
            # Later: the next request may have arrived already, and is about to be parsed.
            self.callLater(0, self._close_if_done)

    def _close_if_done(self) -> None:
        if self.transport is None or self.is_handling_request or self._linger is not None:
            return
        if self.requests and not self.line_mode:
            # A part of its body is missing. Whoever reads the body is told by that.
            self.transport.abortConnection()
        else:
            self.loseConnection()

    def refuse(self, status: int, text: str) -> None:
        """Answer a request that is still arriving with an error, and close the connection."""
        self._refuse(status, text)
        self._close_soon()

    def _refuse_head(self) -> None:
        self.refuse(
            431,
            f"A request line and header fields above {self._header_limit} bytes "
            f"(--tune header-limit), or above {MOST_FIELDS} fields",
        )

    def _close_soon(self) -> None:
        # A close while data is unread resets the connection, and may lose the answer (RFC 9112
        # §9.6).
        self.setTimeout(None)
        self._linger = self.callLater(_LINGER_S, self.loseConnection)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See IProtocol."""
        self._on_request(self)
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        super().connectionLost(reason)
        # These refer to the channel: without them it goes without a garbage collector.
        self._linger = None
        self.forget_body()

    def _refuse(self, status: int, text: str) -> None:
        self._happens(ChannelEvent.REFUSED)
        self.transport.write(http_refusal(status, text))

    def _happens(self, event: ChannelEvent) -> None:
        self.state = TRANSITIONS.get((self.state, event), self.state)
