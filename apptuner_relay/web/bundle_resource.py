"""``GET /bundles/{session}`` and ``GET /bundles/{session}/{sha256}``: a session's cached bundle.

The response is the code alone, as a browser or a CDN would fetch any script, with conditional
requests, ranges and content codings, each with an entity tag of its own. The first path has the
latest bundle; the second has the same bytes for ever, or nothing. `bundle_answer` has what is sent.
The bundles are in a `BundleCache`; where relays share their sessions, another relay may have the
bundle: see `PeerBundles`.
"""

import re
from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from apptuner_relay.access.access_control import Access
from apptuner_relay.access.caller import read_caller
from apptuner_relay.config.origins import ALL, Origins
from apptuner_relay.operator.descriptors import FULL
from apptuner_relay.operator.download_counter import DownloadCounter
from apptuner_relay.session.session import BadRequest, check_session_id
from apptuner_relay.spool.bundle import Bundle, BundleCache, NoCode, NotNow
from apptuner_relay.support import zstd_library
from apptuner_relay.support.client_address import FIELD, NOBODY, TrustedProxies, host_of
from apptuner_relay.web.bundle_answer import (
    OF_A_REPRESENTATION,
    BundleAnswer,
    BundleTarget,
    Served,
    joined_field,
)
from apptuner_relay.web.cors import allow_origin
from apptuner_relay.web.json_body import JsonResource, write_json
from apptuner_relay.web.streaming import Reactor, ResponseWriter

SLOW_S = 30.0
"""For how many seconds a client may read nothing of a download."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_RETRY_AFTER_S = b"5"
_OUT_OF_ORDER = "No bundle of this session is kept: this relay caches none at present"
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


class BundlesResource(JsonResource):
    """To be put at ``/bundles``.

    :param bundle_cache: None where this relay caches no bundles.
    :param slow_s: for how many seconds a client may read nothing of a download.
    :param peers: None where this relay is alone.
    :param access: decides who may get a bundle; None for everybody.
    :param trusted: the proxies whose X-Forwarded-For is believed.
    :param is_full: whether no file descriptors are left for downloads.
    :param origins: the pages that may read bundles.
    :param with_dictionaries: whether code may be coded against code that a client has (RFC 9842),
        for which it takes an optional library.
    :param downloads: counts what is sent.
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
        origins: Origins = ALL,
        with_dictionaries: bool | None = None,
        downloads: DownloadCounter | None = None,
    ) -> None:
        super().__init__()
        self._is_full = is_full
        self._peers = peers
        self._bundle_cache = bundle_cache
        self._reactor = reactor
        self._origins = origins
        if with_dictionaries is None:
            with_dictionaries = zstd_library.is_installed()
        self._lacks_dictionaries = bundle_cache is not None and not with_dictionaries
        varies = ["Accept-Encoding", *(["Available-Dictionary"] if with_dictionaries else [])]
        varies += ["Origin"] if origins.allowed else []
        self._served = None
        if bundle_cache is not None:
            downloads = downloads or DownloadCounter()
            self._served = Served(bundle_cache, reactor, with_dictionaries, varies, downloads)
        self._slow_s = slow_s
        self._answering: set[ResponseWriter] = set()
        self._ending: set[ResponseWriter] = set()
        """Complete responses that the kernel hasn't taken yet."""
        self._access = access
        self._trusted = trusted

    def log_what_is_missing(self) -> None:
        """Log that bundles are sent without dictionaries, if they are."""
        if self._lacks_dictionaries:
            self.log.info(
                "bundles are sent over HTTP without dictionaries (dcz): backports.zstd is missing"
            )

    def render(self, request: Request) -> bytes | int:
        request.setHeader(b"x-content-type-options", b"nosniff")
        allow_origin(request, self._origins)
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
        self, request: Request, writer: ResponseWriter, target: BundleTarget, is_peer_request: bool
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
        self, request: Request, writer: ResponseWriter, target: BundleTarget, private: bool
    ) -> None:
        """Answer from this relay's cache. A bundle that is on its way is waited for; where it is
        cut short, what the session has then is the answer.

        :raises BadRequest: nothing is to be had.
        :raises NoCode: what there is can't be read.
        """
        served = self._served
        while not writer.gone:
            bundle = self._latest(target)
            if bundle is None or served is None:
                raise BadRequest(404, self._nothing())
            answer = BundleAnswer(request, writer, target, private, served)
            bundle.retain()
            try:
                return await answer.send(bundle)
            except NoCode:
                # Its sender may have begun another, which the store hears of after this.
                await self._next_turn()
                if self._latest(target) is bundle:
                    raise
            finally:
                bundle.release()

    def _nothing(self) -> str:
        """What to tell a client for which there is no bundle."""
        cache = self._bundle_cache
        if cache is None or cache.off is not None:
            return _OUT_OF_ORDER
        return "No bundle of this session is kept"

    def _latest(self, target: BundleTarget) -> Bundle | None:
        """The bundle that is the answer, where there is one."""
        cache = self._bundle_cache
        return None if cache is None else cache.latest(target.session_hash)

    def _next_turn(self) -> Deferred[None]:
        """Fires when the reactor has done what it is doing."""
        turn: Deferred[None] = Deferred()
        self._reactor.callLater(0, lambda: turn.callback(None))
        return turn

    async def _let_in(
        self, request: Request, target: BundleTarget, address: str | None, is_peer_request: bool
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
        caller = read_caller(address, None, joined_field(request, "authorization"), query)
        return await access.may_read(target.session_hash, caller)

    def _address(self, request: Request) -> str | None:
        """The client's address."""
        fields = request.requestHeaders.getRawHeaders(FIELD, [])
        return self._trusted.client(host_of(request.getClientAddress()), fields)

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
        self, failure: Failure, request: Request, writer: ResponseWriter, target: BundleTarget
    ) -> None:
        self.log.failure(
            "session {session}: its bundle can't be served",
            failure,
            session=target.session_hash[:8],
        )
        if request.startedWriting:
            writer.abort()
        elif not writer.gone:
            for name in OF_A_REPRESENTATION:
                request.responseHeaders.removeHeader(name)
            writer.finish(write_json(request, {"error": "The relay has failed to serve it"}, 500))


def _parse(segments: list[bytes] | None) -> BundleTarget:
    """:raises BadRequest: 404 for a path of another form, 400 for a bad session id or hash."""
    names = [segment.decode("ascii", "replace") for segment in segments or ()]
    if not 1 <= len(names) <= 2:
        raise BadRequest(404, _USAGE)
    session_id = check_session_id(names[0])
    if len(names) == 1:
        return BundleTarget(session_id, None)
    if not _SHA256.fullmatch(names[1]):
        raise BadRequest(400, "Bad SHA-256: 64 of the characters 0-9 a-f")
    return BundleTarget(session_id, names[1])
