"""Relays that are stopped one after the other under steady traffic: nothing that anybody sent is
lost on the way to who is there, and the last bundles go along."""

from typing import Any

from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.live.clients import TYPESCRIPT, Client
from tests.live.cluster import ClusterCase, owner_in
from tests.live.harness import together
from tests.live.processes import RelayProcess, within_patience
from tests.live.redis import RedisProcess
from tests.live.rolling import Traffic

WITHIN_MS = 800
NAMES = "abc"


class StopCase(ClusterCase):
    """Relays that are stopped."""

    async def stop(self, relay: RelayProcess, alone: bool = True) -> None:
        """:param alone: whether no other one stops, which then takes no session over."""
        relay.child.signal("TERM")
        await within_patience(relay.child.over(), lambda: repr(relay.child))
        relay.forget()
        for sign in ("Traceback", "Unhandled", "cut short"):
            self.assertNotIn(sign, relay.log + relay.child.err)
        if alone:
            self.assertNotIn("does not take it over", relay.log)


class RollingTest(StopCase):
    """Three relays, and sessions whose clients are all over them."""

    async def roll(self, at_once: int, *options: str) -> dict[str, Any]:
        """Stop each relay, so many at a time, while everybody saves, and start it again."""
        redis, relays, _ = await self.cluster(3, *options)
        load = Traffic(relays, sessions=8, chars=200_000, every_ms=50)
        self.addCleanup(load.kill)
        await load.until("ready")
        for first in range(0, 3, at_once):
            stopping = [(first + n) % 3 for n in range(at_once)]
            load.tell("save", within=WITHIN_MS)
            # In the middle of the saves.
            await deferLater(reactor, WITHIN_MS / 2000)  # type: ignore[arg-type]
            for index in stopping:
                load.tell("down", relay=index)
            await together(*(self.stop(relays[index], at_once == 1) for index in stopping))
            await load.until("saved")
            for index in stopping:
                await self.again(redis, relays, index, load, *options)
            await load.until("ready")
        return await load.end()

    async def again(
        self,
        redis: RedisProcess,
        relays: list[RelayProcess],
        index: int,
        load: Traffic,
        *options: str,
    ) -> None:
        relays[index] = relay = await self.member(redis.url, NAMES[index], *options)
        load.tell("up", relay=index, url=f"ws://127.0.0.1:{relay.port}")

    def nothing_is_lost(self, result: dict[str, Any]) -> None:
        self.assertEqual(result["lost"], 0, result)
        self.assertEqual(result["stale"], [], result)
        self.assertEqual(result["troubles"], [], result)
        self.assertEqual(set(result["codes"]), {"1012"}, result)
        self.assertGreater(result["sent"], 1000, result)
        self.assertGreater(result["saves"], 20, result)

    async def test_one_after_the_other(self) -> None:
        self.nothing_is_lost(await self.roll(1))

    async def test_where_no_bundle_is_kept(self) -> None:
        self.nothing_is_lost(await self.roll(1, "--spool-dir", "off"))

    async def test_two_at_once(self) -> None:
        self.nothing_is_lost(await self.roll(2))


class HurryTest(StopCase):
    async def test_a_second_sigterm_does_not_wait(self) -> None:
        _, (a, b), node = await self.cluster(2)
        cli = await self.join(node, a, "cli")
        phone = await self.join(node, b, "mobile")
        await cli.expect("mobile_connected")
        half = '{"type":"bundle_update","payload":{"code":"' + "x" * 100_000
        await cli.send_half(half, 200_000)
        await phone.bytes_arrived(50_000)
        a.child.signal("TERM")
        await a.logged("draining: handing over 1 sessions")
        await self.stop_now(a)
        self.assertEqual((await cli.closed())[0], 1012)
        self.assertEqual((await phone.closed())[0], 1011)

    async def stop_now(self, relay: RelayProcess) -> None:
        relay.child.signal("TERM")
        await within_patience(relay.child.over(), lambda: repr(relay.child))
        relay.forget()
        self.assertIn("received SIGTERM again", relay.log)
        for sign in ("Traceback", "Unhandled"):
            self.assertNotIn(sign, relay.log + relay.child.err)


class KeptTest(StopCase):
    """What becomes of the last bundle of a session when its relay stops."""

    async def push(self, client: Client, chunked: bool = False) -> str:
        sent = await client.push(TYPESCRIPT, chunked)
        await client.settle()
        return sent.code.sha256

    async def gets(self, phone: Client, sha256: str) -> None:
        message = await phone.bundle()
        assert message.code is not None
        self.assertEqual(message.code.sha256, sha256)

    async def test_after_a_rolling_restart(self) -> None:
        redis, relays, node = await self.cluster(3)
        kept = {}
        for chunked in (False, True):
            for deflate in (False, True):
                session = f"KEPT{chunked:d}{deflate:d}"
                cli = await self.join(node, relays[0], "cli", session, perMessageDeflate=deflate)
                kept[session] = await self.push(cli, chunked)
                if chunked:
                    await cli.close()
                    await cli.closed()
        for index, name in enumerate(NAMES):
            await self.stop(relays[index])
            relays[index] = await self.member(redis.url, name)
        for session, sha256 in kept.items():
            self.assertIn(owner_in(redis, session), tuple(NAMES))
            reply = await relays[1].get(f"/bundles/{session}", "HEAD")
            self.assertEqual(reply.status, 200, reply)
            self.assertIn(sha256, reply.headers["etag"])
            late = await self.join(node, relays[2], "mobile", session)
            await self.gets(late, sha256)

    async def test_where_the_other_relay_keeps_none(self) -> None:
        redis, (a,), node = await self.cluster(1)
        b = await self.member(redis.url, "b", "--spool-dir", "off")
        cli = await self.join(node, a, "cli")
        phone = await self.join(node, b, "mobile")
        await self.gets(phone, await self.push(cli))
        await self.stop(a)
        self.assertIn("its last bundle is dropped", a.log)
        self.assertIn("--spool-dir off", a.log)
        self.assertEqual(owner_in(redis), "b")
        await phone.settle()
        self.assertEqual((await b.get("/bundles/ABC234")).status, 404)

    async def test_where_it_has_no_room(self) -> None:
        redis, (a,), node = await self.cluster(1)
        b = await self.member(redis.url, "b", "--spool-limit", "1MiB")
        phone = await self.join(node, b, "mobile")
        cli = await self.join(node, a, "cli")
        await self.gets(phone, await self.push(cli))
        await self.stop(b)
        await cli.settle()

    async def test_nobody_else_is_there(self) -> None:
        redis, (a,), node = await self.cluster(1)
        cli = await self.join(node, a, "cli")
        await self.push(cli)
        await self.stop(a)
        self.assertEqual((await cli.closed())[0], 1012)
        self.assertIsNone(owner_in(redis))
