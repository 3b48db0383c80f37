"""A client of a managed service is let into the channel of its session at any relay: the owner's
gateway expects it, or somebody says why not."""

import json
from typing import Any
from urllib.parse import urlencode

from twisted.internet.testing import StringTransport

from apptuner_relay.cluster.authorization_proxy import AuthorizationProxy
from apptuner_relay.cluster.bridge.peer_auth import PASS_HEADER, PROOF_HEADER
from apptuner_relay.managed.own_server.authorization import PATH, AuthorizationResource
from apptuner_relay.managed.protocol.signatures import Signer
from apptuner_relay.session.session import Role
from apptuner_relay.web.site import PeerParts, make_site
from tests.cluster.harness import KEY, SECRET, SESSION, ClusterCase, ClusterRelay
from tests.cluster.network import Wire
from tests.log_capture import capture_log
from tests.managed.own_server.fake_gateway import FakeGateway
from tests.web.http import LOCAL, Answer, parse

CHANNEL = f"presence-apptuner.{KEY}"
SOCKET = "1234.5678"
TOKEN = "0123456789abcdef-secret"


class AuthorizationProxyCase(ClusterCase):
    """Relay a has the session; b has a client of it, and c has none."""

    peers: Any = AuthorizationProxy

    def setUp(self) -> None:
        super().setUp()
        self.signer = Signer("app-key", "app-secret")
        self.gateways: dict[str, FakeGateway] = {}
        self.a, self.b, self.c = (self.manage(one) for one in self.relays("abc"))
        self.cli = self.connect(self.a, "cli")
        self.page = self.connect(self.b, "dashboard")

    def manage(self, relay: ClusterRelay) -> ClusterRelay:
        gateway = self.gateways[relay.name] = FakeGateway()
        resource = AuthorizationResource(
            relay.service,
            gateway,
            self.signer,
            "apptuner",
            peers=self.peers and self.peers(relay.placement, relay.reactor),
        )
        more = {PATH.encode(): resource}
        relay.site = make_site(relay.service, relay.reactor, PeerParts(relay.peers), more)
        return relay

    def begin(self, relay: ClusterRelay, **fields: str) -> StringTransport:
        """A client's request."""
        wish = {"socket_id": SOCKET, "channel_name": CHANNEL, "session": SESSION} | fields
        body = urlencode(wish).encode()
        transport = StringTransport(peerAddress=LOCAL)
        channel: Any = relay.site.buildProtocol(LOCAL)
        channel.makeConnection(transport)
        head = (
            f"POST {PATH} HTTP/1.1\r\nHost: relay\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        )
        channel.dataReceived(head.encode() + body)
        return transport

    def ask(self, relay: ClusterRelay, wait_s: float = 1, **fields: str) -> Answer:
        transport = self.begin(relay, **fields)
        self.turn(wait_s)
        return parse(transport.value())

    @property
    def expecting(self) -> list[str]:
        """The relays whose gateways expect somebody."""
        return [name for name, gateway in self.gateways.items() if gateway.coming]


class OwnServers(AuthorizationProxyCase):
    """Clients come to the relays' own servers, to any of them."""

    peers = None

    def test_who_asks_has_not_come_yet(self) -> None:
        phone = self.connect(self.a, "mobile?deviceId=d1")
        self.cli.received()
        for relay in (self.a, self.b, self.c):
            self.assertEqual(self.ask(relay, deviceId="d1").status, 200)
        self.assertEqual(self.expecting, ["a", "b", "c"])
        self.assertEqual((self.cli.received(), self.closed(phone)), ([], None))


class Answers(AuthorizationProxyCase):
    def test_the_owner_expects_the_client(self) -> None:
        for relay in (self.a, self.b, self.c):
            answer = self.ask(relay, deviceId=f"phone-{relay.name}", name="Pixel")
            self.assertEqual(answer.status, 200, answer.body)
            self.assertNotIn(PROOF_HEADER.lower(), answer.headers)
            entry = answer.json()
            data = entry["channel_data"]
            self.assertTrue(self.signer.verify_channel(entry["auth"], SOCKET, CHANNEL, data))
            admission = self.gateways["a"].coming[json.loads(data)["user_id"]]
            assert admission.device is not None
            self.assertEqual(admission.device.device_id, f"phone-{relay.name}")
            self.assertTrue(admission.device.announce)
            self.assertIsNone(admission.through)
        self.assertEqual(self.expecting, ["a"])
        # Nobody has come in because somebody asked.
        self.assertEqual(self.cli.received(), [])

    def test_a_session_that_nobody_has(self) -> None:
        self.cli.lose()
        self.page.lose()
        self.turn(60)
        self.assertEqual(self.ask(self.c).status, 200)
        self.assertEqual(self.expecting, ["c"])

    def test_the_owner_has_no_room(self) -> None:
        for number in range(5):
            self.connect(self.a, f"mobile?deviceId=d{number}")
        transport = self.begin(self.c)
        self.turn(1)
        for client in self.cluster.clients:
            client.send_raw(b"\x8a\x80" + bytes(4))
        self.turn(10)
        answer = parse(transport.value())
        self.assertEqual((answer.status, self.expecting), (403, []), answer.body)
        self.assertIn("5 phones", answer.error)

    def test_who_may_not_come_in_is_told_so_here(self) -> None:
        seen: list[bytes] = []

        def watch(wire: Wire, data: bytes) -> bytes:
            seen.append(data)
            return data

        self.network.tamper = watch
        self.assertEqual(self.ask(self.c, channel_name=CHANNEL[:-1]).status, 403)
        self.assertEqual(seen, [])
        self.assertEqual(self.ask(self.c, key=TOKEN).status, 200)
        self.assertNotIn(TOKEN.encode(), b"".join(seen))
        self.assertNotIn(TOKEN, str(self.gateways["a"].coming))


class NoAnswer(AuthorizationProxyCase):
    """The owner can't be asked, or doesn't answer."""

    def assertSaysSo(self, answer: Answer, status: int = 503) -> None:
        self.assertEqual(answer.status, status, answer.body)
        self.assertIn("can't be reached now", answer.error)
        self.assertEqual("retry-after" in answer.headers, status == 503)

    def test_it_refuses_connections(self) -> None:
        self.network.refused.add(("c", "a"))
        log = capture_log(self)
        self.assertSaysSo(self.ask(self.c))
        [line] = [line for line in log if "does not let a client into its channel" in line]
        self.assertTrue(line.startswith(f"session {KEY[:8]}: relay a "), line)
        self.assertNotIn(SESSION, line)

    def test_nothing_gets_there(self) -> None:
        self.network.part("c", "a")
        self.assertSaysSo(self.ask(self.c, wait_s=15))

    def test_its_answer_is_not_a_relays(self) -> None:
        def forge(wire: Wire, data: bytes) -> bytes:
            if data.startswith(b"HTTP/1.1 200"):
                return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
            return data

        self.network.tamper = forge
        self.assertSaysSo(self.ask(self.c), 502)

    def test_the_connection_of_an_answer_that_nobody_reads_is_ended(self) -> None:
        def forge(wire: Wire, data: bytes) -> bytes:
            if data.startswith(b"HTTP/1.1 200"):
                return b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{"
            return data

        self.network.tamper = forge
        self.assertSaysSo(self.ask(self.c), 502)
        self.turn(1)
        self.assertTrue(all(wire.is_over for wire in self.network.between("c", "a")))

    def test_its_answer_is_cut(self) -> None:
        def cut(wire: Wire, data: bytes) -> bytes:
            if data.startswith(b"HTTP/1.1 200"):
                self.cluster.clock.callLater(0, wire.cut)
                return data[:-5]
            return data

        self.network.tamper = cut
        self.assertSaysSo(self.ask(self.c))


class Passes(AuthorizationProxyCase):
    def test_a_request_that_shows_another_pass(self) -> None:
        asking = self.a.ask(PATH, "POST", **{PASS_HEADER: "x.y"})
        self.turn(1)
        assert asking.answer is not None
        self.assertEqual(asking.answer.status, 401)
        self.assertEqual(self.expecting, [])

    def test_many_such_requests_are_few_lines(self) -> None:
        lines = capture_log(self)
        for _ in range(20):
            self.a.ask(PATH, "POST", **{PASS_HEADER: "x.y"})
            self.turn(0)
        self.assertEqual(len([line for line in lines if "into a channel" in line]), 1)

    def test_a_pass_is_good_once(self) -> None:
        seen: list[bytes] = []

        def watch(wire: Wire, data: bytes) -> bytes:
            seen.append(data)
            return data

        self.network.tamper = watch
        self.assertEqual(self.ask(self.c).status, 200)
        [request] = [data for data in seen if data.startswith(b"POST")]
        self.assertNotIn(SECRET.encode(), request)
        channel: Any = self.a.site.buildProtocol(LOCAL)
        transport = StringTransport(peerAddress=LOCAL)
        channel.makeConnection(transport)
        channel.dataReceived(request)
        self.assertEqual(parse(transport.value()).status, 401)

    def test_the_role_of_the_client(self) -> None:
        self.assertEqual(self.ask(self.c, role="dashboard").status, 200)
        [admission] = self.gateways["a"].coming.values()
        self.assertIs(admission.role, Role.DASHBOARD)
