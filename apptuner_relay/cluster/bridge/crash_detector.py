"""Detects that the process of another relay has ended without a word, so that its sessions need not
wait for its leases to end by themselves. `suspicion_states` has the rule.

A whole machine that is lost refuses nothing, and neither does one that is cut off: their leases end
by time. Relays that are reached and say nothing are for `failure_detector`.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.cluster.bridge.suspicion_states import (
    ASKS,
    SuspicionEvent,
    SuspicionState,
    next_state,
)
from apptuner_relay.cluster.ownership.directory import Directory, NodeLife, Suspicion

_PAUSE_S = 0.2
"""Before each connection that is tried. Whoever is about to be told that the process has ended has
been told by then: the kernel closes a process's connections one after the other."""
_SETTLED_S = 0.5
"""How long a relay is not doubted again."""
_CONNECT_S = 2.0
_EVENTS = {
    NodeLife.LIVES: SuspicionEvent.LIVES,
    NodeLife.SILENT: SuspicionEvent.SILENT,
    NodeLife.ENDED: SuspicionEvent.ENDED,
    NodeLife.UNKNOWN: SuspicionEvent.UNKNOWN,
}


class CrashDetector:
    """Examines the relays that refuse connections.

    :param directory: gives the directory, once there is one.
    :param refuses: tries to connect to an address. Fires with whether that was refused.
    :param on_ended: called when a relay has ended.
    """

    log = Logger()

    def __init__(
        self,
        directory: Callable[[], Directory],
        clock: IReactorTime,
        refuses: Callable[[str], Deferred[bool]],
        on_ended: Callable[[], object],
    ) -> None:
        self._directory, self._clock = directory, clock
        self._refuses, self._on_ended = refuses, on_ended
        self._states: dict[str, SuspicionState] = {}
        """By node; of those that are not trusted."""

    def not_reached(self, node: str, address: str) -> None:
        """A node has refused the connection for a client."""
        if node in self._states:
            return
        self._advance(node, SuspicionEvent.NOT_REACHED)

        def failed(failure: Failure) -> None:
            self._states.pop(node, None)
            self.log.failure("examining relay {node} has failed", failure, node=node)

        Deferred.fromCoroutine(self._examine(node, address)).addErrback(failed)

    async def _examine(self, node: str, address: str) -> None:
        known = Suspicion(NodeLife.UNKNOWN)
        while self._states[node] is not SuspicionState.SETTLED:
            await deferLater(self._clock, _PAUSE_S)
            refused = await self._refuses(address)
            self._advance(node, SuspicionEvent.REFUSED if refused else SuspicionEvent.ACCEPTED)
            if self._states[node] in ASKS:
                known = await self._directory().suspect(node, address, known)
                self._advance(node, _EVENTS[known.life])
        if known.life is NodeLife.ENDED:
            self.log.warn(
                "relay {node}: has ended: it refuses connections, and Redis has none of it",
                node=node,
            )
            self._on_ended()
        await deferLater(self._clock, _SETTLED_S)
        self._advance(node, SuspicionEvent.FORGOTTEN)

    def _advance(self, node: str, event: SuspicionEvent) -> None:
        after = next_state(self._states.get(node, SuspicionState.TRUSTED), event)
        self._states[node] = after
        if after is SuspicionState.TRUSTED:
            del self._states[node]


def make_refusal_check(reactor: Any) -> Callable[[str], Deferred[bool]]:
    """What tries to connect to a node's address, and tells whether its host refuses that. Without
    an answer within 2 s it does not."""

    def check(address: str) -> Deferred[bool]:
        parts = urlsplit(address)
        assert parts.hostname is not None and parts.port is not None
        # Takes any host. A HostnameEndpoint tells of a refusal 0.3 s later.
        endpoint = TCP4ClientEndpoint(reactor, parts.hostname, parts.port, timeout=_CONNECT_S)

        def accepted(protocol: Any) -> bool:
            protocol.transport.abortConnection()
            return False

        connecting: Deferred[Any] = endpoint.connect(Factory.forProtocol(Protocol))
        return connecting.addCallbacks(
            accepted, lambda why: bool(why.check(ConnectionRefusedError))
        )

    return check
