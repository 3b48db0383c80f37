"""`apptuner_relay.web.guard`: who may see the operator's pages."""

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.support.client_address import TrustedProxies
from apptuner_relay.web.cookies import cookie_name, make_cookie
from tests.memory import Relay
from tests.web.http import LOCAL, REMOTE, Answer, Requester

TOKEN = "correct-horse-battery"
BEARER = f"Bearer {TOKEN}"


def requester(token: str | None = None, peer: IAddress = LOCAL) -> Requester:
    return Requester(Relay(admin_token=token).service, peer)


class Loopback(SynchronousTestCase):
    """Without a token."""

    def assertDenied(self, answer: Answer) -> None:
        self.assertEqual(answer.status, 403, answer)
        self.assertTrue(answer.error)
        self.assertNotIn("www-authenticate", answer.headers)

    def test_this_machine(self) -> None:
        for peer in (
            LOCAL,
            IPv4Address("TCP", "127.9.9.9", 1),
            IPv6Address("TCP", "::1", 1),
            IPv6Address("TCP", "::ffff:127.0.0.1", 1),
        ):
            self.assertEqual(requester(peer=peer).ask("/api/sessions").status, 200, peer)

    def test_another_machine(self) -> None:
        for peer in (
            REMOTE,
            IPv4Address("TCP", "10.0.0.1", 1),
            IPv6Address("TCP", "2001:db8::1", 1),
            IPv6Address("TCP", "::ffff:10.0.0.1", 1),
            IPv6Address("TCP", "fe80::1%eth0", 1),
            UNIXAddress(None),
        ):
            self.assertDenied(requester(peer=peer).ask("/api/sessions"))

    def test_a_proxy_on_this_machine(self) -> None:
        here = requester()
        for name in ("X_Forwarded_For", "Forwarded", "X_Real_IP", "Via", "X_Forwarded_Proto"):
            self.assertDenied(here.ask("/api/sessions", **{name: "127.0.0.1"}))

    def test_a_proxy_that_is_trusted(self) -> None:
        """Whoever is on the proxy's machine is still not the relay's own, nor who says so."""
        relay = Relay(trusted_proxy=TrustedProxies.parse("127.0.0.1 10.0.0.1 unix")).service
        for peer in (LOCAL, IPv4Address("TCP", "10.0.0.1", 1), UNIXAddress(None)):
            for client in ("127.0.0.1", "203.0.113.9", "unknown"):
                answer = Requester(relay, peer).ask("/api/sessions", X_Forwarded_For=client)
                self.assertDenied(answer)
        self.assertEqual(Requester(relay, LOCAL).ask("/api/sessions").status, 200)

    def test_names_that_only_this_machine_can_have(self) -> None:
        here = requester()
        for host in (
            *("localhost", "LOCALHOST:3000", "localhost:", "a.localhost", "127.0.0.1", "pi"),
            *("[::1]:3000", "::1:3000", "::1"),
        ):
            self.assertEqual(here.ask("/api/sessions", Host=host).status, 200, host)

    def test_fields_that_are_no_text(self) -> None:
        here = requester()
        for name in ("Accept", "Authorization", "Cookie"):
            self.assertEqual(here.ask("/api/sessions", **{name: "\udcff"}).status, 200, name)
        self.assertDenied(here.ask("/api/sessions", Host="\udcff.example"))
        self.assertDenied(here.ask("/api/sessions", Sec_Fetch_Site="\udcff"))
        self.assertDenied(
            here.ask("/api/sessions/00000000/close", "POST", Origin="\udcff://\udcff")
        )
        self.assertEqual(requester(TOKEN).ask("/", Accept="\udcff").status, 401)
        for value in ("\udcff", "Bearer \udcff", f"Bearer {TOKEN}\udcff"):
            for path in ("/", "/api/status", "/metrics"):
                answer = requester(TOKEN).ask(path, Authorization=value)
                self.assertEqual(answer.status, 401, value)

    def test_names_that_another_site_may_have_given_this_machine(self) -> None:
        here = requester()
        for host in (
            *("evil.example", "evil.example:3000", "127.0.0.1.evil.example", "10.0.0.1"),
            *("evil.example:", "2001:db8::1", "[2001:db8::1]:3000", "[::1", "a:b"),
        ):
            self.assertDenied(here.ask("/api/sessions", Host=host))

    def test_a_token_that_nobody_asked_for(self) -> None:
        self.assertEqual(requester().ask("/api/sessions", Authorization=BEARER).status, 200)
        self.assertDenied(requester(peer=REMOTE).ask("/api/sessions", Authorization=BEARER))

    def test_what_is_nowhere_is_hidden_as_well(self) -> None:
        self.assertDenied(requester(peer=REMOTE).ask("/api/nothing"))
        self.assertEqual(requester().ask("/api/nothing").status, 404)
        self.assertEqual(requester().ask("/api").status, 404)

    def test_health_is_for_everybody(self) -> None:
        self.assertEqual(requester(peer=REMOTE).ask("/health").status, 200)


class Token(SynchronousTestCase):
    def assertChallenged(self, answer: Answer, error: str | None) -> None:
        self.assertEqual(answer.status, 401, answer)
        self.assertTrue(answer.error)
        challenge = answer.headers["www-authenticate"]
        self.assertTrue(challenge.startswith('Bearer realm="'), challenge)
        self.assertEqual(f'error="{error}"' in challenge, error is not None, challenge)
        self.assertNotIn("set-cookie", answer.headers)

    def test_the_token_opens(self) -> None:
        for peer in (LOCAL, REMOTE, UNIXAddress(None)):
            there = requester(TOKEN, peer)
            for header in (BEARER, f"bearer  {TOKEN} "):
                answer = there.ask("/api/sessions", Authorization=header, Host="relay.example")
                self.assertEqual(answer.status, 200, answer)

    def test_no_token(self) -> None:
        for peer in (LOCAL, REMOTE):
            self.assertChallenged(requester(TOKEN, peer).ask("/api/sessions"), None)

    def test_wrong_tokens(self) -> None:
        here = requester(TOKEN)
        for wrong in ("x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é", "\udce9"):
            header = f"Bearer {wrong}".encode("utf-8", "surrogateescape").decode("latin-1")
            answer = here.ask("/api/sessions", Authorization=header)
            self.assertChallenged(answer, "invalid_token")

    def test_what_is_no_bearer_token(self) -> None:
        for header in ("", "Bearer", TOKEN, "Basic YWRtaW46eA==", f"Bearer {TOKEN} x"):
            answer = requester(TOKEN).ask("/api/sessions", Authorization=header)
            self.assertChallenged(answer, "invalid_request")

    def test_another_site_with_the_token_is_a_program(self) -> None:
        answer = requester(TOKEN).ask("/api/sessions", Authorization=BEARER, Origin="https://x.y")
        self.assertEqual(answer.status, 200)

    def test_wrong_tokens_are_logged_but_not_each(self) -> None:
        relay = Relay(admin_token=TOKEN)
        there = Requester(relay.service, REMOTE)
        events: list[dict[str, object]] = []
        globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, events.append)  # type: ignore[arg-type]
        for _ in range(5):
            there.ask("/api/sessions", Authorization="Bearer guess")
        relay.clock.advance(11)
        spoofed = {"X_Forwarded_For": "198.51.100.7"}
        there.ask("/api/sessions", Authorization="Bearer guess", **spoofed)
        there.ask("/api/sessions")
        warnings = [e for e in events if e["log_level"] is LogLevel.warn]
        self.assertEqual({e["action"] for e in warnings}, {"sign in"})
        results = [f"wrong admin token ({n} since the last such line)" for n in (1, 5)]
        self.assertEqual([e["result"] for e in warnings], results)
        self.assertEqual({e["address"] for e in warnings}, {"203.0.113.9"})
        self.assertNotIn("guess", repr(events))


class OtherSites(SynchronousTestCase):
    """A page of another site can have a browser send requests, but not have them answered."""

    def statuses(self, method: str, **headers: str) -> set[int]:
        """Of a browser that is signed in, and of one on the machine."""
        signed_in = Requester(Relay(admin_token=TOKEN).service, REMOTE)
        made = make_cookie(TOKEN, signed_in.relay.clock.seconds()).decode()
        cookie = f"{cookie_name(TOKEN).decode()}={made}"
        path = "/api/sessions" if method == "GET" else "/api/sessions/00000000/close"
        return {
            signed_in.ask(path, method, Cookie=cookie, **headers).status,
            Requester(Relay().service).ask(path, method, **headers).status,
        }

    def test_the_relays_own_page(self) -> None:
        for headers in (
            {"Sec_Fetch_Site": "same-origin", "Origin": "http://127.0.0.1:3000"},
            {"Sec_Fetch_Site": "same-origin", "Origin": "https://public.example"},
            {"Origin": "http://127.0.0.1:3000"},
            {"Origin": "http://[::1]:80", "Host": "::1"},
        ):
            self.assertEqual(self.statuses("GET", **headers), {200}, headers)
            self.assertEqual(self.statuses("POST", **headers), {404}, headers)

    def test_another_page(self) -> None:
        for headers in (
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
            {"Sec_Fetch_Site": "cross-site", "Origin": "http://127.0.0.1:3000"},
            {"Origin": "http://evil.example"},
            {"Origin": "http://127.0.0.1:8000"},
            {"Origin": "null"},
            {"Origin": "file://"},
            {"Origin": ""},
        ):
            for method in ("GET", "POST"):
                self.assertEqual(self.statuses(method, **headers), {403}, headers)

    def test_the_address_bar(self) -> None:
        self.assertEqual(self.statuses("GET", Sec_Fetch_Site="none"), {200})
        self.assertEqual(self.statuses("POST", Sec_Fetch_Site="none"), {403})

    def test_without_a_word(self) -> None:
        # curl, on the machine, may; whoever sends a cookie is a browser, and would have said.
        self.assertEqual(self.statuses("GET"), {200})
        self.assertEqual(self.statuses("POST"), {403, 404})

    def test_behind_a_proxy_that_names_the_relay_anew(self) -> None:
        relay = Requester(Relay(admin_token=TOKEN).service, LOCAL)
        made = make_cookie(TOKEN, relay.relay.clock.seconds()).decode()
        answer = relay.ask(
            "/api/sessions/00000000/close",
            "POST",
            Cookie=f"{cookie_name(TOKEN).decode()}={made}",
            Origin="http://public.example",
            X_Forwarded_Host="public.example",
        )
        self.assertEqual(answer.status, 404)
