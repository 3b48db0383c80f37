"""`apptuner_relay.client.share`: URLs with join tokens, and their QR codes."""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import string
from typing import Any

import segno
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.server import Site

from apptuner_relay.access.tokens import check_token, expiry_of, make_proof, sign_token
from apptuner_relay.client import share
from apptuner_relay.client.address import Relay
from apptuner_relay.client.join_url import qr_code
from apptuner_relay.client.main import make_parser
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.reactor_run import start
from apptuner_relay.client.screen import Screen
from apptuner_relay.client.session_url import SessionUrl
from apptuner_relay.client.share import COMMAND as SHARE
from apptuner_relay.client.share import lasting
from apptuner_relay.client.share_check import judged
from apptuner_relay.session.session import session_hash

from .cases import Asked

KEY = "0123456789abcdef+SECRET/"
HERE = session_hash("ABC234")
NOW_S = 1_800_000_000.0


def parse(command: Any, *arguments: str) -> argparse.Namespace:
    return make_parser([command]).parse_args([command.name, "--session", "ABC234", *arguments])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class ShareTests(SynchronousTestCase):
    def setUp(self) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("APPTUNER_")}
        self.patch(os, "environ", environment)
        self.patch(share, "wall_s", lambda: NOW_S)
        self.addresses = ["192.168.1.20"]
        self.patch(share, "lan_addresses", lambda: self.addresses)
        self.notes = ""

    def share(self, out: io.StringIO, *arguments: str) -> str:
        err = io.StringIO()
        parsed = parse(SHARE, *arguments, "--offline")
        running = start(parsed, Clock(), Screen(out, err))
        self.assertEqual(self.successResultOf(running.done), Exit.DONE)
        self.notes = err.getvalue()
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
        out = self.share(io.StringIO(), "--relay", "wss://relay.test")
        self.assertEqual(out, "wss://relay.test:443/mobile/ABC234\n")
        self.assertEqual(self.notes, "")
        url, *code = self.share(Terminal()).splitlines()
        self.assertEqual("\n".join(code).strip("\n"), qr_code(url).strip("\n"))

    def test_an_address_that_phones_reach(self) -> None:
        for relay in ("ws://127.0.0.1:3000", "http://localhost:3000", "ws://[::1]:3000"):
            out = self.share(io.StringIO(), "--relay", relay)
            self.assertEqual(out, "ws://192.168.1.20:3000/mobile/ABC234\n")
            self.assertIn("phones reach this machine at 192.168.1.20, not at", self.notes)
        self.share(io.StringIO(), "--relay", "wss://localhost")
        self.assertIn("certificate has to be good for 192.168.1.20", self.notes)

    def test_several_networks(self) -> None:
        self.addresses = ["192.168.1.20", "10.0.0.7", "172.17.0.1"]
        self.share(io.StringIO())
        self.assertIn("it has other addresses, too: 10.0.0.7, 172.17.0.1.", self.notes)

    def test_no_network(self) -> None:
        self.addresses = []
        out = self.share(io.StringIO())
        self.assertEqual(out, "ws://127.0.0.1:3000/mobile/ABC234\n")
        self.assertIn("and no phone: this machine has no other address", self.notes)

    def test_loopback_that_is_asked_for(self) -> None:
        out = self.share(io.StringIO(), "--loopback")
        self.assertEqual(out, "ws://127.0.0.1:3000/mobile/ABC234\n")
        self.assertEqual(self.notes, "only this machine reaches 127.0.0.1, and no phone\n")

    def test_json(self) -> None:
        self.addresses = ["192.168.1.20", "10.0.0.7"]
        said = json.loads(self.share(Terminal(), "--json", "--key", KEY))
        self.assertEqual(said["expires_ms"], (NOW_S + 8 * 3600) * 1000)
        self.assertEqual(said["other_addresses"], ["10.0.0.7"])
        self.assertEqual(SessionUrl.parse(said["url"]).session, "ABC234")
        said = json.loads(self.share(io.StringIO(), "--json"))
        self.assertEqual((said["expires_ms"], said["exit"]), (None, 0))

    @given(
        st.sampled_from(["ws://relay.test", "https://[2001:db8::7]:8443/a/b", "ws://127.0.0.1"]),
        st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=64),
        st.booleans(),
    )
    def test_what_is_shown_can_be_joined(self, relay: str, session: str, with_key: bool) -> None:
        out = io.StringIO()
        words = ["share", f"--session={session}", "--relay", relay, "--offline"]
        parsed = make_parser([SHARE]).parse_args([*words, *(["--key", KEY] if with_key else [])])
        start(parsed, Clock(), Screen(out, io.StringIO()))
        url = SessionUrl.parse(out.getvalue().strip())
        self.assertEqual((url.session, url.token is not None), (session, with_key))
        if with_key:
            here = session_hash(session)
            check_token(make_proof(KEY, here), url.token or "", here, NOW_S)
        given_relay = Relay.parse(relay)
        self.assertEqual((url.relay.port, url.relay.prefix), (given_relay.port, given_relay.prefix))

    def test_times(self) -> None:
        self.assertEqual([lasting(one) for one in ("5m", "8h", "7d")], [300, 28800, 604800])
        for wrong in ("", "8", "0h", "h", "367d", "-1h", "1.5h", "8 h"):
            self.assertRaises(ValueError, lasting, wrong)


class CheckTest(TestCase):
    """The relay is asked what is in the way of phones."""

    timeout = 30

    def setUp(self) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("APPTUNER_")}
        self.patch(os, "environ", environment)
        self.asked = Asked()
        site = Site(self.asked)
        site.noisy = False
        self.port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.number = self.port.getHost().port

    @inlineCallbacks
    def share(self, *arguments: str) -> Any:
        out, err = io.StringIO(), io.StringIO()
        url = f"ws://127.0.0.1:{self.number}/x"
        parsed = parse(SHARE, "--relay", url, "--loopback", *arguments)
        running = start(parsed, reactor, Screen(out, err))
        # The URL is there before anything is asked.
        self.assertIn("/mobile/ABC234", out.getvalue())
        self.assertEqual((yield running.done), Exit.DONE)
        return err.getvalue().removeprefix("only this machine reaches 127.0.0.1, and no phone\n")

    @inlineCallbacks
    def test_all_is_well(self) -> Any:
        for body in ({"tokens": False}, {}, [1]):
            self.asked.body = json.dumps(body).encode()
            self.assertEqual((yield self.share()), "")
        self.assertEqual(self.asked.uris[0], b"/x/session/state")

    @inlineCallbacks
    def test_what_is_in_the_way(self) -> Any:
        self.asked.body = b'{"tokens":true}'
        self.assertIn("add --key SECRET", (yield self.share()))
        self.asked.code, self.asked.body = 401, b'{"error":"no","claimed":true}'
        self.assertIn("is claimed with a secret", (yield self.share()))
        self.asked.code = 403
        self.assertIn("claimed with another secret", (yield self.share("--key", KEY)))
        self.assertEqual(self.asked.tokens, [None, None, f"Bearer {KEY}"])

    @inlineCallbacks
    def test_nobody_there(self) -> Any:
        yield self.port.stopListening()
        self.assertIn("does it run, and listen on that address?", (yield self.share()))

    @inlineCallbacks
    def test_interrupted(self) -> Any:
        self.asked.body = None
        out = io.StringIO()
        url = f"ws://127.0.0.1:{self.number}"
        parsed = parse(SHARE, "--relay", url, "--loopback")
        running = start(parsed, reactor, Screen(out, io.StringIO()))
        yield self.asked.came
        running.leave(Exit.INTERRUPTED)
        self.assertEqual((yield running.done), Exit.DONE)

    def test_judging(self) -> None:
        for status, answer, with_key, count in (
            (200, {"tokens": True}, True, 0),
            (401, {"claimed": True}, True, 0),
            (401, {}, False, 0),
            (404, {"error": "no such session"}, False, 0),
            (429, {}, True, 0),
            (502, {}, False, 0),
        ):
            self.assertEqual(len(judged(status, answer, with_key)), count, status)
