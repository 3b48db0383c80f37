"""`close` as a command: whom it closes, and that it asks somebody at a terminal first."""

from __future__ import annotations

import json
import os
import pty
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks

from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.session.session import session_hash

from .cases import said
from .test_session_list import SessionCommandCase, newer

FULL = session_hash("ABC234")
NAME = FULL[:8]


class CloseTest(SessionCommandCase):
    command = "close"

    def setUp(self) -> None:
        super().setUp()
        self.answer(newer(NAME))
        self.asked.post = (200, {"session": NAME, "closed": 3})
        self.patch(sys, "stdin", open(os.devnull))  # noqa: SIM115
        self.addCleanup(sys.stdin.close)

    @inlineCallbacks
    def test_by_its_hash(self) -> Any:
        screen = yield self.ask(NAME[:5])
        self.assertEqual(
            screen.out.getvalue(),
            f"closed session {NAME}: 1 CLI and 2 phones (Pixel 9, ann)\n",
        )
        self.assertEqual(self.asked.posts, [f"/api/sessions/{NAME}/close"])

    @inlineCallbacks
    def test_by_its_id_which_is_not_sent(self) -> Any:
        yield self.ask("--id", "ABC234")
        self.assertEqual(self.asked.posts, [f"/api/sessions/{FULL}/close"])
        self.assertNotIn(b"ABC234", b" ".join(self.asked.uris))

    @inlineCallbacks
    def test_json(self) -> Any:
        screen = yield self.ask(NAME, "--json")
        [result] = map(json.loads, screen.out.getvalue().splitlines())
        self.assertEqual((result["exit"], result["session"], result["closed"]), (0, NAME, 3))
        self.assertEqual(result["clients"], newer()["clients"])

    @inlineCallbacks
    def test_no_such_session(self) -> Any:
        self.answer()
        screen = yield self.ask("8c64", code=Exit.FAILED)
        self.assertEqual(screen.err.getvalue(), "no session 8c64 is connected\n")
        self.assertEqual(self.asked.posts, [])

    @inlineCallbacks
    def test_several_sessions(self) -> Any:
        self.answer(newer("8c640000"), newer("8c641111"))
        screen = yield self.ask("8c64", code=Exit.FAILED)
        self.assertIn(
            "2 sessions begin with 8c64: say more digits (8c640000, 8c641111)",
            screen.err.getvalue(),
        )
        self.assertEqual(self.asked.posts, [])

    @inlineCallbacks
    def test_what_the_relay_refuses_in_the_end(self) -> Any:
        for status, error in (
            (404, f"No session {NAME} is connected"),
            (409, f"2 sessions begin with {NAME}: say more digits"),
        ):
            self.asked.post = (status, {"error": error})
            screen = yield self.ask(NAME, "--json", code=Exit.FAILED)
            self.assertIn(f"{status}: {error}", json.loads(screen.out.getvalue())["error"])
            self.assertEqual(len(screen.err.getvalue().splitlines()), 1)

    @inlineCallbacks
    def test_who_may_not(self) -> Any:
        self.asked.code = 401
        screen = yield self.ask(NAME, code=Exit.FAILED)
        self.assertIn("asks for a token: --admin-token", screen.err.getvalue())

    @inlineCallbacks
    def test_an_answer_that_says_nothing(self) -> Any:
        self.asked.post = (200, {"session": NAME})
        screen = yield self.ask(NAME, code=Exit.FAILED)
        self.assertIn("does not say how many", screen.err.getvalue())

    def test_no_session_is_named(self) -> None:
        wrong = self.assertRaises(UsageError, self.begin, "close")
        self.assertIn("HASH, or --id ID", str(wrong))


class ConfirmTest(CloseTest):
    """Somebody is at a terminal."""

    def setUp(self) -> None:
        super().setUp()
        sys.stdin.close()
        self.keys, terminal = pty.openpty()
        self.addCleanup(os.close, self.keys)
        self.patch(sys, "stdin", os.fdopen(terminal, "r"))
        self.addCleanup(sys.stdin.close)

    @inlineCallbacks
    def ask(self, *arguments: str, code: Exit = Exit.DONE) -> Any:
        return (yield super().ask(*arguments, "--yes", code=code))

    def asking(self, *arguments: str) -> tuple[Any, Any, Deferred[None]]:
        running, screen = self.begin("close", NAME, *arguments, "--relay", self.url)
        asked = said(screen, f"Close session {NAME}, with 1 CLI and 2 phones (Pixel 9, ann)? [y/N]")
        return running, screen, asked

    @inlineCallbacks
    def test_yes(self) -> Any:
        for answer in (b"y\n", b" Yes \n"):
            running, screen, asked = self.asking()
            yield asked
            os.write(self.keys, answer)
            self.assertEqual((yield running.done), Exit.DONE)
            self.assertIn("closed session", screen.out.getvalue())
        self.assertEqual(len(self.asked.posts), 2)

    @inlineCallbacks
    def test_anything_else(self) -> Any:
        for answer in (b"\n", b"no\n", b"yesterday\n", b"\x04"):
            running, screen, asked = self.asking("--json")
            yield asked
            os.write(self.keys, answer)
            self.assertEqual((yield running.done), Exit.FAILED)
            self.assertEqual(json.loads(screen.out.getvalue())["error"], "nothing was closed")
        self.assertEqual(self.asked.posts, [])

    @inlineCallbacks
    def test_interrupted(self) -> Any:
        running, _, asked = self.asking()
        yield asked
        running.leave(Exit.INTERRUPTED)
        self.assertEqual((yield running.done), Exit.INTERRUPTED)
        self.assertEqual(self.asked.posts, [])
        self.assertNotIn("keyboard", [one.logPrefix() for one in reactor.getReaders()])
