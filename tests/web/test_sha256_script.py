"""``static/sha256.js``, in Node: against what Python makes of the same texts."""

import hashlib
import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import apptuner_relay.web
from tests.clients_js.javascript import output, program

SCRIPT = Path(apptuner_relay.web.__file__).parent / "static/sha256.js"
PRINT = """
import {{ readFileSync }} from 'node:fs';
const source = readFileSync({path}, 'utf8');
const {{ sha256Hex }} = await import('data:text/javascript,' + encodeURIComponent(source));
console.log(JSON.stringify(await Promise.all({texts}.map(sha256Hex))));
"""
VECTORS = {
    "": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
}
"""Those of FIPS 180-2, appendix B."""


def hashes(texts: list[str]) -> list[str]:
    script = PRINT.format(path=json.dumps(str(SCRIPT)), texts=json.dumps(texts))
    found: list[str] = json.loads(
        output([program("node"), "--input-type=module", "--eval", script])
    )
    return found


class ScriptTest(SynchronousTestCase):
    def test_vectors_of_the_standard(self) -> None:
        self.assertEqual(hashes(list(VECTORS)), list(VECTORS.values()))

    def test_every_length_about_two_blocks_and_other_letters(self) -> None:
        texts = [("ABC234_-z" * 20)[:length] for length in range(140)]
        texts += ["ä€𝄞" * count for count in range(40)] + ["x" * 100_000]
        expected = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        self.assertEqual(hashes(texts), expected)
