"""``apptuner-relay doctor`` and TLS: certificates of every kind, and TLS where there is none."""

from pathlib import Path

from tests.certificates import Authority, Live, Pair
from tests.live.doctor_case import Diagnosis, DoctorCase
from tests.live.odd_servers import OddServer
from tests.live.processes import RelayProcess
from tests.live.test_clock import WallClock

DAY_S = 86_400


class TlsDoctorTest(DoctorCase):
    def setUp(self) -> None:
        self.authority = Authority()
        self.live = Live(Path(self.mktemp()))
        self.trust = self.live.chain.with_name("authority.pem").resolve()
        self.trust.write_bytes(self.authority.pem)

    async def serve(self, pair: Pair) -> RelayProcess:
        self.live.install(pair.chain, pair.key)
        relay = RelayProcess(["--listen", "tls:tcp:0:interface=127.0.0.1", *self.live.options])
        self.addCleanup(relay.stop)
        await relay.listening()
        return relay

    async def ask(self, relay: RelayProcess, *arguments: str, **env: str) -> Diagnosis:
        env = {"SSL_CERT_FILE": str(self.trust), **env}
        return await self.diagnose(f"wss://127.0.0.1:{relay.port}", *arguments, env=env)

    async def test_a_good_one(self) -> None:
        relay = await self.serve(self.authority.issue(90))
        found = await self.ask(relay)
        self.assertEqual(found.states("failed") + found.states("warning"), [], repr(found.child))
        self.assertIn("TLSv1.3, verified for 127.0.0.1; expires in 89 days", found.text("tls"))
        self.assertEqual(found.figures("tls")["names"], ["relay.test", "127.0.0.1"])
        self.assertEqual(found.figures("tls")["issuer"], "Tests")
        self.assertEqual(found.exit_code, 0)

    async def test_one_that_expires_soon(self) -> None:
        relay = await self.serve(self.authority.issue(5.5))
        found = await self.ask(relay)
        self.assertEqual(found.states("warning"), ["tls"], repr(found.child))
        self.assertIn("expires in 5 days", found.text("tls"))
        self.assertEqual(found.exit_code, 0)

    async def test_one_that_has_expired(self) -> None:
        relay = await self.serve(self.authority.issue(-3, since=-90))
        found = await self.ask(relay)
        self.assertFails(found, "tls", "has expired 3 days ago", "certbot")
        self.assertIn("http", found.states("skipped"))

    async def test_one_for_another_host(self) -> None:
        relay = await self.serve(self.authority.issue(names=("other.test", "www.other.test")))
        found = await self.ask(relay)
        self.assertFails(found, "tls", "for other.test, www.other.test, and not for 127", "--relay")

    async def test_one_that_nobody_vouches_for(self) -> None:
        relay = await self.serve(self.authority.issue())
        found = await self.diagnose(f"wss://127.0.0.1:{relay.port}")
        self.assertFails(found, "tls", "authority is not trusted here: Tests", "SSL_CERT_FILE")

    async def test_one_without_its_chain(self) -> None:
        pair = self.authority.issue()
        pair.chain = pair.chain.removesuffix(self.authority.pem)
        relay = await self.serve(pair)
        found = await self.diagnose(f"wss://127.0.0.1:{relay.port}")
        self.assertFails(found, "tls", "without the one that has signed it", "fullchain.pem")

    async def test_this_machines_clock_is_wrong(self) -> None:
        relay = await self.serve(self.authority.issue(90))
        clock = WallClock(Path(self.mktemp()))
        for ahead_days in (200, -200):
            clock.set(ahead_days * DAY_S)
            # OpenSSL looks at the true clock.
            found = await self.ask(relay, **clock.env)
            self.assertFails(found, "tls", "this machine's clock is wrong", "timedatectl")

    async def test_tls_where_none_is_spoken(self) -> None:
        relay = await self.relay()
        found = await self.diagnose(f"wss://127.0.0.1:{relay.port}")
        self.assertFails(found, "tls", "speaks plain HTTP", "ws://")

    async def test_none_where_tls_is_spoken(self) -> None:
        relay = await self.serve(self.authority.issue())
        found = await self.diagnose(f"ws://127.0.0.1:{relay.port}")
        self.assertFails(found, "http", "the port speaks TLS", "wss://")

    async def test_none_where_tls_of_others_is_spoken(self) -> None:
        server = OddServer(lambda request: None, self.authority.issue())
        self.addCleanup(server.stop)
        found = await self.diagnose(f"ws://127.0.0.1:{server.port}")
        self.assertFails(found, "http", "the port speaks TLS", "wss://")
