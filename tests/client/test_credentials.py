"""`apptuner_relay.client.credentials`: secrets and tokens, and where they come from."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.tokens import sign_token
from apptuner_relay.client.credentials import authorization, read_key, read_token, shown
from apptuner_relay.client.fetch import COMMAND as FETCH
from apptuner_relay.client.join import COMMAND as JOIN
from apptuner_relay.client.main import make_parser
from apptuner_relay.client.outcome import UsageError
from apptuner_relay.client.push import COMMAND as PUSH
from apptuner_relay.client.screen import Screen
from apptuner_relay.session.session import session_hash

KEY = "0123456789abcdef+SECRET/"
HERE = session_hash("ABC234")
NOW_S = 1_800_000_000.0


def parse(command: Any, *arguments: str) -> argparse.Namespace:
    return make_parser([command]).parse_args([command.name, "--session", "ABC234", *arguments])


class CredentialTests(SynchronousTestCase):
    def file(self, text: str) -> str:
        path = Path(self.mktemp())
        path.write_text(text)
        return f"@{path}"

    def test_from_the_command_line_a_file_or_the_environment(self) -> None:
        self.assertEqual(read_key(KEY), KEY)
        self.assertEqual(read_key(self.file(f"{KEY}\r\n")), KEY)
        with patch.dict(os.environ, APPTUNER_KEY=KEY):
            self.assertEqual(parse(PUSH, "x.js").key, KEY)
        token = sign_token(KEY, HERE, NOW_S)
        self.assertEqual(read_token(self.file(token + "\n")), token)
        with patch.dict(os.environ, APPTUNER_TOKEN=token, APPTUNER_KEY=KEY):
            for command in (JOIN, FETCH):
                self.assertEqual(shown(parse(command)), token)

    def test_wrong_ones_are_not_shown(self) -> None:
        for read, wrong in (
            (read_key, "short"),
            (read_key, self.file("two\nlines of something")),
            (read_token, KEY),
            (read_key, "@/no/such/file"),
        ):
            with self.assertRaises(ValueError) as caught:
                read(wrong)
            self.assertNotIn(wrong, str(caught.exception))
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), self.assertRaises(SystemExit):
            parse(PUSH, "x.js", "--key", "tooshort")
        self.assertIn("16 to 256", errors.getvalue())
        self.assertNotIn("tooshort", errors.getvalue())

    def test_tokens_need_a_key(self) -> None:
        with patch.dict(os.environ):
            os.environ.pop("APPTUNER_KEY", None)
            arguments = parse(PUSH, "x.js", "--tokens")
        self.assertRaises(
            UsageError, PUSH.start, arguments, Clock(), Screen(io.StringIO(), io.StringIO())
        )

    def test_the_header(self) -> None:
        self.assertEqual(authorization(None), {})
        self.assertEqual(authorization(KEY), {"Authorization": f"Bearer {KEY}"})
