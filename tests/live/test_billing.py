"""The bill of a relay that has carried something: while it runs, and after."""

import json
import sys
from pathlib import Path

from tests.live.harness import LiveCase
from tests.live.processes import Child, RelayProcess, checkout_env, run, within_patience

BUNDLE_BYTES = 1_500_000
TOKEN = "swordfish-17"


class BillingTest(LiveCase):
    skip = None

    async def setUpRelay(self) -> RelayProcess:
        self.state = Path(self.mktemp()).absolute()
        return await self.relay("--state-dir", str(self.state), "--admin-token", TOKEN)

    def program(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "apptuner_relay.client.main", *arguments]

    async def said(self, *arguments: str) -> dict[str, object]:
        child = await run(
            self.program(*arguments, "--format", "json"),
            env=checkout_env(APPTUNER_ADMIN_TOKEN=TOKEN),
        )
        self.assertEqual(child.exit_code, 0, repr(child))
        value: dict[str, object] = json.loads(child.out)
        return value

    async def carry_a_bundle(self, relay: RelayProcess) -> None:
        bundle = Path(self.mktemp()).absolute()
        bundle.write_text("x" * BUNDLE_BYTES)
        where = ["--relay", f"ws://127.0.0.1:{relay.port}", "--session", "ABC234"]
        phone = Child(self.program("join", *where, "--once"), env=checkout_env())
        self.addCleanup(phone.kill)
        await relay.logged("mobile connected")
        pushed = await run(self.program("push", *where, str(bundle)), env=checkout_env())
        self.assertEqual(pushed.exit_code, 0, repr(pushed))
        await within_patience(phone.over(), lambda: repr(phone))
        for role in ("cli", "mobile"):
            await relay.logged(f"{role} disconnected")

    async def test_a_bundle_is_on_it(self) -> None:
        relay = await self.setUpRelay()
        await self.carry_a_bundle(relay)
        url = f"http://127.0.0.1:{relay.port}"
        running = await self.said("report", "month", "--from", url)
        total = running["total"]
        assert isinstance(total, dict)
        self.assertEqual(
            {name: total[name] for name in ("bundles", "peak_sessions", "peak_connections")},
            {"bundles": 1, "peak_sessions": 1, "peak_connections": 2},
        )
        self.assertEqual(total["connections"], 2)
        for name in ("bundle_bytes", "bytes_out"):
            self.assertGreater(total[name], BUNDLE_BYTES)
            self.assertLess(total[name], BUNDLE_BYTES * 1.01)

        figures = (await self.said("plan", "--from", url))["figures"]
        assert isinstance(figures, dict)
        self.assertEqual(figures["bundle_bytes"]["from"], "measured")
        self.assertEqual(figures["bundle_bytes"]["value"], total["bundle_bytes"])
        self.assertEqual(figures["peak_share"]["from"], "assumed")

        await relay.stop()
        after = await self.said("report", "month", "--state-dir", str(self.state))
        self.assertEqual(after["total"], total)

    async def test_without_the_token(self) -> None:
        relay = await self.setUpRelay()
        url = f"http://127.0.0.1:{relay.port}"
        child = await run(self.program("report", "--from", url), env=checkout_env())
        self.assertEqual(child.exit_code, 1)
        self.assertIn("asks for a token", child.err)
