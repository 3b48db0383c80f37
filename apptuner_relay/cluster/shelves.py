"""Where a session's last bundle is kept, for who asks any relay for it: with the session's owner.

A request for a bundle of another relay's session is passed on to that relay, which answers it from
what it keeps itself and passes nothing on again.
"""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.ssl import Certificate
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS
from twisted.web.iweb import IResponse
from twisted.web.server import Request

from apptuner_relay.asking import quiet_pool
from apptuner_relay.cluster.directory import DirectoryAway, Lease
from apptuner_relay.cluster.forwarding import Way, forward
from apptuner_relay.cluster.homes import Homes
from apptuner_relay.cluster.passes import (
    PASS_HEADER,
    PROOF_HEADER,
    BadPass,
    prove,
    write_errand,
)
from apptuner_relay.session import BadRequest
from apptuner_relay.web.headers import header
from apptuner_relay.web.http_proxy import Unanswered
from apptuner_relay.web.streaming import Outlet

_CONNECT_S = 2.0
_ANSWER_S = 120.0
"""How long the owner may take: it may have to compress a big bundle first."""
_LOOK_S = 2.0
"""How often, meanwhile, to look whether it is still the owner."""
_AGAIN_S = 5
"""After how long a client had better try again: a dead relay's lease is over soon."""


class Shelves:
    """Those of all relays: a `web.bundles.Elsewhere`.

    :param trust: see `Homes`.
    """

    log = Logger()

    def __init__(self, homes: Homes, reactor: Any, trust: Certificate | None = None) -> None:
        self._homes = homes
        self._reactor = reactor
        self._agent = Agent(
            reactor,
            BrowserLikePolicyForHTTPS(trust),
            connectTimeout=_CONNECT_S,
            pool=quiet_pool(reactor),
        )

    def is_errand(self, request: Request) -> bool:
        """See `web.bundles.Elsewhere`."""
        shown = header(request, PASS_HEADER)
        if shown is None:
            return False
        path = request.path.decode("latin-1")
        try:
            nonce = self._homes.gate.read_errand(shown, path, self._homes.relay.wall_s())
        except BadPass as wrong:
            self.log.warn("refused a request of another relay: {why}", why=str(wrong))
            raise BadRequest(401, f"The pass is not good: {wrong}") from None
        request.setHeader(PROOF_HEADER.encode(), prove(self._homes.secret, nonce).encode())
        return True

    async def answer(self, request: Request, outlet: Outlet, session_hash: str) -> bool:
        """See `web.bundles.Elsewhere`."""
        lease = await self._owner(session_hash)
        if lease is None:
            return False
        if not outlet.gone:
            await self._ask(request, outlet, lease)
        return True

    async def _ask(self, request: Request, outlet: Outlet, lease: Lease) -> None:
        homes = self._homes
        path = request.path.decode("ascii")
        shown, proof = write_errand(
            homes.secret, homes.node, lease.node, path, homes.relay.wall_s()
        )
        # ws://… becomes http://…
        way = Way(f"http{lease.address.removeprefix('ws')}{path}", shown, proof)
        watch = _Watch(self, lease)
        try:
            why = await forward(request, outlet, way, self._agent, watch.start)
        except Unanswered as wrong:
            if outlet.gone:
                return
            self._complain(lease, watch.why or str(wrong))
            if wrong.status == 503:
                request.setHeader(b"retry-after", b"%d" % _AGAIN_S)
            raise BadRequest(
                wrong.status, "The relay that keeps this session's bundle can't be reached now"
            ) from None
        finally:
            watch.stop()
        if why is not None:
            self._complain(lease, why)

    def _complain(self, lease: Lease, why: str) -> None:
        self.log.warn(
            "session {session}: its bundle can't be had from relay {node}: {why}",
            session=lease.session[:8],
            node=lease.node,
            why=why,
        )

    async def _owner(self, session_hash: str) -> Lease | None:
        """Who keeps a session's bundle, if it is another relay."""
        homes = self._homes
        for bridged in homes.bridged.get(session_hash, ()):
            if bridged.link is not None:
                return bridged.lease
        if session_hash in homes.relay.sessions:
            return None
        try:
            lease = await homes.directory.look(session_hash)
        except DirectoryAway:
            return None
        return None if lease is None or lease.node == homes.node else lease

    async def owns(self, lease: Lease) -> bool:
        """Whether a session still belongs to who had it, as far as that can be known now."""
        try:
            now = await self._homes.directory.look(lease.session)
        except DirectoryAway:
            return True
        return now is not None and now.node == lease.node


class _Watch:
    """Gives an owner up that takes too long, or isn't the owner any more."""

    def __init__(self, shelves: Shelves, lease: Lease) -> None:
        self.why: str | None = None
        self._shelves = shelves
        self._lease = lease
        self._asking: Deferred[IResponse] | None = None
        self._call = LoopingCall(self._look)
        self._call.clock = shelves._reactor
        self._until_s = shelves._reactor.seconds() + _ANSWER_S

    def start(self, asking: Deferred[IResponse]) -> None:
        """Watch this until it fires."""
        self._asking = asking
        self._call.start(_LOOK_S, now=False).addErrback(self._failed)
        asking.addBoth(self._answered)

    def stop(self) -> None:
        """Harmless when it was done before."""
        if self._call.running:
            self._call.stop()

    def _answered(self, result: Any) -> Any:
        self.stop()
        return result

    async def _look(self) -> None:
        owns = await self._shelves.owns(self._lease)
        if not self._call.running:
            return
        if not owns:
            self._give_up("it doesn't own the session any more")
        elif self._shelves._reactor.seconds() >= self._until_s:
            self._give_up(f"no answer within {_ANSWER_S:g} s")

    def _give_up(self, why: str) -> None:
        self.why = why
        self.stop()
        if self._asking is not None:
            self._asking.cancel()

    def _failed(self, failure: Failure) -> None:
        Shelves.log.failure("a relay that is asked for a bundle is watched no more", failure)
