"""Two minutes of `ops/chaos`: a cluster under faults, checked message by message."""

import sys

from tests.live.harness import LiveCase
from tests.live.namespaces import missing_namespaces
from tests.live.processes import REPOSITORY, Child, checkout_env
from tests.live.redis import missing_redis


class ChaosTest(LiveCase):
    skip = LiveCase.skip or missing_redis() or missing_namespaces()
    timeout = 600

    async def survives(self, seed: int) -> None:
        command = [sys.executable, str(REPOSITORY / "ops/chaos/run"), "--seed", str(seed)]
        chaos = Child(command, env=checkout_env(PYTHONUNBUFFERED="1"))
        self.addCleanup(chaos.signal, "TERM")
        await chaos.over()
        self.assertEqual(chaos.exit_code, 0, repr(chaos))
        self.assertIn("Every message came once, whole and in order", chaos.out)

    async def test_a_seed(self) -> None:
        await self.survives(1)

    async def test_another_seed(self) -> None:
        await self.survives(2)
