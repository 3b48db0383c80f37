"""`apptuner_relay.client.watch` over real sockets."""

from __future__ import annotations

import json
import re
from typing import Any

from twisted.internet.defer import inlineCallbacks

from apptuner_relay.client.outcome import Exit

from .cases import MemberCommandCase, said
from .little_relay import Peer


class WatchTests(MemberCommandCase):
    @inlineCallbacks
    def watching(self, *arguments: str) -> Any:
        opened = self.relay.once("open")
        watch, screen = self.begin("watch", *arguments)
        peer = yield opened
        return watch, screen, peer

    @inlineCallbacks
    def finished(self, watch: Any, peer: Peer) -> Any:
        """Let everything that was sent be seen."""
        peer.sendCloseFrame(1000, b"Session timeout")
        self.assertEqual((yield watch.done), Exit.NO_CONNECTION)

    @staticmethod
    def log(peer: Peer, level: Any, *arguments: Any) -> None:
        peer.say("console_log", payload={"level": level, "args": arguments, "timestamp": 1})

    @inlineCallbacks
    def test_what_happens_in_a_session(self) -> Any:
        watch, screen, peer = yield self.watching()
        ann = {"deviceId": "ann", "deviceName": "Ann's \x1b[7m", "platform": "ios"}
        peer.say("mobile_connected", **ann)
        peer.say("device_list", devices=[{"deviceId": "ann", "name": ann["deviceName"],
                                          "platform": "ios"}])  # fmt: skip
        self.log(peer, "warn", "hot [bold]x[/bold]", {"a": [1, None]}, 5, "two\nlines\x1b]0;t\x07")
        peer.say("bundle_ack", success=True, deviceId="ann")
        peer.say("bundle_ack", success=False, error="bad\x9b")
        peer.say("cli_disconnected")
        peer.say("error", error="no")
        peer.say("mobile_disconnected", deviceId="ann")
        peer.say("device_list", devices=[{"deviceId": "bob"}])
        peer.say("de\x1btour")
        yield self.finished(watch, peer)
        lines = re.sub(r"^\d\d:\d\d:\d\d ", "", screen.out.getvalue(), flags=re.M).splitlines()
        self.assertEqual(
            lines,
            [
                "phone  Ann's \\x1b[7m (ios, ann) came",
                'warn   hot [bold]x[/bold] {"a": [1, null]} 5 two',
                "    lines\\x1b]0;t\\x07",
                "bundle Ann's \\x1b[7m (ios, ann): success",
                "bundle a phone: failed: bad\\x9b",
                "cli    went",
                "relay  error: no",
                "phone  Ann's \\x1b[7m (ios, ann) went",
                "phones here now: bob",
                "other  a message of type de\\x1btour",
            ],
        )

    @inlineCallbacks
    def test_levels(self) -> Any:
        watch, screen, peer = yield self.watching("--level", "warn")
        for level in ("log", "info", "warn", "error", "debug", "fatal", None):
            self.log(peer, level, f"said {level}")
        yield self.finished(watch, peer)
        shown = screen.out.getvalue()
        self.assertEqual([shown.count(f"said {x}") for x in ("warn", "error")], [1, 1])
        self.assertEqual(shown.count("said"), 2)

    @inlineCallbacks
    def test_json(self) -> Any:
        watch, screen, peer = yield self.watching("--json", "--level", "info")
        self.log(peer, "log", "too little")
        self.log(peer, "error", "a\nb\x7f\x1bé\ud83d", {"deep": [1.5]})
        peer.say("mobile_connected")
        yield self.finished(watch, peer)
        lines = screen.out.getvalue().splitlines()
        self.assertTrue(all(line.isascii() and line.isprintable() for line in lines))
        connected, log, phone, end = map(json.loads, lines)
        self.assertEqual(connected["type"], "connected")
        self.assertEqual(log["payload"]["args"], ["a\nb\x7f\x1bé\ud83d", {"deep": [1.5]}])
        self.assertEqual(phone["type"], "mobile_connected")
        self.assertEqual((end["event"], end["exit"]), ("result", Exit.NO_CONNECTION))
        self.assertNotIn("type", end)

    @inlineCallbacks
    def test_json_of_a_run_that_is_interrupted_has_messages_only(self) -> Any:
        watch, screen, _ = yield self.watching("--json")
        yield said(screen, '"type":"connected"')
        watch.leave(Exit.INTERRUPTED)
        yield watch.done
        [message] = map(json.loads, screen.out.getvalue().splitlines())
        self.assertEqual(message["type"], "connected")

    @inlineCallbacks
    def test_logs_of_any_form(self) -> Any:
        watch, screen, peer = yield self.watching()
        for payload in (None, [], "text", 5, {}, {"args": "text"}, {"args": {"a": 1}},
                        {"level": [], "args": []}):  # fmt: skip
            peer.say("console_log", payload=payload)
        peer.sendMessage(b'{"type":"console_log","payload":{"args":[%s%s]}}'
                         % (b"[" * 900, b"]" * 900))  # fmt: skip
        yield self.finished(watch, peer)
        self.assertEqual(len(screen.out.getvalue().splitlines()), 9)

    @inlineCallbacks
    def test_nobody_reads(self) -> Any:
        for arguments in ([], ["--json"]):
            opened = self.relay.once("open")
            watch, screen = self.begin("watch", *arguments)

            def broken(text: str) -> None:
                raise BrokenPipeError

            screen.out.write = broken
            peer = yield opened
            self.log(peer, "log", "x")
            self.assertEqual((yield watch.done), Exit.DONE)

    @inlineCallbacks
    def test_it_says_nothing_itself(self) -> Any:
        watch, _, peer = yield self.watching()
        self.log(peer, "log", "x")
        yield self.finished(watch, peer)
        self.assertEqual(peer.messages, [])
