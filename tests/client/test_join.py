"""`apptuner_relay.client.join` over real sockets."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import inlineCallbacks

from apptuner_relay.client import join as join_module
from apptuner_relay.client import member_connection
from apptuner_relay.client.joining import JoinedPhone, Task
from apptuner_relay.client.member_connection import ClientPings
from apptuner_relay.client.outcome import Exit, UsageError

from .cases import MemberCommandCase, now


class JoinTests(MemberCommandCase):
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
        membership.start(JoinedPhone(Task("ann", None), membership, screen))
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
        membership, screen = self.member("mobile", now(), ClientPings(0, 0.01))
        membership.start(JoinedPhone(Task("ann", None), membership, screen))
        yield self.relay.once("open")
        yield self.relay.once("open")
        self.assertIn("no answer to a ping", screen.err.getvalue())

    @inlineCallbacks
    def test_a_relay_that_answers(self) -> Any:
        membership, screen = self.member("mobile", now(), ClientPings(0, 30))
        membership.start(JoinedPhone(Task("ann", None), membership, screen))
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
        self.patch(member_connection,
                   "CLOSE_SECONDS", 0)  # fmt: skip
        join, _, peer = yield self.joined()
        peer.transport.pauseProducing()
        join.leave(Exit.INTERRUPTED)
        self.assertEqual((yield join.done), Exit.INTERRUPTED)
