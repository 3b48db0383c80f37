"""Sees that the relays that clients are bridged to still live.

A bridge that is silent tells nothing: its owner may have stopped reading for a slow phone's sake,
and the kernel of one that is frozen still acknowledges what comes. So links are pinged while they
are silent, and a relay of which nothing comes on any of them is asked over a connection of its own.
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

from apptuner_relay.asking import quiet_pool
from apptuner_relay.cluster.bridge import Bridged
from apptuner_relay.web.http_proxy import FAULTS

WATCH_S = 1.5
"""How often to call `Watch.look`."""
_MOST_SILENT = 2
"""After so many silent looks in turn a relay is asked."""
_ANSWER_S = 2.0


class Watch:
    """Watches.

    :param clients: gives those that are bridged, or wait for it.
    :param asks: asks the relay at an address; fires with whether it has answered.
    """

    log = Logger()

    def __init__(
        self,
        clients: Callable[[], Iterable[Bridged]],
        clock: IReactorTime,
        asks: Callable[[str], Deferred[bool]],
    ) -> None:
        self._clients = clients
        self._clock = clock
        self._asks = asks
        self._silent: Counter[str] = Counter()
        self._asked: set[str] = set()

    def look(self) -> None:
        """Look at all of them."""
        by_node: defaultdict[str, list[Bridged]] = defaultdict(list)
        for one in self._clients():
            if one.link is not None and one.lease is not None:
                by_node[one.lease.node].append(one)
        for node in set(self._silent) - set(by_node):
            del self._silent[node]
        since_s = self._clock.seconds() - WATCH_S
        for node, clients in by_node.items():
            if any(one.link is not None and one.link.heard_s > since_s for one in clients):
                self._silent[node] = 0
                continue
            self._silent[node] += 1
            for one in clients:
                one.ask()
            if self._silent[node] >= _MOST_SILENT and node not in self._asked:
                self._ask(node, clients)

    def _ask(self, node: str, clients: list[Bridged]) -> None:
        lease = clients[0].lease
        assert lease is not None
        self._asked.add(node)

        def answered(alive: bool) -> None:
            self._asked.discard(node)
            if alive or not self._silent[node]:
                self._silent[node] = 0
                return
            self.log.warn("relay {node}: nothing is heard of it any more", node=node)
            for one in self._clients():
                if one.lease is not None and one.lease.node == node:
                    one.cut_off()

        def failed(failure: Failure) -> None:
            self._asked.discard(node)
            self.log.failure("asking relay {node} has failed", failure, node=node)

        self._asks(lease.address).addCallbacks(answered).addErrback(failed)


def make_asker(reactor: Any, trust: Certificate | None) -> Callable[[str], Deferred[bool]]:
    """What asks a relay whether it lives: with ``GET /live``, at its address as node.

    :param trust: see `homes.Homes`.
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
