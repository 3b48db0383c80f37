"""A short soak: `ops/bench/soak` for less than a minute, with clients who do the same each time."""

import sys

from tests.live.harness import LiveCase
from tests.live.processes import REPOSITORY, Child, checkout_env

MINUTES = 0.5
SEED = 20


class SoakTest(LiveCase):
    skip = None
    timeout = 600

    async def test_clients_that_come_go_stall_lie_and_die(self) -> None:
        command = [sys.executable, str(REPOSITORY / "ops/bench/soak")]
        command += ["--minutes", str(MINUTES), "--seed", str(SEED)]
        soak = Child(command, env=checkout_env(PYTHONUNBUFFERED="1"))
        self.addCleanup(soak.kill)
        await soak.over()
        self.assertEqual(soak.exit_code, 0, repr(soak))
        self.assertIn("Every bundle came intact or was said to be cut", soak.out)
