"""`apptuner_relay.web.upgrade`: from HTTP to a WebSocket, on one connection."""

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.origins import Origins
from apptuner_relay.web.site import make_site
from apptuner_relay.wire.frames import PONG as PONG_OPCODE
from apptuner_relay.wire.frames import TEXT
from tests.memory import HANDSHAKE, Relay, masked, server_frames

PING = masked(TEXT, b'{"type":"ping","timestamp":1}')
PONG = masked(PONG_OPCODE, bytes(125))
ODD_ORIGINS = ("null", "file://", "", "http://", "http://fd00::1:3000", "http://name:")
DECLINED = (
    "permessage-deflate; x",
    "permessage-deflate; client_max_window_bits; client_max_window_bits",
    "permessage-deflate; server_max_window_bits=8",
    "permessage-deflate;",
    "permessage-foo",
    ";",
)
NO_CONTEXT = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.start()

    def start(self, **settings: Any) -> None:
        self.relay = Relay(**settings)
        self.site = make_site(self.relay.service)

    def connect(self) -> tuple[Any, StringTransport]:
        channel = self.site.buildProtocol(None)
        transport: Any = StringTransport()
        transport.protocol = channel
        channel.makeConnection(transport)
        return channel, transport

    def ask(self, target: str = "/cli/ABC234", host: str = "relay", **fields: str) -> str:
        """The head of the answer to a handshake."""
        channel, transport = self.connect()
        extra = "".join(f"{k.replace('_', '-')}: {v}\r\n" for k, v in fields.items())
        text = HANDSHAKE.format(target=target, extra=extra)
        channel.dataReceived(text.replace("relay.example", host).encode("latin-1"))
        return str(transport.value().partition(b"\r\n\r\n")[0].decode())

    def answered(self, name: str, **fields: str) -> str | None:
        """A field of the answer to a good handshake."""
        head = self.ask(**fields)
        self.assertIn(" 101 ", head, fields)
        values = [line for line in head.split("\r\n") if line.lower().startswith(f"{name}:")]
        self.assertLessEqual(len(values), 1)
        return values[0].partition(": ")[2] if values else None


class Frames(Case):
    def types(self, transport: StringTransport) -> list[str]:
        frames = transport.value().partition(b"\r\n\r\n")[2]
        return [json.loads(payload)["type"] for _, _, payload in server_frames(frames)]

    def test_one_in_the_packet_of_the_request(self) -> None:
        for role in ("cli", "mobile", "dashboard", "desktop"):
            channel, transport = self.connect()
            request = HANDSHAKE.format(target=f"/{role}/ABC234", extra="").encode()
            channel.dataReceived(request + PING)
            self.assertIn("pong", self.types(transport), role)

    def test_one_that_is_cut_in_two_by_it(self) -> None:
        channel, transport = self.connect()
        request = HANDSHAKE.format(target="/cli/ABC234", extra="").encode()
        channel.dataReceived(request + PING[:7])
        transport.protocol.dataReceived(PING[7:])  # type: ignore[attr-defined]
        self.assertEqual(self.types(transport), ["connected", "pong"])

    def test_while_its_place_is_looked_for(self) -> None:
        find = self.relay.service.find_place
        waiting: Deferred[None] = Deferred()
        self.relay.service.find_place = lambda admission, claim: waiting.addCallback(  # type: ignore
            lambda _: find(admission, claim)
        )
        channel, transport = self.connect()
        request = HANDSHAKE.format(target="/cli/ABC234", extra="").encode()
        channel.dataReceived(request + PING)
        sent = 0
        while transport.producerState == "producing":
            transport.protocol.dataReceived(PONG)  # type: ignore[attr-defined]
            sent += len(PONG)
            self.assertLess(sent, 1 << 20)
        self.assertEqual(transport.value(), b"")
        waiting.callback(None)
        self.assertEqual(self.types(transport)[:2], ["connected", "pong"])
        self.assertEqual(transport.producerState, "producing")


class Tolerance(Case):
    def test_any_origin(self) -> None:
        for role in ("cli", "dashboard", "desktop", "mobile"):
            for n, origin in enumerate(ODD_ORIGINS):
                self.assertIn(" 101 ", self.ask(f"/{role}/X{n}", Origin=origin), origin)

    def test_files_alone(self) -> None:
        self.start(allowed_origin=Origins.parse("null"))
        for origin in ODD_ORIGINS:
            expected = " 101 " if origin in ("null", "file://") else " 403 "
            self.assertIn(expected, self.ask("/dashboard/X", Origin=origin), origin)
        self.assertIn(" 101 ", self.ask("/dashboard/X"))

    def test_any_host(self) -> None:
        hosts = ("fd00::1:3000", "fd00::1", "[fd00::1]:3000", "name:", "relay:80", "")
        for n, host in enumerate(hosts):
            self.assertIn(" 101 ", self.ask(f"/mobile/X{n}", host), host)

    def test_a_list_of_protocols_to_upgrade_to(self) -> None:
        channel, transport = self.connect()
        request = HANDSHAKE.format(target="/cli/X", extra="")
        request = request.replace("Upgrade: websocket", "Upgrade: foo/2, WebSocket")
        channel.dataReceived(request.encode())
        self.assertIn(b" 101 ", transport.value())


class Extensions(Case):
    def test_declined(self) -> None:
        for offer in DECLINED:
            extensions = self.answered("sec-websocket-extensions", Sec_WebSocket_Extensions=offer)
            self.assertIsNone(extensions, offer)

    def test_the_next_offer(self) -> None:
        for offer in DECLINED:
            for behind in ("permessage-deflate", "permessage-deflate; client_max_window_bits=8"):
                extensions = self.answered(
                    "sec-websocket-extensions", Sec_WebSocket_Extensions=f"{offer}, {behind}"
                )
                self.assertEqual(extensions, NO_CONTEXT, offer)

    def test_the_full_window(self) -> None:
        offer = "permessage-deflate; server_max_window_bits=15; client_max_window_bits"
        extensions = self.answered("sec-websocket-extensions", Sec_WebSocket_Extensions=offer)
        self.assertEqual(extensions, f"{NO_CONTEXT}; server_max_window_bits=15")

    def test_without_compression(self) -> None:
        self.start(compression=False)
        for offer in (*DECLINED, "permessage-deflate; server_max_window_bits=15"):
            extensions = self.answered("sec-websocket-extensions", Sec_WebSocket_Extensions=offer)
            self.assertIsNone(extensions, offer)


class Subprotocols(Case):
    def answer(self, asked: str) -> str | None:
        return self.answered("sec-websocket-protocol", Sec_WebSocket_Protocol=asked)

    def test_ours_or_the_first(self) -> None:
        self.assertIsNone(self.answered("sec-websocket-protocol"))
        self.assertEqual(self.answer("graphql-ws, apptuner"), "apptuner")
        self.assertEqual(self.answer("graphql-ws, graphql-ws, mqtt"), "graphql-ws")
        self.assertIsNone(self.answer("no token"))

    def test_what_the_operator_says(self) -> None:
        self.start(subprotocol=("v2", "v1"))
        self.assertEqual(self.answer("apptuner, v1, v2"), "v1")


class Negotiation(Case):
    def test_no_http_2(self) -> None:
        self.assertEqual(self.site.acceptableProtocols(), [b"http/1.1"])
