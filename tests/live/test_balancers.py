"""nginx, HAProxy and Caddy with the configurations of ops/: real clients, and two relays that share
their sessions through Redis.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from typing import Any, ClassVar

from apptuner_relay.config.settings import Settings
from tests.live.balancers import HOST, Balancer, Caddy, HAProxy, Nginx, program
from tests.live.clients import TYPESCRIPT, Client, NodeClients, missing
from tests.live.cluster import ClusterCase
from tests.live.harness import together
from tests.live.processes import KIB, REPOSITORY, RelayProcess, run, within_patience
from tests.live.redis import missing_redis
from tests.live.upstream import Upstream

SESSION = "SECRET"
ELSEWHERE = "127.0.0.2"
"""Another address of this machine, for clients to come from."""
SPOOFED = "203.0.113.9"
MANY_SESSIONS = 32
"""So many that no hash brings all of them to one of two relays."""
LONG_CHARS = 30_000_000
"""So much that it is still on its way when a part has come."""
TRUST = ("--trusted-proxy", HOST)


def label(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()[:8]


def missing_balancer(name: str) -> str | None:
    """Why tests with this balancer can't run here, if they can't."""
    return missing() or missing_redis() or (None if program(name) else f"needs {name}: ops/test")


class Behind:
    """What clients behind any of the balancers can count on."""

    balancer_class: ClassVar[type[Balancer]]
    balancer: Balancer
    relays: list[RelayProcess]
    clients: NodeClients

    async def begin(
        self: Any,
        shared: bool = True,
        affinity: bool = True,
        api: int | None = None,
        more: Sequence[str] = (),
    ) -> None:
        """Two relays, the balancer before them, and a process for clients.

        ``shared``: sessions are, through Redis. ``affinity``: the file is as it is shipped.
        ``api``: the port of a program to which the other paths go. ``more``: options of the
        relays.
        """
        if shared:
            redis = await self.redis()
            starting = [self.member(redis.url, name, *TRUST, *more) for name in "ab"]
        else:
            starting = [self.relay(*TRUST, *more) for _ in "ab"]
        self.relays = await together(*starting)
        self.balancer = self.balancer_class(self.relays)
        if not affinity:
            self.balancer.changes = [self.balancer.in_turn]
        if api is not None:
            self.balancer.route_api(api)
        self.addCleanup(self.balancer.stop)
        await self.balancer.start()
        self.clients = await self.node(self.balancer)

    async def join(self, role: str, session: str = SESSION, **options: Any) -> Client:
        return await self.clients.join(role, session, ca=self.balancer.ca, **options)

    async def pair(self, session: str) -> tuple[Client, Client]:
        """A CLI and a phone of a session, who know of each other."""
        phone = await self.join("mobile", session)
        cli = await self.join("cli", session)
        await cli.settle()
        return cli, phone

    async def owners(self, session: str) -> list[RelayProcess]:
        """The relays at which the session is."""
        return [relay for relay in self.relays if label(session) in await rows(relay)]

    async def spread(self) -> dict[RelayProcess, str]:
        """For each relay a session that the balancer brings to it, with nobody in it."""
        found: dict[RelayProcess, str] = {}
        for number in range(MANY_SESSIONS):
            session = f"SECRET{number}"
            client = await self.join("cli", session)
            (owner,) = await self.owners(session)
            found.setdefault(owner, session)
            await client.close()
            await client.closed()
            if len(found) == len(self.relays):
                return found
        raise AssertionError(f"all {MANY_SESSIONS} sessions came to one relay: {self.balancer!r}")

    def test_the_relay_is_first_to_give_up(self: Any) -> None:
        """A CLI that waits for a slow phone has been seen to wait for twice the slow time."""
        text = (REPOSITORY / "ops" / self.balancer_class.shipped).read_text()
        settings = Settings()
        for name in self.balancer_class.quiet:
            minutes = re.findall(rf"^ +{name} +(\d+)m;?$", text, re.MULTILINE)
            self.assertEqual(len(minutes), 1, name)
            wait_s = int(minutes[0]) * 60
            self.assertGreater(wait_s, 3 * settings.slow.slow_time)
            self.assertGreater(
                wait_s, 3 * max(settings.limits.ping_interval, settings.limits.ping_timeout)
            )

    async def kill(self, relay: RelayProcess) -> None:
        relay.forget()
        relay.child.signal("KILL")
        await within_patience(relay.child.over(), lambda: repr(relay.child))

    async def test_a_session(self: Any) -> None:
        await self.begin()
        await self.use_a_session()

    async def test_a_session_without_redis(self: Any) -> None:
        await self.begin(shared=False)
        await self.use_a_session()

    async def use_a_session(self: Any) -> None:
        cli = await self.join("cli", perMessageDeflate=True)
        phone = await self.join("mobile", perMessageDeflate=True)
        plain = await self.join("mobile")
        dashboard = await self.join("dashboard")
        for client in (cli, phone):
            self.assertIn("permessage-deflate", client.extensions)
        self.assertEqual(plain.extensions, "")
        for chunked in (False, True):
            sent = await cli.push(TYPESCRIPT, chunked=chunked)
            for receiver in (phone, plain):
                self.assertEqual((await receiver.bundle()).code, sent.code)
                await receiver.send({"type": "bundle_ack", "success": True, "timestamp": 1})
            await together(cli.expect("bundle_ack"), dashboard.expect("bundle_ack"))
        self.assertEqual(len(await self.owners(SESSION)), 1)

        download = await self.balancer.get(f"/bundles/{SESSION}")
        self.assertEqual(download.status, 200)
        self.assertEqual(hashlib.sha256(download.body.encode()).hexdigest(), sent.code.sha256)
        await phone.close(4321, "enough")
        self.assertEqual((await phone.closed())[0], 4321)
        await cli.expect("mobile_disconnected")

    async def test_a_session_has_one_relay(self: Any) -> None:
        await self.begin()
        sessions = [f"SECRET{number}" for number in range(MANY_SESSIONS)]
        for role in ("mobile", "cli", "dashboard"):
            await together(*(self.join(role, session) for session in sessions))
        first, second = [await rows(relay) for relay in self.relays]
        self.assertEqual(first.keys() | second.keys(), set(map(label, sessions)))
        self.assertTrue(first and second, "one relay has all")
        for row in (*first.values(), *second.values()):
            self.assertEqual(row["roles"], ["cli", "dashboard", "mobile"])

    async def test_who_comes_to_the_other_relay(self: Any) -> None:
        """As a client does that comes another way, or did before the balancer lost a relay."""
        await self.begin()
        near = await self.join("mobile", perMessageDeflate=True)
        (owner,) = await self.owners(SESSION)
        (other,) = [relay for relay in self.relays if relay is not owner]
        far = await self.clients.join(
            "mobile", SESSION, url=other.url("mobile", SESSION), localAddress="127.0.0.4"
        )
        cli = await self.join("cli", perMessageDeflate=True, localAddress=ELSEWHERE)
        for chunked in (False, True):
            sent = await cli.push(TYPESCRIPT, chunked=chunked)
            self.assertEqual((await near.bundle()).code, sent.code)
            self.assertEqual((await far.bundle()).code, sent.code)
        self.assertEqual(await self.owners(SESSION), [owner])
        addresses = [one["address"] for one in (await rows(owner))[label(SESSION)]["clients"]]
        self.assertEqual(addresses, [ELSEWHERE, HOST, "127.0.0.4"])

    async def test_without_affinity(self: Any) -> None:
        """Clients of a session come to both relays, and their addresses with them."""
        await self.begin(affinity=False)
        phones = [await self.join("mobile", localAddress=f"127.0.1.{n}") for n in range(1, 5)]
        cli = await self.join("cli", perMessageDeflate=True, localAddress=ELSEWHERE)
        sent = await cli.push(TYPESCRIPT)
        for phone in phones:
            self.assertEqual((await phone.bundle()).code, sent.code)
            await phone.send({"type": "bundle_ack", "success": True, "timestamp": 1})
            await cli.expect("bundle_ack")
        (owner,) = await self.owners(SESSION)
        row = (await rows(owner))[label(SESSION)]
        addresses = {one["address"] for one in row["clients"]}
        self.assertEqual(addresses, {ELSEWHERE, *(f"127.0.1.{n}" for n in range(1, 5))})
        at_each = [(await relay.get("/health")).json()["connections"] for relay in self.relays]
        self.assertEqual(sum(at_each), 5)
        self.assertTrue(all(at_each), at_each)

    async def test_where_clients_are(self: Any) -> None:
        await self.begin()
        await self.join("cli", localAddress=ELSEWHERE)
        await self.join("mobile", headers={"X-Forwarded-For": SPOOFED}, localAddress=ELSEWHERE)
        spoofed = f"{SPOOFED}, {HOST}"
        await self.join("dashboard", headers={"X-Forwarded-For": spoofed}, localAddress="127.0.0.3")
        (owner,) = await self.owners(SESSION)
        row = (await rows(owner))[label(SESSION)]
        self.assertEqual(
            [(one["role"], one["address"]) for one in row["clients"]],
            [("cli", ELSEWHERE), ("dashboard", "127.0.0.3"), ("mobile", ELSEWHERE)],
        )
        for role in ("cli", "mobile"):
            await owner.logged(rf"{role} connected from {ELSEWHERE}(;|$)")
        self.assertNotIn(SPOOFED, owner.log)

    async def test_what_is_not_for_clients(self: Any) -> None:
        await self.begin()
        health = await self.balancer.get("/health")
        self.assertEqual((health.status, health.json()["status"]), (200, "ok"))
        for path in (
            "/",
            "/api/status",
            "/api/sessions",
            "/metrics",
            "/ready",
            "/live",
            "/session/",
            "/session/other",
            "/static/../metrics",
            "/peer/cli/ABC234",
            "//metrics",
            "/./metrics",
            "/cli/../metrics",
            "/cli/%2e%2e/metrics",
            "/cli/..%2fmetrics",
            "/health/../metrics",
            "/bundles/../peer/cli/ABC234",
            "/METRICS",
        ):
            reply = await self.balancer.get(path)
            self.assertIn(reply.status, (400, 404), path)
            self.assertIn("error", reply.json(), path)
        reply = await self.balancer.get_plain("/health")
        self.assertEqual((reply.status // 100, reply.headers["location"][:8]), (3, "https://"))
        # The relay's own answers come through.
        refused = await self.clients.refused("cli", "bad.id", ca=self.balancer.ca)
        self.assertEqual(refused.status, 400)
        self.assertIn("Bad session id", refused.json()["error"])

    async def test_a_bundle_over_http(self: Any) -> None:
        """Larger than any other request."""
        await self.begin()
        code = "console.log(1);\n" * 20_000
        put = await self.balancer.get("/bundles/ABC234", "PUT", body=code)
        self.assertEqual(put.status // 100, 2, put)
        got = await self.balancer.get("/bundles/ABC234")
        self.assertEqual((got.status, got.body), (200, code))

    async def test_the_page_of_a_session(self: Any) -> None:
        await self.begin()
        await self.pair(SESSION)
        page = await self.balancer.get("/s")
        self.assertEqual((page.status, page.headers["content-type"][:9]), (200, "text/html"))
        names = re.findall(r'"(static/[^"]+)"', page.body)
        for name in names:
            self.assertEqual((await self.balancer.get(f"/{name}")).status, 200, name)
        fields = {"AppTuner-Session": hashlib.sha256(SESSION.encode()).hexdigest()}
        # Whichever relay is asked.
        for _ in range(4):
            state = await self.balancer.get("/session/state", headers=fields)
            self.assertEqual(state.status, 200, state)
            self.assertEqual(len(state.json()["clients"]), 2)
        again = await self.balancer.get("/session/replay", "POST", fields)
        self.assertEqual(again.status, 409)
        body = json.dumps({"session": SESSION, "relay": f"https://{HOST}:{self.balancer.port}"})
        qr = await self.balancer.get("/session/qr", "POST", fields, body)
        self.assertEqual((qr.status, qr.json()["modules"] > 20), (200, True))

    async def test_channels_of_managed_services(self: Any) -> None:
        await self.begin(more=("--managed", "relay://apptuner-key"))
        kind = {"Content-Type": "application/json"}
        asked = await self.balancer.get("/pusher/auth", "POST", kind, "{}")
        self.assertEqual(asked.status, 400)
        self.assertIn("lacks socket_id", asked.json()["error"])
        found = await self.balancer.get("/app/apptuner-key")
        self.assertEqual(found.status, 426)

    async def test_the_node_relays_other_paths(self: Any) -> None:
        upstream = Upstream()
        self.addCleanup(upstream.stop)
        await upstream.start()
        await self.begin(shared=False, api=upstream.port)
        balancer = self.balancer
        reply = await balancer.get("/api/builds/7?a=%2F")
        self.assertEqual((reply.status, reply.json()["url"]), (200, "/api/builds/7?a=%2F"))
        self.assertEqual(reply.json()["headers"]["x-forwarded-proto"], "https")
        for path in ("/api/builds", "/api/create-checkout-session", "/api/stripe-webhook"):
            reply = await balancer.get(path, "OPTIONS", {"Origin": "https://dash.example"})
            origin = reply.headers.get("access-control-allow-origin")
            self.assertEqual((reply.status, origin), (204, "https://dash.example"), path)
        file = balancer.folder / "body"
        file.write_bytes(bytes(range(256)) * 4096)
        signature = hmac.digest(b"whsec_test", file.read_bytes(), "sha256").hex()
        url = f"https://{HOST}:{balancer.port}/api"
        words = ["curl", "-sS", "--cacert", str(balancer.authority), "--data-binary", f"@{file}"]
        words += ["-H", f"Stripe-Signature: {signature}", f"{url}/stripe-webhook"]
        child = await run(words)
        self.assertEqual(child.out, '{"good":true,"bytes":1048576}', repr(child))
        child = await run([*words[:4], f"{url}/builds/7/download?bytes=5000000", "-o", str(file)])
        self.assertEqual((child.exit_code, file.stat().st_size), (0, 5_000_000), repr(child))
        for path in ("/api/status", "/api/nodes", "/api/buildsx"):
            reply = await balancer.get(path)
            self.assertIn(reply.status, (400, 404), path)
            self.assertNotIn("Cannot", reply.body, path)
        await upstream.stop()
        reply = await balancer.get("/api/builds/7")
        self.assertIn(reply.status, (502, 503, 504))
        await self.use_a_session()

    async def test_a_relay_is_killed_under_load(self: Any) -> None:
        await self.begin()
        lost, kept = self.relays
        sessions = await self.spread()
        pairs = {relay: await self.pair(session) for relay, session in sessions.items()}
        codes = {}
        for relay, (cli, phone) in pairs.items():
            codes[relay] = await cli.start_filler(LONG_CHARS)
            await phone.bytes_arrived(64 * KIB)
        await self.kill(lost)
        await together(*(client.closed() for client in pairs[lost]))
        self.assertEqual((await pairs[kept][1].bundle()).code, codes[kept])

        # They come back at once, and find the other one.
        for session in sessions.values():
            cli, phone = await self.pair(session)
            sent = await cli.push(TYPESCRIPT)
            self.assertEqual((await phone.bundle()).code, sent.code)
            self.assertEqual(await self.homes_of_the_living(session), [kept])
        self.assertEqual((await self.balancer.get("/health")).status, 200)

        await self.kill(kept)
        refused = await self.clients.refused("cli", SESSION, ca=self.balancer.ca)
        self.assertIn(refused.status, (502, 503))
        await self.balancer.stop_process()
        self.assertIn(self.balancer.logged, self.balancer.said())
        self.assertNotIn("SECRET", self.balancer.said())

    async def homes_of_the_living(self, session: str) -> list[RelayProcess]:
        living = [relay for relay in self.relays if not relay.child.is_over]
        return [relay for relay in living if label(session) in await rows(relay)]

    async def test_a_relay_is_stopped(self: Any) -> None:
        await self.begin()
        sessions = await self.spread()
        stopped, other = self.relays
        clients = await self.pair(sessions[stopped])
        await stopped.stop()
        for client in clients:
            self.assertEqual((await client.closed())[0], 1012)
        cli, phone = await self.pair(sessions[stopped])
        sent = await cli.push(TYPESCRIPT)
        self.assertEqual((await phone.bundle()).code, sent.code)
        self.assertIn(label(sessions[stopped]), await rows(other))


async def rows(relay: RelayProcess) -> dict[str, Any]:
    """The sessions at a relay, by label."""
    reply = await relay.get("/api/sessions")
    assert reply.status == 200, reply
    return {row["session"]: row for row in reply.json()["sessions"]}


class NginxTest(Behind, ClusterCase):
    balancer_class = Nginx
    skip = missing_balancer("nginx")


class HAProxyTest(Behind, ClusterCase):
    balancer_class = HAProxy
    skip = missing_balancer("haproxy")


class CaddyTest(Behind, ClusterCase):
    balancer_class = Caddy
    skip = missing_balancer("caddy")
