"""``apptuner-relay doctor`` and a proxy on the way: nginx as it is shipped, and as it is often
configured by mistake."""

from collections.abc import Sequence
from typing import Any

from tests.live.balancers import Balancer, Caddy, HAProxy, Nginx, program
from tests.live.doctor_case import Diagnosis, DoctorCase
from tests.live.processes import RelayProcess

UPGRADE = (
    r"~(?m)^ *proxy_set_header (?:Upgrade|Connection) .*\n",
    "            proxy_set_header Connection close;\n",
)


class ProxyDoctorCase(DoctorCase):
    async def behind(
        self, kind: type[Balancer], relays: Sequence[RelayProcess], *changes: tuple[str, str]
    ) -> Balancer:
        if program(kind.name) is None:
            self.skipTest(f"needs {kind.name}")
        balancer = kind(relays)
        self.addCleanup(balancer.stop)
        balancer.changes += changes
        await balancer.start()
        return balancer

    async def ask(self, balancer: Balancer, path: str = "", *arguments: str) -> Diagnosis:
        env = {"SSL_CERT_FILE": str(balancer.authority)}
        url = f"wss://127.0.0.1:{balancer.port}{path}"
        return await self.diagnose(url, *arguments, env=env)

    def assertHealthy(self, found: Diagnosis) -> None:
        self.assertEqual(found.states("failed") + found.states("warning"), [], repr(found.child))
        self.assertEqual(found.exit_code, 0)


class ProxyTest(ProxyDoctorCase):
    async def test_those_that_are_shipped(self) -> None:
        relay = await self.relay()
        for kind in (Nginx, HAProxy, Caddy):
            if program(kind.name) is None:
                continue
            balancer = await self.behind(kind, [relay])
            self.assertHealthy(await self.ask(balancer))

    async def test_nginx_without_upgrade(self) -> None:
        relay = await self.relay()
        balancer = await self.behind(Nginx, [relay], UPGRADE)
        found = await self.ask(balancer)
        self.assertFails(found, "websocket", "HTTP 426", "proxy_set_header Upgrade $http_upgrade")
        self.assertIn("the relay refused", found.text("websocket"))
        self.assertIn("compression", found.states("skipped"))

    async def test_a_relay_that_is_down(self) -> None:
        relay = await self.relay()
        for kind in (Nginx, HAProxy, Caddy):
            if program(kind.name) is None:
                continue
            balancer = await self.behind(kind, [Gone(relay)])  # type: ignore[list-item]
            found = await self.ask(balancer)
            self.assertIn("http", found.states("failed"), repr(found.child))
            self.assertRegex(found.text("http"), "HTTP 50[23]")
            self.assertIn("Is the relay running", found.hint("http"))

    async def test_a_path_that_is_rewritten(self) -> None:
        relay = await self.relay()
        balancer = await self.behind(
            Nginx,
            [relay],
            ("~(?m)^( *)proxy_pass http://relays;", "rewrite ^/cli/(.*)$ /x/$1 break;\n"
             "            proxy_pass http://relays;"),
        )  # fmt: skip
        found = await self.ask(balancer)
        self.assertFails(found, "websocket", "HTTP 404", "rewrites the path")

    async def test_a_relay_below_a_path(self) -> None:
        relay, node = await self.stage()
        await node.join("cli", "ABC234")
        await node.join("mobile", "ABC234")
        below = (
            "        location = /health {\n",
            "        location /sub/ {\n            rewrite ^/sub(/.*)$ $1 break;\n"
            "            proxy_pass http://relays;\n        }\n\n        location = /health {\n",
        )
        balancer = await self.behind(Nginx, [relay], below)
        found = await self.ask(balancer, "/sub", "--session", "ABC234")
        self.assertEqual(found.states("failed"), [], repr(found.child))
        self.assertIn("2 clients", found.text("session"))
        found = await self.ask(balancer, "/sup")
        self.assertIn("http", found.states("failed"), repr(found.child))
        self.assertIn("HTTP 404", found.text("http"))

    async def test_plain_to_its_tls_port(self) -> None:
        relay = await self.relay()
        balancer = await self.behind(Nginx, [relay])
        found = await self.diagnose(f"ws://127.0.0.1:{balancer.port}")
        self.assertFails(found, "http", "speaks TLS", "wss://")

    async def test_its_plain_port_leads_to_tls(self) -> None:
        relay = await self.relay()
        balancer = await self.behind(Nginx, [relay])
        found = await self.diagnose(f"ws://127.0.0.1:{balancer.plain_port}")
        self.assertIn("http", found.states("failed"), repr(found.child))
        self.assertIn("HTTP 30", found.text("http"))
        self.assertIn("wss://", found.hint("http"))


class Gone:
    """Stands for a relay at whose port nobody listens."""

    def __init__(self, relay: Any) -> None:
        from tests.live.ports import free_port

        self.port = free_port()
