"""What comes on a connection before HTTP does: a load balancer's PROXY header, and TLS.

Neither is known to what comes behind. Once the header is read, the connection is handed on to HTTP
as it is, with the client's address in place of the proxy's; so what receives without copying
(`transport`) goes on to. Over TLS, HTTP starts when the handshake is done.
"""

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any, NamedTuple

from OpenSSL import SSL
from twisted.internet import address
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
)
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from apptuner_relay.certificate import explain
from apptuner_relay.forwarded import UNKNOWN, TrustedProxies, host_of
from apptuner_relay.secure import SecureTransport
from apptuner_relay.seldom import Seldom
from apptuner_relay.wire.messages import http_refusal
from apptuner_relay.wire.proxy_header import BadHeader, Header, read_header

PLAIN_HTTP = "This port speaks TLS: use https:// or wss://"
NOBODY_KNOWN = address.IPv4Address("TCP", "0.0.0.0", 0)
"""The address of a client of which its proxy says nothing: of no machine, so nobody's who may do
more than others."""
REASONS = (
    "untrusted_proxy",
    "proxy_header",
    "plain_http",
    "tls_handshake",
    "timeout",
    "descriptors",
)
"""Why connections are turned away here."""

_PROXY, _TLS = "proxy:", "tls:"


class Prefixes(NamedTuple):
    """What ``--listen`` says before an endpoint."""

    proxied: bool
    """A PROXY header comes first."""
    secure: bool
    """Then TLS."""
    endpoint: str


def split_prefixes(description: str) -> Prefixes:
    """Read ``proxy:tls:tcp:443``, in which both prefixes may be missing.

    :raises ValueError: they come in another order, or twice.
    """
    rest = description.removeprefix(_PROXY)
    proxied = rest != description
    endpoint = rest.removeprefix(_TLS)
    if endpoint.startswith((_PROXY, _TLS)):
        raise ValueError("proxy: and tls: may stand before an endpoint once each, in this order")
    return Prefixes(proxied, endpoint != rest, endpoint)


class Complaints:
    """Counts the connections that are turned away, and logs some of them: not so many that who
    makes them can fill the disk.

    :param count: is called with one of `REASONS`.
    """

    log = Logger()

    def __init__(self, count: Callable[[str], None], seconds: Callable[[], float]) -> None:
        self._count = count
        self._by_reason = {reason: Seldom(seconds) for reason in REASONS}

    def add(self, reason: str, peer: str | None, why: str) -> None:
        """One more. ``why`` is for people, and quotes nothing of what came."""
        self._count(reason)
        count = self._by_reason[reason].count()
        if count is not None:
            self.log.warn(
                "turned {peer} away: {why} ({count} for such reasons since the last such line)",
                peer=peer or UNKNOWN,
                why=why,
                count=count,
            )


class Front(ServerFactory):
    """Stands before a Site: its connections become the Site's.

    :param trusted: whose PROXY headers are believed; None where none comes.
    :param tls: makes the server's side of TLS; None for plain HTTP.
    :param timeout_s: how long all that comes before HTTP may take.
    """

    noisy = False

    def __init__(
        self,
        site: IProtocolFactory,
        clock: Any,
        timeout_s: float,
        complaints: Complaints,
        trusted: TrustedProxies | None,
        tls: IOpenSSLServerConnectionCreator | None,
    ) -> None:
        self.site = site
        self.clock = clock
        self.timeout_s = timeout_s
        self.complaints = complaints
        self.trusted = trusted
        self.tls: TLSMemoryBIOFactory | None = None
        if tls is not None:
            self.tls = TLSMemoryBIOFactory(tls, False, self.site, clock)

    def doStart(self) -> None:
        self.site.doStart()
        super().doStart()

    def doStop(self) -> None:
        super().doStop()
        self.site.doStop()

    def buildProtocol(self, addr: IAddress | None) -> "Preface | None":
        """None turns the connection away."""
        if self.trusted is not None and not self.trusted.trusts(host_of(addr)):
            peer = host_of(addr) or "a UNIX socket"
            self.complaints.add("untrusted_proxy", peer, "it is not in --trusted-proxy")
            return None
        # A port always says whom it has accepted.
        assert addr is not None
        return Preface(self, addr)


class Preface(Protocol):
    """Takes a connection until it is known what it is."""

    def __init__(self, front: Front, peer: IAddress) -> None:
        self._front = front
        self._peer = peer
        self._header_due = front.trusted is not None
        self._data = b""
        self._refused = False

    def connectionMade(self) -> None:
        self._deadline = self._front.clock.callLater(self._front.timeout_s, self._late)

    def dataReceived(self, data: bytes) -> None:
        if self._refused:
            return
        self._data += data
        if self._header_due and not self._take_header():
            return
        tls = self._front.tls
        if tls is None:
            self._deadline.cancel()
            self._hand_on(self._front.site.buildProtocol(self._peer))
        elif self._data[:1].isalpha():
            # No record of TLS begins with a letter (RFC 8446 §5.1), every request does.
            self._refuse("plain_http", "it speaks plain HTTP to a port of TLS")
            self.transport.write(http_refusal(400, PLAIN_HTTP))  # type: ignore[union-attr]
            # Not closed yet: the system would reset the connection where more of the request
            # comes, and the client might lose the answer.
            self.transport.loseWriteConnection()  # type: ignore[union-attr]
        elif self._data:
            until_s = self._deadline.getTime()
            self._deadline.cancel()
            handshake = Handshake(self._front, self._peer, until_s)
            self._hand_on(SecureTransport(tls, handshake))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._deadline.active():
            self._deadline.cancel()
        # Load balancers try whether a port is open, and send nothing.
        if self._data and not self._refused:
            self._complain("proxy_header", "it went away in the middle of a PROXY header")

    def _take_header(self) -> bool:
        """Whether it was there."""
        try:
            header = read_header(self._data)
        except BadHeader as wrong:
            self._refuse("proxy_header", str(wrong))
            self.transport.abortConnection()  # type: ignore[union-attr]
            return False
        if header is None:
            return False
        self._header_due = False
        self._data = self._data[header.length :]
        if not header.local:
            self._peer = peer = _client(header)
            self.transport.getPeer = lambda: peer  # type: ignore[union-attr, method-assign]
        return True

    def _hand_on(self, protocol: IProtocol | None) -> None:
        """Leave the connection to ``protocol``, with what is left of what came."""
        assert protocol is not None
        transport: Any = self.transport
        self.transport = None
        data, self._data = self._data, b""
        transport.protocol = protocol
        protocol.makeConnection(transport)
        if data:
            protocol.dataReceived(data)

    def _late(self) -> None:
        if not self._refused:
            self._refuse("timeout", f"it did not begin in {self._front.timeout_s:g} s")
        self.transport.abortConnection()  # type: ignore[union-attr]

    def _refuse(self, reason: str, why: str) -> None:
        self._refused = True
        self._data = b""
        self._complain(reason, why)

    def _complain(self, reason: str, why: str) -> None:
        self._front.complaints.add(reason, host_of(self._peer), why)


@implementer(IHandshakeListener)
class Handshake(Protocol):
    """Takes a connection of TLS until its handshake is done.

    :param until_s: the end of the time for it, by the clock.
    """

    def __init__(self, front: Front, peer: IAddress, until_s: float) -> None:
        self._front = front
        self._peer = peer
        self._until_s = until_s
        self._is_late = False

    def connectionMade(self) -> None:
        clock = self._front.clock
        left_s = max(0.0, self._until_s - clock.seconds())
        self._deadline: IDelayedCall = clock.callLater(left_s, self._late)

    def handshakeCompleted(self) -> None:
        """HTTP may begin."""
        self._deadline.cancel()
        transport: Any = self.transport
        self.transport = None
        transport.wrappedProtocol = protocol = self._front.site.buildProtocol(self._peer)
        assert protocol is not None
        protocol.makeConnection(transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It has failed."""
        if self._is_late:
            return
        self._deadline.cancel()
        error = reason.value
        why = explain(error) if isinstance(error, SSL.Error) else "the connection was lost"
        self._complain("tls_handshake", f"the TLS handshake has failed: {why}")

    def _late(self) -> None:
        self._is_late = True
        self._complain("timeout", f"the TLS handshake took more than {self._front.timeout_s:g} s")
        self.transport.abortConnection()  # type: ignore[union-attr]

    def _complain(self, reason: str, why: str) -> None:
        self._front.complaints.add(reason, host_of(self._peer), why)


def _client(header: Header) -> IAddress:
    if header.client is None:
        return NOBODY_KNOWN
    host, port = header.client
    kind = address.IPv4Address if isinstance(host, IPv4Address) else address.IPv6Address
    return kind("TCP", str(host), port)
