"""`push --watch` over real sockets and real files, with phones that join."""

from __future__ import annotations

import json
import threading
from typing import Any

from twisted.internet.defer import inlineCallbacks

from apptuner_relay.client import main as main_module
from apptuner_relay.client import push_watch as push_watch_module
from apptuner_relay.client import save_parcels
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.patched_code import patched_code

from .bundle_server import sha256
from .cases import MemberCommandCase, said
from .little_relay import Peer, Recorder

LINES = "".join(f"log('é🛒 {number}');\n" for number in range(100))


class PushWatchTest(MemberCommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(push_watch_module, "FIRST_RETRY_SECONDS", 0.01)
        self.bundle = self.here / "app.js"
        self.bundle.write_text(LINES)

    def save(self, text: str) -> None:
        """As an editor does: the new file takes the old one's place."""
        draft = self.here / "draft"
        draft.write_text(text)
        draft.replace(self.bundle)

    def watching(self, *arguments: str, quiet: bool = False) -> tuple[Any, Recorder]:
        return self.begin("push", "--watch", "--poll", "0.01", str(self.bundle), *arguments,
                          quiet=quiet)  # fmt: skip

    def takes_patches(self) -> None:
        """The relay says that it takes patches, and what it keeps; it passes them on."""
        welcome = Peer.say

        def say(peer: Peer, kind: str, **body: Any) -> None:
            if kind == "connected" and peer.query.get("patch") == "1" and peer.role == "cli":
                body["patch"] = True
            welcome(peer, kind, **body)

        self.patch(Peer, "say", say)

        def kept(peer: Peer) -> None:
            message = peer.messages[-1]
            patched = message["type"] == "bundle_patch"
            code = message["sha256"] if patched else sha256(message["payload"]["code"].encode())
            peer.say("bundle_kept", sha256=code)

        self.relay.on("bundle_patch", kept)
        self.relay.on("bundle_update", kept)

    @inlineCallbacks
    def joined(self, *arguments: str) -> Any:
        opened = self.relay.once("open")
        got = self.here / "got.js"
        _, screen = self.begin("join", "--device-id", "ann", "--name", "ann", "--output",
                               str(got), *arguments)  # fmt: skip
        peer = yield opened
        return got, screen, peer

    @inlineCallbacks
    def test_saves_as_patches(self) -> Any:
        self.takes_patches()
        got, heard, _ = yield self.joined("--patch")
        push, screen = self.watching()
        yield said(screen, " whole in ")
        for number in range(3):
            text = LINES + f"// {number}\n"
            self.save(text)
            yield said(screen, " as a patch ", number + 1)
            self.assertEqual(got.read_text(), text)
        push.leave(Exit.INTERRUPTED)
        self.assertEqual((yield push.done), Exit.DONE)
        [cli] = [peer for peer in self.relay.all_peers if peer.role == "cli"]
        self.assertEqual(cli.query, {"acks": "1", "patch": "1"})
        self.assertEqual(
            [message["type"] for message in cli.messages], ["bundle_update"] + ["bundle_patch"] * 3
        )
        self.assertEqual(cli.closed[1], 1000)
        size = len(cli.messages[-1]["_raw"])
        self.assertIn(f"app.js: {size} B as a patch of ", screen.out.getvalue())
        self.assertIn(f"patch: {size} bytes -> ", heard.out.getvalue())
        self.assertEqual(screen.out.getvalue().count("ann acknowledged after "), 4)

    @inlineCallbacks
    def test_a_relay_of_an_earlier_version(self) -> Any:
        got, _, _ = yield self.joined("--patch")
        _, screen = self.watching()
        yield said(screen, " whole in ")
        self.bundle.write_text(LINES + "// in place")
        yield said(screen, " whole in ", 2)
        self.assertEqual(got.read_text(), LINES + "// in place")
        self.assertIn("sent whole: it takes no patches", screen.err.getvalue())

    @inlineCallbacks
    def test_a_save_while_there_is_no_connection(self) -> Any:
        self.takes_patches()
        yield self.joined("--patch")
        _, screen = self.watching()
        yield said(screen, " whole in ")
        [cli] = self.relay.of_role("cli")
        self.relay.welcomes = False
        opened = self.relay.once("open")
        cli.transport.abortConnection()
        cli = yield opened
        self.save(LINES + "// new\n")
        cli.say("connected", sessionId="0" * 64, clientType="cli")
        yield said(screen, " as a patch ")
        [patch] = [message for message in cli.messages if message["type"] == "bundle_patch"]
        code = patched_code(patch, LINES.encode(), sha256(LINES.encode()))
        self.assertEqual(code.decode(), LINES + "// new\n")

    @inlineCallbacks
    def test_a_phone_that_comes_later_gets_what_is_there(self) -> Any:
        self.takes_patches()
        _, screen = self.watching()
        yield said(screen, "no phone is there")
        got, heard, _ = yield self.joined()
        yield said(heard, "sha256")
        self.assertEqual(got.read_text(), LINES)
        yield said(screen, "ann acknowledged after")

    @inlineCallbacks
    def test_one_that_is_not_there_yet(self) -> Any:
        self.bundle.write_text("")
        got, heard, _ = yield self.joined()
        self.watching()
        self.save(LINES)
        yield said(heard, "sha256")
        self.assertEqual(got.read_text(), LINES)

    @inlineCallbacks
    def test_lost_for_good(self) -> Any:
        push, screen = self.watching()
        cli = yield self.relay.once("open")
        cli.sendCloseFrame(1000, b"New cli connected")
        self.assertEqual((yield push.done), Exit.NO_CONNECTION)
        self.assertIn("another client took over", screen.err.getvalue())

    @inlineCallbacks
    def test_with_quiet_only_failures_are_printed(self) -> Any:
        opened = self.relay.once("open")
        _, screen = self.watching(quiet=True)
        yield opened
        for answer in ({"success": True}, {"success": False, "error": "no"}):
            [cli] = self.relay.of_role("cli")
            sent = self.relay.once("bundle_update")
            self.save(LINES + json.dumps(answer))
            yield sent
            for _ in range(2):
                cli.say("mobile_connected", deviceId="bob", deviceName="Bob's", platform="ios")
            cli.say("bundle_ack", deviceId="bob", **answer)
        yield said(screen, "failed after")
        self.assertEqual(screen.out.getvalue(), "")
        self.assertEqual(len(screen.err.getvalue().splitlines()), 1)

    @inlineCallbacks
    def test_what_has_changed_is_found_off_the_reactors_thread(self) -> Any:
        self.takes_patches()
        threads: list[Any] = []
        real = save_parcels.make_patch

        def make_patch(*arguments: Any) -> Any:
            threads.append(threading.current_thread())
            return real(*arguments)

        self.patch(save_parcels, "make_patch", make_patch)
        _, screen = self.watching()
        yield said(screen, "no phone is there")
        self.save(LINES + "// new")
        yield said(screen, " as a patch ")
        self.assertEqual(len(threads), 1)
        self.assertIsNot(threads[0], threading.current_thread())

    def test_arguments(self) -> None:
        for arguments, words in (
            (["--device", "ann"], "--device can't go with --watch"),
            (["--source-map", "x"], "--source-map can't go with --watch: a patch has the code"),
            (["--wait", "5"], "--wait can't go with --watch"),
            (["--managed", "relay://key", "--single"], "can't go with --managed"),
        ):
            error = self.assertRaises(UsageError, self.watching, *arguments)
            self.assertIn(words, str(error))
        error = self.assertRaises(UsageError, self.begin, "push", "--poll", "1", str(self.bundle))
        self.assertIn("--poll goes with --watch", str(error))
        for poll in ("0", "0.001", "nan", "inf", "-1", "x", "4000"):
            errors = Recorder().err
            self.patch(main_module.sys, "stderr", errors)
            ended = self.assertRaises(SystemExit, self.watching, "--poll", poll)
            self.assertEqual(ended.code, Exit.USAGE)
            self.assertIn("is no number of seconds", errors.getvalue())

    def test_files_that_can_not_be_sent(self) -> None:
        for content, words in ((b"\xff", "is not UTF-8 (at byte 0)"), (None, "No such file")):
            self.bundle.unlink()
            if content is not None:
                self.bundle.write_bytes(content)
            error = self.assertRaises(UsageError, self.watching)
            self.assertIn(words, str(error))
            self.bundle.touch()
        for path, words in (("/", "Is a directory"), ("/dev/null", "is no regular file")):
            error = self.assertRaises(UsageError, self.begin, "push", "--watch", path)
            self.assertIn(words, str(error))
