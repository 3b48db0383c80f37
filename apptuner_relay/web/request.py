"""A request: one for the relay itself has no body, or a small one where its path takes one. That of
an upload, or of a request for another program, is passed on as it arrives."""

from collections.abc import Sequence
from typing import Any, Protocol

from twisted.web.server import Request

RESULTS = ("answered", "cut_short", "left", "refused", "failed")
"""The results of a forwarded request: the client has its answer; the program dies within the
answer; the client leaves; the relay refuses the request; the program is unreachable, or gives no
answer in time."""

_BUNDLES = b"/bundles"
_PUT_HINT = ": a bundle is uploaded with PUT /bundles/SESSION"


class BodyTaker(Protocol):
    """What has taken a request, with its body, and answers it: an `upstream.Exchange` or a
    `bundle_upload.BundleUpload`."""

    @property
    def has_body(self) -> bool:
        """Whether the request has one."""

    @property
    def asks_for_body(self) -> bool:
        """Whether it itself asks a client for the body that has sent ``Expect: 100-continue``."""

    def begin(self) -> None:
        """The head of the request has arrived; without a body, all of it."""

    def take(self, data: bytes) -> None:
        """A piece of the body has arrived."""

    def end(self) -> None:
        """All of the request has arrived."""

    def half_closed(self) -> None:
        """The client has closed its side of the connection."""


class RequestTaker(Protocol):
    """What takes some of the requests: an `upstream.Forwarder` or `bundle_upload.Uploads`."""

    def take(self, request: Request, target: bytes, length: int | None) -> BodyTaker | None:
        """Take a request whose head has arrived; None for one that is not for this.

        :param target: see RFC 9112 §3.2.
        :param length: of its body, in bytes; None where it is unknown.
        """


class RelayRequest(Request):
    """A request whose body is not buffered beyond what its path takes (`RelaySite.body_limit`):
    twisted.web would keep all of any."""

    channel: Any
    _taker: BodyTaker | None = None
    _body_limit = 0
    """How many bytes of a body the relay itself takes."""
    _is_refused = False
    """Whether the body is longer than that."""

    def __init__(self, channel: Any, *arguments: Any, **more: Any) -> None:
        super().__init__(channel, *arguments, **more)
        channel.request_began()

    def gotLength(self, length: int | None) -> None:
        """Called with the body's length: 0 for no body, None for an unknown length."""
        super().gotLength(0)
        self.method, self.uri, self.clientproto = self.channel.request_line
        site = self.channel.site
        takers: Sequence[RequestTaker] = () if site.is_added(self.uri) else site.request_takers
        taken = (taker.take(self, self.uri, length) for taker in takers)
        self._taker = next((one for one in taken if one is not None), None)
        if self._taker is not None:
            # The answer has its program's fields, and none of ours.
            self.defaultContentType = None
            if length != 0:
                self._taker.begin()
        elif length != 0:
            self._body_limit = site.body_limit(self.uri)
            self._check_body(length or 0)

    @property
    def asks_for_body(self) -> bool:
        """Whether what has taken it asks the client for the body; see `BodyTaker`."""
        return self._taker is not None and self._taker.asks_for_body

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body has arrived."""
        if self._taker is not None:
            self._taker.take(data)
        elif not self._is_refused and self._check_body(self.content.tell() + len(data)):  # type: ignore[union-attr]
            super().handleContentChunk(data)

    def _check_body(self, length: int) -> bool:
        """Refuse a body that is longer than may be. Returns whether it isn't."""
        most = self._body_limit
        if most and length <= most:
            return True
        text = f"A request has a body of at most {most} bytes here"
        if not most:
            is_upload = self.uri.startswith(_BUNDLES)
            text = "A request has no body here" + (_PUT_HINT if is_upload else "")
        self._is_refused = True
        self.channel.refuse(413, text)
        return False

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """All of the request has arrived."""
        if self._is_refused:
            return
        if self._taker is None:
            super().requestReceived(command, path, version)
        else:
            self._taker.end()
            if not self._taker.has_body:
                self._taker.begin()

    def half_closed(self) -> None:
        """The client has closed its side of the connection."""
        if self._taker is not None:
            self._taker.half_closed()
