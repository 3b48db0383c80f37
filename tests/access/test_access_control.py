"""Who may come in, and how often, at a relay whose clients are on transports in memory.

Their address is `PEER`, unless a trusted proxy says otherwise.
"""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.tokens import make_proof, sign_token
from apptuner_relay.config.origins import Origins
from apptuner_relay.session.session import Admission, BadRequest, Role, session_hash
from apptuner_relay.support.client_address import TrustedProxies
from tests.memory import Client, Relay

PEER = "192.168.1.1"
SECRET, OTHER = "0123456789abcdefSECRET", "fedcba9876543210OTHER"
HASH = session_hash("ABC234")


class AccessCase(SynchronousTestCase):
    def start(self, **settings: Any) -> None:
        self.relay = Relay(trusted_proxy=TrustedProxies.parse(PEER), **settings)

    def setUp(self) -> None:
        self.start()

    def client(
        self,
        target: str,
        secret: str | None = None,
        origin: str | None = None,
        address: str | None = None,
    ) -> Client:
        extra = f"Authorization: Bearer {secret}\r\n" if secret else ""
        extra += f"Origin: {origin}\r\n" if origin else ""
        extra += f"X-Forwarded-For: {address}\r\n" if address else ""
        return Client(self.relay.service, target, extra=extra)

    def let_in(self, target: str, *args: Any, **options: Any) -> Client:
        client = self.client(target, *args, **options)
        self.assertEqual(client.status, 101, client.body)
        return client

    def refused(self, status: int, target: str, *args: Any, **options: Any) -> Client:
        client = self.client(target, *args, **options)
        self.assertEqual(client.status, status, client.head)
        self.assertTrue(json.loads(client.body)["error"])
        self.assertTrue(client.transport.disconnecting)
        return client

    def token(self, lasts_s: float = 60, secret: str = SECRET, session: str = HASH) -> str:
        return sign_token(secret, session, self.relay.clock.seconds() + lasts_s)

    @property
    def access(self) -> Any:
        return self.relay.service.access


class Claims(AccessCase):
    def test_only_the_secret_takes_the_desktop_side(self) -> None:
        cli = self.let_in("/cli/ABC234", SECRET)
        self.assertIs(cli.received()[0]["claimed"], True)
        for role in ("cli", "dashboard", "desktop"):
            refusal = self.refused(401, f"/{role}/ABC234")
            self.assertIn(b'WWW-Authenticate: Bearer realm="AppTuner session"', refusal.head)
            self.refused(403, f"/{role}/ABC234", OTHER)
            self.refused(401, f"/{role}/ABC234", self.token())
        self.refused(400, "/cli/ABC234?key=short")
        self.assertIsNone(cli.closed)
        phone = self.let_in("/mobile/ABC234")
        self.assertNotIn("claimed", phone.received()[0])
        self.let_in(f"/dashboard/ABC234?key={SECRET}")
        self.let_in("/cli/ABC234", SECRET)
        cli.read()
        self.assertEqual(cli.closed, (1000, "New CLI connected for this project"))
        self.assertEqual(self.access.denied["secret"], 9)

    def test_where_nobody_claimed_all_is_as_it_was(self) -> None:
        for role in ("cli", "dashboard", "desktop", "cli"):
            self.assertNotIn("claimed", self.let_in(f"/{role}/ABC234").received()[0])
        self.let_in("/cli/OTHER1", SECRET)
        self.let_in("/cli/OTHER2")

    def test_off(self) -> None:
        self.start(claims=False)
        self.assertNotIn("claimed", self.let_in("/cli/ABC234", SECRET).received()[0])
        self.let_in("/cli/ABC234")

    def test_who_came_before_without_it_goes(self) -> None:
        dashboard = self.let_in("/dashboard/ABC234")
        phone = self.let_in("/mobile/ABC234")
        cli = self.let_in("/cli/ABC234", SECRET)
        dashboard.read()
        self.assertEqual((dashboard.closed or (0,))[0], 1008)
        phone.read()
        self.assertIsNone(phone.closed)
        cli.read()
        cli.messages.clear()
        phone.send(type="console_log")
        self.assertEqual(cli.types(), ["console_log"])

    def test_a_cli_that_knows_no_secrets_is_not_locked_out(self) -> None:
        old = self.let_in("/cli/ABC234")
        self.refused(409, "/cli/ABC234", SECRET)
        self.refused(409, "/dashboard/ABC234", SECRET)
        old.read()
        self.assertIsNone(old.closed)
        old.lose()
        self.let_in("/cli/ABC234", SECRET)

    def test_it_is_remembered_for_a_while_after_the_last_one(self) -> None:
        self.start(claim_ttl=600.0, session_timeout=100000.0, ping_interval=10000.0)
        cli = self.let_in("/cli/ABC234", SECRET)
        self.relay.wait(3000, step=20)
        self.refused(401, "/cli/ABC234")
        cli.lose()
        self.relay.wait(560, step=20)
        self.refused(401, "/cli/ABC234")
        self.relay.wait(80, step=20)
        self.let_in("/cli/ABC234", OTHER)

    def test_wrong_secrets_are_failed_joins(self) -> None:
        self.start(failed_joins=3)
        cli = self.let_in("/cli/ABC234", SECRET, address="203.0.113.1")
        for n in (1, 1, 1, 1, 2, 2, 3):
            self.refused(403, "/cli/ABC234", f"{OTHER}{n}", address="203.0.113.2")
        self.refused(429, "/cli/ABC234", SECRET, address="203.0.113.2")
        self.let_in("/dashboard/ABC234", SECRET, address="203.0.113.1")
        cli.read()
        self.assertIsNone(cli.closed)


class JoinTokens(AccessCase):
    def test_nobody_hears_no_while_the_claim_may_yield_to_their_own(self) -> None:
        self.let_in("/cli/ABC234?tokens=1", SECRET)
        self.patch(self.access.claims, "is_provisional", lambda session: session == HASH)
        for role, shown in (("cli", OTHER), ("dashboard", OTHER), ("mobile", OTHER)):
            refusal = self.refused(503, f"/{role}/ABC234", shown)
            self.assertIn(b"Retry-After: 2", refusal.head)
        self.refused(401, "/dashboard/ABC234")
        self.let_in("/dashboard/ABC234", SECRET)
        # One that another relay has let in, by a claim that counts there.
        moved = Admission(Role.CLI, HASH, None, "", authorized=True, proof=make_proof(OTHER, HASH))
        with self.assertRaises(BadRequest) as raised:
            self.relay.service.registry.check_room(moved)
        self.assertEqual(raised.exception.status, 503)
        self.patch(self.access.claims, "is_provisional", lambda session: False)
        self.refused(403, "/dashboard/ABC234", OTHER)

    def test_phones_need_one_where_the_cli_says_so(self) -> None:
        self.let_in("/cli/ABC234?tokens=1", SECRET)
        self.refused(401, "/mobile/ABC234")
        self.refused(403, "/mobile/ABC234?token=junk")
        self.refused(403, "/mobile/ABC234?token=" + self.token(secret=OTHER))
        self.refused(403, "/mobile/ABC234?token=" + self.token(session=session_hash("B")))
        self.refused(403, "/mobile/ABC234", OTHER)
        expired = self.refused(401, "/mobile/ABC234?token=" + self.token(-1))
        self.assertIn("expired", json.loads(expired.body)["error"])
        self.let_in("/mobile/ABC234?token=" + self.token())
        self.let_in("/mobile/ABC234", self.token())
        self.let_in("/mobile/ABC234", SECRET)
        self.assertEqual(self.access.denied["token"], 6)

    def test_the_cli_that_came_last_decides(self) -> None:
        self.let_in("/cli/ABC234?tokens=1", SECRET)
        self.let_in("/dashboard/ABC234", SECRET)
        self.refused(401, "/mobile/ABC234")
        self.let_in("/cli/ABC234", SECRET)
        self.let_in("/mobile/ABC234")

    def test_phones_without_one_go(self) -> None:
        self.start(ping_interval=3600)
        early = self.let_in("/mobile/ABC234")
        self.let_in("/cli/ABC234", SECRET)
        good = self.let_in("/mobile/ABC234?token=" + self.token())
        self.let_in("/cli/ABC234?tokens=1", SECRET)
        early.read()
        self.assertEqual((early.closed or (0,))[0], 1008)
        self.relay.wait(120)
        good.read()
        self.assertIsNone(good.closed)

    def test_a_session_of_strangers_only(self) -> None:
        early = self.let_in("/mobile/ABC234")
        cli = self.let_in("/cli/ABC234?tokens=1", SECRET)
        early.read()
        self.assertEqual((early.closed or (0,))[0], 1008)
        self.assertEqual(cli.types(), ["connected"])
        phone = self.let_in("/mobile/ABC234", self.token())
        self.assertEqual(cli.types(), ["mobile_connected", "device_list"])
        phone.lose()
        cli.lose()
        self.assertEqual(self.relay.service.sessions, {})

    def test_what_is_announced_can_be_fetched(self) -> None:
        token = self.token()
        service = self.relay.service
        self.let_in("/cli/ABC234?tokens=1", SECRET)
        self.let_in(f"/mobile/ABC234?token={token}&announce=1")
        (phone,) = service.sessions[HASH].mobiles
        self.assertEqual(phone.admission.bundles_url, f"/bundles/ABC234?token={token}")


class OriginTest(AccessCase):
    def test_pages_of_others(self) -> None:
        self.start(allowed_origin=Origins.parse("https://dash.example.com"))
        for role in ("cli", "dashboard", "desktop"):
            self.refused(403, f"/{role}/ABC234", origin="https://evil.example.com")
            self.let_in(f"/{role}/ABC234", origin="https://dash.example.com")
            self.let_in(f"/{role}/ABC234")
        # React Native sends the relay's own.
        self.let_in("/mobile/ABC234", origin="https://relay.example")
        self.assertEqual(self.access.denied["origin"], 3)

    def test_any(self) -> None:
        self.let_in("/dashboard/ABC234", origin="https://evil.example.com")


class Limits(AccessCase):
    def test_connects(self) -> None:
        self.start(connect_rate=60)
        for _ in range(60):
            self.client("/nowhere/ABC234", address="203.0.113.1")
        refusal = self.refused(429, "/cli/ABC234", address="203.0.113.1")
        self.assertIn(b"Retry-After: 1", refusal.head)
        self.let_in("/cli/ABC234", address="203.0.113.2")
        self.assertEqual(self.access.limited["connect-rate"], 1)
        self.relay.wait(1)
        self.let_in("/cli/ABC234", address="203.0.113.1")

    def test_a_phone_before_its_cli(self) -> None:
        self.start(failed_joins=2)
        for _ in range(20):
            phone = self.let_in("/mobile/ABC234", address="203.0.113.1")
            phone.lose()
        phone = self.let_in("/mobile/ABC234", address="203.0.113.1")
        self.let_in("/cli/ABC234", address="203.0.113.2")
        self.assertIn("connected", phone.types())

    def test_a_guesser(self) -> None:
        self.start(failed_joins=3)
        self.let_in("/cli/ABC234", address="203.0.113.9")
        for role in ("mobile", "cli", "dashboard"):
            self.let_in(f"/{role}/No{role}", address="203.0.113.1").lose()
        for role in ("mobile", "cli"):
            for session in ("ABC234", "No4"):
                refusal = self.refused(429, f"/{role}/{session}", address="203.0.113.1")
                self.assertIn(b"Retry-After: 200", refusal.head)
        self.assertEqual(self.access.limited["failed-joins"], 4)
        self.assertEqual(self.access.failed_joins, 4)
        # Somebody else in the guesser's office.
        self.let_in("/cli/XYZ567", address="203.0.113.2")
        self.let_in("/cli/Nocli", address="203.0.113.1")
        self.let_in("/mobile/Nocli", address="203.0.113.1")

    def test_an_office_is_no_guesser(self) -> None:
        for developer in range(50):
            self.let_in(f"/mobile/DEV{developer}", address="203.0.113.1")
            self.let_in(f"/cli/DEV{developer}", address="203.0.113.1")
            self.let_in(f"/dashboard/DEV{developer}", address="203.0.113.1")
        self.assertEqual(sum(self.access.limited.values()), 0)

    def test_sessions_of_an_address(self) -> None:
        self.start(sessions_per_address=2)
        one = self.let_in("/cli/A", address="203.0.113.1")
        self.let_in("/cli/B", address="203.0.113.1")
        self.let_in("/mobile/B", address="203.0.113.1")
        self.refused(429, "/cli/C", address="203.0.113.1")
        self.let_in("/cli/C", address="203.0.113.2")
        one.lose()
        self.let_in("/cli/C", address="203.0.113.1")

    def test_this_machine_is_not_limited(self) -> None:
        self.start(failed_joins=1, connect_rate=1, sessions_per_address=1)
        for n in range(10):
            self.let_in(f"/mobile/No{n}", address="127.0.0.1")
