"""``GET /bundles/{session}`` and ``GET /bundles/{session}/{sha256}``: a session's cached bundle.

The response is the code alone, as a browser or a CDN would fetch any script, with conditional
requests, ranges and content codings, each with an entity tag of its own. The first path has the
latest bundle; the second has the same bytes for ever, or nothing. The bundles are in a
`BundleCache`; where relays share their sessions, another relay may have the bundle: see
`PeerBundles`.
"""

import os
import re
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from apptuner_relay.access.access_control import Access
from apptuner_relay.access.caller import read_caller
from apptuner_relay.operator.descriptors import FULL
from apptuner_relay.session.session import BadRequest, check_session_id, session_hash
from apptuner_relay.spool.bundle import IDENTITY, Bundle, BundleCache, NoCode, NotNow
from apptuner_relay.support.client_address import FIELD, NOBODY, TrustedProxies, host_of
from apptuner_relay.web.conditional import failed_precondition, range_applies
from apptuner_relay.web.json_body import JsonResource, write_json
from apptuner_relay.web.negotiation import PREFERENCE, preferred_coding
from apptuner_relay.web.ranges import NotSatisfiable, requested_range
from apptuner_relay.web.streaming import Reactor, ResponseWriter, in_thread, send_file

SLOW_S = 30.0
"""For how many seconds a client may read nothing of a download."""

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


PEER_SLOW_S = 600.0
"""Likewise for another relay, which requests a bundle for its client. It limits that client itself,
and reads at its pace, a whole buffer at a time."""


class PeerBundles(Protocol):
    """The bundles that other relays have cached: `bundle_proxy.BundleProxy`."""

    def is_peer_request(self, request: Request) -> bool:
        """Whether the request is from another relay, which has found that this one owns the
        session.

        :raises BadRequest: 401, the request has no valid proof of that.
        """

    async def answer(self, request: Request, writer: ResponseWriter, session_hash: str) -> bool:
        """Have another relay answer; False, and no answer, if only this relay can have the bundle.

        :raises BadRequest: 502 or 503, the other relay can't be reached.
        """


class _Target(NamedTuple):
    """The bundle that a path names."""

    session_id: str
    sha256: str | None
    """None for the latest bundle."""

    @property
    def session_hash(self) -> str:
        return session_hash(self.session_id)


def _cache_control(target: _Target, private: bool) -> str:
    if private:
        return _PRIVATE_IMMUTABLE if target.sha256 else _PRIVATE
    return _IMMUTABLE if target.sha256 else _REVALIDATE


class BundlesResource(JsonResource):
    """To be put at ``/bundles``.

    :param bundle_cache: None where this relay caches no bundles.
    :param slow_s: for how many seconds a client may read nothing of a download.
    :param peers: None where this relay is alone.
    :param access: decides who may get a bundle; None for everybody.
    :param trusted: the proxies whose X-Forwarded-For is believed.
    :param is_full: whether no file descriptors are left for downloads.
    """

    isLeaf = True
    taken_elsewhere = ("PUT", "OPTIONS")
    """`bundle_upload` does."""
    log = Logger()

    def __init__(
        self,
        bundle_cache: BundleCache | None,
        reactor: Reactor,
        slow_s: float = SLOW_S,
        peers: PeerBundles | None = None,
        access: Access | None = None,
        trusted: TrustedProxies = NOBODY,
        is_full: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self._is_full = is_full
        self._peers = peers
        self._bundle_cache = bundle_cache
        self._reactor = reactor
        self._slow_s = slow_s
        self._answering: set[ResponseWriter] = set()
        self._ending: set[ResponseWriter] = set()
        """Complete responses that the kernel hasn't taken yet."""
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
            is_peer_request = self._peers is not None and self._peers.is_peer_request(request)
            target = _parse(request.postpath)
        except BadRequest as wrong:
            return write_json(request, {"error": str(wrong)}, wrong.status)
        writer = ResponseWriter(
            request, self._reactor, PEER_SLOW_S if is_peer_request else self._slow_s
        )
        answering = ensureDeferred(self._answer(request, writer, target, is_peer_request))
        answering.addErrback(self._refuse, request, writer)
        answering.addErrback(self._fail, request, writer, target)
        self._answering.add(writer)
        answering.addBoth(self._answered, writer)
        return NOT_DONE_YET

    async def _answer(
        self, request: Request, writer: ResponseWriter, target: _Target, is_peer_request: bool
    ) -> None:
        peers = None if is_peer_request else self._peers
        address = self._address(request)
        private = await self._let_in(request, target, address, is_peer_request)
        key = target.session_hash
        there = peers is not None and await peers.answer(request, writer, key)
        if self._access is not None and not is_peer_request:
            is_kept = self._latest(target) is not None
            self._access.count_join(address, key, there or private or is_kept)
        if not there:
            await self._answer_here(request, writer, target, private)
        if writer.cut:
            self.log.info(
                "session {session}: aborted a download: its client read nothing for {slow:g} s",
                session=target.session_hash[:8],
                slow=self._slow_s,
            )

    async def _answer_here(
        self, request: Request, writer: ResponseWriter, target: _Target, private: bool
    ) -> None:
        """Answer from this relay's cache. A bundle that is on its way is waited for; where it is
        cut short, what the session has then is the answer.

        :raises BadRequest: nothing is to be had.
        :raises NoCode: what there is can't be read.
        """
        while not writer.gone:
            bundle = self._latest(target)
            if bundle is None:
                raise BadRequest(404, "No bundle of this session is kept")
            bundle.retain()
            try:
                return await self._answer_from(bundle, request, writer, target, private)
            except NoCode:
                # Its sender may have begun another, which the store hears of after this.
                await self._next_turn()
                if self._latest(target) is bundle:
                    raise
            finally:
                bundle.release()

    def _latest(self, target: _Target) -> Bundle | None:
        """The bundle that is the answer, where there is one."""
        cache = self._bundle_cache
        return None if cache is None else cache.latest(target.session_hash)

    def _next_turn(self) -> Deferred[None]:
        """Fires when the reactor has done what it is doing."""
        turn: Deferred[None] = Deferred()
        self._reactor.callLater(0, lambda: turn.callback(None))
        return turn

    async def _let_in(
        self, request: Request, target: _Target, address: str | None, is_peer_request: bool
    ) -> bool:
        """Whether the response is for this client alone. Another relay has let its client in
        already.

        :raises BadRequest: the client may not get the session's bundle.
        """
        access = self._access
        if access is None:
            return False
        if is_peer_request:
            return await access.is_private(target.session_hash)
        _, _, query = request.uri.decode("ascii", "replace").partition("?")
        caller = read_caller(address, None, _field(request, "authorization"), query)
        return await access.may_read(target.session_hash, caller)

    def _address(self, request: Request) -> str | None:
        """The client's address."""
        fields = request.requestHeaders.getRawHeaders(FIELD, [])
        return self._trusted.client(host_of(request.getClientAddress()), fields)

    async def _answer_from(
        self,
        bundle: Bundle,
        request: Request,
        writer: ResponseWriter,
        target: _Target,
        private: bool,
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
        # Coding may be much work, and is of no use once the client has left.
        path = None if status or writer.gone else await bundle.code(coding)
        if writer.gone:
            return
        prefix = b"/" + b"/".join(request.prepath or [])
        fields = {
            "etag": etag,
            "cache-control": _cache_control(target, private),
            "content-location": f"{prefix.decode('ascii')}/{target.session_id}/{sha256}",
        }
        if path is None:
            _set(request, HTTPStatus.NOT_MODIFIED, fields)
            writer.finish()
            return
        fields |= {"content-type": "text/javascript; charset=utf-8", "accept-ranges": "bytes"}
        if coding != IDENTITY:
            fields["content-encoding"] = coding
        await self._send(path, fields, request, writer)

    async def _send(
        self, path: Path, fields: dict[str, str], request: Request, writer: ResponseWriter
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
                await send_file(file.fileno(), span, writer, self._reactor)
        finally:
            file.close()
        writer.finish()

    @property
    def active(self) -> int:
        """How many responses the kernel hasn't taken all of."""
        self._ending = {writer for writer in self._ending if writer.pending}
        return len(self._answering) + len(self._ending)

    def _answered(self, result: object, writer: ResponseWriter) -> object:
        self._answering.discard(writer)
        self._ending = {one for one in (*self._ending, writer) if one.pending}
        return result

    def _refuse(self, failure: Failure, request: Request, writer: ResponseWriter) -> None:
        """Answer a request that is refused, which is no fault of the relay."""
        failure.trap(BadRequest, NoCode)
        if isinstance(failure.value, BadRequest):
            status, text = failure.value.status, str(failure.value)
            for name, value in failure.value.headers if not writer.gone else ():
                request.setHeader(name.encode(), value.encode())
        else:
            status = 503 if failure.check(NotNow) else 404
            text = f"This session's bundle has no code to be had: {failure.value}"
        if not writer.gone:
            writer.finish(write_json(request, {"error": text}, status))

    def _fail(
        self, failure: Failure, request: Request, writer: ResponseWriter, target: _Target
    ) -> None:
        self.log.failure(
            "session {session}: its bundle can't be served",
            failure,
            session=target.session_hash[:8],
        )
        if request.startedWriting:
            writer.abort()
        elif not writer.gone:
            for name in _OF_A_REPRESENTATION:
                request.responseHeaders.removeHeader(name)
            writer.finish(write_json(request, {"error": "The relay has failed to serve it"}, 500))


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
    """The bytes to send; None for all. RFC 9110 has ranges with GET only.

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
    """The value of a header field, with all of its lines joined."""
    lines = request.requestHeaders.getRawHeaders(name.encode())
    return b", ".join(lines).decode("latin-1") if lines else None


def _set(request: Request, status: HTTPStatus, fields: dict[str, str]) -> None:
    request.setResponseCode(status, status.phrase.encode())
    for name, value in fields.items():
        request.setHeader(name.encode(), value.encode())
