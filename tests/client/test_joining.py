"""`apptuner_relay.client.joining`: bundles that are announced, downloads, and code that is here
already."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks

from apptuner_relay.client import download as download_module
from apptuner_relay.client import join as join_module
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.policy import Patience

from .bundle_server import Answer, sha256
from .cases import MemberCommandCase, now
from .little_relay import Peer
from .test_download import CODE, NEWER


class JoiningTestCase(MemberCommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(join_module, "PATIENCE", now())
        self.patch(download_module, "RESUMING", Patience(10, 0, 0, forgiving=True))
        self.server = self.relay.server
        self.target = self.here / "got.js"

    @inlineCallbacks
    def joined(self, *arguments: str) -> Any:
        opened = self.relay.once("open")
        join, screen = self.begin(
            "join", "--device-id", "ann", "--output", str(self.target), *arguments
        )
        peer = yield opened
        return join, screen, peer

    @inlineCallbacks
    def acked(self, peer: Peer, kind: str, **body: Any) -> Any:
        """Send a message and have the acknowledgement that it leads to."""
        acked = self.relay.once("bundle_ack")
        peer.say(kind, **body)
        yield acked
        ack = peer.messages[-1]
        self.assertEqual((ack["type"], ack["deviceId"]), ("bundle_ack", "ann"))
        return ack

    def hang(self, after: int = 1000) -> None:
        """Let the next download stop in its middle, and its connection stay."""
        self.server.twists.append(lambda answer: replace(answer, cut=after, hangs=True))

    @inlineCallbacks
    def until_part(self) -> Any:
        """Wait until something of a download is in its file."""
        part = self.here / "got.js.part"
        while not part.exists() or not part.stat().st_size:
            turned: Deferred[None] = Deferred()
            reactor.callLater(0, turned.callback, None)
            yield turned

    def names(self) -> list[str]:
        return sorted(path.name for path in self.here.iterdir())


class AnnounceTests(JoiningTestCase):
    @inlineCallbacks
    def test_what_is_announced_is_downloaded(self) -> Any:
        join, screen, peer = yield self.joined("--announce", "--once")
        self.assertEqual(peer.query["announce"], "1")
        ack = yield self.acked(peer, "bundle_available", **self.server.say(CODE))
        self.assertTrue(ack["success"])
        self.assertEqual((yield join.done), Exit.DONE)
        self.assertEqual(self.target.read_bytes(), CODE)
        self.assertIn(f"{len(CODE)} bytes  sha256 {sha256(CODE)}", screen.out.getvalue())

    @inlineCallbacks
    def test_at_an_address_of_its_own(self) -> Any:
        _, _, peer = yield self.joined("--announce")
        said = self.server.say(CODE)
        said["url"] = f"http://127.0.0.1:{self.relay.address.port}{said['url']}"
        ack = yield self.acked(peer, "bundle_available", **said)
        self.assertTrue(ack["success"])

    @inlineCallbacks
    def test_announcements_that_make_no_sense(self) -> Any:
        _, screen, peer = yield self.joined("--announce")
        good = self.server.say(CODE)
        for change, words in (
            ({"url": None}, "lacks its url"),
            ({"sha256": sha256(CODE).upper()}, "lacks its"),
            ({"size": -1}, "lacks its"),
            ({"size": True}, "lacks its"),
            ({"size": "5"}, "lacks its"),
            ({"url": "file:///etc/passwd"}, "a URL that can't be used: it is neither"),
            ({"url": "http://a:b@127.0.0.1/"}, "user name"),
        ):
            ack = yield self.acked(peer, "bundle_available", **{**good, **change})
            self.assertFalse(ack["success"])
            self.assertIn(words, ack["error"])
            self.assertIn(words, screen.err.getvalue())
        self.assertEqual(self.server.requests, [])

    @inlineCallbacks
    def test_a_download_that_fails(self) -> Any:
        _, screen, peer = yield self.joined("--announce")
        self.target.write_bytes(b"before")
        said = self.server.say(CODE)
        self.server.put(NEWER)
        ack = yield self.acked(peer, "bundle_available", **said)
        self.assertEqual(ack["error"], "the server answered with HTTP 404: no such bundle is kept")
        self.server.refuse(500)
        ack = yield self.acked(peer, "bundle_available", **self.server.say(CODE))
        self.assertIn("HTTP 500", ack["error"])
        self.server.cut(1000)
        ack = yield self.acked(peer, "bundle_available", **self.server.say(CODE))
        self.assertIn("the connection was lost", ack["error"])
        self.server.twists.append(lambda answer: replace(answer, body=NEWER, fields={}))
        ack = yield self.acked(peer, "bundle_available", **self.server.say(CODE))
        self.assertIn("its sha256 is", ack["error"])
        self.assertIn("bundle failed: what came is damaged", screen.err.getvalue())
        self.assertEqual(self.target.read_bytes(), b"before")
        self.assertEqual(self.names(), ["got.js"])
        ack = yield self.acked(peer, "bundle_available", **self.server.say(CODE))
        self.assertTrue(ack["success"])

    @inlineCallbacks
    def test_failure_with_once(self) -> Any:
        join, _, peer = yield self.joined("--announce", "--once")
        said = self.server.say(CODE)
        self.server.latest.clear()
        peer.say("bundle_available", **said)
        self.assertEqual((yield join.done), Exit.FAILED)

    @inlineCallbacks
    def test_a_newer_one_supersedes(self) -> Any:
        for resume in ([], ["--resume"]):
            join, screen, peer = yield self.joined("--announce", *resume)
            self.hang()
            peer.say("bundle_available", **self.server.say(CODE))
            yield self.until_part()
            ack = yield self.acked(peer, "bundle_available", **self.server.say(NEWER))
            self.assertTrue(ack["success"])
            self.assertEqual([m["type"] for m in peer.messages], ["bundle_ack"])
            self.assertEqual(self.target.read_bytes(), NEWER)
            self.assertIn("a newer bundle is there", screen.err.getvalue())
            self.assertEqual(self.names(), ["got.js"])
            join.leave(Exit.DONE)
            yield join.done

    @inlineCallbacks
    def test_one_that_waits_is_superseded_too(self) -> Any:
        _, _, peer = yield self.joined("--announce")
        acked = self.relay.once("bundle_ack")
        for code in (CODE, b"let b", b"let c", NEWER):
            peer.say("bundle_available", **self.server.say(code))
        yield acked
        self.assertEqual(self.target.read_bytes(), NEWER)
        self.assertEqual(self.server.requests[-1].path.split("/")[-1], sha256(NEWER))

    @inlineCallbacks
    def test_the_same_again_is_no_news(self) -> Any:
        _, _, peer = yield self.joined("--announce")
        said = self.server.say(CODE)
        acked = self.relay.once("bundle_ack")
        peer.say("bundle_available", **said)
        peer.say("bundle_available", **said)
        yield acked
        self.assertEqual(len(self.server.requests), 1)
        ack = yield self.acked(peer, "bundle_available", **said)
        self.assertTrue(ack["success"])
        self.assertEqual(len(self.server.requests), 1)

    @inlineCallbacks
    def test_a_bundle_over_the_connection_supersedes(self) -> Any:
        _, _, peer = yield self.joined("--announce")
        self.hang()
        peer.say("bundle_available", **self.server.say(CODE))
        yield self.until_part()
        ack = yield self.acked(peer, "bundle_update", payload={"code": "direct"})
        self.assertTrue(ack["success"])
        self.assertEqual(self.target.read_bytes(), b"direct")
        self.assertEqual(self.names(), ["got.js"])

    @inlineCallbacks
    def test_to_who_did_not_ask_they_mean_nothing(self) -> Any:
        _, _, peer = yield self.joined()
        self.assertEqual(set(peer.query), {"deviceId", "name"})
        peer.say("bundle_available", **self.server.say(CODE))
        yield self.acked(peer, "bundle_update", payload={"code": "x"})
        self.assertEqual((len(peer.messages), self.server.requests), (1, []))

    @inlineCallbacks
    def test_leaving_in_mid_download(self) -> Any:
        for resume, names in (([], []), (["--resume"], ["got.js.part", "got.js.part.json"])):
            join, _, peer = yield self.joined("--announce", *resume)
            self.hang()
            peer.say("bundle_available", **self.server.say(CODE))
            yield self.until_part()
            join.leave(Exit.INTERRUPTED)
            self.assertEqual((yield join.done), Exit.INTERRUPTED)
            self.assertEqual(self.names(), names)
            self.assertEqual(peer.messages, [])

    def test_resume_needs_announce(self) -> None:
        error = self.assertRaises(UsageError, self.begin, "join", "--resume")
        self.assertIn("--resume goes with --announce", str(error))


class ResumeTests(JoiningTestCase):
    @inlineCallbacks
    def test_a_cut(self) -> Any:
        _, screen, peer = yield self.joined("--announce", "--resume")
        self.server.cut(1000, 5)
        ack = yield self.acked(peer, "bundle_available", **self.server.say(CODE))
        self.assertTrue(ack["success"])
        self.assertEqual(self.server.requests[-1].fields["range"], "bytes=1005-")
        self.assertEqual(self.target.read_bytes(), CODE)
        self.assertIn("going on at byte 1,005", screen.err.getvalue())

    @inlineCallbacks
    def test_without_a_file(self) -> Any:
        opened = self.relay.once("open")
        self.begin("join", "--device-id", "ann", "--announce", "--resume")
        peer = yield opened
        self.server.cut(1000)
        ack = yield self.acked(peer, "bundle_available", **self.server.say(CODE))
        self.assertTrue(ack["success"])
        self.assertEqual(self.server.requests[-1].fields["range"], "bytes=1000-")

    @inlineCallbacks
    def test_a_part_of_an_earlier_run(self) -> Any:
        join, _, peer = yield self.joined("--announce", "--resume")
        self.hang()
        peer.say("bundle_available", **self.server.say(CODE))
        yield self.until_part()
        join.leave(Exit.INTERRUPTED)
        yield join.done
        _, _, peer = yield self.joined("--announce", "--resume")
        ack = yield self.acked(peer, "bundle_available", **self.server.say(CODE))
        self.assertTrue(ack["success"])
        self.assertEqual(self.server.requests[-1].fields["range"], "bytes=1000-")
        self.assertEqual(self.names(), ["got.js"])

    @inlineCallbacks
    def test_the_connection_is_lost_meanwhile(self) -> Any:
        join, _, peer = yield self.joined("--announce", "--once")
        gate: Deferred[None] = Deferred()
        self.relay.on("request", lambda http: gate.addCallback(self.finish, http))
        self.server.twists.append(self.withheld)
        peer.say("bundle_available", **self.server.say(CODE))
        yield self.relay.once("request")
        opened, acked = self.relay.once("open"), self.relay.once("bundle_ack")
        peer.transport.abortConnection()
        peer = yield opened
        # Said again to who joins again: it is under way already.
        peer.say("bundle_available", **self.server.say(CODE))
        gate.callback(None)
        yield acked
        self.assertTrue(peer.messages[-1]["success"])
        self.assertEqual((yield join.done), Exit.DONE)
        self.assertEqual(self.target.read_bytes(), CODE)
        self.assertEqual(len(self.server.requests), 1)

    @inlineCallbacks
    def test_it_ends_while_there_is_no_connection(self) -> Any:
        self.patch(join_module, "PATIENCE", Patience(10, 0.05, 0.05, forgiving=True))
        join, screen, peer = yield self.joined("--announce", "--once")
        gate: Deferred[None] = Deferred()
        self.relay.on("request", lambda http: gate.addCallback(self.finish, http))
        self.server.twists.append(self.withheld)
        peer.say("bundle_available", **self.server.say(CODE))
        yield self.relay.once("request")
        self.relay.welcomes = False  # A connection that is not good yet.
        opened = self.relay.once("open")
        peer.transport.abortConnection()
        peer = yield opened
        gate.callback(None)
        while "sha256" not in screen.out.getvalue():
            turned: Deferred[None] = Deferred()
            reactor.callLater(0, turned.callback, None)
            yield turned
        self.assertFalse(join.done.called)
        self.assertEqual(peer.messages, [])
        peer.say("connected", sessionId="0" * 64, clientType="mobile")
        self.assertEqual((yield join.done), Exit.DONE)
        self.assertTrue(peer.messages[-1]["success"])

    @inlineCallbacks
    def test_the_connection_is_lost_for_good_meanwhile(self) -> Any:
        join, _, peer = yield self.joined("--announce", "--resume")
        self.hang()
        peer.say("bundle_available", **self.server.say(CODE))
        yield self.until_part()
        peer.sendCloseFrame(1008, b"no more")
        self.assertEqual((yield join.done), Exit.NO_CONNECTION)
        self.assertEqual(self.names(), ["got.js.part", "got.js.part.json"])

    def withheld(self, answer: Answer) -> Answer:
        """Send the head only; `finish` sends the body."""
        self.body = answer.body
        return replace(answer, cut=0, hangs=True)

    def finish(self, _: None, http: Any) -> None:
        http.transport.write(self.body)
        http.transport.loseConnection()


class HaveTests(JoiningTestCase):
    @inlineCallbacks
    def test_what_is_said(self) -> Any:
        self.target.write_bytes(CODE)
        _, _, peer = yield self.joined("--replay", "--have", str(self.target))
        self.assertEqual((peer.query["replay"], peer.query["have"]), ("1", sha256(CODE)))
        self.assertNotIn("announce", peer.query)

    @inlineCallbacks
    def test_unchanged(self) -> Any:
        join, screen, peer = yield self.joined("--have", sha256(CODE), "--once")
        ack = yield self.acked(peer, "bundle_unchanged", sha256=sha256(CODE))
        self.assertTrue(ack["success"])
        self.assertEqual((yield join.done), Exit.DONE)
        self.assertEqual(screen.out.getvalue(), f"unchanged  sha256 {sha256(CODE)}\n")
        self.assertEqual(self.names(), [])

    @inlineCallbacks
    def test_unchanged_is_not_believed_of_what_is_not_here(self) -> Any:
        _, screen, peer = yield self.joined("--have", sha256(CODE))
        for digest in (sha256(NEWER), None):
            ack = yield self.acked(peer, "bundle_unchanged", sha256=digest)
            self.assertEqual(ack["success"], False)
        self.assertIn("of code that is not here", screen.err.getvalue())

    @inlineCallbacks
    def test_who_comes_again_says_what_it_got(self) -> Any:
        _, _, peer = yield self.joined("--announce", "--have", sha256(NEWER))
        self.assertEqual(peer.query["have"], sha256(NEWER))
        for code, send in (
            (b"direct", ("bundle_update", {"payload": {"code": "direct"}})),
            (CODE, ("bundle_available", self.server.say(CODE))),
        ):
            yield self.acked(peer, send[0], **send[1])
            opened = self.relay.once("open")
            peer.transport.abortConnection()
            peer = yield opened
            self.assertEqual(peer.query["have"], sha256(code))
            ack = yield self.acked(peer, "bundle_unchanged", sha256=sha256(code))
            self.assertTrue(ack["success"])

    @inlineCallbacks
    def test_what_failed_is_not_here(self) -> Any:
        _, _, peer = yield self.joined()
        yield self.acked(peer, "bundle_update", payload={"code": "\ud83d"})
        opened = self.relay.once("open")
        peer.transport.abortConnection()
        peer = yield opened
        self.assertNotIn("have", peer.query)

    @inlineCallbacks
    def test_a_push_that_nothing_changed_for_is_acknowledged(self) -> Any:
        yield self.joined("--have", sha256(b"let x"))
        # This relay knows of `have`, and does not pass on what the phone has.
        self.patch(Peer, "pass_on", self.saving)
        push, screen = self.begin("push", self.file("let x"))
        self.assertEqual((yield push.done), Exit.DONE)
        self.assertIn("acknowledged", screen.out.getvalue())

    @staticmethod
    def saving(peer: Peer, payload: bytes) -> None:
        if peer.role == "mobile" and payload.startswith(b'{"type":"bundle_update"'):
            payload = b'{"type":"bundle_unchanged","sha256":"%s"}' % sha256(b"let x").encode()
        if peer.state == peer.STATE_OPEN:
            peer.sendMessage(payload)
