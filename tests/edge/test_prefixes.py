"""`apptuner_relay.edge.prefixes`: connections up to where HTTP begins, without a network."""

import contextlib
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.edge.certificate_reload import CertificateReload
from apptuner_relay.edge.prefixes import PLAIN_HTTP, PrefixFactory, RejectionLog, split_prefixes
from apptuner_relay.edge.tls_handshake import make_begin_tls
from apptuner_relay.support.client_address import TrustedProxies
from tests.certificates import Authority, Live

PROXY = IPv4Address("TCP", "10.0.0.1", 4711)
TIMEOUT_S = 10.0
LINE = b"PROXY TCP4 192.0.2.7 10.0.0.9 5000 443\r\n"


class Transport(StringTransport):
    """One whose protocol can be another one later, as a reactor's."""

    aborted = False
    half_closed = False
    protocol: Any

    def abortConnection(self) -> None:
        self.aborted = True

    def loseWriteConnection(self) -> None:
        self.half_closed = True


class Web(Protocol):
    """What HTTP would be."""

    def __init__(self, peer: IAddress | None) -> None:
        self.peer = peer
        self.data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data


class Site(ServerFactory):
    starts = 0

    def doStart(self) -> None:
        self.starts += 1

    def doStop(self) -> None:
        self.starts -= 1

    def buildProtocol(self, addr: IAddress | None) -> Web:
        return Web(addr)


class PrefixCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.reasons: list[str] = []
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)
        self.rejections = RejectionLog(self.reasons.append, self.clock.seconds)

    def observe(self, event: dict[str, object]) -> None:
        if event.get("log_namespace") == "apptuner_relay.edge.prefixes.RejectionLog":
            self.lines.append(str(event["log_format"]).format(**event))

    def factory(self, trusted: str = "10.0.0.0/8") -> PrefixFactory:
        proxies = TrustedProxies.parse(trusted)
        return PrefixFactory(Site(), self.clock, TIMEOUT_S, self.rejections, proxies, None)

    def connect(self, factory: PrefixFactory | None = None, peer: IAddress = PROXY) -> Transport:
        transport = Transport(peerAddress=peer)
        transport.protocol = (factory or self.factory()).buildProtocol(peer)
        transport.protocol.makeConnection(transport)
        return transport

    def deliver(self, transport: Transport, *blocks: bytes) -> Any:
        for block in blocks:
            transport.protocol.dataReceived(block)
        return transport.protocol


class ProxiedConnections(PrefixCase):
    def test_the_client_takes_the_proxys_place(self) -> None:
        transport = self.connect()
        web = self.deliver(transport, LINE + b"GET / HTTP/1.1\r\n")
        client = IPv4Address("TCP", "192.0.2.7", 5000)
        self.assertEqual((web.peer, web.data), (client, b"GET / HTTP/1.1\r\n"))
        self.assertEqual(transport.getPeer(), client)
        # HTTP has the connection itself, with all that it can do.
        self.assertIs(web.transport, transport)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.reasons, [])

    @settings(deadline=None)
    @given(st.lists(st.integers(0, len(LINE) + 8), max_size=6))
    def test_however_it_is_cut(self, cuts: list[int]) -> None:
        data = LINE + b"GET / HT"
        edges = [0, *sorted(cuts), len(data)]
        transport = self.connect()
        blocks = [data[a:b] for a, b in pairwise(edges) if a < b]
        web = self.deliver(transport, *blocks)
        self.assertEqual((web.data, web.peer.host), (b"GET / HT", "192.0.2.7"))

    def test_ipv6(self) -> None:
        web = self.deliver(self.connect(), b"PROXY TCP6 2001:db8::1 2001:db8::2 5000 443\r\n")
        self.assertEqual(web.peer, IPv6Address("TCP", "2001:db8::1", 5000))

    def test_a_client_of_which_nothing_is_said(self) -> None:
        """It is not taken for the proxy, which may be on this machine and trusted."""
        transport = self.connect(self.factory("127.0.0.1"), IPv4Address("TCP", "127.0.0.1", 4711))
        web = self.deliver(transport, b"PROXY UNKNOWN\r\n")
        self.assertEqual(web.peer.host, "0.0.0.0")
        self.assertEqual(transport.getPeer().host, "0.0.0.0")

    def test_a_proxy_that_speaks_for_itself(self) -> None:
        local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
        transport = self.connect()
        self.assertEqual(self.deliver(transport, local).peer, PROXY)
        self.assertEqual(transport.getPeer(), PROXY)

    def test_who_is_not_trusted(self) -> None:
        for trusted, peer, told in [
            ("10.0.0.0/8", IPv4Address("TCP", "192.0.2.1", 1), "192.0.2.1"),
            ("10.0.0.0/8", UNIXAddress(None), "a UNIX socket"),
            ("unix", PROXY, "10.0.0.1"),
        ]:
            self.assertIsNone(self.factory(trusted).buildProtocol(peer))
            self.assertEqual(self.reasons.pop(), "untrusted_proxy")
            self.clock.advance(60)
            self.assertIn(f"turned {told} away: it is not in --trusted-proxy", self.lines[-1])

    def test_who_is_trusted(self) -> None:
        for trusted, peer in [
            ("10.0.0.0/8", IPv6Address("TCP", "::ffff:10.0.0.1", 1)),
            ("2001:db8::/32", IPv6Address("TCP", "2001:db8::1", 1)),
            ("unix", UNIXAddress(None)),
        ]:
            web = self.deliver(self.connect(self.factory(trusted), peer), LINE)
            self.assertEqual(web.peer.host, "192.0.2.7")

    def test_no_header(self) -> None:
        transport = self.connect()
        self.deliver(transport, b"GET / HTTP/1.1\r\n", LINE)
        self.assertTrue(transport.aborted)
        self.assertEqual((transport.value(), self.reasons), (b"", ["proxy_header"]))
        self.assertIn("turned 10.0.0.1 away: no PROXY header", self.lines[0])

    def test_half_a_header_and_no_more(self) -> None:
        transport = self.connect()
        self.deliver(transport, LINE[:10])
        self.clock.advance(TIMEOUT_S)
        self.assertTrue(transport.aborted)
        self.assertEqual(self.reasons, ["timeout"])

    def test_the_time_is_for_all_of_it(self) -> None:
        transport = self.connect()
        for at in range(9):
            self.deliver(transport, LINE[at : at + 1])
            self.clock.advance(TIMEOUT_S / 10)
        self.assertFalse(transport.aborted)
        self.clock.advance(TIMEOUT_S / 10)
        self.assertTrue(transport.aborted)

    def test_one_that_goes(self) -> None:
        for block, reasons in ((b"", []), (LINE[:10], ["proxy_header"])):
            transport = self.connect()
            self.deliver(transport, block)
            transport.protocol.connectionLost()
            self.assertEqual(self.reasons, reasons)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_site_starts_and_stops_with_it(self) -> None:
        factory = self.factory()
        factory.doStart()
        self.assertEqual(factory.site.starts, 1)  # type: ignore[attr-defined]
        factory.doStop()
        self.assertEqual(factory.site.starts, 0)  # type: ignore[attr-defined]


class SecureConnections(PrefixCase):
    """Of a port of TLS, without a PROXY header."""

    peer = IPv4Address("TCP", "192.0.2.7", 5000)

    def setUp(self) -> None:
        super().setUp()
        live = Live(Path(self.mktemp()))
        pair = Authority().issue()
        live.install(pair.chain, pair.key)
        certificates = CertificateReload(live.chain, live.key, self.clock, 60)
        site = Site()
        begin_tls = make_begin_tls(certificates, site, self.clock)
        self.secure = PrefixFactory(site, self.clock, TIMEOUT_S, self.rejections, None, begin_tls)
        self.client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        self.client.set_connect_state()

    def connect_client(self) -> Transport:
        return self.connect(self.secure, self.peer)

    def shake_hands(self, transport: Transport) -> None:
        for _ in range(3):
            with contextlib.suppress(SSL.WantReadError):
                self.client.do_handshake()
            self.pass_on(transport)

    def pass_on(self, transport: Transport) -> None:
        """Deliver what the client has written, and what the relay has."""
        with contextlib.suppress(SSL.WantReadError):
            transport.protocol.dataReceived(self.client.bio_read(1 << 20))
        if transport.value():
            self.client.bio_write(transport.value())
            transport.clear()

    def test_http_begins_when_the_handshake_is_done(self) -> None:
        transport = self.connect_client()
        self.shake_hands(transport)
        self.client.sendall(b"GET / HTTP/1.1\r\n")
        self.pass_on(transport)
        web = transport.protocol.wrappedProtocol
        self.assertEqual((web.peer, web.data), (self.peer, b"GET / HTTP/1.1\r\n"))
        self.assertEqual((self.reasons, self.clock.getDelayedCalls()), ([], []))

    def test_plain_http_is_told_so(self) -> None:
        transport = self.connect_client()
        self.deliver(transport, b"GET / HTTP/1.1\r\n", b"Host: relay\r\n\r\n")
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 400 "))
        self.assertIn(PLAIN_HTTP.encode(), transport.value())
        self.assertEqual(self.reasons, ["plain_http"])
        self.assertEqual((transport.half_closed, transport.aborted), (True, False))
        self.clock.advance(TIMEOUT_S)
        self.assertTrue(transport.aborted, "if it doesn't end by itself")
        self.assertEqual(self.reasons, ["plain_http"], "counted once")

    def test_a_client_that_never_begins(self) -> None:
        transport = self.connect_client()
        self.clock.advance(TIMEOUT_S)
        self.assertEqual((transport.aborted, self.reasons), (True, ["timeout"]))

    def test_the_time_is_for_the_handshake_too(self) -> None:
        transport = self.connect_client()
        self.clock.advance(TIMEOUT_S - 1)
        with contextlib.suppress(SSL.WantReadError):
            self.client.do_handshake()
        self.pass_on(transport)
        self.clock.advance(1)
        self.assertEqual((transport.aborted, self.reasons), (True, ["timeout"]))

    def test_what_is_no_tls(self) -> None:
        transport = self.connect_client()
        self.deliver(transport, b"\x00\x01\x02\x03 no TLS, nor HTTP")
        transport.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((self.reasons, self.clock.getDelayedCalls()), (["tls_handshake"], []))


class Rejections(PrefixCase):
    def test_not_every_one_is_logged(self) -> None:
        for _ in range(1000):
            self.rejections.add("plain_http", "192.0.2.1", "a reason")
        self.rejections.add("timeout", None, "another")
        self.assertEqual(
            self.lines,
            [
                "turned 192.0.2.1 away: a reason (1 for such reasons since the last such line)",
                "turned an unknown address away: another (1 for such reasons since the last such "
                "line)",
            ],
        )
        self.clock.advance(10)
        self.rejections.add("plain_http", "192.0.2.2", "a reason")
        self.assertIn("192.0.2.2 away: a reason (1000 for", self.lines[-1])
        self.assertEqual(self.reasons.count("plain_http"), 1001)


class Prefixes(SynchronousTestCase):
    def test_prefixes(self) -> None:
        for description, expected in [
            ("tcp:3000", (False, False, "tcp:3000")),
            ("tls:tcp:443", (False, True, "tcp:443")),
            ("proxy:unix:/run/x", (True, False, "unix:/run/x")),
            ("proxy:tls:systemd:domain=INET:index=0", (True, True, "systemd:domain=INET:index=0")),
            ("ssl:443:privateKey=x", (False, False, "ssl:443:privateKey=x")),
        ]:
            self.assertEqual(tuple(split_prefixes(description)), expected)

    def test_in_another_order(self) -> None:
        for description in ("tls:proxy:tcp:1", "tls:tls:tcp:1", "proxy:proxy:tcp:1"):
            self.assertRaises(ValueError, split_prefixes, description)
