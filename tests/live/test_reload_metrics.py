"""What ``/metrics`` tells of reloads: with real sockets, clients of Node's ``ws`` and a download,
read by the parser of prometheus-client."""

from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet import reactor
from twisted.internet.task import deferLater

from tests.live.clients import Client, NodeClients
from tests.live.harness import LiveCase
from tests.live.processes import RelayProcess

CHARS = 3_000_000
ACK: dict[str, Any] = {"type": "bundle_ack", "success": True}
FAILED: dict[str, Any] = {"type": "bundle_ack", "success": False, "error": "SyntaxError: here"}
PREFIX = "apptuner_relay_"
LOOK_AGAIN_S = 0.05


class ReloadMetricsTest(LiveCase):
    async def scrape(self, relay: RelayProcess) -> dict[str, float]:
        """Every sample of the relay's own, by its name and labels."""
        reply = await relay.get("/metrics")
        self.assertEqual(reply.status, 200)
        return {
            sample.name.removeprefix(PREFIX)
            + "".join(
                f" {key}={value}" for key, value in sorted(sample.labels.items())
            ): sample.value
            for family in text_string_to_metric_families(reply.body)
            for sample in family.samples
        }

    async def scraped(self, relay: RelayProcess, name: str, value: float) -> dict[str, float]:
        """A scrape in which a sample has a value, once it has."""
        while True:
            got = await self.scrape(relay)
            if got[name] == value:
                return got
            await deferLater(reactor, LOOK_AGAIN_S)  # type: ignore[arg-type]

    async def join(self, node: NodeClients, role: str, query: str = "", **more: Any) -> Client:
        return await node.join(role, "ABC234", query=query, **more)

    async def test_a_session_whose_phone_failed(self) -> None:
        relay, node = await self.stage()
        cli = await self.join(node, "cli")
        ann = await self.join(node, "mobile", "deviceId=ann")
        bob = await self.join(node, "mobile", "deviceId=bob")
        await cli.push_filler(CHARS)
        for phone, answer in ((ann, ACK), (bob, FAILED)):
            await phone.bundle()
            await phone.send(answer)
        got = await self.scraped(relay, "acknowledgements_total result=failure", 1)
        for name, value in {
            "acknowledgements_total result=success": 1,
            "acknowledgements_total result=none": 0,
            "phones_served_total source=live": 2,
            "phones_served_total source=kept": 0,
            "reload_seconds_count": 1,
            "delivery_seconds_count source=live": 1,
            "bundles_total": 1,
        }.items():
            self.assertEqual(got[name], value, name)
        # The phone that acknowledged did so after the last byte for it had left.
        self.assertGreater(got["reload_seconds_sum"], 0)
        self.assertEqual(got["reload_seconds_bucket le=+Inf"], 1)

        late = await self.join(node, "mobile", "deviceId=late&replay=1")
        await late.bundle()
        await late.send(ACK)
        got = await self.scraped(relay, "phones_served_total source=kept", 1)
        self.assertEqual(got["acknowledgements_total result=success"], 2)
        self.assertEqual(got["delivery_seconds_count source=kept"], 1)
        self.assertEqual(got["reload_seconds_count"], 1)

    async def test_what_compression_saves(self) -> None:
        relay, node = await self.stage()
        cli = await self.join(node, "cli", perMessageDeflate=True)
        phone = await self.join(node, "mobile", "deviceId=ann", perMessageDeflate=True)
        await cli.push_filler(CHARS)
        await phone.bundle()
        await phone.send(ACK)
        got = await self.scraped(relay, "acknowledgements_total result=success", 1)
        saved, sent = got["compression_saved_bytes_total"], got["bytes_total direction=out"]
        # Some of it is reckoned by the beginning.
        self.assertGreater(saved + sent, 0.8 * CHARS)
        self.assertLess(saved + sent, 1.2 * CHARS)

    async def test_downloads(self) -> None:
        relay, node = await self.stage()
        cli = await self.join(node, "cli")
        await cli.push_filler(CHARS)
        fields = "Host: relay\r\nAccept-Encoding: gzip\r\nConnection: close"
        reply = await relay.raw(f"GET /bundles/ABC234 HTTP/1.1\r\n{fields}\r\n\r\n")
        self.assertTrue(reply.startswith(b"HTTP/1.1 200 "), reply[:200])
        got = await self.scrape(relay)
        self.assertEqual(got["downloads_total coding=gzip"], 1)
        self.assertEqual(got["downloads_total coding=dcz"], 0)
        self.assertGreater(got["download_saved_bytes_total coding=gzip"], 0)

    async def test_what_the_relay_takes(self) -> None:
        relay = await self.relay()
        got = await self.scrape(relay)
        self.assertGreater(got["loop_cpu_seconds_total"], 0)
        # The kernel counts those of the process in hundredths.
        process_s = got["process_cpu_seconds_total"] + 0.02
        self.assertLessEqual(got["loop_cpu_seconds_total"], process_s)
        self.assertGreater(got["usable_cores"], 0)
        (build,) = [name for name in got if name.startswith("build_info ")]
        self.assertRegex(build, r" autobahn=\d.* commit=.* python=3\.\d.* twisted=\d.* version=\d")
