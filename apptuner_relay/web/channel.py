"""How requests come over a connection: within a time, and a size, and no slower or larger.

twisted.web starts its timer anew with whatever comes, so that a client which sends a byte now and
then keeps a connection for ever. Here the timer runs from the connection's start, or the first byte
of a further request, until the request's head is there whole; between requests a connection may
rest for longer, as balancers want to use it again.

A client may end its side of the connection once it has sent its requests (RFC 9112 §9.6 has it so
for TLS, and TCP knows it as half-close); it still gets the answers to all of them.
"""

import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableProtocol, IProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import ILogObserver, LogEvent, Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from zope.interface import implementer

from apptuner_relay.wire.messages import http_refusal

MOST_FIELDS = 100
"""Header fields in a request."""

_LINE_END_BYTES = 2
_LINGER_S = 1.0
"""For how long what a client sends on is still taken, after it was told that it is too much."""


@implementer(ILogObserver)
class _Nobody:
    def __call__(self, event: LogEvent) -> None: ...


@implementer(IHalfCloseableProtocol)
class RelayChannel(HTTPChannel):
    """One connection.

    ``header_limit`` is how many bytes a request line and its header fields may have,
    ``keep_alive_s`` for how many seconds it is kept from one request to the next.
    """

    # That an idle connection ends is no news, and who opens many would fill the log.
    _log = Logger(observer=_Nobody())
    transport: Any
    _head_bytes = 0
    _head_lines = 0
    _is_refused = False
    _rests = False
    """Whether a request has been answered, and nothing has come of another."""
    _linger: IDelayedCall | None = None
    is_body_due = False
    """Whether a request's head has come, and not all of its body."""
    _is_untimed = False
    _is_half_closed = False
    """Whether the client sends nothing more."""
    _successor: IProtocol | None = None
    """What has the connection now."""

    def set_up(self, header_limit: int, keep_alive_s: float) -> None:
        """To be called before it is connected."""
        # `TimeoutMixin` has in `timeOut` whatever was set last.
        self._head_s = self.timeOut
        self._keep_alive_s = keep_alive_s
        self._header_limit = header_limit
        self.MAX_LENGTH = header_limit
        # Not to be hit before ours, which says what is wrong.
        self.totalHeadersSize = 2 * header_limit

    def resetTimeout(self) -> None:
        """Nothing: that something has come is no reason to wait for longer."""

    def dataReceived(self, data: bytes) -> None:
        """See IProtocol. What still comes after a refusal is dropped."""
        self._end_rest()
        if not self._is_refused:
            super().dataReceived(data)
        if not data.endswith(b"\n"):
            # It may begin another request behind the one that it ends.
            self._end_rest()

    def setLineMode(self, extra: bytes = b"") -> Any:
        """Called when a request has been answered, with what has come of the next."""
        self._rests = not extra
        self.setTimeout(self._keep_alive_s if self._rests else self._head_s)
        return super().setLineMode(extra)

    def _end_rest(self) -> None:
        """Something has come of a request: from now on its time is measured."""
        if self._rests:
            self._rests = False
            self.setTimeout(self._head_s)

    def lineReceived(self, line: bytes) -> None:
        """A line of a request's head."""
        self._end_rest()
        if self._is_refused:
            return
        self._head_bytes += len(line) + _LINE_END_BYTES
        self._head_lines += 1
        if self._head_bytes > self._header_limit or self._head_lines > MOST_FIELDS + 1:
            self._refuse_head()
        else:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line of a request's head has become longer than all of it may be."""
        if not self._is_refused:
            self._refuse_head()

    @property
    def request_line(self) -> tuple[bytes, bytes, bytes]:
        """Method, target and version of a request whose body is still to come."""
        return self._command, self._path, self._version

    def allHeadersReceived(self) -> None:
        """A request's head is there."""
        self.is_body_due = self.length != 0
        super().allHeadersReceived()

    def checkPersistence(self, request: Any, version: bytes) -> bool:
        """Whether another request may follow. Connection is a list with commas (RFC 9110 §7.6.1),
        which Twisted takes for one with spaces."""
        fields: Sequence[bytes] = request.requestHeaders.getRawHeaders(b"connection", ())
        options = [option.strip().lower() for option in b",".join(fields).split(b",")]
        if b"close" in options:
            request.responseHeaders.setRawHeaders(b"connection", [b"close"])
            return False
        return bool(super().checkPersistence(request, version))

    def expect_body(self) -> None:
        """What is due of a request's body is waited for by somebody else."""
        self._is_untimed = True
        self.setTimeout(None)

    def allContentReceived(self) -> None:
        """A request is there whole."""
        self._head_bytes = self._head_lines = 0
        self.is_body_due = False
        if self._is_untimed:
            self._is_untimed = False
            # Twisted stops it.
            self.setTimeout(self._head_s)
        super().allContentReceived()

    def timeoutConnection(self) -> None:
        """No request has come whole in time."""
        if self._head_lines and not self._is_refused:
            self._refuse(408, "The request took too long to come (--handshake-timeout)")
        super().timeoutConnection()

    def rawDataReceived(self, data: bytes) -> None:
        """See `LineReceiver`. What came in one piece with a request that hands the connection over
        is none of ours."""
        if self._successor is not None:
            self._successor.dataReceived(data)
        elif not self._is_refused:
            super().rawDataReceived(data)

    def _send100Continue(self) -> None:
        if not self._is_refused and not self.requests[-1].startedWriting:
            super()._send100Continue()

    def hand_over(self, protocol: IProtocol, data: bytes) -> None:
        """Leave the connection to ``protocol``, which gets ``data`` and then what comes next."""
        transport, self.transport = self.transport, None
        if isinstance(transport, ProtocolWrapper):
            transport.wrappedProtocol = protocol
        else:
            transport.protocol = protocol
        self._successor = protocol
        protocol.makeConnection(transport)
        transport.resumeProducing()
        protocol.dataReceived(data)

    def readConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`: nothing more comes."""
        self._is_half_closed = True
        for request in self.requests:
            request.half_closed()
        self._close_if_done()

    @property
    def is_reset(self) -> bool:
        """Whether the client's system has said that there is nobody any more. Once the client has
        ended its side, the reactor doesn't tell."""
        below = getattr(self.transport, "transport", self.transport)
        connection: socket.socket | None = getattr(below, "socket", None)
        return connection is not None and bool(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        )

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`. There is none but for our own doing."""

    def requestDone(self, request: Any) -> None:
        """A request has been answered."""
        if self.is_body_due:
            # Before all of it has come. What still comes is not to be taken for a request.
            self.requests.remove(request)
            self._is_refused = True
            self._close_soon()
            return
        super().requestDone(request)
        if self._is_half_closed:
            # Not now: the next request may be there already, and about to be read.
            self.callLater(0, self._close_if_done)

    def _close_if_done(self) -> None:
        if self.transport is None or self._handlingRequest or self._linger is not None:
            return
        if self.requests and not self.line_mode:
            # A part of its body is missing. Whoever takes that in already hears of it.
            self.transport.abortConnection()
        else:
            self.loseConnection()

    def refuse(self, status: int, text: str) -> None:
        """Answer what comes in, of which there may be more, with an error, and close."""
        self._refuse(status, text)
        self._close_soon()

    def _refuse_head(self) -> None:
        self.refuse(
            431,
            f"A request line and header fields above {self._header_limit} bytes (--header-limit), "
            f"or above {MOST_FIELDS} fields",
        )

    def _close_soon(self) -> None:
        # To close while something is left to be read would take the answer away from the client
        # (RFC 9112 §9.6).
        self.setTimeout(None)
        self._linger = self.callLater(_LINGER_S, self.loseConnection)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See IProtocol."""
        if self._linger is not None and self._linger.active():
            self._linger.cancel()
        super().connectionLost(reason)

    def _refuse(self, status: int, text: str) -> None:
        self._is_refused = True
        self.transport.write(http_refusal(status, text))
