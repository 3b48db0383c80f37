"""The modules of the web pages that need no browser, in Node: page_modules.mjs has the tests."""

import os
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.web.page import read_static

TESTS = Path(__file__).with_name("page_modules.mjs")
NODE = shutil.which("node")
PATIENCE_S = 120


class PageModules(SynchronousTestCase):
    skip = None if NODE else "needs Node: ops/test installs it"

    def test_the_modules(self) -> None:
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        # Node takes a .js for a module where a package says so; browsers where the page does.
        (folder / "package.json").write_text('{"type": "module"}')
        for name, body in read_static().items():
            (folder / name).write_bytes(body)
        done = subprocess.run(
            [str(NODE), str(TESTS), str(folder)],
            env=os.environ | {"TZ": "UTC"},
            capture_output=True,
            timeout=PATIENCE_S,
            encoding="utf-8",
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("# fail 0", done.stdout)
