"""What the prefixes of an endpoint, ``proxy:`` and ``tls:``, put before HTTP: a load balancer's
PROXY header, and TLS (`tls_handshake`). The endpoints themselves are in `endpoints`.

HTTP knows of neither. Once the header is read, HTTP gets the transport itself, with the client's
address in place of the proxy's, so a `transport.BlockTransport` stays one. Over TLS, HTTP begins
when the handshake is done.
"""

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any, NamedTuple

from twisted.internet import address
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.edge.prefix_states import TRANSITIONS, PrefixEvent, PrefixState
from apptuner_relay.support.client_address import UNKNOWN, TrustedProxies, host_of
from apptuner_relay.support.log_throttle import LogThrottle
from apptuner_relay.wire.messages import http_refusal
from apptuner_relay.wire.proxy_header import BadHeader, Header, read_header

PLAIN_HTTP = "This port speaks TLS: use https:// or wss://"
NOBODY_KNOWN = address.IPv4Address("TCP", "0.0.0.0", 0)
"""The address of a client of which its proxy says nothing. It is no machine's, so it is never that
of anybody who may do more than others."""
REASONS = (
    "untrusted_proxy",
    "proxy_header",
    "plain_http",
    "tls_handshake",
    "timeout",
    "descriptors",
)
"""Why connections are rejected before HTTP begins."""

BeginTLS = Callable[["PrefixFactory", IAddress, float], IProtocol]
"""Makes the protocol that has a connection of this peer until its TLS handshake is done, and after.
The handshake has to be done by a time in seconds of the factory's clock."""

_PROXY, _TLS = "proxy:", "tls:"


class Prefixes(NamedTuple):
    """What ``--listen`` says before an endpoint."""

    proxied: bool
    """A PROXY header is due first."""
    secure: bool
    """Then TLS."""
    endpoint: str


def split_prefixes(description: str) -> Prefixes:
    """Read ``proxy:tls:tcp:443``, in which both prefixes may be missing.

    :raises ValueError: they are in another order, or there twice.
    """
    rest = description.removeprefix(_PROXY)
    proxied = rest != description
    endpoint = rest.removeprefix(_TLS)
    if endpoint.startswith((_PROXY, _TLS)):
        raise ValueError("proxy: and tls: may stand before an endpoint once each, in this order")
    return Prefixes(proxied, endpoint != rest, endpoint)


class RejectionLog:
    """Counts the connections that are rejected, and logs some of them: not so many that whoever
    makes them can fill the disk.

    :param count: is called with one of `REASONS`.
    """

    log = Logger()

    def __init__(self, count: Callable[[str], None], seconds: Callable[[], float]) -> None:
        self._count = count
        self._by_reason = {reason: LogThrottle(seconds) for reason in REASONS}

    def add(self, reason: str, peer: str | None, why: str) -> None:
        """Count a connection. ``why`` is for people, and quotes nothing of what was received."""
        self._count(reason)
        count = self._by_reason[reason].count()
        if count is not None:
            self.log.warn(
                "turned {peer} away: {why} ({count} for such reasons since the last such line)",
                peer=peer or UNKNOWN,
                why=why,
                count=count,
            )


class PrefixFactory(ServerFactory):
    """Stands before a Site: its connections become the Site's.

    :param trusted: whose PROXY headers are believed; None where there are none.
    :param begin_tls: None for plain HTTP.
    :param timeout_s: how long all that precedes HTTP may take.
    """

    noisy = False

    def __init__(
        self,
        site: IProtocolFactory,
        clock: Any,
        timeout_s: float,
        rejections: RejectionLog,
        trusted: TrustedProxies | None,
        begin_tls: BeginTLS | None,
    ) -> None:
        self.site = site
        self.clock = clock
        self.timeout_s = timeout_s
        self.rejections = rejections
        self.trusted = trusted
        self.begin_tls = begin_tls

    def doStart(self) -> None:
        self.site.doStart()
        super().doStart()

    def doStop(self) -> None:
        super().doStop()
        self.site.doStop()

    def buildProtocol(self, addr: IAddress | None) -> "PrefixProtocol | None":
        """See `IProtocolFactory`. None rejects the connection."""
        if self.trusted is not None and not self.trusted.trusts(host_of(addr)):
            peer = host_of(addr) or "a UNIX socket"
            self.rejections.add("untrusted_proxy", peer, "it is not in --trusted-proxy")
            return None
        # A port always says whom it has accepted.
        assert addr is not None
        return PrefixProtocol(self, addr)


class PrefixProtocol(Protocol):
    """Has a connection until TLS or HTTP gets it; see `prefix_states`."""

    def __init__(self, factory: PrefixFactory, peer: IAddress) -> None:
        self._factory = factory
        self._peer = peer
        is_proxied = factory.trusted is not None
        self._state = PrefixState.PROXY_HEADER if is_proxied else PrefixState.FIRST_BYTE
        self._data = b""

    def connectionMade(self) -> None:
        self._deadline = self._factory.clock.callLater(self._factory.timeout_s, self._time_out)

    def dataReceived(self, data: bytes) -> None:
        if self._state is PrefixState.REJECTED:
            return
        self._data += data
        if self._state is PrefixState.PROXY_HEADER:
            self._read_header()
        if self._state is PrefixState.FIRST_BYTE:
            self._read_first_byte()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._deadline.active():
            self._deadline.cancel()
        # Load balancers try whether a port is open, and send nothing.
        if self._data and self._state is PrefixState.PROXY_HEADER:
            self._count("proxy_header", "it disconnected in the middle of a PROXY header")

    def _read_header(self) -> None:
        """Read a PROXY header, if it is there whole."""
        try:
            header = read_header(self._data)
        except BadHeader as wrong:
            self._reject("proxy_header", str(wrong))
            self.transport.abortConnection()  # type: ignore[union-attr]
            return
        if header is None:
            return
        self._advance(PrefixEvent.HEADER_READ)
        self._data = self._data[header.length :]
        if not header.local:
            self._peer = peer = _client(header)
            # HTTP and WebSocket ask the transport, whichever class a port has made it of.
            self.transport.getPeer = lambda: peer  # type: ignore[union-attr, method-assign]

    def _read_first_byte(self) -> None:
        """Hand the connection on, to TLS once the client has begun."""
        begin_tls = self._factory.begin_tls
        if begin_tls is None:
            self._deadline.cancel()
            self._hand_on(self._factory.site.buildProtocol(self._peer))
        elif self._data[:1].isalpha():
            # No record of TLS begins with a letter (RFC 8446 §5.1), every request does.
            self._reject("plain_http", "it speaks plain HTTP to a port of TLS")
            self.transport.write(http_refusal(400, PLAIN_HTTP))  # type: ignore[union-attr]
            # Not closed yet: the system would reset the connection where more of the request
            # arrives, and the client might lose the answer.
            self.transport.loseWriteConnection()  # type: ignore[union-attr]
        elif self._data:
            until_s = self._deadline.getTime()
            self._deadline.cancel()
            self._hand_on(begin_tls(self._factory, self._peer, until_s))

    def _hand_on(self, protocol: IProtocol | None) -> None:
        """Leave the connection to ``protocol``, with what was received and not read."""
        assert protocol is not None
        self._advance(PrefixEvent.HAND_ON)
        transport: Any = self.transport
        self.transport = None
        data, self._data = self._data, b""
        transport.protocol = protocol
        protocol.makeConnection(transport)
        if data:
            protocol.dataReceived(data)

    def _time_out(self) -> None:
        if self._state is not PrefixState.REJECTED:
            self._reject("timeout", f"it did not begin in {self._factory.timeout_s:g} s")
        self.transport.abortConnection()  # type: ignore[union-attr]

    def _reject(self, reason: str, why: str) -> None:
        self._advance(PrefixEvent.REJECT)
        self._data = b""
        self._count(reason, why)

    def _count(self, reason: str, why: str) -> None:
        self._factory.rejections.add(reason, host_of(self._peer), why)

    def _advance(self, event: PrefixEvent) -> None:
        self._state = TRANSITIONS[self._state, event]


def _client(header: Header) -> IAddress:
    if header.client is None:
        return NOBODY_KNOWN
    host, port = header.client
    kind = address.IPv4Address if isinstance(host, IPv4Address) else address.IPv6Address
    return kind("TCP", str(host), port)
