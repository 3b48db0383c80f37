"""`apptuner_relay.web.qr_resource`: the URL with which phones join, for whoever may have it."""

import json
from typing import Any

from twisted.internet.address import IPv4Address

from apptuner_relay.access.tokens import check_token, make_proof
from apptuner_relay.session.session import session_hash
from apptuner_relay.web import qr_resource
from apptuner_relay.web.join_link import QrCode, make_qr_code
from apptuner_relay.web.site import make_site
from tests.web.http import LOCAL, REMOTE, Answer, Requester
from tests.web.test_session_api import BEARER, KEY, SECRET, SESSION, WRONG, SessionCase

HOUR_S = 3600


class QrCase(SessionCase):
    def qr(self, body: Any = None, visitor: Requester | None = None, **headers: str) -> Answer:
        text = body if isinstance(body, str) else json.dumps(body or {"session": SESSION})
        headers = {"AppTuner_Session": KEY} | headers
        return (visitor or self.visitor).ask("/session/qr", "POST", text, **headers)


class Unclaimed(QrCase):
    def setUp(self) -> None:
        self.start()

    def test_the_address_that_was_asked(self) -> None:
        self.connect("cli")
        answer = self.qr(Host="192.168.1.20:3000")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.headers["cache-control"], "no-store")
        url = f"ws://192.168.1.20:3000/mobile/{SESSION}"
        code = make_qr_code(url)
        expected = {
            "url": url,
            "reach": "asked",
            "expires_ms": None,
            "modules": code.modules,
            "path": code.path,
        }
        self.assertEqual(answer.json(), expected)

    def test_behind_a_proxy(self) -> None:
        fields = {"X_Forwarded_Host": "relay.example", "X_Forwarded_Proto": "https"}
        url = self.qr(Host="10.0.0.1", **fields).json()["url"]
        self.assertEqual(url, f"wss://relay.example/mobile/{SESSION}")
        asked = {"session": SESSION, "relay": "https://relay.example/below"}
        url = self.qr(asked, Host="10.0.0.1").json()["url"]
        self.assertEqual(url, f"wss://relay.example/below/mobile/{SESSION}")

    def test_what_is_malformed(self) -> None:
        for body in (
            *("x", "[]", "{}", '"ABC234"', "[" * 900),
            *({"session": 1}, {"session": "a b"}, {"session": SESSION, "relay": 1}),
            *({"session": SESSION, "relay": "localhost"}, {"session": "OTHER2"}),
        ):
            self.assertEqual(self.qr(body).status, 400, body)
        self.assertEqual(self.qr(Host="a b").status, 400)

    def test_a_body_that_is_too_long(self) -> None:
        self.assertRefused(self.qr({"session": SESSION, "x": "y" * 1024}), 413, "1024 bytes")
        answer = self.visitor.ask("/session/replay", "POST", "{}", AppTuner_Session=KEY)
        self.assertRefused(answer, 413, "no body")

    def test_many_codes(self) -> None:
        made: list[str] = []

        def make(url: str) -> QrCode:
            made.append(url)
            return make_qr_code(url)

        self.patch(qr_resource, "make_qr_code", make)
        hosts = [f"relay-{n}.example" for n in range(20)]
        answers = [self.qr(Host=host) for host in hosts]
        self.assertEqual([one.status for one in answers], [200] * 10 + [429] * 10)
        self.assertRefused(answers[-1], 429, "Too many QR codes")
        self.assertEqual(answers[-1].headers["retry-after"], "2")
        # One that is there costs nothing, and other sessions have their own.
        self.assertEqual(self.qr(Host=hosts[0]).json(), answers[0].json())
        other = self.qr({"session": "OTHER2"}, AppTuner_Session=session_hash("OTHER2"))
        self.assertEqual((other.status, len(made)), (200, 11))
        self.relay.wait(2)
        self.assertEqual(self.qr(Host=hosts[10]).status, 200)

    def test_phones_may_be_the_first(self) -> None:
        self.start(failed_joins=1)
        self.assertEqual(self.qr().status, 200)
        # It is one of the attempts at sessions that nobody is in, and says nothing of them.
        self.assertEqual(self.state("OTHER2").status, 429)


class Claimed(QrCase):
    def test_with_a_token_for_whoever_shows_the_secret(self) -> None:
        self.start()
        self.connect("cli", f"key={SECRET}&tokens=1")
        self.assertRefused(self.qr(), 401, "secret")
        self.assertRefused(self.qr(Authorization=WRONG), 403, "not the secret")
        answer = self.qr(Authorization=BEARER).json()
        begin, mark, token = answer["url"].partition("?token=")
        self.assertEqual((begin, mark), (f"ws://127.0.0.1:3000/mobile/{SESSION}", "?token="))
        proof, now_s = make_proof(SECRET, KEY), self.relay.wall()
        check_token(proof, token, KEY, now_s + 8 * HOUR_S - 61)
        self.assertLessEqual(answer["expires_ms"], (now_s + 8 * HOUR_S) * 1000)
        self.assertGreater(answer["expires_ms"], (now_s + 8 * HOUR_S - 60) * 1000)
        phone = self.relay.connect(f"/mobile/{SESSION}?token={token}")
        self.assertEqual(phone.status, 101)

    def test_without_one_where_phones_need_none(self) -> None:
        self.start()
        self.connect("cli", f"key={SECRET}")
        answer = self.qr(Authorization=BEARER).json()
        self.assertEqual(answer["url"], f"ws://127.0.0.1:3000/mobile/{SESSION}")
        self.assertIsNone(answer["expires_ms"])
        self.assertRefused(self.qr(), 401, "secret")


class Localhost(QrCase):
    """The page was opened as localhost, and phones have to come by another address."""

    def setUp(self) -> None:
        self.start()
        self.patch(qr_resource, "find_lan_address", lambda: "192.168.1.20")
        self.addresses = [IPv4Address("TCP", "0.0.0.0", 3000)]

    def reach(self, peer: IPv4Address = LOCAL, host: str = "localhost:3000") -> tuple[str, str]:
        visitor = Requester(self.relay.service, peer)
        site = make_site(self.relay.service, listening=lambda: [None, *self.addresses])
        site.startFactory()
        visitor._site = site
        answer = self.qr(None, visitor, Host=host).json()
        return answer["reach"], answer["url"].removesuffix(f"/mobile/{SESSION}")

    def test_the_address_of_this_machine(self) -> None:
        self.assertEqual(self.reach(), ("lan", "ws://192.168.1.20:3000"))
        self.addresses = [IPv4Address("TCP", "10.0.0.7", 3000)]
        self.assertEqual(self.reach(), ("lan", "ws://10.0.0.7:3000"))

    def test_where_the_relay_does_not_listen_there(self) -> None:
        loopback = ("loopback", "ws://localhost:3000")
        self.addresses = [IPv4Address("TCP", "127.0.0.1", 3000)]
        self.assertEqual(self.reach(), loopback)
        self.addresses = [IPv4Address("TCP", "0.0.0.0", 4000)]
        self.assertEqual(self.reach(), loopback)

    def test_asked_from_elsewhere_as_localhost(self) -> None:
        # Through the port of a container: the address that this one has is none of the machine.
        self.assertEqual(self.reach(REMOTE), ("loopback", "ws://localhost:3000"))

    def test_the_public_url(self) -> None:
        self.start(public_url="https://relay.example.com")
        self.assertEqual(self.reach(), ("public", "wss://relay.example.com"))
