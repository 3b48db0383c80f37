"""`apptuner_relay.web.front`: a handshake has the same answer on the short way and on the long one,
which goes through twisted.web and Autobahn.
"""

import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.edge.direct_connection import DirectConnection
from apptuner_relay.support.client_address import TrustedProxies
from apptuner_relay.web.front import Front
from apptuner_relay.web.site import make_site
from tests.memory import HANDSHAKE, Relay, masked

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
FIELDS = (
    ("Host", "relay.example"),
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", KEY),
    ("Sec-WebSocket-Version", "13"),
)
LINES = (
    *(
        "/cli/ABC234",
        "/mobile/ABC234",
        "/dashboard/x-_9",
        "/desktop/ABC234",
        "/mobile/A?deviceId=p1",
    ),
    *("/mobile/A?name=%C3%A4&platform=ios&chunks=1", "/mobile/A?platform=web", "/cli/A?key=short"),
    *("/cli/A?patch=1&ack=1", "/cli/A?" + "&".join(f"a{n}=1" for n in range(40)), "/mobile/A?"),
    *("/cli/", "/cli/A/", "/cli/A/b", "/cli/ä", "/nobody/A", "/peer/cli/x", "/health", "/", "*"),
    *("/cli/A#part", "/cli/A?x#y", "http://relay/cli/A", "/cli/A;x", "/cli//A", "/cli/" + "A" * 65),
    *(
        "/%63li/A",
        "/cli/A%20",
        "/cli/A?x=[1]",
        "/cli/A?x=\x01",
        "/cli/A?x y",
        "/app/key",
        "//cli/A",
    ),
)
ODD_FIELDS = (
    *(("Origin", value) for value in ("null", "https://page.example", "", "a, b", "x\x80y")),
    *(("User-Agent", value) for value in ("okhttp/4.9.2", "", " two  words ", "tab\there")),
    *(("Authorization", value) for value in ("Bearer short", "Basic eDp5", "Bearer " + "k" * 32)),
    *(("X-Forwarded-For", value) for value in ("192.0.2.7", "x", "192.0.2.7, 127.0.0.1", "")),
    *(("Connection", value) for value in ("close", "keep-alive, Upgrade", "upgrade", "x", "")),
    *(("Upgrade", value) for value in ("WebSocket", "h2c", "foo, websocket", "")),
    *(("Sec-WebSocket-Version", value) for value in ("8", "13 ", "013", "", "13, 8")),
    *(("Sec-WebSocket-Key", value) for value in ("", "short", KEY[:-2], KEY + "=", "ä" + KEY[1:])),
    *(("Sec-WebSocket-Protocol", value) for value in ("apptuner", "a, a, b", "", "a b", "x,,y")),
    *(
        ("Sec-WebSocket-Extensions", value)
        for value in (
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits; server_max_window_bits=15",
            "permessage-deflate; server_max_window_bits=9, permessage-deflate",
            "x-webkit-deflate-frame",
            "",
        )
    ),
    *(("Content-Length", value) for value in ("0", "5", "x")),
    *(
        ("Transfer-Encoding", "chunked"),
        ("Expect", "100-continue"),
        ("Host", "other"),
        ("host", ""),
    ),
    *(("Cookie", "a=b"), ("cookie", "c=d"), ("X-Long", "y" * 3000), ("Bad Name", "x"), ("", "x")),
    *((" Folded", "x"), ("X-Bare\rCR", "x"), ("X-LF", "x\ny: z"), ("X-Nul", "\0"), ("A" * 90, "x")),
)
_CHANGING = re.compile(rb"Date: .*|\d{13}|[0-9a-f]{16}")
"""What differs from one answer to the next."""
BEHIND = (b"", masked(1, b'{"type":"ping","timestamp":1}'), b"\x81", b"GET /live HTTP/1.1\r\n\r\n")


class OddTransport(StringTransport):
    """Of a site's connection."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Any = None
        self.aborted = False

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()


class Outcome:
    """What becomes of a connection on which ``data`` arrives."""

    def __init__(self, data: bytes, is_short: bool, **settings: Any) -> None:
        self.relay = Relay(**settings)
        site: Any = make_site(self.relay.service)
        if not is_short:
            site._desk = None
        self.transport = transport = OddTransport()
        transport.protocol = site.buildProtocol(None)
        transport.protocol.makeConnection(transport)
        with capturedLogs() as events:
            transport.protocol.dataReceived(data)
            self.relay.clock.advance(0)
        self.is_short = isinstance(transport.protocol, DirectConnection)
        service = self.relay.service
        self.shown = (
            _CHANGING.sub(b"", transport.value()),
            [re.sub("[0-9a-f]{16}", "", str(formatEvent(one))) for one in events],
            transport.disconnecting,
            transport.producerState,
            service.meters.counters.refusals,
            service.meters.counters.accepted,
            sorted(
                (one.role.value, one.connection.deflates, one.admission.agent or "")
                for one in service.clients
            ),
        )

    def ended(self) -> object:
        """The same when the client has gone."""
        self.transport.protocol.connectionLost(Failure(ConnectionDone()))
        service = self.relay.service
        calls = len(self.relay.clock.getDelayedCalls())
        return service.meters.counters.closes, len(service.clients), calls


def request(target: str, fields: list[tuple[str, str]], method: str = "GET") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def changed(
    names: list[int], more: list[tuple[str, str]], replacing: bool
) -> list[tuple[str, str]]:
    """The usual fields, some left out, and others."""
    kept = [field for n, field in enumerate(FIELDS) if n not in names]
    if replacing:
        new = {name.lower() for name, _ in more}
        kept = [field for field in kept if field[0].lower() not in new]
    return kept + more


class SameAnswerTest(SynchronousTestCase):
    def check(self, data: bytes, **settings: Any) -> bool:
        short, long = Outcome(data, True, **settings), Outcome(data, False, **settings)
        self.assertEqual(short.shown, long.shown, data)
        return short.is_short

    @given(
        st.sampled_from(LINES),
        st.lists(st.integers(0, len(FIELDS) - 1), max_size=1),
        st.lists(st.sampled_from(ODD_FIELDS), max_size=3),
        st.booleans(),
        st.sampled_from(BEHIND),
        st.sampled_from(["GET", "GET", "GET", "POST", "HEAD", "get", "GET "]),
    )
    @example("/cli/A", [], [], True, b"", "GET")
    def test_made_up_ones(
        self,
        target: str,
        left_out: list[int],
        more: list[tuple[str, str]],
        replacing: bool,
        behind: bytes,
        method: str,
    ) -> None:
        self.check(request(target, changed(left_out, more, replacing), method) + behind)

    def test_each_oddity_alone(self) -> None:
        short = 0
        for more in ODD_FIELDS:
            for replacing in (False, True):
                short += self.check(request("/mobile/A", changed([], [more], replacing)))
        for target in LINES:
            short += self.check(request(target, list(FIELDS)))
        self.assertGreater(short, 30)

    def test_what_real_clients_send(self) -> None:
        for fields in (
            [
                ("Origin", "http://relay.example"),
                ("Accept-Encoding", "gzip"),
                ("Pragma", "no-cache"),
            ],
            [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")],
            [("User-Agent", "okhttp/4.9.2"), ("Connection", "keep-alive, Upgrade")],
        ):
            data = request("/cli/A?patch=1", changed([], fields, True))
            self.assertTrue(self.check(data), fields)
            self.assertTrue(self.check(data, compression=False), fields)
            self.assertTrue(self.check(data, subprotocol=("apptuner",)), fields)

    def test_refusals(self) -> None:
        good = request("/mobile/A", [*FIELDS, ("X-Forwarded-For", "192.0.2.9")])
        self.assertTrue(self.check(good, trusted_proxy=TrustedProxies.parse("192.168.0.0/16")))
        self.assertTrue(self.check(good, max_mobiles=0))
        self.assertTrue(self.check(request("/cli/A?key=bad", list(FIELDS))))

    def test_how_they_end(self) -> None:
        data = request("/cli/A", list(FIELDS))
        for then in (b"", masked(8, b"\x03\xe8bye"), masked(8, b""), masked(8, b"x"), b"\xff" * 9):
            ends = [Outcome(data + then, is_short) for is_short in (True, False)]
            self.assertEqual(ends[0].shown, ends[1].shown)
            self.assertEqual(ends[0].ended(), ends[1].ended())


class FrontTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay()
        self.site = make_site(self.relay.service)
        self.transport = OddTransport()
        self.transport.protocol = self.site.buildProtocol(None)
        self.transport.protocol.makeConnection(self.transport)
        self.request = HANDSHAKE.format(target="/cli/A", extra="").encode()

    def test_silence_has_an_end(self) -> None:
        self.relay.clock.advance(9.9)
        self.assertFalse(self.transport.disconnecting)
        self.relay.clock.advance(0.2)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.transport.value(), b"")

    def test_a_slow_head_has_no_more_time_for_that(self) -> None:
        self.relay.clock.advance(6)
        self.transport.protocol.dataReceived(self.request[:50])
        self.relay.clock.advance(3.9)
        self.assertFalse(self.transport.disconnecting)
        self.relay.clock.advance(0.2)
        self.assertIn(b" 408 ", self.transport.value())
        self.assertTrue(self.transport.disconnecting)

    def test_crumbs_are_put_together(self) -> None:
        for byte in self.request:
            self.transport.protocol.dataReceived(bytes([byte]))
        self.assertIn(b" 101 ", self.transport.value())

    def test_a_side_that_is_closed_at_once(self) -> None:
        self.transport.protocol.readConnectionLost()
        self.assertTrue(self.transport.disconnecting)

    def test_one_that_leaves_while_its_place_is_looked_for(self) -> None:
        find, waiting = self.relay.service.find_place, Deferred[None]()
        self.relay.service.find_place = lambda *those: waiting.addCallback(  # type: ignore
            lambda _: find(*those)
        )
        self.transport.protocol.dataReceived(self.request)
        self.transport.protocol.connectionLost(Failure(ConnectionDone()))
        waiting.callback(None)
        self.assertEqual(self.transport.value(), b"")
        self.assertFalse(self.relay.service.clients)

    def test_a_fault_is_not_the_clients(self) -> None:
        self.relay.service.find_place = lambda *those: 1 / 0  # type: ignore
        self.transport.protocol.dataReceived(self.request)
        self.assertIn(b" 500 ", self.transport.value())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_the_request_is_not_kept(self) -> None:
        self.transport.protocol.dataReceived(self.request)
        self.assertIsNone(self.transport.protocol._request)
        self.assertIsInstance(self.site.buildProtocol(None), Front)
