"""The TLS handshake of an endpoint with the prefix ``tls:``, which `prefixes` begins."""

from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from apptuner_relay.edge.certificate import explain
from apptuner_relay.edge.prefixes import BeginTLS, PrefixFactory
from apptuner_relay.edge.tls_transport import SecureTransport
from apptuner_relay.support.client_address import host_of


def make_begin_tls(
    certificates: IOpenSSLServerConnectionCreator, site: IProtocolFactory, clock: Any
) -> BeginTLS:
    """What a `PrefixFactory` before ``site`` begins TLS with."""
    tls = TLSMemoryBIOFactory(certificates, False, site, clock)

    def begin(factory: PrefixFactory, peer: IAddress, until_s: float) -> IProtocol:
        return SecureTransport(tls, TLSHandshake(factory, peer, until_s))

    return begin


@implementer(IHandshakeListener)
class TLSHandshake(Protocol):
    """Has a connection until its TLS handshake is done.

    :param until_s: when the handshake has to be done, in seconds of the clock.
    """

    def __init__(self, factory: PrefixFactory, peer: IAddress, until_s: float) -> None:
        self._factory = factory
        self._peer = peer
        self._until_s = until_s
        self._is_late = False

    def connectionMade(self) -> None:
        clock = self._factory.clock
        left_s = max(0.0, self._until_s - clock.seconds())
        self._deadline: IDelayedCall = clock.callLater(left_s, self._time_out)

    def handshakeCompleted(self) -> None:
        """See `IHandshakeListener`: HTTP begins."""
        self._deadline.cancel()
        transport: Any = self.transport
        self.transport = None
        transport.wrappedProtocol = protocol = self._factory.site.buildProtocol(self._peer)
        assert protocol is not None
        protocol.makeConnection(transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See `IProtocol`: the handshake has failed."""
        if self._is_late:
            return
        self._deadline.cancel()
        error = reason.value
        why = explain(error) if isinstance(error, SSL.Error) else "the connection was lost"
        self._count("tls_handshake", f"the TLS handshake has failed: {why}")

    def _time_out(self) -> None:
        self._is_late = True
        self._count("timeout", f"the TLS handshake took more than {self._factory.timeout_s:g} s")
        self.transport.abortConnection()  # type: ignore[union-attr]

    def _count(self, reason: str, why: str) -> None:
        self._factory.rejections.add(reason, host_of(self._peer), why)
