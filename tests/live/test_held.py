"""Clients that the relay doesn't read from, behind a balancer that cuts what is silent."""

from tests.live.balancers import HOST, Nginx, program
from tests.live.clients import TYPESCRIPT, missing
from tests.live.harness import LiveCase

CUT_S = 4
"""The balancer's patience here."""
SLOW_S = 12
"""The relay's with a phone."""
LONG_CHARS = 30_000_000
"""More than the kernels, the balancer and the relay take before the phone has to."""


class HeldTest(LiveCase):
    skip = missing() or (None if program("nginx") else "needs nginx: ops/test")

    async def test_a_cli_whose_phone_stops_reading(self) -> None:
        options = ("--spool-dir", "off", "--slow-time", f"{SLOW_S}", "--trusted-proxy", HOST)
        relay = await self.relay(*options, "--ping-interval", "1", "--tune", "ping-timeout=60")
        balancer = Nginx([relay])
        balancer.changes = [(f"{name} 3m", f"{name} {CUT_S}s") for name in balancer.quiet]
        self.addCleanup(balancer.stop)
        await balancer.start()
        node = await self.node(balancer)
        cli = await node.join("cli", "ABC234", ca=balancer.ca)
        phone = await node.join("mobile", "ABC234", url=relay.url("mobile", "ABC234"))
        await cli.take(2)
        await phone.pause()
        await cli.start_filler(LONG_CHARS)
        await cli.expect("mobile_disconnected")
        phone = await node.join("mobile", "ABC234", url=relay.url("mobile", "ABC234"))
        await cli.expect("mobile_connected")
        sent = await cli.push(TYPESCRIPT)
        self.assertEqual((await phone.bundle()).code, sent.code)
