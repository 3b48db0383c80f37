"""What every connection of the site meets first: a client's handshake goes straight to a WebSocket,
and anything else to a `RelayChannel`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IReactorTime,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from apptuner_relay.edge.client_side import ClientSide
from apptuner_relay.edge.direct_connection import DirectConnection
from apptuner_relay.web.channel import RelayChannel
from apptuner_relay.wire.client_request import read_client_request


class FrontDesk:
    """What the fronts of one site share.

    :param factories: of the clients' connections, by the first segments of their paths.
    :param make_channel: makes the channel of a connection that is no client's, or not known to be.
    :param timeout_s: how long the head of a request may take, from the connection's beginning on.
    :param header_limit: how many bytes it may have.
    """

    def __init__(
        self,
        factories: Mapping[str, ClientSide],
        make_channel: Callable[[IAddress | None], RelayChannel],
        clock: IReactorTime,
        timeout_s: float,
        header_limit: int,
    ) -> None:
        self.factories = factories
        self.make_channel = make_channel
        self.clock = clock
        self.timeout_s = timeout_s
        self.header_limit = header_limit
        self.silent: set[object] = set()
        """The fronts of connections on which nothing has arrived yet."""


@implementer(IHalfCloseableProtocol)
class Front(Protocol):
    """Has a connection until something arrives on it."""

    transport: Any

    def __init__(self, desk: FrontDesk, peer: IAddress | None) -> None:
        self._desk = desk
        self._peer = peer

    def connectionMade(self) -> None:
        """See `IProtocol`."""
        desk = self._desk
        desk.silent.add(self)
        self._deadline: IDelayedCall = desk.clock.callLater(desk.timeout_s, self._time_out)

    def dataReceived(self, data: bytes) -> None:
        """See `IProtocol`: the first block."""
        request = read_client_request(data, self._desk.header_limit)
        if request is None:
            self._open_channel().dataReceived(data)
            return
        self._leave()
        factory = self._desk.factories[request.role]
        self._hand_over(DirectConnection(factory, request, self._peer))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `IProtocol`."""
        self._leave()

    def readConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`."""
        self._open_channel().readConnectionLost()

    def writeConnectionLost(self) -> None:
        """See `IHalfCloseableProtocol`. The relay never closes its side alone."""

    def _time_out(self) -> None:
        # It has no time left, either.
        self._open_channel()

    def _open_channel(self) -> RelayChannel:
        """Have a channel take the connection, for as long as it may still take."""
        clock = self._desk.clock
        left_s = max(0.0, self._deadline.getTime() - clock.seconds())
        self._leave()
        channel = self._desk.make_channel(self._peer)
        channel.begin_with(left_s)
        self._hand_over(channel)
        return channel

    def _leave(self) -> None:
        self._desk.silent.discard(self)
        if self._deadline.active():
            self._deadline.cancel()

    def _hand_over(self, protocol: Protocol) -> None:
        transport, self.transport = self.transport, None
        if isinstance(transport, ProtocolWrapper):
            transport.wrappedProtocol = protocol
        else:
            transport.protocol = protocol
        protocol.makeConnection(transport)
