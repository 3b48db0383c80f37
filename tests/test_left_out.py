"""`apptuner_relay.left_out`: what a relay's process holds, of which memory consists most."""

import json
import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[1]
WORKER = """
import json, sys
import apptuner_relay.spool.code.worker
print(json.dumps(list(sys.modules)))
"""
PROGRAM = """
import json, sys
from twisted.plugins.apptuner_relay_plugin import relay
options = relay.options({})
options.parseOptions(sys.argv[1:])
relay.makeService(options)
# What stands for an absent module has no spec.
print(json.dumps([name for name, one in sys.modules.items() if getattr(one, "__spec__", None)]))
"""
"""Makes a relay as twistd does, and prints what was imported."""
TLS = {"OpenSSL", "cryptography", "service_identity", "twisted.internet.ssl"}
OF_CLIENTS = {"hyperlink", "idna"}
OF_FEW_RELAYS = """
apptuner_relay.cluster apptuner_relay.managed apptuner_relay.web.upstream autobahn automat
backports.zstd cbor2 cffi click decimal difflib hyperlink idna orjson prometheus_client pycparser
segno statistics treq twisted.protocols.tls twisted.spread.pb twisted.web.client txredisapi unittest
zstandard
"""


class ImportsTest(SynchronousTestCase):
    def imported(self, *words: str, program: str = PROGRAM) -> set[str]:
        """The modules of a relay with these options, or of another program."""
        home = Path(self.mktemp())
        home.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", program, *words],
            env={**os.environ, "HOME": str(home.resolve()), "PYTHONPATH": str(ROOT)},
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return set(json.loads(done.stdout))

    def test_a_plain_relay_holds_nothing_that_few_need(self) -> None:
        modules = self.imported()
        self.assertEqual(modules & (TLS | set(OF_FEW_RELAYS.split())), set())
        self.assertIn("apptuner_relay.tap", modules)

    def test_one_that_connects_to_others_has_what_that_needs(self) -> None:
        modules = self.imported("--alert-url", "https://alerts.example/")
        self.assertEqual((TLS | OF_CLIENTS) - modules, set())

    def test_the_worker_that_reads_bundles_is_smaller_still(self) -> None:
        modules = self.imported(program=WORKER)
        packages = {name.partition(".")[0] for name in modules}
        heavy = {"autobahn", "backports", "brotli", "cryptography", "twisted", "zstandard"}
        self.assertEqual(packages & heavy, set())
        # Old versions have Python itself make a module of `zope`.
        self.assertNotIn("zope.interface", modules)
        self.assertIn("orjson", packages)
