"""`apptuner_relay.client.content`: which code a user has."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.content import had, had_code, sha256_hex
from apptuner_relay.client.outcome import UsageError
from apptuner_relay.client.representation import (
    is_sha256,
)

from .bundle_server import sha256

A, B = "a" * 64, "b" * 64


class HaveTests(SynchronousTestCase):
    def test_a_sha256(self) -> None:
        self.assertEqual(had(A.upper(), None), A)
        self.assertIsNone(had(None, None))
        self.assertRaises(ValueError, sha256_hex, A[1:])
        self.assertRaises(ValueError, sha256_hex, A + "\n")
        self.assertFalse(is_sha256(A.upper()) or is_sha256(5))

    def test_a_file(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"code")
        self.assertEqual(had(str(path), None), sha256(b"code"))

    def test_a_file_that_is_missing(self) -> None:
        path = Path(self.mktemp())
        error = self.assertRaises(UsageError, had, str(path), None)
        self.assertIn("neither a SHA-256 (64 hex digits) nor a file", str(error))
        self.assertRaises(UsageError, had, str(path), Path(self.mktemp()))
        self.assertIsNone(had(str(path), path.resolve()))

    def test_a_file_that_can_not_be_read(self) -> None:
        error = self.assertRaises(UsageError, had, "/", None)
        self.assertIn("Is a directory", str(error))


class HadCodeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def refused(self, have: str, output: Path | None = None) -> str:
        return str(self.assertRaises(UsageError, had_code, have, output))

    def test_nothing(self) -> None:
        self.assertIsNone(had_code(None, self.path))
        self.assertIsNone(had_code(str(self.path), self.path))
        self.assertIn("nor a file", self.refused(str(self.path)))

    def test_a_file(self) -> None:
        self.path.write_bytes(b"code")
        self.assertEqual(had_code(str(self.path), None), b"code")
        self.path.write_bytes(b"")
        self.assertEqual(had_code(str(self.path), None), b"")

    def test_a_sha256_is_of_the_file_to_be_written(self) -> None:
        self.path.write_bytes(b"code")
        self.assertEqual(had_code(sha256(b"code").upper(), self.path), b"code")
        for output in (None, Path(self.mktemp()), self.path):
            self.assertIn("a FILE that has the code", self.refused(A, output))
        self.assertIn("a FILE that has the code", self.refused(sha256(b""), None))

    def test_what_is_no_text(self) -> None:
        self.path.write_bytes(b"code\xff")
        self.assertIn("is not UTF-8 (at byte 4)", self.refused(str(self.path)))
        self.assertIn("Is a directory", self.refused("/"))
