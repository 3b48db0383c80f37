"""The package as its users have it: it can be installed, imported, required, and used with types.
What is made of other files is up to date."""

import json
import re
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from apptuner_relay import __version__
from tests.clients_js.javascript import FOLDER, KIT, output, program, tool

NAME = "apptuner-relay-client"
APP = FOLDER / "app"
OLD = 'log("one");\n' * 1000 + "BUILD = 1;\n"
PUBLISHED = {"LICENSE", "README.md", "index.cjs", "index.d.cts", "index.d.ts", "index.js"}


def names_of(text: str) -> set[str]:
    """The functions that a declaration file exports."""
    return set(re.findall(r"(?m)^export function (\w+)", text))


class BuiltFilesTest(SynchronousTestCase):
    def test_they_are_what_the_build_makes(self) -> None:
        tool("esbuild")
        check = [program("node"), str(KIT / "build"), "--check"]
        for folder in (FOLDER, KIT, Path("/")):
            self.assertEqual(output(check, cwd=folder), "", folder)

    def test_the_builds_help(self) -> None:
        self.assertIn(
            "Usage: ops/clients/js/build", output([program("node"), str(KIT / "build"), "-h"])
        )


class VersionTest(SynchronousTestCase):
    def test_it_is_the_relays(self) -> None:
        """In the package, and in what clients tell a service."""
        self.assertEqual(
            json.loads((KIT / "package.json").read_text("utf-8"))["version"], __version__
        )
        line = (KIT / "src/channel_line.js").read_text("utf-8")
        self.assertIn(f"&version={__version__}`", line)
        client = (KIT / "src/session_client.js").read_text("utf-8")
        self.assertIn(f"'apptuner-relay-js/{__version__}'", client)


class CompareTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.old, self.new = Path(self.mktemp()), Path(self.mktemp())
        self.old.write_text(OLD, "utf-8")

    def compare(self, new: str) -> "subprocess.CompletedProcess[str]":
        self.new.write_text(new, "utf-8")
        command = [program("node"), str(KIT / "compare"), str(self.old), str(self.new)]
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)

    def test_two_builds(self) -> None:
        done = self.compare(OLD.replace("BUILD = 1", "BUILD = 2"))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        whole, patch, time = done.stdout.splitlines()
        self.assertRegex(whole, r"^whole  \d{5} bytes, \d+ gzipped$")
        self.assertRegex(patch, r"^patch  \d{3} bytes, \d+ gzipped, 1 edit$")
        self.assertRegex(time, r"^time   [\d.]+ ms to make it, [\d.]+ ms to apply it$")

    def test_what_is_too_different(self) -> None:
        done = self.compare("something else")
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        self.assertIn("the whole is sent", done.stdout)

    def test_a_file_that_is_not_there(self) -> None:
        command = [program("node"), str(KIT / "compare"), "/nowhere/old.js", str(self.old)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("/nowhere/old.js", done.stderr)


class ReadmeTest(SynchronousTestCase):
    """The examples of README.md are programs."""

    def test_patches(self) -> None:
        (example,) = [text for text in self.examples() if "makePatch" in text]
        shown = re.findall(r"(?m)^// (.*)$", example)
        file = Path(self.mktemp()).with_suffix(".mjs").resolve()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(example.replace(f"'{NAME}'", f"'{KIT / 'index.js'}'"))
        self.assertEqual(output([program("node"), str(file)]).splitlines(), shown)

    def test_all_import_what_there_is(self) -> None:
        typed = names_of((KIT / "index.d.ts").read_text("utf-8"))
        for example in self.examples():
            for names in re.findall(rf"import {{ (.*) }} from '{NAME}'", example):
                self.assertLessEqual(set(names.split(", ")), typed)
            file = Path(self.mktemp()).with_suffix(".mjs").resolve()
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(example)
            output([program("node"), "--check", str(file)])

    def examples(self) -> list[str]:
        """The indented blocks that import something."""
        blocks = re.split(r"(?m)^(?=\S)", (KIT / "README.md").read_text("utf-8"))
        code = (re.findall(r"(?m)^(?:    (.*)|)$", block) for block in blocks)
        texts = ("\n".join(lines).strip() + "\n" for lines in code)
        return [text for text in texts if text.startswith("import ")]


class PackageTest(SynchronousTestCase):
    """An app elsewhere, into which the package is installed from its folder."""

    def setUp(self) -> None:
        self.app = Path(self.mktemp()).resolve()
        self.app.mkdir()
        (self.app / "package.json").write_text('{"name": "app", "private": true}')

    def install(self) -> None:
        """What `npm install FOLDER` does."""
        folder = self.app / "node_modules"
        folder.mkdir()
        (folder / NAME).symlink_to(KIT)

    def test_npm_installs_it(self) -> None:
        npm = shutil.which("npm")
        if npm is None:
            raise SkipTest("needs npm: ops/test installs it")
        quiet = ["--offline", "--silent", "--no-audit", "--no-fund"]
        output([npm, "install", *quiet, "--install-links", str(KIT)], self.app)
        there = self.app / "node_modules" / NAME
        files = {path.name for path in there.iterdir()}
        self.assertEqual(files, PUBLISHED | {"package.json", "src"})
        self.assertEqual(list((self.app / "node_modules").glob("[!.]*")), [there])
        self.check_import("node")

    def test_it_needs_nothing(self) -> None:
        package = json.loads((KIT / "package.json").read_text())
        self.assertNotIn("dependencies", package)
        self.assertNotIn("peerDependencies", package)
        # A program that runs on phones imports nothing that a bundler would have to look for.
        for file in [KIT / "index.js", *(KIT / "src").glob("*.js")]:
            imported = re.findall(r"(?:from|import\(?) '([^']+)'", file.read_text("utf-8"))
            self.assertEqual([name for name in imported if not name.startswith("./")], [], file)

    def test_in_node(self) -> None:
        self.install()
        self.check_import("node")

    def test_in_a_newer_node(self) -> None:
        self.install()
        self.check_import("newer_node")

    def test_in_bun(self) -> None:
        self.install()
        self.check_import("bun")

    def check_import(self, runtime: str) -> None:
        """Both forms have the same names, and those have types."""
        node = program(runtime)
        (self.app / "one.mjs").write_text(
            f"import * as kit from '{NAME}';\nconsole.log(Object.keys(kit).sort().join());\n"
        )
        (self.app / "other.cjs").write_text(
            f"console.log(Object.keys(require('{NAME}')).sort().join());\n"
        )
        typed = ",".join(sorted(names_of((KIT / "index.d.ts").read_text("utf-8"))))
        for file in ("one.mjs", "other.cjs"):
            self.assertEqual(output([node, str(self.app / file)]).strip(), typed, file)

    def test_types(self) -> None:
        """As they are checked for a module, for CommonJS, and by a bundler."""
        tsc = [program("node"), tool("tsc"), "--project", "."]
        self.install()
        sources = sorted(APP.glob("*.ts"))
        for source in sources:
            for suffix in (".mts", ".cts"):
                shutil.copy(source, self.app / (source.stem + suffix))
        for options, files in (
            ({"module": "nodenext"}, ["*.mts", "*.cts"]),
            ({"module": "esnext", "moduleResolution": "bundler"}, ["*.mts"]),
        ):
            settings = {"strict": True, "noEmit": True, "lib": ["es2022"], "types": []} | options
            project = {"compilerOptions": settings | {"preserveSymlinks": True}, "include": files}
            (self.app / "tsconfig.json").write_text(json.dumps(project))
            self.assertEqual(output(tsc, self.app), "")
