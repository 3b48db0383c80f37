"""`managed.own_server.authorization`: who is let into the channel of a session, and who is
not."""

import json
from typing import Any
from urllib.parse import urlencode

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from apptuner_relay.config.origins import Origins
from apptuner_relay.managed.own_server.authorization import (
    MOST_BODY_BYTES,
    AuthorizationResource,
    PeerAuthorizationRequest,
    SignedEntry,
)
from apptuner_relay.managed.protocol.signatures import Signer
from apptuner_relay.session.session import Admission, BadRequest, Device, Role, session_hash
from apptuner_relay.web.site import make_site
from tests.managed.own_server.fake_gateway import FakeGateway
from tests.memory import Relay
from tests.web.http import Answer, parse

SESSION = "ABC234"
HASH = session_hash(SESSION)
CHANNEL = f"presence-apptuner.{HASH}"
SOCKET = "1234.5678"
SECRET, OTHER = "0123456789abcdef-secret", "0123456789abcdef-other"
CUSTOMER = IPv4Address("TCP", "203.0.113.9", 50000)
PAGE = "https://dashboard.example.com"


class FakePeers:
    """Another relay, which has the session."""

    def __init__(self) -> None:
        self.reading: PeerAuthorizationRequest | None = None
        self.answer: SignedEntry | BadRequest | None = None
        self.asked: list[tuple[Admission, str]] = []

    def read(self, request: Request) -> PeerAuthorizationRequest | None:
        return self.reading

    def ask(self, admission: Admission, socket_id: str) -> Deferred[SignedEntry | None]:
        self.asked.append((admission, socket_id))
        answer = self.answer
        return fail(answer) if isinstance(answer, BadRequest) else succeed(answer)


class AuthorizationCase(SynchronousTestCase):
    def start(self, peers: FakePeers | None = None, **settings: Any) -> None:
        self.relay = Relay(**settings)
        self.gateway = FakeGateway()
        self.signer = Signer("app-key", "app-secret")
        self.own: set[tuple[str, str]] = set()
        resource = AuthorizationResource(
            self.relay.service,
            self.gateway,
            self.signer,
            "apptuner",
            lambda socket_id, channel: (socket_id, channel) in self.own,
            peers,
        )
        self.site = make_site(self.relay.service, more={b"/pusher/auth": resource})

    def open(
        self, body: bytes, method: str = "POST", headers: dict[str, str] | None = None
    ) -> StringTransport:
        transport: Any = StringTransport(peerAddress=CUSTOMER)
        channel = transport.protocol = self.site.buildProtocol(CUSTOMER)
        channel.makeConnection(transport)
        fields = {
            "Host": "relay",
            "Content-Type": "application/x-www-form-urlencoded",
            "Content-Length": str(len(body)),
        } | (headers or {})
        lines = [f"{method} /pusher/auth HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
        channel.dataReceived("\r\n".join([*lines, "", ""]).encode() + body)
        opened: StringTransport = transport
        return opened

    def ask(self, headers: dict[str, str] | None = None, **fields: str) -> Answer:
        wish = {"socket_id": SOCKET, "channel_name": CHANNEL, "session": SESSION} | fields
        return parse(self.open(urlencode(wish).encode(), headers=headers).value())

    def assertRefused(self, status: int, answer: Answer, text: str = "") -> None:
        self.assertEqual(answer.status, status, answer.body)
        self.assertIn(text, answer.error)
        self.assertEqual(self.gateway.coming, {})


class LettingIn(AuthorizationCase):
    def test_a_phone(self) -> None:
        self.start()
        answer = self.ask(deviceId="pixel-9", name="Pixel 9", platform="android", have="A" * 64)
        self.assertEqual(answer.status, 200)
        entry = answer.json()
        data = entry["channel_data"]
        self.assertEqual(set(entry), {"auth", "channel_data"})
        self.assertTrue(self.signer.verify_channel(entry["auth"], SOCKET, CHANNEL, data))
        member = json.loads(data)
        role, tag, device = member["user_id"].split(":")
        self.assertEqual((role, len(tag), device), ("mobile", 12, "pixel-9"))
        self.assertEqual(
            member["user_info"],
            {"name": "Pixel 9", "platform": "android", "since": 1000_000, "have": "a" * 64},
        )
        admission = self.gateway.coming[member["user_id"]]
        assert admission.device is not None
        self.assertTrue(admission.device.announce)
        self.assertEqual((admission.session_hash, admission.address), (HASH, "203.0.113.9"))
        self.assertEqual(self.gateway.readied, [HASH])

    def test_json(self) -> None:
        self.start()
        body = json.dumps({"socket_id": SOCKET, "channel_name": CHANNEL, "session": SESSION})
        answer = parse(
            self.open(body.encode(), headers={"Content-Type": "application/json"}).value()
        )
        self.assertEqual(answer.status, 200)

    def test_two_of_one_device_are_two_users(self) -> None:
        self.start()
        for _ in range(2):
            self.ask(deviceId="pixel-9")
        self.assertEqual(len(self.gateway.coming), 2)

    def test_not_before_the_gateway_is_there(self) -> None:
        self.start()
        self.gateway.readying = Deferred()
        wish = {"socket_id": SOCKET, "channel_name": CHANNEL, "session": SESSION}
        transport = self.open(urlencode(wish).encode())
        self.assertEqual(transport.value(), b"")
        self.gateway.readying.callback(None)
        self.assertEqual(parse(transport.value()).status, 200)

    def test_a_connection_to_this_relay_waits_for_no_provider(self) -> None:
        self.start()
        self.own.add((SOCKET, CHANNEL))
        self.assertEqual(self.ask().status, 200)
        self.assertEqual(self.gateway.readied, [])

    def test_one_that_leaves_meanwhile(self) -> None:
        self.start()
        self.gateway.readying = Deferred()
        wish = {"socket_id": SOCKET, "channel_name": CHANNEL, "session": SESSION}
        transport: Any = self.open(urlencode(wish).encode())
        transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.gateway.readying.callback(None)
        self.assertEqual(transport.value(), b"")

    def test_a_cli_claims_the_session(self) -> None:
        self.start(claims=True)
        answer = self.ask(role="cli", key=SECRET)
        info = json.loads(answer.json()["channel_data"])["user_info"]
        self.assertTrue(info["authorized"])
        self.assertTrue(info["proof"])
        for given, status in ((SECRET, 200), (OTHER, 403)):
            again = self.ask({"Authorization": f"Bearer {given}"}, role="cli")
            self.assertEqual(again.status, status, again.body)
        self.assertEqual(self.ask(role="cli").status, 401)
        self.assertNotIn(SECRET, answer.body.decode())


class Refusing(AuthorizationCase):
    def test_another_channel(self) -> None:
        self.start()
        for name in (
            f"presence-other.{HASH}",
            f"private-apptuner.{HASH}",
            f"presence-apptuner.{session_hash('OTHER')}",
            "presence-apptuner.",
        ):
            self.assertRefused(403, self.ask(channel_name=name), "channel_name is not that of")

    def test_bad_bodies(self) -> None:
        self.start()
        self.assertRefused(400, self.ask(socket_id="1:2"))
        self.assertRefused(400, self.ask(deviceId="a b"))
        self.assertRefused(400, self.ask(key="short"))
        self.assertRefused(415, self.ask({"Content-Type": "text/plain"}))
        self.assertRefused(413, parse(self.open(b"x" * (MOST_BODY_BYTES + 1)).value()))

    def test_other_methods(self) -> None:
        self.start()
        answer = parse(self.open(b"", "GET").value())
        self.assertEqual((answer.status, answer.headers["allow"]), (405, "POST, OPTIONS"))

    def test_too_many_phones(self) -> None:
        self.start(max_mobiles=2)
        self.relay.connect("/mobile/ABC234?deviceId=there")
        self.assertEqual(self.ask(deviceId="coming").status, 200)
        answer = self.ask(deviceId="third")
        self.assertEqual(answer.status, 403)
        self.assertIn("2 phones", answer.error)
        for again in ("there", "coming"):
            self.assertEqual(self.ask(deviceId=again).status, 200, again)
        self.assertEqual(self.ask(role="cli").status, 200)

    def test_a_session_that_is_full(self) -> None:
        self.start(max_mobiles=1)
        phone = self.relay.connect("/mobile/ABC234?deviceId=there")
        wish = {"socket_id": SOCKET, "channel_name": CHANNEL, "session": SESSION}
        transport = self.open(urlencode(wish | {"deviceId": "other"}).encode())
        # The one that is there may be dead, and is asked.
        self.relay.wait(1)
        phone.send_raw(b"\x8a\x80" + bytes(4))
        self.relay.wait(10)
        self.assertRefused(403, parse(transport.value()), "1 phones")

    def test_too_many_connections(self) -> None:
        self.start(connect_rate=1)
        self.assertEqual(self.ask().status, 200)
        self.gateway.coming.clear()
        answer = self.ask()
        self.assertRefused(429, answer)
        self.assertIn("retry-after", answer.headers)

    def test_a_phone_without_the_join_token(self) -> None:
        self.start(claims=True)
        self.relay.connect(f"/cli/ABC234?key={SECRET}&tokens=1")
        self.assertRefused(401, self.ask())
        self.assertEqual(self.ask(key=SECRET).status, 200)

    def test_a_relay_that_stops(self) -> None:
        self.start()
        self.relay.connect("/cli/OTHER")
        self.relay.service.stopService()
        answer = self.ask()
        self.assertRefused(503, answer)
        self.assertEqual(answer.headers["retry-after"], "5")

    def test_a_fault(self) -> None:
        self.start()
        self.gateway.readying = fail(RuntimeError("secret"))
        answer = self.ask()
        self.assertEqual((answer.status, answer.error), (500, "The relay has failed at this"))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class Pages(AuthorizationCase):
    """What browsers need (CORS)."""

    def preflight(self, origin: str) -> Answer:
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        return parse(self.open(b"", "OPTIONS", headers).value())

    def test_any_page(self) -> None:
        self.start()
        self.assertEqual(self.preflight(PAGE).status, 204)
        for answer in (self.ask({"Origin": PAGE}), self.ask({"Origin": PAGE}, role="x")):
            self.assertEqual(answer.headers["access-control-allow-origin"], "*")

    def test_the_pages_that_are_allowed(self) -> None:
        self.start(allowed_origin=Origins.parse(PAGE))
        self.assertEqual(self.preflight(PAGE).headers["access-control-allow-origin"], PAGE)
        self.assertEqual(self.preflight("https://evil.example").status, 403)
        answer = self.ask({"Origin": PAGE}, role="dashboard")
        self.assertEqual(answer.headers["access-control-allow-origin"], PAGE)
        self.gateway.coming.clear()
        self.assertRefused(403, self.ask({"Origin": "https://evil.example"}, role="dashboard"))
        # A phone is not asked for its origin, but no page may read the answer.
        phone = self.ask({"Origin": "https://evil.example"})
        self.assertEqual(phone.status, 200)
        self.assertNotIn("access-control-allow-origin", phone.headers)


class SharedSessions(AuthorizationCase):
    """Relays that share their sessions."""

    def setUp(self) -> None:
        self.peers = FakePeers()

    def test_the_owner_signs(self) -> None:
        self.start(self.peers, claims=True)
        self.peers.answer = SignedEntry("app-key:00", "{}")
        answer = self.ask(role="cli", key=SECRET)
        self.assertEqual(answer.json(), {"auth": "app-key:00", "channel_data": "{}"})
        [(admission, socket_id)] = self.peers.asked
        self.assertEqual((admission.role, admission.authorized), (Role.CLI, True))
        self.assertEqual(socket_id, SOCKET)
        self.assertEqual((self.gateway.coming, self.gateway.readied), ({}, []))
        # The claim is made where it was shown.
        self.assertEqual(self.ask(role="cli", key=OTHER).status, 403)

    def test_this_one_is_the_owner(self) -> None:
        self.start(self.peers)
        self.assertEqual(self.ask().status, 200)
        self.assertEqual(len(self.gateway.coming), 1)

    def test_the_owner_refuses(self) -> None:
        self.start(self.peers, claims=True)
        self.peers.answer = BadRequest(403, "This session already has 5 phones")
        self.assertRefused(403, self.ask(role="cli", key=SECRET), "already has 5 phones")
        self.peers.answer = None
        self.assertEqual(self.ask(role="cli", key=OTHER).status, 200)

    def test_who_may_not_come_in_is_refused_here(self) -> None:
        self.start(self.peers, claims=True)
        self.relay.connect(f"/cli/ABC234?key={SECRET}")
        self.assertRefused(403, self.ask(role="cli", key=OTHER))
        self.assertEqual(self.peers.asked, [])

    def test_another_relay_asks(self) -> None:
        self.start(self.peers, connect_rate=1)
        device = Device("pixel", "Pixel", None, 5, announce=True)
        admission = Admission(Role.MOBILE, HASH, device, "url", authorized=True, since_ms=5)
        self.peers.reading = PeerAuthorizationRequest(admission, SOCKET)
        for _ in range(3):
            answer = parse(self.open(b"").value())
            self.assertEqual(answer.status, 200)
        data = json.loads(answer.json()["channel_data"])
        self.assertEqual(data["user_info"]["authorized"], True)
        self.assertEqual(self.gateway.coming[data["user_id"]], admission)
        self.assertEqual(self.peers.asked, [])

    def test_another_relay_asks_in_vain(self) -> None:
        self.start(self.peers, max_mobiles=1)
        self.assertEqual(self.ask(deviceId="first").status, 200)
        device = Device("pixel", None, None, 5)
        self.peers.reading = PeerAuthorizationRequest(
            Admission(Role.MOBILE, HASH, device, "url"), SOCKET
        )
        self.assertEqual(parse(self.open(b"").value()).status, 403)
        self.relay.connect("/cli/OTHER")
        self.relay.service.stopService()
        self.assertEqual(parse(self.open(b"").value()).status, 503)
