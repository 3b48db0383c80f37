"""`claims` as a command: what it asks for, and what it makes of the answers of relays."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client import claims_command as claims
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.session.session import session_hash

from .test_session_list import SessionCommandCase

FULL = session_hash("ABC234")
NAME = FULL[:8]
COUNTS = dict.fromkeys(("added", "known", "conflicting", "replaced", "expired", "full"), 0)


def row(**changes: Any) -> dict[str, Any]:
    return {
        "session": NAME,
        "hash": FULL,
        "proof": "p" * 43,
        "tokens": True,
        "used_ms": 1_795_000_000_000,
        "expires_ms": 1_795_600_000_000,
        "in_use": False,
        **changes,
    }


class ClaimsCommandCase(SessionCommandCase):
    command = "claims"

    def setUp(self) -> None:
        super().setUp()
        self.patch(claims.time, "time", lambda: 1_795_000_060.0)

    def claims(self, *rows: object, **more: object) -> None:
        answer = {"claims": rows, "next": None, "kept_in": "memory", "not_kept": None}
        self.asked.body = json.dumps({**answer, "bad_lines": 0, **more}).encode()


class ListTest(ClaimsCommandCase):
    @inlineCallbacks
    def test_a_table(self) -> Any:
        self.claims(row(), row(session="ffff0000", hash="f" * 64, in_use=True, tokens=False))
        screen = yield self.ask()
        out = screen.out.getvalue()
        self.assertRegex(out, f"{NAME} +1 min 0 s ago +with a token")
        self.assertRegex(out, "ffff0000 +1 min 0 s ago +all +in use")

    @inlineCallbacks
    def test_json_has_neither_hashes_nor_proofs(self) -> Any:
        self.claims(row())
        screen = yield self.ask("list", NAME, "--json")
        result = json.loads(screen.out.getvalue())
        self.assertEqual((result["action"], result["kept_in"]), ("list", "memory"))
        self.assertNotIn("p" * 43, screen.out.getvalue())
        self.assertNotIn(FULL, screen.out.getvalue())
        self.assertIn(f"session={NAME}".encode(), self.asked.uris[0])

    @inlineCallbacks
    def test_none(self) -> Any:
        self.claims()
        screen = yield self.ask()
        self.assertEqual(screen.out.getvalue(), "no session is claimed\n")
        screen = yield self.ask("list", "8c64", code=Exit.FAILED)
        self.assertEqual(screen.err.getvalue(), "no session 8c64 is claimed\n")

    @inlineCallbacks
    def test_what_an_operator_should_know(self) -> Any:
        self.claims(not_kept="/state: Permission denied", bad_lines=2)
        screen = yield self.ask()
        self.assertIn("lost at a restart: /state: Permission denied", screen.err.getvalue())
        self.assertIn("2 lines of the file", screen.err.getvalue())

    @inlineCallbacks
    def test_what_no_relay_says(self) -> Any:
        for body in ({"claims": [{}]}, {"claims": 1}, [], {"claims": [], "next": "a&b=c"}):
            self.asked.body = json.dumps(body).encode()
            screen = yield self.ask(code=Exit.FAILED)
            self.assertIn("not as a relay of this version", screen.err.getvalue())


class ReleaseTest(ClaimsCommandCase):
    @inlineCallbacks
    def test_by_its_id_which_is_not_sent(self) -> Any:
        self.asked.post = (200, {"session": NAME, "released": True, "in_use": False})
        screen = yield self.ask("release", "--id", "ABC234")
        self.assertEqual(screen.out.getvalue(), f"released the claim of session {NAME}\n")
        self.assertEqual(self.asked.posts, [f"/api/claims/{FULL}/release"])
        self.assertNotIn(b"ABC234", b" ".join(self.asked.uris))

    @inlineCallbacks
    def test_by_force(self) -> Any:
        self.asked.post = (200, {"session": NAME, "released": True, "in_use": True})
        screen = yield self.ask("release", NAME, "--force", "--json")
        self.assertTrue(json.loads(screen.out.getvalue())["in_use"])
        self.assertIn(b"force=1", self.asked.uris[0])
        self.assertIn("claim it again", screen.err.getvalue())

    @inlineCallbacks
    def test_what_is_refused(self) -> Any:
        for status, error in ((409, "Session x is in use"), (404, "No session 8c64 is claimed")):
            self.asked.post = (status, {"error": error})
            screen = yield self.ask("release", NAME, code=Exit.FAILED)
            self.assertIn(f"{status}: {error}", screen.err.getvalue())


class MoveTest(ClaimsCommandCase):
    @inlineCallbacks
    def test_export_and_import(self) -> Any:
        self.claims(row())
        file = Path(self.mktemp())
        screen = yield self.ask("export", str(file), "--json")
        self.assertEqual(json.loads(screen.out.getvalue())["exported"], 1)
        screen = yield self.ask("export")
        self.assertEqual(screen.out.getvalue(), file.read_text())
        self.assertEqual(
            json.loads(file.read_text()),
            {"session": FULL, "proof": "p" * 43, "tokens": True, "used_ms": row()["used_ms"]},
        )
        self.asked.post = (200, {**COUNTS, "added": 1, "conflicts": []})
        screen = yield self.ask("import", str(file))
        self.assertEqual(screen.out.getvalue(), "1 added\n")
        self.assertEqual(self.asked.posts, ["/api/claims/import"])

    @inlineCallbacks
    def test_conflicts(self) -> Any:
        stdin = io.TextIOWrapper(io.BytesIO(b"{}\n"))
        self.patch(sys, "stdin", stdin)
        self.asked.post = (200, {**COUNTS, "conflicting": 1, "conflicts": [NAME]})
        screen = yield self.ask("import", code=Exit.FAILED)
        self.assertIn(f"({NAME}) have another claim", screen.err.getvalue())

    @inlineCallbacks
    def test_a_file_that_can_not_be_written(self) -> Any:
        self.claims(row())
        screen = yield self.ask("export", "/nowhere/at/all", code=Exit.FAILED)
        self.assertIn("could not write the file", screen.err.getvalue())


class UsageTest(ClaimsCommandCase):
    def test_what_makes_no_sense(self) -> None:
        for arguments in (
            ("release",),
            ("release", "ABC234"),
            ("release", NAME, "--id", "ABC234"),
            ("list", "--force"),
            ("export", "--replace"),
            ("export", "--json"),
            ("import", "--id", "ABC234"),
            ("import", "/no/such/file"),
        ):
            with self.assertRaises(UsageError):
                self.begin("claims", *arguments, "--relay", self.url)


class PartsTest(SynchronousTestCase):
    def test_no_part_is_too_large_and_no_line_is_cut(self) -> None:
        self.patch(claims, "MAX_BODY_BYTES", 10)
        lines = b"".join(b"%04d\n" % n for n in range(9)) + b"last"
        parts = list(claims.parts_of(lines))
        self.assertEqual(b"".join(parts), lines)
        self.assertLessEqual(max(map(len, parts)), 10)
        self.assertTrue(all(part.endswith(b"\n") for part in parts[:-1]))
        self.assertEqual(list(claims.parts_of(b"")), [])
