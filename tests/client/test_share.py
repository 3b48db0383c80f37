"""`apptuner_relay.client.share`: URLs with join tokens, and their QR codes."""

from __future__ import annotations

import argparse
import io
import os
import re
from typing import Any
from unittest.mock import patch

import segno
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.tokens import check_token, expiry_of, make_proof, sign_token
from apptuner_relay.client import share
from apptuner_relay.client.join_url import qr_code
from apptuner_relay.client.main import make_parser
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.share import COMMAND as SHARE
from apptuner_relay.client.share import lasting
from apptuner_relay.session.session import session_hash

KEY = "0123456789abcdef+SECRET/"
HERE = session_hash("ABC234")
NOW_S = 1_800_000_000.0


def parse(command: Any, *arguments: str) -> argparse.Namespace:
    return make_parser([command]).parse_args([command.name, "--session", "ABC234", *arguments])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ShareTests(SynchronousTestCase):
    def share(self, out: io.StringIO, *arguments: str) -> str:
        self.patch(share, "wall_s", lambda: NOW_S)
        screen = Screen(out, io.StringIO())
        running = SHARE.start(parse(SHARE, *arguments), Clock(), screen)
        self.assertEqual(self.successResultOf(running.done), Exit.DONE)
        return out.getvalue()

    def test_a_program_gets_the_url_alone(self) -> None:
        relay = ("--relay", "https://relay.example.com/tuner")
        out = self.share(io.StringIO(), *relay, "--key", KEY, "--lasts", "30m")
        start = "wss://relay.example.com:443/tuner/mobile/ABC234?token="
        self.assertTrue(out.startswith(start), out)
        token = out.removeprefix(start).removesuffix("\n")
        self.assertEqual(expiry_of(token), NOW_S + 1800)
        check_token(make_proof(KEY, HERE), token, HERE, NOW_S)

    def test_a_terminal_gets_a_qr_code_as_well(self) -> None:
        out = self.share(Terminal(), "--key", KEY)
        url, *code = out.splitlines()
        self.assertIn("/mobile/ABC234?token=", url)
        self.assertEqual("\n".join(code).strip("\n"), qr_code(url).strip("\n"))
        self.assertTrue(20 < len(code) < 40)
        self.assertEqual(self.share(Terminal(), "--key", KEY, "--no-qr").count("\n"), 1)

    def test_what_is_drawn_is_the_code(self) -> None:
        url = "wss://relay.example.com/mobile/ABC234?token=" + sign_token(KEY, HERE, NOW_S)
        light = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}
        rows: list[list[int]] = []
        for line in qr_code(url).splitlines():
            cells = [light[char] for char in re.sub(r"\x1b\[[0-9;]*m", "", line)]
            rows += [[upper for upper, _ in cells], [lower for _, lower in cells]]
        code = segno.make(url, error="l", micro=False)
        modules = [[1 - dark for dark in row] for row in code.matrix_iter(border=2)]
        self.assertEqual(rows[: len(modules)], modules)

    def test_without_a_key(self) -> None:
        with patch.dict(os.environ):
            os.environ.pop("APPTUNER_KEY", None)
            arguments = parse(SHARE)
        self.assertRaises(
            UsageError, SHARE.start, arguments, Clock(), Screen(io.StringIO(), io.StringIO())
        )

    def test_times(self) -> None:
        self.assertEqual([lasting(one) for one in ("5m", "8h", "7d")], [300, 28800, 604800])
        for wrong in ("", "8", "0h", "h", "367d", "-1h", "1.5h", "8 h"):
            self.assertRaises(ValueError, lasting, wrong)
