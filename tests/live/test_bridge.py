"""A session whose clients are connected to different relays."""

from tests.live.clients import TYPESCRIPT
from tests.live.cluster import ClusterCase
from tests.live.harness import together
from tests.live.test_bundles import BundleCase


class BridgeCase(ClusterCase, BundleCase):
    """Two relays."""


class BundleTest(BridgeCase):
    async def test_from_either_side(self) -> None:
        _, (a, b), node = await self.cluster(2)
        cli = await self.join(node, a, "cli", perMessageDeflate=True)
        phones = [
            await self.join(node, b, "mobile", query="deviceId=d1"),
            await self.join(node, b, "mobile", query="deviceId=d2", perMessageDeflate=True),
            await self.join(node, a, "mobile", query="deviceId=d3"),
        ]
        away = await self.join(node, b, "dashboard")
        for sender in (cli, away):
            for chunked in (False, True):
                sent = await sender.push(TYPESCRIPT, chunked)
                await together(*(self.receive(phone, sent) for phone in phones))
        await phones[0].send({"type": "bundle_ack", "success": True})
        for sender in (cli, away):
            await sender.expect("bundle_ack")
