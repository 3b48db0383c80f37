"""``GET /bundles/{session}`` and ``GET /bundles/{session}/{sha256}``: a session's last bundle.

The code alone, as a browser or a CDN would fetch any script: conditional requests, ranges, content
codings, each with an entity tag of its own. The first is the latest bundle, whichever that is; the
second has the same bytes for ever, or nothing. Whether and where a bundle is kept is up to the
`Shelf`; where relays share their sessions, another one may keep it: see `Elsewhere`.
"""

import os
import re
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple, Protocol

from twisted.internet.defer import ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from apptuner_relay.access.access import Access
from apptuner_relay.access.caller import read_caller
from apptuner_relay.bundles.bundle import IDENTITY, Bundle, NoCode, NotNow, Shelf
from apptuner_relay.descriptors import FULL
from apptuner_relay.forwarded import FIELD, NOBODY, TrustedProxies, host_of
from apptuner_relay.session import BadRequest, check_session_id, session_hash
from apptuner_relay.web.conditional import failed_precondition, range_applies
from apptuner_relay.web.json import JsonResource, write_json
from apptuner_relay.web.negotiation import PREFERENCE, preferred_coding
from apptuner_relay.web.ranges import NotSatisfiable, requested_range
from apptuner_relay.web.streaming import Outlet, Reactor, in_thread, send_file

SLOW_S = 30.0
"""Seconds for which a client may take nothing of a download."""

_REVALIDATE = "no-cache"
_IMMUTABLE = "public, max-age=31536000, immutable"
_PRIVATE = "private, no-cache"
_PRIVATE_IMMUTABLE = "private, max-age=31536000, immutable"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_OF_A_REPRESENTATION = (
    b"etag",
    b"content-location",
    b"content-encoding",
    b"content-range",
    b"accept-ranges",
)
_RETRY_AFTER_S = b"5"
_USAGE = "Not found: get /bundles/SESSION or /bundles/SESSION/SHA256"


ERRAND_SLOW_S = 600.0
"""The same for another relay that asks for a client: it looks after that client itself, and reads
as fast as that one does, a whole buffer at a time."""


class Elsewhere(Protocol):
    """What other relays keep: `cluster.shelves.Shelves`."""

    def is_errand(self, request: Request) -> bool:
        """Whether another relay asks, which has found that the bundle can only be here.

        :raises BadRequest: 401, for one that only says so.
        """

    async def answer(self, request: Request, outlet: Outlet, session_hash: str) -> bool:
        """Have another relay answer. False if the bundle can only be here; nothing was answered
        then.

        :raises BadRequest: 502 or 503, it can't be reached.
        """


class _Target(NamedTuple):
    """What a path names."""

    session_id: str
    sha256: str | None
    """None for the latest."""

    @property
    def session_hash(self) -> str:
        return session_hash(self.session_id)


def _cache_control(target: _Target, private: bool) -> str:
    if private:
        return _PRIVATE_IMMUTABLE if target.sha256 else _PRIVATE
    return _IMMUTABLE if target.sha256 else _REVALIDATE


class BundlesResource(JsonResource):
    """To be put at ``/bundles``.

    :param shelf: None where this relay keeps none.
    :param slow_s: seconds for which a client may take nothing of a download before it is cut off.
    :param elsewhere: None where this relay is alone.
    :param access: decides who may have a bundle; None lets everybody.
    :param trusted: whose X-Forwarded-For is believed.
    :param is_full: whether there are no descriptors left for downloads.
    """

    isLeaf = True
    log = Logger()

    def __init__(
        self,
        shelf: Shelf | None,
        reactor: Reactor,
        slow_s: float = SLOW_S,
        elsewhere: Elsewhere | None = None,
        access: Access | None = None,
        trusted: TrustedProxies = NOBODY,
        is_full: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self._is_full = is_full
        self._elsewhere = elsewhere
        self._shelf = shelf
        self._reactor = reactor
        self._slow_s = slow_s
        self._answering: set[Outlet] = set()
        self._ending: set[Outlet] = set()
        """Those whose answer is complete, and not yet with the kernel."""
        self._access = access
        self._trusted = trusted

    def render(self, request: Request) -> bytes | int:
        request.setHeader(b"x-content-type-options", b"nosniff")
        return super().render(request)

    def render_GET(self, request: Request) -> bytes | int:
        if self._is_full():
            request.setHeader(b"retry-after", _RETRY_AFTER_S)
            return write_json(request, {"error": FULL}, 503)
        try:
            is_errand = self._elsewhere is not None and self._elsewhere.is_errand(request)
            target = _parse(request.postpath)
        except BadRequest as wrong:
            return write_json(request, {"error": str(wrong)}, wrong.status)
        outlet = Outlet(request, self._reactor, ERRAND_SLOW_S if is_errand else self._slow_s)
        answering = ensureDeferred(self._answer(request, outlet, target, is_errand))
        answering.addErrback(self._refuse, request, outlet)
        answering.addErrback(self._fail, request, outlet, target)
        self._answering.add(outlet)
        answering.addBoth(self._answered, outlet)
        return NOT_DONE_YET

    async def _answer(
        self, request: Request, outlet: Outlet, target: _Target, is_errand: bool
    ) -> None:
        elsewhere = None if is_errand else self._elsewhere
        address = self._address(request)
        private = await self._let_in(request, target, address, is_errand)
        key = target.session_hash
        there = elsewhere is not None and await elsewhere.answer(request, outlet, key)
        if self._access is not None and not is_errand:
            kept = self._shelf is not None and self._shelf.latest(key) is not None
            self._access.tried(address, key, there or private or kept)
        if not there:
            await self._answer_here(request, outlet, target, private)
        if outlet.cut:
            self.log.info(
                "session {session}: cut a download off: nothing was read of it for {slow:g} s",
                session=target.session_hash[:8],
                slow=self._slow_s,
            )

    async def _answer_here(
        self, request: Request, outlet: Outlet, target: _Target, private: bool
    ) -> None:
        bundle = None if self._shelf is None else self._shelf.latest(target.session_hash)
        if bundle is None:
            raise BadRequest(404, "No bundle of this session is kept")
        bundle.retain()
        try:
            await self._answer_from(bundle, request, outlet, target, private)
        finally:
            bundle.release()

    async def _let_in(
        self, request: Request, target: _Target, address: str | None, is_errand: bool
    ) -> bool:
        """Whether what is answered is for this client alone. Another relay has let its client in
        already.

        :raises BadRequest: the client may not have the session's bundle.
        """
        access = self._access
        if access is None:
            return False
        if is_errand:
            return await access.is_private(target.session_hash)
        _, _, query = request.uri.decode("ascii", "replace").partition("?")
        caller = read_caller(address, None, _field(request, "authorization"), query)
        return await access.may_read(target.session_hash, caller)

    def _address(self, request: Request) -> str | None:
        """Where the client is."""
        fields = request.requestHeaders.getRawHeaders(FIELD, [])
        return self._trusted.client(host_of(request.getClientAddress()), fields)

    async def _answer_from(
        self, bundle: Bundle, request: Request, outlet: Outlet, target: _Target, private: bool
    ) -> None:
        sha256 = (await bundle.digest()).sha256
        if target.sha256 not in (None, sha256):
            raise BadRequest(404, "The bundle of this session that is kept has another SHA-256")
        request.setHeader(b"vary", b"Accept-Encoding")
        coding = preferred_coding(_field(request, "accept-encoding"))
        if coding is None:
            raise BadRequest(
                406, f"Accept-Encoding leaves none of what there is: {', '.join(PREFERENCE)}"
            )
        etag = f'"{sha256}"' if coding == IDENTITY else f'"{sha256}-{coding}"'
        status = failed_precondition(
            etag, _field(request, "if-match"), _field(request, "if-none-match")
        )
        if status == HTTPStatus.PRECONDITION_FAILED:
            raise BadRequest(status, "If-Match names none of this bundle's entity tags")
        # What nobody waits for any more needs no coding, which may be much work.
        path = None if status or outlet.gone else await bundle.code(coding)
        if outlet.gone:
            return
        prefix = b"/" + b"/".join(request.prepath or [])
        fields = {
            "etag": etag,
            "cache-control": _cache_control(target, private),
            "content-location": f"{prefix.decode('ascii')}/{target.session_id}/{sha256}",
        }
        if path is None:
            _set(request, HTTPStatus.NOT_MODIFIED, fields)
            outlet.finish()
            return
        fields |= {"content-type": "text/javascript; charset=utf-8", "accept-ranges": "bytes"}
        if coding != IDENTITY:
            fields["content-encoding"] = coding
        await self._send(path, fields, request, outlet)

    async def _send(
        self, path: Path, fields: dict[str, str], request: Request, outlet: Outlet
    ) -> None:
        file = await in_thread(self._reactor, path.open, "rb", 0)
        try:
            size = os.fstat(file.fileno()).st_size
            part = _part(request, fields["etag"], size)
            status = HTTPStatus.OK
            if part is not None:
                status = HTTPStatus.PARTIAL_CONTENT
                fields["content-range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
            span = range(size) if part is None else part
            fields["content-length"] = str(len(span))
            _set(request, status, fields)
            if request.method != b"HEAD":
                await send_file(file.fileno(), span, outlet, self._reactor)
        finally:
            file.close()
        outlet.finish()

    @property
    def active(self) -> int:
        """How many requests have answers that the kernel hasn't got all of."""
        self._ending = {outlet for outlet in self._ending if outlet.pending}
        return len(self._answering) + len(self._ending)

    def _answered(self, result: object, outlet: Outlet) -> object:
        self._answering.discard(outlet)
        self._ending = {one for one in (*self._ending, outlet) if one.pending}
        return result

    def _refuse(self, failure: Failure, request: Request, outlet: Outlet) -> None:
        """Answer what is a matter between client and bundle; not a fault of the relay."""
        failure.trap(BadRequest, NoCode)
        if isinstance(failure.value, BadRequest):
            status, text = failure.value.status, str(failure.value)
            for name, value in failure.value.headers if not outlet.gone else ():
                request.setHeader(name.encode(), value.encode())
        else:
            status = 503 if failure.check(NotNow) else 404
            text = f"This session's bundle has no code to be had: {failure.value}"
        if not outlet.gone:
            outlet.finish(write_json(request, {"error": text}, status))

    def _fail(self, failure: Failure, request: Request, outlet: Outlet, target: _Target) -> None:
        self.log.failure(
            "session {session}: its bundle can't be served",
            failure,
            session=target.session_hash[:8],
        )
        if request.startedWriting:
            outlet.abort()
        elif not outlet.gone:
            for name in _OF_A_REPRESENTATION:
                request.responseHeaders.removeHeader(name)
            outlet.finish(write_json(request, {"error": "The relay has failed to serve it"}, 500))


def _parse(segments: list[bytes] | None) -> _Target:
    """:raises BadRequest: 404 for a path of another form, 400 for a bad session id or hash."""
    names = [segment.decode("ascii", "replace") for segment in segments or ()]
    if not 1 <= len(names) <= 2:
        raise BadRequest(404, _USAGE)
    session_id = check_session_id(names[0])
    if len(names) == 1:
        return _Target(session_id, None)
    if not _SHA256.fullmatch(names[1]):
        raise BadRequest(400, "Bad SHA-256: 64 of the characters 0-9 a-f")
    return _Target(session_id, names[1])


def _part(request: Request, etag: str, size: int) -> range | None:
    """Which bytes to send, None for all; RFC 9110 has ranges with GET only.

    :raises BadRequest: 416.
    """
    if request.method != b"GET" or not range_applies(etag, _field(request, "if-range")):
        return None
    try:
        return requested_range(_field(request, "range"), size)
    except NotSatisfiable as wrong:
        request.setHeader(b"content-range", f"bytes */{size}".encode())
        raise BadRequest(416, str(wrong)) from None


def _field(request: Request, name: str) -> str | None:
    """The value of a header field, all of its lines together."""
    lines = request.requestHeaders.getRawHeaders(name.encode())
    return b", ".join(lines).decode("latin-1") if lines else None


def _set(request: Request, status: HTTPStatus, fields: dict[str, str]) -> None:
    request.setResponseCode(status, status.phrase.encode())
    for name, value in fields.items():
        request.setHeader(name.encode(), value.encode())
