"""`apptuner-relay completion`, in real shells."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from apptuner_relay.client.completion import SHELLS
from apptuner_relay.client.main import COMMANDS, main
from apptuner_relay.client.outcome import Exit

BASH = shutil.which("bash")


def script(case: SynchronousTestCase, shell: str) -> str:
    """What the command prints."""
    out = io.StringIO()
    case.patch(sys, "stdout", out)
    case.assertEqual(main(["completion", shell]), Exit.DONE)
    case.patch(sys, "stdout", sys.__stdout__)
    return out.getvalue()


class ScriptTests(SynchronousTestCase):
    def test_each_has_all_commands(self) -> None:
        for shell in SHELLS:
            text = script(self, shell)
            for name in COMMANDS:
                self.assertIn(name, text, shell)

    def test_shells_can_read_them(self) -> None:
        for shell in SHELLS:
            if shutil.which(shell) is None:
                continue
            path = Path(self.mktemp())
            path.write_text(script(self, shell))
            done = subprocess.run(
                [shell, "-n", str(path)], capture_output=True, text=True, check=False
            )
            self.assertEqual((done.returncode, done.stderr), (0, ""), shell)

    def test_another_shell(self) -> None:
        self.patch(sys, "stderr", io.StringIO())
        ended = self.assertRaises(SystemExit, main, ["completion", "csh"])
        self.assertEqual(ended.code, Exit.USAGE)


class Terminal(ProcessProtocol):
    """A shell on a terminal, and what it has shown."""

    def __init__(self) -> None:
        self.shown = ""
        self.done: Deferred[None] = Deferred()
        self._awaited: tuple[str, Deferred[None]] | None = None

    def shows(self, text: str) -> Deferred[None]:
        """Fires when this was shown, from the last that was awaited on."""
        shown: Deferred[None] = Deferred()
        self._awaited = (text, shown)
        self._look()
        return shown

    def outReceived(self, data: bytes) -> None:
        self.shown += data.decode(errors="replace").replace("\x07", "")
        self._look()

    def _look(self) -> None:
        if self._awaited is not None and self._awaited[0] in self.shown:
            (text, shown), self._awaited = self._awaited, None
            self.shown = self.shown.partition(text)[2]
            shown.callback(None)

    def processEnded(self, reason: Failure) -> None:
        self.done.callback(None)


class BashTest(TestCase):
    """Somebody types, and presses Tab."""

    timeout = 30
    if BASH is None:
        skip = "there is no bash"

    @inlineCallbacks
    def setUp(self) -> Any:
        here = Path(self.mktemp()).resolve()
        here.mkdir()
        (here / "completion").write_text(script(self, "bash"))
        (here / "bundle.js").touch()
        (here / "inputrc").write_text("set enable-bracketed-paste off\nset bell-style none\n")
        self.terminal = Terminal()
        environment = {"TERM": "dumb", "PS1": "> ", "INPUTRC": str(here / "inputrc"),
                       "PATH": "/usr/bin:/bin", "HISTFILE": "", "COLUMNS": "500"}  # fmt: skip
        self.process = reactor.spawnProcess(
            self.terminal, BASH, [BASH, "--norc", "--noprofile", "-i"], environment, str(here),
            usePTY=True,
        )  # fmt: skip
        self.addCleanup(self.stop)
        self.type("stty cols 500; PS1='> '; source ./completion; echo re''ady\n")
        yield self.terminal.shows("ready")

    def stop(self) -> Deferred[None]:
        self.process.signalProcess("KILL")
        return self.terminal.done

    def type(self, text: str) -> None:
        self.process.write(text.encode())

    @inlineCallbacks
    def completes(self, typed: str, completed: str) -> Any:
        self.type(f"{typed}\t")
        yield self.terminal.shows(completed)
        self.type("\x15")  # Ctrl-U: the line is taken back.

    @inlineCallbacks
    def test_what_it_completes(self) -> Any:
        yield self.completes("apptuner-relay pu", "apptuner-relay push ")
        yield self.completes("apptuner-relay push --sess", "push --session ")
        yield self.completes("apptuner-relay push bun", "push bundle.js ")
        yield self.completes("apptuner-relay push --source-map bun", "--source-map bundle.js ")
        yield self.completes("apptuner-relay report --format c", "--format csv ")
        yield self.completes("apptuner-relay completion f", "completion fish ")
        yield self.completes("apptuner-relay serve --max-mob", "serve --max-mobiles ")
