"""`apptuner_relay.client.push` over real sockets, with a phone that joins."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet import defer
from twisted.internet.defer import Deferred, inlineCallbacks

from apptuner_relay.client.bundles import ReadBundle
from apptuner_relay.client.membership import Membership
from apptuner_relay.client.outcome import Exit, UsageError

from .cases import MemberCommandCase, now
from .little_relay import Peer

TRICKY = 'const s = "héllo 😀 \\u0000\t";\r\n// コード \u2028 \x00\x7f\n'


class PushAndJoinTests(MemberCommandCase):
    @inlineCallbacks
    def exchange(self, text: str, *push: str) -> Any:
        opened = self.relay.once("open")
        join, heard = self.begin("join", "--output", str(self.here / "got.js"), "--once",
                                 "--device-id", "ann", "--name", "Ann's")  # fmt: skip
        phone = yield opened
        running, said = self.begin("push", self.file(text), *push)
        codes = yield defer.gatherResults([running.done, join.done])
        self.assertEqual(codes, [Exit.DONE, Exit.DONE], said.err.getvalue())
        self.assertEqual((self.here / "got.js").read_bytes(), text.encode())
        names = {path.name for path in self.here.iterdir()}
        self.assertEqual(names - {"x.map"}, {"bundle.js", "got.js"})
        self.assertIn("Ann's acknowledged after ", said.out.getvalue())
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
        overhead = len(ReadBundle.of("").messages(10**12)[0])
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
        self.assertRegex(
            said.out.getvalue(),
            r"^\d+ B in \d\.\d\d s · join-[0-9a-f]{8} acknowledged after \d\.\d\d s\n$",
        )

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


class PushTests(MemberCommandCase):
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
        self.assertRegex(
            said.err.getvalue(), r"\d+ B in \d.\d\d s · X failed after \d.\d\d s: bad\n"
        )
        self.assertEqual(said.out.getvalue(), "")

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
        self.start_push("x" * 3_000_000, membership, screen)
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
        self.start_push("x" * 30_000_000, membership, screen)
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
        self.start_push("x" * 40_000_000, membership, screen)
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
        self.start_push("x" * 20_000_000, membership, screen)
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
