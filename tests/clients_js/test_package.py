"""The package as its users have it: it can be installed, imported, required, and used with types.
What is made of other files is up to date."""

import json
import re
import shutil
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.clients_js.javascript import FOLDER, KIT, output, program, tool

NAME = "apptuner-relay-client"
APP = FOLDER / "app"
PUBLISHED = {"LICENSE", "README.md", "index.cjs", "index.d.cts", "index.d.ts", "index.js"}


def names_of(text: str) -> set[str]:
    """The functions that a declaration file exports."""
    return set(re.findall(r"(?m)^export function (\w+)", text))


class BuiltFilesTest(SynchronousTestCase):
    def test_they_are_what_the_build_makes(self) -> None:
        tool("esbuild")
        self.assertEqual(output([program("node"), str(KIT / "build"), "--check"]), "")

    def test_the_builds_help(self) -> None:
        self.assertIn(
            "Usage: ops/clients/js/build", output([program("node"), str(KIT / "build"), "-h"])
        )


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
