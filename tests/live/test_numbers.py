"""What an operator is told of relays that share their sessions, by each and by a program."""

import json
import sys
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest

from tests.live.browser import Browser
from tests.live.browser import missing as missing_browser
from tests.live.clients import missing
from tests.live.cluster import ClusterCase
from tests.live.processes import PATIENCE_S, Child, RelayProcess, checkout_env, run
from tests.live.redis import missing_redis

LOOK_S = 0.1


class NumbersTest(ClusterCase):
    skip = missing() or missing_redis()

    async def health(self, relay: RelayProcess) -> Any:
        reply = await relay.get("/health")
        self.assertEqual(reply.status, 200)
        return reply.json()

    async def metrics(self, relay: RelayProcess) -> dict[str, float]:
        text = (await relay.get("/metrics")).body
        return {
            sample.name.removeprefix("apptuner_relay_"): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.labels.get("name", "redis") == "redis"
        }

    async def nodes(self, relay: RelayProcess, *options: str) -> Child:
        program = [sys.executable, "-m", "apptuner_relay.client.main", "nodes"]
        where = ["--relay", f"http://127.0.0.1:{relay.port}"]
        return await run([*program, *where, *options], env=checkout_env())

    async def becomes(self, relay: RelayProcess, name: str, value: float) -> None:
        """Wait until a metric has some value."""
        seen = None
        for _ in range(int(PATIENCE_S / LOOK_S)):
            seen = (await self.metrics(relay)).get(name)
            if seen == value:
                return
            await deferLater(reactor, LOOK_S)  # type: ignore[arg-type]
        raise AssertionError(f"{name} is {seen}, and never {value}")

    async def test_two_relays(self) -> None:
        _, (a, b), node = await self.cluster(2)
        await self.join(node, a, "cli")
        await self.join(node, b, "mobile", query="deviceId=d1")
        await self.join(node, b, "mobile", query="deviceId=d2")
        await self.join(node, b, "cli", "OTHER2")
        first, second = await self.health(a), await self.health(b)
        self.assertEqual((first["node"], first["connections"]), ("a", 1))
        self.assertEqual((second["node"], second["connections"]), ("b", 3))
        self.assertEqual((first["cluster"]["bridged"], first["cluster"]["visitors"]), (0, 2))
        self.assertEqual((second["cluster"]["bridged"], second["cluster"]["visitors"]), (2, 0))
        figures = await self.metrics(b)
        self.assertEqual(figures["redis_up"], 1)
        self.assertEqual(figures["bridged_clients"], 2)
        self.assertGreater(figures["directory_claims_total"], 0)
        # A relay tells the others of its figures with its next heartbeat.
        for _ in range(int(PATIENCE_S / LOOK_S)):
            asked = await self.nodes(a, "--json")
            self.assertEqual(asked.exit_code, 0, repr(asked))
            seen = json.loads(asked.out)["cluster"]["nodes"]
            counts = [(one["node"], one["sessions"], one["connections"]) for one in seen]
            if counts == [("a", 1, 1), ("b", 1, 3)]:
                break
        else:
            raise AssertionError(seen)
        self.assertEqual(seen[1]["address"], f"ws://127.0.0.1:{b.port}")
        table = await self.nodes(b)
        self.assertIn("Clients of b: 3, bridged to other relays: 2 (67%). ", table.out)

    async def test_the_page(self) -> None:
        if why := missing_browser():
            raise SkipTest(why)
        redis, (a, b), node = await self.cluster(2)
        await self.join(node, a, "cli")
        await self.join(node, b, "mobile")
        browser = Browser(Path("screenshots"))
        self.addCleanup(browser.stop)
        await browser.start()
        await browser.visit(f"http://127.0.0.1:{b.port}/")
        await browser.shows("node", "b")
        await browser.shows("bridged", "1")
        await browser.shows("bridged-note", "100% of 1 client here")
        await browser.shows("relays", "2")
        row = "document.querySelector('#node-rows tr[data-key=a]')?.innerText"
        await browser.until(f"{row}?.includes('ws://127.0.0.1:{a.port}')")
        await browser.shows("redis", "connected")
        await redis.kill()
        await browser.shows("redis", "unreachable")
        await browser.until("document.querySelector('#needs-list li[data-level=warning]')")
        await browser.screenshot("cluster-live")

    async def test_redis_goes_and_comes_back(self) -> None:
        redis, (a,), _ = await self.cluster(
            1, "--tune", "warning-time=1s", "--tune", "lag-limit=60s"
        )
        await self.becomes(a, "redis_up", 1)
        await redis.kill()
        await self.becomes(a, "redis_up", 0)
        await a.logged("warning: Redis has been unreachable for")
        self.assertEqual((await self.metrics(a))["worry"], 1)
        health = await self.health(a)
        self.assertEqual((health["status"], health["cluster"]["redis"]), ("ok", "away"))
        status = (await a.get("/api/status")).json()
        self.assertEqual([worry["name"] for worry in status["worries"]], ["redis"])
        asked = await self.nodes(a)
        self.assertEqual(asked.exit_code, 1)
        self.assertIn("Redis has been unreachable for", asked.err)
        await redis.start()
        await a.logged("warning redis is over after")
        await self.becomes(a, "redis_up", 1)
        self.assertEqual((await self.nodes(a)).exit_code, 0)

    async def test_a_relay_that_is_alone(self) -> None:
        relay = await self.relay()
        health = await self.health(relay)
        self.assertFalse({"node", "cluster"} & health.keys())
        asked = await self.nodes(relay)
        self.assertEqual(asked.exit_code, 1)
        self.assertIn("is alone: it runs without --redis", asked.err)
