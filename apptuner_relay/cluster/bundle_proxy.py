"""Forwards HTTP requests for bundles to the relay that owns the session, which has the bundle
cached.

That relay answers from its own cache, and doesn't forward the request again.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IResponse
from twisted.web.server import Request

from apptuner_relay.cluster.bridge.peer_auth import BadPass, write_request_pass
from apptuner_relay.cluster.other_owner import find_other_owner
from apptuner_relay.cluster.ownership.directory import DirectoryUnreachable, Lease
from apptuner_relay.cluster.peer_http_proxy import (
    RETRY_AFTER_S,
    PeerProxy,
    PeerRequest,
    forward,
    url_at,
)
from apptuner_relay.session.session import BadRequest
from apptuner_relay.web.http_proxy import Unanswered
from apptuner_relay.web.streaming import ResponseWriter

_ANSWER_S = 120.0
"""How long the owner may take to answer: it may have to compress a big bundle first."""
_CHECK_S = 2.0
"""How often to check, meanwhile, that it is the owner still."""


class BundleProxy(PeerProxy):
    """Forwards requests; a `bundle_resource.PeerBundles`."""

    log = Logger()

    def is_peer_request(self, request: Request) -> bool:
        """See `bundle_resource.PeerBundles`."""
        return self._has_request_pass(request, request.path.decode("latin-1"))

    def _refused(self, wrong: BadPass) -> None:
        count = self._refusals.count()
        if count is not None:
            self.log.warn(
                "refused a request of another relay: {why} ({count} since the last such line)",
                why=str(wrong),
                count=count,
            )

    async def answer(self, request: Request, outlet: ResponseWriter, session_hash: str) -> bool:
        """See `bundle_resource.PeerBundles`."""
        lease = await find_other_owner(self._placement, session_hash)
        if lease is None:
            return False
        if not outlet.gone:
            await self._ask(request, outlet, lease)
        return True

    async def _ask(self, request: Request, outlet: ResponseWriter, lease: Lease) -> None:
        placement = self._placement
        path = request.path.decode("ascii")
        shown, proof = write_request_pass(
            placement.secret, placement.node, lease.node, path, placement.relay.wall_s()
        )
        peer_request = PeerRequest(url_at(lease, path), shown, proof)
        watch = _BundleWatch(self, lease)
        try:
            why = await forward(request, outlet, peer_request, self._agent, watch.start)
        except Unanswered as wrong:
            if outlet.gone:
                return
            self._log(lease, watch.why or str(wrong))
            if wrong.status == 503:
                request.setHeader(b"retry-after", b"%d" % RETRY_AFTER_S)
            raise BadRequest(
                wrong.status, "The relay that keeps this session's bundle can't be reached now"
            ) from None
        finally:
            watch.stop()
        if why is not None:
            self._log(lease, why)

    def _log(self, lease: Lease, why: str) -> None:
        self.log.warn(
            "session {session}: relay {node} does not deliver its bundle: {why}",
            session=lease.session[:8],
            node=lease.node,
            why=why,
        )

    async def owns(self, lease: Lease) -> bool:
        """Whether the node of a lease owns the session still, as far as that can be known now."""
        try:
            now = await self._placement.directory.look(lease.session)
        except DirectoryUnreachable:
            return True
        return now is not None and now.node == lease.node


class _BundleWatch:
    """Cancels a request to a relay that takes too long, or isn't the owner any more."""

    def __init__(self, proxy: BundleProxy, lease: Lease) -> None:
        self.why: str | None = None
        self._proxy = proxy
        self._lease = lease
        self._asking: Deferred[IResponse] | None = None
        self._call = LoopingCall(self._check)
        self._call.clock = proxy._reactor
        self._until_s = proxy._reactor.seconds() + _ANSWER_S

    def start(self, asking: Deferred[IResponse]) -> None:
        """Watch a request until it is answered."""
        self._asking = asking
        self._call.start(_CHECK_S, now=False).addErrback(self._failed)
        asking.addBoth(self._answered)

    def stop(self) -> None:
        """Watch no more. Harmless when that was said before."""
        if self._call.running:
            self._call.stop()

    def _answered(self, result: Any) -> Any:
        self.stop()
        return result

    async def _check(self) -> None:
        owns = await self._proxy.owns(self._lease)
        if not self._call.running:
            return
        if not owns:
            self._cancel("it doesn't own the session any more")
        elif self._proxy._reactor.seconds() >= self._until_s:
            self._cancel(f"no answer within {_ANSWER_S:g} s")

    def _cancel(self, why: str) -> None:
        self.why = why
        self.stop()
        if self._asking is not None:
            self._asking.cancel()

    def _failed(self, failure: Failure) -> None:
        BundleProxy.log.failure("watching a relay that is asked for a bundle has failed", failure)
