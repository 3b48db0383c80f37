"""A request: the relay's own have no body, others' are forwarded as they come."""

from typing import Any, Protocol

from twisted.web.server import Request

RESULTS = ("answered", "cut_short", "left", "refused", "failed")
"""What becomes of a request for another program: it has its answer; or the program dies within it;
or the client leaves; or this relay refuses the request; or the program can't be reached, or gives
no answer in time."""


class Exchange(Protocol):
    """A request on its way to another program; see `upstream.Exchange`."""

    @property
    def has_body(self) -> bool: ...

    def begin(self) -> None: ...

    def take(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    def half_closed(self) -> None: ...


class Forwarder(Protocol):
    """Begins to forward those requests that are another program's; see `upstream.Forwarder`."""

    @property
    def active(self) -> int: ...

    def take(self, request: Request, target: bytes, length: int | None) -> Exchange | None: ...


class RelayRequest(Request):
    """Its body is not kept: nothing of the relay's own takes one, and twisted.web would keep it
    whole."""

    channel: Any
    _exchange: Exchange | None = None

    def gotLength(self, length: int | None) -> None:
        """Called with the body's length, 0 for none and None where it isn't said beforehand."""
        super().gotLength(0)
        forwarder: Forwarder | None = self.channel.site.forwarder
        self.method, self.uri, self.clientproto = self.channel.request_line
        if forwarder is not None:
            self._exchange = forwarder.take(self, self.uri, length)
        if self._exchange is not None:
            # An answer has what its program says, and nothing of ours.
            self.defaultContentType = None
            if length != 0:
                self._exchange.begin()
        elif length != 0:
            self.channel.refuse(413, "A request has no body here")

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body; of one that nobody takes it is dropped."""
        if self._exchange is not None:
            self._exchange.take(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """All of the request has come."""
        if self._exchange is None:
            super().requestReceived(command, path, version)
        else:
            self._exchange.end()
            if not self._exchange.has_body:
                self._exchange.begin()

    def half_closed(self) -> None:
        """The client sends nothing more."""
        if self._exchange is not None:
            self._exchange.half_closed()
