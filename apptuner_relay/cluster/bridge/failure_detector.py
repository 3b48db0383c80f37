"""Detects that a relay to which clients are bridged has failed.

The silence of one link proves nothing: the owner may have stopped reading for the sake of a slow
phone, and the kernel of a frozen process still acknowledges data. So silent links are pinged, and a
relay that is silent on all links is asked over a connection of its own.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.ssl import Certificate
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, readBody

from apptuner_relay.cluster.bridge.remote_member import RemoteMember
from apptuner_relay.support.http_pool import quiet_pool
from apptuner_relay.web.http_proxy import FAULTS

CHECK_INTERVAL_S = 1.5
"""How often to call `FailureDetector.check`."""
_MOST_SILENT = 2
"""After this many silent checks in turn a relay is asked."""
_ANSWER_S = 2.0


class FailureDetector:
    """Checks the relays at the other ends of links.

    :param clients: gives the clients whose sessions are elsewhere.
    :param asks: asks the relay at an address. Fires with whether it has answered.
    """

    log = Logger()

    def __init__(
        self,
        clients: Callable[[], Iterable[RemoteMember]],
        clock: IReactorTime,
        asks: Callable[[str], Deferred[bool]],
    ) -> None:
        self._clients = clients
        self._clock = clock
        self._asks = asks
        self._silent: Counter[str] = Counter()
        self._asked: set[str] = set()

    def check(self) -> None:
        """Check all of them."""
        by_node: defaultdict[str, list[RemoteMember]] = defaultdict(list)
        for one in self._clients():
            if one.link is not None and one.lease is not None:
                by_node[one.lease.node].append(one)
        for node in set(self._silent) - set(by_node):
            del self._silent[node]
        since_s = self._clock.seconds() - CHECK_INTERVAL_S
        for node, clients in by_node.items():
            if any(one.link is not None and one.link.heard_s > since_s for one in clients):
                self._silent[node] = 0
                continue
            self._silent[node] += 1
            for one in clients:
                one.ping_owner()
            if self._silent[node] >= _MOST_SILENT and node not in self._asked:
                self._ask(node, clients)

    def _ask(self, node: str, clients: list[RemoteMember]) -> None:
        lease = clients[0].lease
        assert lease is not None
        self._asked.add(node)

        def answered(alive: bool) -> None:
            self._asked.discard(node)
            if alive or not self._silent[node]:
                self._silent[node] = 0
                return
            self.log.warn("relay {node}: does not answer, and counts as failed", node=node)
            for one in self._clients():
                if one.lease is not None and one.lease.node == node:
                    one.drop_link()

        def failed(failure: Failure) -> None:
            self._asked.discard(node)
            self.log.failure("asking relay {node} has failed", failure, node=node)

        self._asks(lease.address).addCallbacks(answered).addErrback(failed)


def make_asker(reactor: Any, trust: Certificate | None) -> Callable[[str], Deferred[bool]]:
    """What asks a relay whether it lives, with ``GET /live`` at its node's address.

    :param trust: see `placement.ClusterPlacement`.
    """
    agent = Agent(
        reactor,
        BrowserLikePolicyForHTTPS(trust),
        connectTimeout=_ANSWER_S,
        pool=quiet_pool(reactor),
    )

    async def ask(address: str) -> bool:
        url = address.replace("ws", "http", 1) + "/live"
        asking: Deferred[Any] = agent.request(b"GET", url.encode("ascii"))
        try:
            response = await asking.addTimeout(_ANSWER_S, reactor)
            await readBody(response).addTimeout(_ANSWER_S, reactor)
        except FAULTS:
            return False
        return True

    return lambda address: Deferred.fromCoroutine(ask(address))
