"""The cases of cases/, which are of JavaScript, in each runtime."""

import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.clients_js.javascript import FOLDER, on_hermes, output, program


class CasesTest(SynchronousTestCase):
    def check(self, results: list[Any]) -> None:
        self.assertGreater(len(results), 50)
        self.assertEqual([f"{name}: {error}" for name, error in results if error], [])

    def run_in(self, runtime: str) -> None:
        self.check(json.loads(output([program(runtime), str(FOLDER / "run_cases.mjs")])))

    def test_in_node(self) -> None:
        self.run_in("node")

    def test_in_a_newer_node(self) -> None:
        self.run_in("newer_node")

    def test_in_bun(self) -> None:
        self.run_in("bun")

    def test_on_hermes(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        (results,) = on_hermes(folder)
        self.check(results)
