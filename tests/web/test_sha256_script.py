"""``static/sha256.js``, in Node: against what Python makes of the same texts."""

import hashlib

from twisted.trial.unittest import SynchronousTestCase

from tests.web.static_scripts import evaluate

VECTORS = {
    "": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
}
"""Those of FIPS 180-2, appendix B."""


class ScriptTest(SynchronousTestCase):
    def test_vectors_of_the_standard(self) -> None:
        for text, expected in VECTORS.items():
            self.assertEqual(evaluate(self, "sha256.js", "sha256Hex", text), expected)

    def test_every_length_about_two_blocks_and_other_letters(self) -> None:
        texts = [("ABC234_-z" * 20)[:length] for length in range(140)]
        texts += ["ä€𝄞" * count for count in range(40)] + ["x" * 100_000]
        expected = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        hashes = "((texts) => Promise.all(texts.map(sha256Hex)))"
        self.assertEqual(evaluate(self, "sha256.js", "sha256Hex", texts, hashes), expected)
