"""`apptuner_relay.front`: connections up to where HTTP begins, without a network."""

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.forwarded import TrustedProxies
from apptuner_relay.front import Complaints, Front, split_prefixes

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


class FrontCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.reasons: list[str] = []
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)
        self.complaints = Complaints(self.reasons.append, self.clock.seconds)

    def observe(self, event: dict[str, object]) -> None:
        if event.get("log_namespace") == "apptuner_relay.front.Complaints":
            self.lines.append(str(event["log_format"]).format(**event))

    def front(self, trusted: str = "10.0.0.0/8") -> Front:
        proxies = TrustedProxies.parse(trusted)
        return Front(Site(), self.clock, TIMEOUT_S, self.complaints, proxies, None)

    def connect(self, front: Front | None = None, peer: IAddress = PROXY) -> Transport:
        transport = Transport(peerAddress=peer)
        transport.protocol = (front or self.front()).buildProtocol(peer)
        transport.protocol.makeConnection(transport)
        return transport

    def deliver(self, transport: Transport, *blocks: bytes) -> Any:
        for block in blocks:
            transport.protocol.dataReceived(block)
        return transport.protocol


class ProxiedConnections(FrontCase):
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
        transport = self.connect(self.front("127.0.0.1"), IPv4Address("TCP", "127.0.0.1", 4711))
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
            self.assertIsNone(self.front(trusted).buildProtocol(peer))
            self.assertEqual(self.reasons.pop(), "untrusted_proxy")
            self.clock.advance(60)
            self.assertIn(f"turned {told} away: it is not in --trusted-proxy", self.lines[-1])

    def test_who_is_trusted(self) -> None:
        for trusted, peer in [
            ("10.0.0.0/8", IPv6Address("TCP", "::ffff:10.0.0.1", 1)),
            ("2001:db8::/32", IPv6Address("TCP", "2001:db8::1", 1)),
            ("unix", UNIXAddress(None)),
        ]:
            web = self.deliver(self.connect(self.front(trusted), peer), LINE)
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
        front = self.front()
        front.doStart()
        self.assertEqual(front.site.starts, 1)  # type: ignore[attr-defined]
        front.doStop()
        self.assertEqual(front.site.starts, 0)  # type: ignore[attr-defined]


class Complaining(FrontCase):
    def test_not_every_one_is_logged(self) -> None:
        for _ in range(1000):
            self.complaints.add("plain_http", "192.0.2.1", "a reason")
        self.complaints.add("timeout", None, "another")
        self.assertEqual(
            self.lines,
            [
                "turned 192.0.2.1 away: a reason (1 for such reasons since the last such line)",
                "turned an unknown address away: another (1 for such reasons since the last such "
                "line)",
            ],
        )
        self.clock.advance(10)
        self.complaints.add("plain_http", "192.0.2.2", "a reason")
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
