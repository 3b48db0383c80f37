"""What the tests of ``apptuner-relay doctor`` stand on: it runs as a process, and says JSON."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tests.client.schema import check_line
from tests.live.harness import LiveCase
from tests.live.processes import Child, checkout_env, run

PROGRAM = [sys.executable, "-m", "apptuner_relay.client.main", "doctor"]


class Diagnosis:
    """What it has found."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.exit_code = child.exit_code
        lines = child.out.splitlines()
        assert len(lines) == 1, repr(child)
        self.document: dict[str, Any] = check_line(lines[0])
        self.checks: dict[str, dict[str, Any]] = {
            one["name"]: one for one in self.document["checks"]
        }

    def states(self, state: str) -> list[str]:
        """The checks that ended so."""
        return [name for name, one in self.checks.items() if one["state"] == state]

    def text(self, name: str) -> str:
        return str(self.checks[name]["text"])

    def hint(self, name: str) -> str:
        return str(self.checks[name]["hint"])

    def figures(self, name: str) -> dict[str, Any]:
        figures: dict[str, Any] = self.checks[name]["figures"]
        return figures


class DoctorCase(LiveCase):
    async def diagnose(
        self,
        url: str,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        program: Sequence[str] = tuple(PROGRAM),
        option: Sequence[str] = ("--relay",),
    ) -> Diagnosis:
        """Run it to its end. Without the option, `url` names a session."""
        argv = [*program, "--json", *option, url, *arguments]
        return Diagnosis(await run(argv, env=checkout_env(**(env or {}))))

    async def transcript(
        self, url: str, *arguments: str, env: Mapping[str, str] | None = None
    ) -> Child:
        """What people see of it."""
        argv = [*PROGRAM, "--relay", url, *arguments]
        return await run(argv, env=checkout_env(PYTHONIOENCODING="utf-8", **(env or {})))

    def assertFails(
        self, diagnosis: Diagnosis, name: str, words: str, hint: str, code: int = 1
    ) -> None:
        """Exactly that check has failed, with these words."""
        self.assertEqual(diagnosis.states("failed"), [name], repr(diagnosis.child))
        self.assertIn(words, diagnosis.text(name))
        self.assertIn(hint, diagnosis.hint(name))
        self.assertEqual(diagnosis.exit_code, code)
        self.assertFalse(diagnosis.document["ok"])
        self.assertNotIn("Traceback", diagnosis.child.err)
        self.assertNotIn("please report", diagnosis.child.err)
