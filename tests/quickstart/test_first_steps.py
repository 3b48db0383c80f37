"""`ops/first_steps`: where a relay with some options is reached."""

import os
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.test_links import REPOSITORY

LAN = "192.168.1.20"


def first_steps() -> ModuleType:
    loader = SourceFileLoader("first_steps", str(REPOSITORY / "ops" / "first_steps"))
    module = ModuleType(loader.name)
    loader.exec_module(module)
    return module


MODULE = first_steps()


class PlaceTest(SynchronousTestCase):
    def test_endpoints(self) -> None:
        for endpoint, expected in (
            ("tcp:3000", (False, 3000, "127.0.0.1", False)),
            ("tcp:port=3000:backlog=5", (False, 3000, "127.0.0.1", False)),
            ("tls:tcp:443", (True, 443, "127.0.0.1", False)),
            ("tcp:8080:interface=127.0.0.1", (False, 8080, "127.0.0.1", True)),
            ("tcp6:3000:interface=\\:\\:1", (False, 3000, "::1", True)),
            ("tcp6:3000:interface=\\:\\:", (False, 3000, "127.0.0.1", False)),
            ("tcp:3000:interface=10.0.0.7", (False, 3000, "10.0.0.7", False)),
            ("unix:/run/relay.sock", None),
            ("systemd:name=relay", None),
            ("proxy:tcp:3000", None),
            ("tcp:0", None),
        ):
            self.assertEqual(MODULE.place_of(endpoint), expected, endpoint)


class ToldTest(SynchronousTestCase):
    def told(self, *arguments: str, address: str | None = LAN) -> str:
        return "\n".join(MODULE.told(arguments, lambda: address))

    def test_as_it_stands(self) -> None:
        text = self.told()
        self.assertIn("on this machine:  ws://127.0.0.1:3000\n", text)
        self.assertIn(f"for phones:       ws://{LAN}:3000 ", text)
        self.assertIn("apptuner-relay join --session ABC234 --output", text)
        self.assertIn("curl http://127.0.0.1:3000/health\n", text)
        self.assertIn(f"or http://{LAN}:3000/s#ABC234: ", text)
        self.assertNotIn("warning", text)

    def test_another_port(self) -> None:
        text = self.told("--listen", "tcp:8080")
        self.assertIn(f"ws://{LAN}:8080", text)
        self.assertIn("push --relay ws://127.0.0.1:8080 --session", text)

    def test_a_machine_without_a_network(self) -> None:
        text = self.told(address=None)
        self.assertIn("warning: this machine has no address in a network", text)
        self.assertNotIn("for phones", text)

    def test_one_that_listens_on_loopback_only(self) -> None:
        text = self.told("--listen", "tcp:3000:interface=127.0.0.1")
        self.assertIn("warning: it listens on 127.0.0.1 only", text)
        both = self.told("--listen", "tcp:3000:interface=127.0.0.1", "--listen", "tcp:3001")
        self.assertIn(f"ws://{LAN}:3001", both)

    def test_options_that_are_wrong_are_the_relays_to_complain_of(self) -> None:
        self.assertEqual(self.told("--nonsense"), "")
        self.assertEqual(self.told("--version"), "")
        self.assertEqual(self.told("--listen", "unix:/run/relay.sock"), "")


class QuickstartTest(SynchronousTestCase):
    """The script itself, in a checkout with programs that only say what they were called with."""

    def checkout(self) -> Path:
        here = Path(self.mktemp()).resolve()
        for folder in ("ops", ".venv/bin", "apptuner_relay", "docs/man", "twisted/plugins"):
            (here / folder).mkdir(parents=True)
        for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
            (here / name).touch()
        for name in ("quickstart", "first_steps"):
            shutil.copy(REPOSITORY / "ops" / name, here / "ops" / name)
        python = f'PYTHONPATH="{REPOSITORY}" exec "{sys.executable}" "$@"'
        for name, script in (
            ("python", python),
            ("pip", 'echo "pip $*" >> calls'),
            ("twistd", 'echo "twistd $*" >> calls'),
        ):
            program = here / ".venv" / "bin" / name
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o755)
        return here

    def quickstart(self, here: Path, *arguments: str) -> tuple[str, list[str]]:
        """What it says, and what it has called."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("APPTUNER_")}
        done = subprocess.run(
            [str(here / "ops" / "quickstart"), *arguments],
            capture_output=True, text=True, check=True, env=environment,
        )  # fmt: skip
        calls = here / "calls"
        called = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return done.stderr, called

    def test_it_says_where_the_relay_is_reached_and_runs_it(self) -> None:
        here = self.checkout()
        said, called = self.quickstart(here, "--listen", "tcp:8080")
        self.assertIn("on this machine:  ws://127.0.0.1:8080\n", said)
        self.assertEqual([call.split()[0] for call in called], ["pip", "twistd"])
        self.assertEqual(called[1], "twistd -n --pidfile= apptuner-relay --listen tcp:8080")
        said, called = self.quickstart(here, "--listen", "tcp:3000:interface=127.0.0.1")
        self.assertIn("warning: it listens on 127.0.0.1 only", said)
        self.assertEqual([call.split()[0] for call in called], ["twistd"])

    def test_a_manual_page_that_changes_is_installed_anew(self) -> None:
        here = self.checkout()
        self.quickstart(here, "--install-only")
        (here / "docs" / "man" / "x.1").touch()
        _, called = self.quickstart(here, "--install-only")
        self.assertEqual([call.split()[0] for call in called], ["pip"])

    def test_nothing_is_missing_in_its_help(self) -> None:
        text = (REPOSITORY / "ops" / "quickstart").read_text()
        for option in ("--install-only", "--with", "--help"):
            self.assertIn(f"  {option} ", text)
        self.assertTrue(Path(REPOSITORY / "ops" / "first_steps").stat().st_mode & 0o100)
