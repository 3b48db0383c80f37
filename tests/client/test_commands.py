"""The commands over real sockets, against a relay of the tests' own."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import defer, reactor
from twisted.internet.defer import Deferred, inlineCallbacks

from apptuner_relay.client import connection
from apptuner_relay.client import join as join_module
from apptuner_relay.client.bundles import Bundle
from apptuner_relay.client.connection import Heartbeat, Target
from apptuner_relay.client.joining import Phone, Task
from apptuner_relay.client.membership import Membership
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.policy import Patience
from apptuner_relay.client.pushing import Order, Push

from .little_relay import Peer, Recorder, RelayTestCase

TRICKY = 'const s = "héllo 😀 \\u0000\t";\r\n// コード \u2028 \x00\x7f\n'


def now(tries: int = 10) -> Patience:
    """Patience that does not wait."""
    return Patience(tries, 0, 0, forgiving=False)


class CommandTestCase(RelayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.here = Path(self.mktemp())
        self.here.mkdir()

    def file(self, text: str | bytes, name: str = "bundle.js") -> str:
        path = self.here / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(path)

    def member(self, role: str, patience: Patience, heartbeat: Heartbeat | None = None) -> Any:
        screen = Recorder()
        resource = self.relay.address.resource(role, "ABC234", {"deviceId": "phone"})
        if role == "cli":
            resource = self.relay.address.resource(role, "ABC234")
        target = Target(self.relay.address, resource)
        membership = Membership(reactor, target, heartbeat or Heartbeat(60), patience, screen)

        def stop() -> Deferred[Exit] | None:
            if not membership.done.called:
                membership.leave(Exit.INTERRUPTED)
                return membership.done
            return None

        self.addCleanup(stop)
        return membership, screen

    def pusher(self, code: str, patience: Patience, **order: Any) -> tuple[Membership, Recorder]:
        membership, screen = self.member("cli", patience)
        push = Push(Order(Bundle.of(code), **order), membership, reactor, screen)
        membership.start(push)
        self.addCleanup(push.tidy)
        return membership, screen


class PushAndJoinTests(CommandTestCase):
    @inlineCallbacks
    def exchange(self, text: str, *push: str) -> Any:
        opened = self.relay.once("open")
        join, heard = self.begin("join", "--output", str(self.here / "got.js"), "--once",
                                 "--device-id", "ann", "--name", "Ann's")  # fmt: skip
        phone = yield opened
        errand, said = self.begin("push", self.file(text), *push)
        codes = yield defer.gatherResults([errand.done, join.done])
        self.assertEqual(codes, [Exit.DONE, Exit.DONE], said.err.getvalue())
        self.assertEqual((self.here / "got.js").read_bytes(), text.encode())
        names = {path.name for path in self.here.iterdir()}
        self.assertEqual(names - {"x.map"}, {"bundle.js", "got.js"})
        self.assertIn("Ann's (ann): success", said.out.getvalue())
        self.assertIn(f"{len(text.encode())} bytes  sha256 ", heard.out.getvalue())
        cli = next(peer for peer in self.relay.all_peers if peer.role == "cli")
        return cli, phone

    @inlineCallbacks
    def test_a_small_bundle(self) -> Any:
        cli, phone = yield self.exchange(TRICKY)
        self.assertEqual([m["type"] for m in cli.messages], ["bundle_update"])
        self.assertEqual(phone.query, {"deviceId": "ann", "name": "Ann's"})
        self.assertTrue(cli.user_agent.startswith("apptuner-relay/"))
        self.assertEqual(cli.closed[1], 1000)
        [ack] = phone.messages
        del ack["_raw"], ack["timestamp"]
        self.assertEqual(ack, {"type": "bundle_ack", "success": True, "deviceId": "ann"})
        self.assertEqual(phone.closed[1], 1000)

    @inlineCallbacks
    def test_a_large_bundle_in_chunks(self) -> Any:
        cli, _ = yield self.exchange(TRICKY * 40_000)
        kinds = [m["type"] for m in cli.messages]
        self.assertEqual(kinds[:2], ["bundle_start", "bundle_chunk"])
        self.assertEqual(len(kinds), 1 + cli.messages[0]["totalChunks"])

    @inlineCallbacks
    def test_a_large_bundle_as_one_message_is_one_frame(self) -> Any:
        cli, _ = yield self.exchange(TRICKY * 40_000, "--single")
        [message] = cli.messages
        frames = [frame for frame in cli.frames if frame[0] < 8]
        self.assertEqual(frames, [(1, True, len(message["_raw"]))])

    @inlineCallbacks
    def test_a_bundle_of_nothing(self) -> Any:
        yield self.exchange("")
        yield self.exchange("", "--chunks")

    @inlineCallbacks
    def test_frames_of_every_length_of_length(self) -> Any:
        overhead = len(Bundle.of("").messages(10**12)[0])
        for size in (overhead, 125, 126, 65535, 65536):
            cli, _ = yield self.exchange("x" * (size - overhead))
            self.assertEqual(cli.frames[0], (1, True, size))
            self.relay.all_peers.clear()

    @inlineCallbacks
    def test_a_source_map_goes_along(self) -> Any:
        cli, _ = yield self.exchange("x", "--source-map", self.file('{"é":1}', "x.map"))
        self.assertEqual(cli.messages[0]["payload"], {"code": "x", "sourceMap": '{"é":1}'})

    @inlineCallbacks
    def test_a_relay_without_extensions(self) -> Any:
        self.relay.names_devices = self.relay.lists = False
        opened = self.relay.once("open")
        self.begin("join", "--once")
        yield opened
        push, said = self.begin("push", self.file("x"))
        self.assertEqual((yield push.done), Exit.DONE)
        self.assertRegex(said.out.getvalue(), "^join-[0-9a-f]{8}: success\n$")

    @inlineCallbacks
    def test_a_phone_that_comes_later(self) -> Any:
        opened = self.relay.once("open")
        push, _ = self.begin("push", self.file("x"))
        yield opened
        self.begin("join", "--once")
        self.assertEqual((yield push.done), Exit.DONE)

    @inlineCallbacks
    def test_one_device_of_two(self) -> Any:
        opened = self.relay.once("open")
        ann, _ = self.begin("join", "--once", "--device-id", "ann")
        yield opened
        opened = self.relay.once("open")
        bob, heard = self.begin("join", "--once", "--device-id", "bob")
        yield opened
        push, _ = self.begin("push", self.file("x"), "--device", "ann")
        codes = yield defer.gatherResults([push.done, ann.done])
        self.assertEqual(codes, [Exit.DONE, Exit.DONE])
        self.assertFalse(bob.done.called)
        self.assertNotIn("sha256", heard.out.getvalue())

    @inlineCallbacks
    def test_quiet(self) -> Any:
        opened = self.relay.once("open")
        _, heard = self.begin("join", "--once", quiet=True)
        yield opened
        push, said = self.begin("push", self.file("x"), quiet=True)
        yield push.done
        for screen in (heard, said):
            self.assertEqual(screen.out.getvalue() + screen.err.getvalue(), "")


class PushTests(CommandTestCase):
    @inlineCallbacks
    def test_nobody_comes(self) -> Any:
        push, _ = self.begin("push", self.file("x"), "--wait", "0")
        self.assertEqual((yield push.done), Exit.NO_PHONE)

    @inlineCallbacks
    def test_a_phone_that_fails(self) -> Any:
        def refuse(peer: Peer) -> None:
            peer.say("mobile_connected", deviceId="x")
            peer.say("device_list", devices=[{"deviceId": "x", "name": "X"}])

        self.relay.on("open", refuse)
        self.relay.on(
            "bundle_update", lambda peer: peer.say("bundle_ack", success=False, error="bad")
        )
        push, said = self.begin("push", self.file("x"))
        self.assertEqual((yield push.done), Exit.FAILED)
        self.assertIn("X (x): failed: bad", said.out.getvalue())

    @inlineCallbacks
    def test_a_lost_connection(self) -> Any:
        opened = self.relay.once("open")
        self.begin("join", "--once")
        yield opened
        pushes: list[Peer] = []

        def lose_the_first(peer: Peer) -> None:
            if peer.role == "cli":
                pushes.append(peer)
                if len(pushes) == 1:
                    peer.transport.abortConnection()

        self.relay.on("open", lose_the_first)
        push, said = self.pusher(TRICKY, now())
        self.assertEqual((yield push.done), Exit.DONE)
        self.assertEqual(len(pushes), 2)
        self.assertIn("the connection was lost; trying again in 0 s (1 of 10)", said.err.getvalue())

    @inlineCallbacks
    def test_a_connection_lost_in_mid_message(self) -> Any:
        opened = self.relay.once("open")
        self.begin("join", "--once")
        yield opened
        begun: list[Peer] = []

        def lose_the_first(peer: Peer, length: int) -> None:
            begun.append(peer)
            if len(begun) == 1:
                peer.transport.abortConnection()

        begin_frame = Peer.onMessageFrameBegin

        def watched(peer: Peer, length: int) -> None:
            begin_frame(peer, length)
            if peer.role == "cli" and length > 10**6:
                lose_the_first(peer, length)

        self.patch(Peer, "onMessageFrameBegin", watched)
        membership, screen = self.member("cli", now())
        order = Order(Bundle("x" * 3_000_000))
        membership.start(Push(order, membership, reactor, screen))
        self.assertEqual((yield membership.done), Exit.DONE)
        self.assertEqual(len(begun), 2)
        self.assertIn("sending again", screen.err.getvalue())

    @inlineCallbacks
    def test_lost_for_good(self) -> Any:
        self.relay.on("open", lambda peer: peer.transport.abortConnection())
        push, said = self.pusher("x", now(tries=2))
        self.assertEqual((yield push.done), Exit.NO_CONNECTION)
        self.assertEqual(len(self.relay.all_peers), 3)
        self.assertTrue(said.err.getvalue().endswith("the connection was lost\n"))

    @inlineCallbacks
    def test_closed_for_good(self) -> Any:
        for code, reason, words in (
            (1000, "New CLI connected for this project", "another client took over"),
            (1000, "Session timeout", "Session timeout"),
            (1008, "too fast", "code 1008: too fast"),
            (1009, "too big", "code 1009: too big"),
        ):
            opened = self.relay.once("open")
            push, said = self.begin("push", self.file("x"))
            peer = yield opened
            peer.sendCloseFrame(code, reason.encode())
            self.assertEqual((yield push.done), Exit.NO_CONNECTION)
            self.assertIn(words, said.err.getvalue())

    @inlineCallbacks
    def test_closed_in_mid_message(self) -> Any:
        opened = self.relay.once("open")
        self.begin("join")
        yield opened
        begin_frame = Peer.onMessageFrameBegin

        def watched(peer: Peer, length: int) -> None:
            begin_frame(peer, length)
            if peer.role == "cli":
                peer.transport.pauseProducing()
                peer.transport.write(b"\x88\x16\x03\xf1\x1b]0;too big for this")

        self.patch(Peer, "onMessageFrameBegin", watched)
        membership, screen = self.member("cli", now())
        order = Order(Bundle("x" * 30_000_000))
        membership.start(Push(order, membership, reactor, screen))
        self.assertEqual((yield membership.done), Exit.NO_CONNECTION)
        self.assertIn("code 1009: \\x1b]0;too big for this", screen.err.getvalue())

    @inlineCallbacks
    def test_closed_but_worth_another_try(self) -> Any:
        for code, reason in ((1012, "restarting"), (1014, "what is behind me is bad")):
            close = partial(Peer.sendCloseFrame, code=code, reasonUtf8=reason.encode())
            self.relay.hooks[:] = [("open", close)]
            push, said = self.pusher("x", now(tries=1))
            self.assertEqual((yield push.done), Exit.NO_CONNECTION)
            self.assertIn(f"code {code}: {reason}; trying again", said.err.getvalue())
        self.assertEqual(len(self.relay.all_peers), 4)

    def push_to_one_that_stalls(self) -> tuple[Membership, Deferred[Peer]]:
        """Push 40 MB to a relay that stops reading as soon as it comes; fires with its end."""
        stalled: Deferred[Peer] = Deferred()
        begin_frame = Peer.onMessageFrameBegin

        def watched(peer: Peer, length: int) -> None:
            begin_frame(peer, length)
            if peer.role == "cli":
                peer.transport.pauseProducing()
                stalled.callback(peer)

        self.patch(Peer, "onMessageFrameBegin", watched)
        membership, screen = self.member("cli", now())
        order = Order(Bundle("x" * 40_000_000))
        membership.start(Push(order, membership, reactor, screen))
        return membership, stalled

    @inlineCallbacks
    def test_back_pressure(self) -> Any:
        """A relay that does not read must not make the sender's memory grow."""
        written: list[int] = []
        opened = self.relay.once("open")
        self.begin("join", "--once")
        yield opened
        membership, stalled = self.push_to_one_that_stalls()
        peer = yield stalled
        transport = membership._connection.transport
        write = transport.write

        def counting(data: bytes) -> None:
            write(data)
            written.append(len(transport.dataBuffer) + transport._tempDataLen)

        transport.write = counting
        peer.transport.resumeProducing()
        self.assertEqual((yield membership.done), Exit.DONE)
        self.assertGreater(len(written), 100)
        self.assertLess(max(written), 512 * 1024)

    @inlineCallbacks
    def test_a_ping_in_mid_message_is_answered_after_it(self) -> Any:
        opened = self.relay.once("open")
        self.begin("join", "--once")
        yield opened
        pongs: list[int] = []
        begin_frame, pong = Peer.onMessageFrameBegin, Peer.onPong

        def watched(peer: Peer, length: int) -> None:
            begin_frame(peer, length)
            if peer.role == "cli":
                peer.sendPing(b"there?")

        def counted(peer: Peer, payload: bytes) -> None:
            pong(peer, payload)
            pongs.append(len(peer.messages))

        self.patch(Peer, "onMessageFrameBegin", watched)
        self.patch(Peer, "onPong", counted)
        membership, screen = self.member("cli", now())
        order = Order(Bundle("x" * 20_000_000))
        membership.start(Push(order, membership, reactor, screen))
        self.assertEqual((yield membership.done), Exit.DONE)
        self.assertEqual(pongs, [1])

    @inlineCallbacks
    def test_leaving_in_mid_message(self) -> Any:
        opened = self.relay.once("open")
        self.begin("join")
        yield opened
        membership, stalled = self.push_to_one_that_stalls()
        peer = yield stalled
        membership.leave(Exit.INTERRUPTED)
        self.assertEqual((yield membership.done), Exit.INTERRUPTED)
        closed = self.relay.once("close")
        peer.transport.resumeProducing()
        yield closed

    def test_files_that_can_not_be_sent(self) -> None:
        for arguments, words in (
            ([str(self.here / "none.js")], "No such file"),
            ([str(self.here)], "Is a directory"),
            ([self.file(b"ab\xff", "b.js")], "is not UTF-8 (at byte 2)"),
            ([self.file("x"), "--source-map", self.file(b"\xff", "n")], "is not UTF-8"),
            ([self.file("x"), "--chunks", "--source-map", self.file("m", "m")], "source map"),
            ([self.file("x" * 52_428_800, "big.js"), "--single"], "--chunks"),
        ):
            error = self.assertRaises(UsageError, self.begin, "push", *arguments)
            self.assertIn(words, str(error))
        self.assertEqual(self.relay.all_peers, [])


class RefusedTests(CommandTestCase):
    BODY = b'{"error":"five\\u001b phones"}'

    @inlineCallbacks
    def refused(self, answer: bytes, *, closes: bool = True) -> Any:
        relay, factory = self.listen_refusing(answer, closes=closes)
        join, said = self.begin("join", "--relay", str(relay))
        code = yield join.done
        self.assertEqual(code, Exit.NO_CONNECTION)
        self.assertEqual(factory.asked, 1)
        return said.err.getvalue()

    @inlineCallbacks
    def test_with_a_reason(self) -> Any:
        head = b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n" % len(self.BODY)
        for closes in (True, False):
            said = yield self.refused(head + self.BODY, closes=closes)
            self.assertIn("HTTP 403: five\\x1b phones", said)

    @inlineCallbacks
    def test_without_a_length(self) -> Any:
        said = yield self.refused(b"HTTP/1.1 404 Not Found\r\n\r\n" + self.BODY)
        self.assertIn("HTTP 404: five\\x1b phones", said)

    @inlineCallbacks
    def test_without_a_body(self) -> Any:
        said = yield self.refused(b"HTTP/1.1 404 Not Found\r\n\r\n")
        self.assertIn("HTTP 404: Not Found", said)

    @inlineCallbacks
    def test_trouble_that_may_pass(self) -> Any:
        relay, factory = self.listen_refusing(b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n")
        target = Target(relay, "/cli/ABC234")
        screen = Recorder()
        membership = Membership(reactor, target, Heartbeat(60), now(tries=2), screen)
        push = Push(Order(Bundle.of("x")), membership, reactor, screen)
        self.assertEqual((yield membership.start(push)), Exit.NO_CONNECTION)
        self.assertEqual(factory.asked, 3)

    @inlineCallbacks
    def test_answers_that_are_none(self) -> Any:
        for answer in (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nX: \xff\xfe\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            b"HTTP/1.1 101 Switching",
            b"",
        ):
            relay, _factory = self.listen_refusing(answer)
            screen = Recorder()
            target = Target(relay, "/cli/ABC234")
            membership = Membership(reactor, target, Heartbeat(60), now(tries=0), screen)
            push = Push(Order(Bundle.of("x")), membership, reactor, screen)
            self.assertEqual((yield membership.start(push)), Exit.NO_CONNECTION)
            self.assertIn("the connection was lost", screen.err.getvalue())

    @inlineCallbacks
    def test_nobody_listens(self) -> Any:
        relay = self.relay.address
        yield self.relay.close()
        push, said = self.begin("push", self.file("x"), "--retries", "0", "--relay", str(relay))
        self.assertEqual((yield push.done), Exit.NO_CONNECTION)
        self.assertIn("could not connect: Connection was refused", said.err.getvalue())


class JoinTests(CommandTestCase):
    @inlineCallbacks
    def joined(self, *arguments: str) -> Any:
        opened = self.relay.once("open")
        join, heard = self.begin("join", "--device-id", "ann", *arguments)
        peer = yield opened
        return join, heard, peer

    @inlineCallbacks
    def test_pairs_that_were_cut_are_healed(self) -> Any:
        output = self.here / "got.js"
        join, _, peer = yield self.joined("--once", "--output", str(output))
        peer.say("bundle_start", totalChunks=2, totalSize=4)
        for index, data in enumerate(["a\ud83d", "\ude00b"]):
            peer.say("bundle_chunk", index=index, totalChunks=2, data=data)
        self.assertEqual((yield join.done), Exit.DONE)
        self.assertEqual(output.read_text(), "a😀b")

    @inlineCallbacks
    def test_what_can_not_be_kept_is_answered_with_an_error(self) -> Any:
        output = self.here / "got.js"
        output.write_text("before")
        _join, heard, peer = yield self.joined("--output", str(output))
        for messages, words in (
            ([("bundle_update", {"payload": {"code": "\ud83d"}})], "lone surrogate"),
            ([("bundle_update", {"payload": {}})], "no code"),
            ([("bundle_chunk", {"index": 0, "data": "x"})], "without a bundle_start"),
            (
                [
                    ("bundle_start", {"totalChunks": 2, "totalSize": 2}),
                    ("bundle_chunk", {"index": 1, "data": "x"}),
                ],
                "chunk 1 came where chunk 0 was due",
            ),
        ):
            acked = self.relay.once("bundle_ack")
            for kind, body in messages:
                peer.say(kind, **body)
            yield acked
            ack = peer.messages[-1]
            self.assertEqual((ack["success"], ack["deviceId"]), (False, "ann"))
            self.assertIn(words, ack["error"])
            self.assertIn(words, heard.err.getvalue())
        self.assertEqual(output.read_text(), "before")
        acked = self.relay.once("bundle_ack")
        peer.say("bundle_update", payload={"code": "after"})
        yield acked
        self.assertEqual(output.read_text(), "after")
        self.assertEqual([path.name for path in self.here.iterdir()], ["got.js"])

    @inlineCallbacks
    def test_a_file_that_can_not_be_written(self) -> Any:
        folder = self.here / "folder"
        folder.mkdir()
        join, _, peer = yield self.joined("--once", "--output", str(folder / "got.js"))
        folder.rmdir()
        peer.say("bundle_update", payload={"code": "x"})
        self.assertEqual((yield join.done), Exit.FAILED)
        self.assertIn("could not write the file: No such file", peer.messages[-1]["error"])

    def test_outputs_that_can_not_be(self) -> None:
        for output in (str(self.here), "/dev/null", str(self.here / "none" / "got.js")):
            self.assertRaises(UsageError, self.begin, "join", "--output", output)

    @inlineCallbacks
    def test_a_link_is_followed(self) -> Any:
        (self.here / "link.js").symlink_to("real.js")
        join, _, peer = yield self.joined("--once", "--output", str(self.here / "link.js"))
        peer.say("bundle_update", payload={"code": "x"})
        yield join.done
        self.assertTrue((self.here / "link.js").is_symlink())
        self.assertEqual((self.here / "real.js").read_text(), "x")

    @inlineCallbacks
    def test_a_lost_connection_loses_half_a_bundle(self) -> Any:
        membership, screen = self.member("mobile", now())
        membership.start(Phone(Task("ann", None), membership, screen))
        peer = yield self.relay.once("open")
        peer.say("bundle_start", totalChunks=2, totalSize=2)
        peer.say("bundle_chunk", index=0, totalChunks=2, data="x")
        peer.sendCloseFrame(1011, b"cut short")
        peer = yield self.relay.once("open")
        self.assertIn("lost with the connection", screen.err.getvalue())
        acked = self.relay.once("bundle_ack")
        peer.say("bundle_chunk", index=1, totalChunks=2, data="x")
        yield acked
        self.assertFalse(peer.messages[-1]["success"])

    @inlineCallbacks
    def test_the_same_device_comes_again(self) -> Any:
        opened = self.relay.once("open")
        self.patch(join_module, "PATIENCE", now())
        self.begin("join")
        first = yield opened
        opened = self.relay.once("open")
        first.transport.abortConnection()
        second = yield opened
        self.assertEqual(first.query, second.query)
        self.assertRegex(first.query["deviceId"], "^join-[0-9a-f]{8}$")

    @inlineCallbacks
    def test_a_relay_that_falls_silent(self) -> Any:
        self.relay.answers_pings = False
        membership, screen = self.member("mobile", now(), Heartbeat(0, 0.01))
        membership.start(Phone(Task("ann", None), membership, screen))
        yield self.relay.once("open")
        yield self.relay.once("open")
        self.assertIn("no answer to a ping", screen.err.getvalue())

    @inlineCallbacks
    def test_a_relay_that_answers(self) -> Any:
        membership, screen = self.member("mobile", now(), Heartbeat(0, 30))
        membership.start(Phone(Task("ann", None), membership, screen))
        ping = yield self.relay.once("ping")
        self.assertEqual(set(ping.messages[0]), {"type", "timestamp", "_raw"})
        self.assertGreater(ping.messages[0]["timestamp"], 1_600_000_000_000)

    @inlineCallbacks
    def test_rubbish_is_passed_over(self) -> Any:
        join, _heard, peer = yield self.joined("--once")
        for rubbish in (
            b"", b"{", b"[]", b"5", b'{"type":5}', b'{"a":1}', b'{"type":"x","n":NaN}',
            b'\xef\xbb\xbf{"type":"bundle_update"}', '{"type":"bundle_update"}'.encode("utf-16-le"),
            b"[" * 200_000, b'{"type":"\\ud83d"}', b'{"type":"error"}',
        ):  # fmt: skip
            peer.sendMessage(rubbish)
        peer.sendMessage(b"\x00\xff", isBinary=True)
        peer.say("bundle_update", payload={"code": "x"})
        self.assertEqual((yield join.done), Exit.DONE)

    @inlineCallbacks
    def test_a_relay_that_does_not_close(self) -> Any:
        self.patch(connection,
                   "CLOSE_SECONDS", 0)  # fmt: skip
        join, _, peer = yield self.joined()
        peer.transport.pauseProducing()
        join.leave(Exit.INTERRUPTED)
        self.assertEqual((yield join.done), Exit.INTERRUPTED)


class WatchTests(CommandTestCase):
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
        said = screen.out.getvalue()
        self.assertEqual([said.count(f"said {x}") for x in ("warn", "error")], [1, 1])
        self.assertEqual(said.count("said"), 2)

    @inlineCallbacks
    def test_json(self) -> Any:
        watch, screen, peer = yield self.watching("--json", "--level", "info")
        self.log(peer, "log", "too little")
        self.log(peer, "error", "a\nb\x7f\x1bé\ud83d", {"deep": [1.5]})
        peer.say("mobile_connected")
        yield self.finished(watch, peer)
        lines = screen.out.getvalue().splitlines()
        self.assertTrue(all(line.isascii() and line.isprintable() for line in lines))
        connected, log, phone = map(json.loads, lines)
        self.assertEqual(connected["type"], "connected")
        self.assertEqual(log["payload"]["args"], ["a\nb\x7f\x1bé\ud83d", {"deep": [1.5]}])
        self.assertEqual(phone["type"], "mobile_connected")

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
