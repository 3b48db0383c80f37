"""`apptuner_relay.client.no_phone_hint`: what is told when no phone comes, and when."""

from __future__ import annotations

import argparse
import io
import re
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.tokens import check_token, make_proof
from apptuner_relay.client import no_phone_hint as module
from apptuner_relay.client.address import Relay
from apptuner_relay.client.join_url import join_url, qr_code
from apptuner_relay.client.no_phone_hint import (
    AFTER_SECONDS,
    Missing,
    NoPhoneHint,
    hint_for,
    what_to_check,
)
from apptuner_relay.session.session import session_hash

from .little_relay import Recorder
from .test_screen import TerminalRecorder

KEY = "0123456789abcdef+SECRET/"
HERE = Relay.parse("ws://127.0.0.1:3000")
FAR = Relay.parse("wss://relay.example/x")
NOW = 1_800_000_000.0


class WhenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.told = 0
        self.hint = NoPhoneHint(self.clock, self.tell)

    def tell(self) -> None:
        self.told += 1

    def test_once_after_a_while(self) -> None:
        self.hint.look(False)
        self.clock.advance(AFTER_SECONDS - 0.1)
        self.hint.look(False)
        self.assertEqual(self.told, 0)
        self.clock.advance(0.1)
        self.assertEqual(self.told, 1)
        self.hint.look(False)
        self.clock.advance(100)
        self.assertEqual((self.told, self.clock.getDelayedCalls()), (1, []))

    def test_not_when_a_phone_comes(self) -> None:
        self.hint.look(False)
        self.clock.advance(AFTER_SECONDS - 1)
        self.hint.look(True)
        self.clock.advance(100)
        self.assertEqual(self.told, 0)

    def test_again_when_it_has_gone(self) -> None:
        self.hint.look(True)
        self.hint.look(False)
        self.clock.advance(AFTER_SECONDS)
        self.assertEqual(self.told, 1)

    def test_stopped(self) -> None:
        self.hint.look(False)
        self.hint.stop()
        self.hint.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WhatTests(SynchronousTestCase):
    def check(self, missing: Missing, address: str | None = "192.168.1.20") -> str:
        lines, _ = what_to_check(missing, lambda: address)
        return "\n".join(lines)

    def test_a_relay_on_this_machine(self) -> None:
        text = self.check(Missing(HERE, "ABC234"))
        self.assertIn("no phone is there after 10 s", text)
        self.assertIn("in session ABC234", text)
        self.assertIn("connects to 192.168.1.20: 127.0.0.1 there is the phone itself", text)
        self.assertIn("browser opens http://192.168.1.20:3000/health", text)
        self.assertTrue(text.endswith("apptuner-relay doctor --session ABC234"))
        self.assertNotIn("token", text)

    def test_a_machine_without_a_network(self) -> None:
        text = self.check(Missing(HERE, "ABC234"), None)
        self.assertIn("no address but 127.0.0.1", text)
        self.assertNotIn("/health", text)

    def test_a_relay_elsewhere(self) -> None:
        text = self.check(Missing(FAR, "ABC234", "ann", needs_token=True), None)
        self.assertIn("phone ann is not there after 10 s", text)
        self.assertIn("browser opens https://relay.example:443/x/health", text)
        self.assertIn("a join token that is still good", text)
        self.assertIn("doctor --relay wss://relay.example:443/x --session ABC234", text)
        self.assertNotIn("network", text)


class ShownTests(SynchronousTestCase):
    def show(self, screen: Recorder, address: str | None = "192.168.1.20", **changes: Any) -> str:
        self.patch(module, "wall_s", lambda: NOW)
        fields = {"relay": HERE, "session": "ABC234", "device": None, "tokens": False, "key": None,
                  "quiet": False, **changes}  # fmt: skip
        clock = Clock()
        hint = hint_for(argparse.Namespace(**fields), clock, screen, lambda: address)
        if hint is not None:
            hint.look(False)
            clock.advance(AFTER_SECONDS)
        self.assertEqual(screen.out.getvalue(), "")
        return screen.err.getvalue()

    def test_elsewhere_than_on_a_terminal_there_is_no_qr_code(self) -> None:
        text = self.show(Recorder())
        self.assertTrue(text.endswith("phones join with ws://192.168.1.20:3000/mobile/ABC234\n"))

    def test_on_a_terminal_there_is_one(self) -> None:
        text = self.show(TerminalRecorder())
        self.assertIn(qr_code("ws://192.168.1.20:3000/mobile/ABC234"), text)

    def test_a_token_where_one_is_needed(self) -> None:
        text = self.show(TerminalRecorder(), tokens=True, key=KEY)
        [token] = re.findall(r"/mobile/ABC234\?token=([\w.-]+)", text)
        hashed = session_hash("ABC234")
        check_token(make_proof(KEY, hashed), token, hashed, NOW + 8 * 3600 - 1)

    def test_no_token_for_a_file(self) -> None:
        text = self.show(Recorder(), tokens=True, key=KEY)
        self.assertNotIn("token=", text)
        self.assertTrue(text.endswith("phones join with what apptuner-relay share prints\n"))

    def test_no_url_that_phones_can_not_use(self) -> None:
        self.assertNotIn("ws://", self.show(TerminalRecorder(), None))

    def test_nothing_with_quiet(self) -> None:
        self.assertEqual(self.show(Recorder(quiet=True), quiet=True), "")


class JoinUrlTests(SynchronousTestCase):
    def test_urls(self) -> None:
        self.assertEqual(join_url(FAR, "A"), "wss://relay.example:443/x/mobile/A")
        self.assertEqual(join_url(HERE, "A", "1.x"), "ws://127.0.0.1:3000/mobile/A?token=1.x")

    def test_nothing_is_drawn_where_nobody_looks(self) -> None:
        screen = Recorder()
        screen.draw("picture")
        self.assertEqual(screen.err.getvalue(), "")
        self.assertIsInstance(screen.err, io.StringIO)
