"""`join --patch`: a phone that takes patches, with a relay that is played by hand."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import inlineCallbacks

from apptuner_relay.client.outcome import Exit, UsageError

from .bundle_server import sha256
from .little_relay import Peer
from .test_joining import JoiningTestCase
from .test_patched_code import patch

OLD, NEW, NEWEST = (f"let a;\nlog('é🛒 {n}');\n".encode() for n in range(3))


class PatchTests(JoiningTestCase):
    @inlineCallbacks
    def taken(self, peer: Peer, code: bytes) -> Any:
        """Send it whole, with its label, and have its acknowledgement."""
        ack = yield self.acked(peer, "bundle_update", payload={"code": code.decode()})
        peer.say("bundle_id", sha256=sha256(code), units=len(code.decode().encode("utf-16")) // 2)
        return ack

    @inlineCallbacks
    def patched(self, peer: Peer, base: bytes, new: bytes, **change: object) -> Any:
        message = {**patch(base, new), **change}
        del message["type"], message["timestamp"]
        return (yield self.acked(peer, "bundle_patch", **message))

    @inlineCallbacks
    def wanted(self, peer: Peer, base: bytes, new: bytes, **change: object) -> Any:
        """Send a patch that is not taken, and have the reason that is given."""
        asked = self.relay.once("bundle_wanted")
        message = {**patch(base, new), **change}
        del message["type"], message["timestamp"]
        peer.say("bundle_patch", **message)
        yield asked
        said = peer.messages[-1]
        self.assertIs(type(said["timestamp"]), int)
        return said["reason"]

    @inlineCallbacks
    def test_patches_one_after_the_other(self) -> Any:
        _, screen, peer = yield self.joined("--patch")
        self.assertEqual(peer.query["patch"], "1")
        self.assertNotIn("have", peer.query)
        yield self.taken(peer, OLD)
        for base, new in ((OLD, NEW), (NEW, NEWEST)):
            ack = yield self.patched(peer, base, new)
            self.assertTrue(ack["success"])
            self.assertEqual(self.target.read_bytes(), new)
        self.assertRegex(
            screen.out.getvalue(),
            rf"(?m)^patch: \d\d\d bytes -> {len(NEW)} B\n{len(NEW)} bytes  sha256 {sha256(NEW)}",
        )
        self.assertEqual(self.names(), ["got.js"])

    @inlineCallbacks
    def test_the_size_said_is_that_of_the_message(self) -> Any:
        _, screen, peer = yield self.joined("--patch")
        yield self.taken(peer, OLD)
        message = {**patch(OLD, NEW), "timestamp": 1}
        size = len(json.dumps(message, ensure_ascii=False,
                                            separators=(",", ":")).encode())  # fmt: skip
        yield self.patched(peer, OLD, NEW)
        self.assertIn(f"patch: {size} bytes", screen.out.getvalue())

    @inlineCallbacks
    def test_of_what_was_here_before(self) -> Any:
        self.target.write_bytes(OLD)
        _, _, peer = yield self.joined("--patch", "--have", str(self.target))
        self.assertEqual((peer.query["have"], peer.query["patch"]), (sha256(OLD), "1"))
        yield self.patched(peer, OLD, NEW)
        self.assertEqual(self.target.read_bytes(), NEW)

    @inlineCallbacks
    def test_after_a_lost_connection(self) -> Any:
        _, _, peer = yield self.joined("--patch")
        yield self.taken(peer, OLD)
        yield self.patched(peer, OLD, NEW)
        opened = self.relay.once("open")
        peer.transport.abortConnection()
        peer = yield opened
        self.assertEqual((peer.query["have"], peer.query["patch"]), (sha256(NEW), "1"))
        ack = yield self.acked(peer, "bundle_unchanged", sha256=sha256(NEW))
        self.assertTrue(ack["success"])
        yield self.patched(peer, NEW, NEWEST)
        self.assertEqual(self.target.read_bytes(), NEWEST)

    @inlineCallbacks
    def test_what_can_not_be_applied_is_asked_for_whole(self) -> Any:
        _, screen, peer = yield self.joined("--patch")
        self.assertEqual((yield self.wanted(peer, OLD, NEW)), "base")
        yield self.taken(peer, OLD)
        self.assertEqual((yield self.wanted(peer, NEW, NEWEST)), "base")
        self.assertEqual((yield self.wanted(peer, OLD, NEW, sha256="0" * 64)), "sha256")
        self.assertEqual((yield self.wanted(peer, OLD, NEW, edits=5)), "malformed")
        self.assertEqual(self.target.read_bytes(), OLD)
        self.assertIn("a patch can't be applied (sha256); asking for", screen.err.getvalue())
        kinds = [message["type"] for message in peer.messages]
        self.assertEqual(kinds.count("bundle_ack"), 1)
        yield self.taken(peer, NEW)
        yield self.patched(peer, NEW, NEWEST)
        self.assertEqual(self.target.read_bytes(), NEWEST)

    @inlineCallbacks
    def test_a_bundle_that_is_left_for_a_patch(self) -> Any:
        _, screen, peer = yield self.joined("--patch")
        yield self.taken(peer, OLD)
        peer.say("bundle_start", totalChunks=2, totalSize=10)
        peer.say("bundle_chunk", index=0, totalChunks=2, data="let x")
        yield self.patched(peer, OLD, NEW)
        self.assertIn("a patch comes before the last bundle was whole", screen.err.getvalue())
        self.assertEqual(self.target.read_bytes(), NEW)

    @inlineCallbacks
    def test_what_could_not_be_written_is_no_base(self) -> Any:
        _, screen, peer = yield self.joined("--patch")
        yield self.taken(peer, OLD)
        self.target.unlink()
        self.target.mkdir()
        ack = yield self.patched(peer, OLD, NEW)
        self.assertFalse(ack["success"])
        self.assertIn("could not write the file", screen.err.getvalue())
        self.assertEqual((yield self.wanted(peer, NEW, NEWEST)), "base")

    @inlineCallbacks
    def test_with_once(self) -> Any:
        self.target.write_bytes(OLD)
        join, _, peer = yield self.joined("--patch", "--once", "--have", str(self.target))
        yield self.patched(peer, OLD, NEW)
        self.assertEqual((yield join.done), Exit.DONE)

    @inlineCallbacks
    def test_to_who_did_not_ask_they_mean_nothing(self) -> Any:
        _, _, peer = yield self.joined()
        self.assertNotIn("patch", peer.query)
        yield self.taken(peer, OLD)
        message = patch(OLD, NEW)
        del message["type"], message["timestamp"]
        peer.say("bundle_patch", **message)
        yield self.taken(peer, NEWEST)
        self.assertEqual([message["type"] for message in peer.messages], ["bundle_ack"] * 2)

    def test_arguments(self) -> None:
        for more in (["--announce"], ["--managed", "relay://key"]):
            error = self.assertRaises(UsageError, self.begin, "join", "--patch", *more)
            self.assertIn("--patch can't go with --announce or --managed", str(error))
        error = self.assertRaises(UsageError, self.begin, "join", "--patch", "--have", "a" * 64)
        self.assertIn("a FILE that has the code", str(error))
