"""ops/docker without Docker: what the files say, and the image's entry point and health check, run
here as they stand there.
"""

import json
import os
import re
import shlex
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase, TestCase

from apptuner_relay.config.settings import OPTIONS
from tests.live.processes import REPOSITORY, RelayProcess, run

DOCKER = REPOSITORY / "ops/docker"
IN_IMAGE = "/opt/relay/bin/"
PORT = 3000
"""Which the image exposes, and its health check asks."""

_COMMENT = re.compile(r"^\s*#.*\n", re.MULTILINE)
_OPTIONS = re.compile(r"(?:--[a-z-]+=\S+\s+)+")


class Instruction(NamedTuple):
    """A line of a Dockerfile: its word, its options (``--from=build``) and the rest."""

    word: str
    options: str
    rest: str

    @property
    def argv(self) -> list[str]:
        """Of the exec form, which is JSON. The shell form would have a shell get the signals."""
        argv: list[str] = json.loads(self.rest.removeprefix("CMD "))
        return argv


def read_dockerfile() -> list[list[Instruction]]:
    """The instructions of each stage."""
    text = _COMMENT.sub("", (DOCKER / "Dockerfile").read_text()).replace("\\\n", " ")
    stages: list[list[Instruction]] = []
    for line in filter(str.strip, text.splitlines()):
        word, _, rest = line.partition(" ")
        found = _OPTIONS.match(rest.lstrip())
        options = found[0] if found else ""
        if word == "FROM":
            stages.append([])
        stages[-1].append(Instruction(word, options.strip(), rest.lstrip()[len(options) :]))
    return stages


def the(stage: list[Instruction], word: str) -> Instruction:
    """The last of them, which counts."""
    return [each for each in stage if each.word == word][-1]


def environment(stage: list[Instruction]) -> dict[str, str]:
    pairs = (pair for each in stage if each.word == "ENV" for pair in shlex.split(each.rest))
    return dict(pair.split("=", 1) for pair in pairs)


class FilesTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.build, self.final = read_dockerfile()

    def test_images_are_of_a_version(self) -> None:
        for stage in (self.build, self.final):
            image = the(stage, "FROM").rest.split()[0]
            self.assertRegex(image, r"^\S+:\d", image)
        for name in ("compose.yaml", "compose.soketi.yaml"):
            for image in re.findall(r"image: (\S+)", (DOCKER / name).read_text()):
                self.assertTrue(image == "apptuner-relay" or re.search(r":\d", image), image)

    def test_it_is_not_root(self) -> None:
        self.assertRegex(the(self.final, "USER").rest, r"^[1-9]\d+:[1-9]\d+$")
        after = self.final[self.final.index(the(self.final, "USER")) :]
        self.assertEqual([each.word for each in after if each.word == "RUN"], [])

    def test_what_is_copied_is_there_and_not_ignored(self) -> None:
        ignored, *but = (DOCKER / "Dockerfile.dockerignore").read_text().split("\n", 1)[1].split()
        self.assertEqual(ignored, "*")
        kept = [pattern[1:] for pattern in but if pattern.startswith("!")]
        for each in self.build:
            if each.word == "COPY":
                *sources, _ = each.rest.split()
                for source in sources:
                    self.assertTrue((REPOSITORY / source).exists(), source)
                    self.assertTrue(any(fnmatch(source, pattern) for pattern in kept), source)

    def test_every_option_is_one(self) -> None:
        known = {option.variable for option in OPTIONS}
        for name in ("Dockerfile", "compose.yaml", "compose.soketi.yaml", "README.md"):
            for variable in re.findall(r"APPTUNER_[A-Z_]+", (DOCKER / name).read_text()):
                self.assertIn(variable, known, name)

    def test_its_ports_are_one(self) -> None:
        self.assertEqual(the(self.final, "EXPOSE").rest, str(PORT))
        self.assertEqual(environment(self.final)["APPTUNER_LISTEN"], f"tcp:{PORT}")
        self.assertIn(f"127.0.0.1:{PORT}/ready", the(self.final, "HEALTHCHECK").rest)


class ImageTest(TestCase):
    """What Docker would run, of this checkout and on a free port."""

    timeout = 120

    def setUp(self) -> None:
        _, self.final = read_dockerfile()

    async def test_it_starts_is_healthy_and_stops(self) -> None:
        program, *arguments = the(self.final, "ENTRYPOINT").argv
        self.assertEqual(program, f"{IN_IMAGE}twistd")
        self.assertEqual(arguments, ["--nodaemon", "--pidfile=", "apptuner-relay"])
        self.assertEqual(the(self.final, "STOPSIGNAL").rest, "SIGTERM")
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        env = {
            name: value.replace("/var/", f"{folder}/var/")
            for name, value in environment(self.final).items()
            if name.startswith("APPTUNER_")
        }
        env["APPTUNER_LISTEN"] = "tcp:0:interface=127.0.0.1"
        relay = RelayProcess([], env)
        self.addCleanup(relay.stop)
        await relay.listening()
        self.assertEqual(await self.check(relay.port), 0)
        self.assertTrue((folder / "var/lib/apptuner-relay/lock").exists())
        self.assertEqual(len(list((folder / "var/cache/apptuner-relay").iterdir())), 1)
        await relay.stop()
        self.assertNotEqual(await self.check(relay.port), 0)

    async def check(self, port: int) -> int | None:
        """The health check's exit status."""
        program, *arguments = the(self.final, "HEALTHCHECK").argv
        self.assertEqual(program, f"{IN_IMAGE}python")
        arguments = [each.replace(f":{PORT}/", f":{port}/") for each in arguments]
        child = await run([sys.executable, *arguments], env=dict(os.environ))
        return child.exit_code
