"""`fetch` over real sockets, in this process and as a process of its own."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks

from apptuner_relay.client import download as download_module
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.policy import Patience
from apptuner_relay.support import zstd_library

from .bundle_server import dcz, sha256, zstd
from .little_relay import RelayTestCase
from .test_download import CODE, NEWER
from .test_main import ProgramTestCase

BEFORE = random.Random(7).randbytes(60_000).hex().encode()
AFTER = BEFORE[:50_000] + b"log();" + BEFORE[50_000:]


class FetchTests(RelayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = self.relay.server
        self.here = Path(self.mktemp())
        self.here.mkdir()
        self.target = self.here / "got.js"
        self.patch(download_module, "RESUMING", Patience(10, 0, 0, forgiving=True))

    @inlineCallbacks
    def fetch(self, code: Exit, *arguments: str, quiet: bool = False) -> Any:
        fetch, screen = self.begin("fetch", "--output", str(self.target), *arguments, quiet=quiet)
        self.assertEqual((yield fetch.done), code, screen.err.getvalue())
        return screen

    def assertHere(self, *names: str) -> None:
        self.assertEqual(sorted(path.name for path in self.here.iterdir()), sorted(names))

    @inlineCallbacks
    def test_the_last_bundle(self) -> Any:
        self.server.put(CODE)
        screen = yield self.fetch(Exit.DONE)
        self.assertEqual(self.target.read_bytes(), CODE)
        self.assertEqual(
            screen.out.getvalue(),
            f"{len(CODE)} bytes  sha256 {sha256(CODE)}  {os.path.realpath(self.target)}\n",
        )
        self.assertEqual(screen.err.getvalue(), "")
        self.assertEqual(self.server.requests[0].path, "/bundles/ABC234")
        self.assertRegex(self.server.requests[0].fields["user-agent"], "^apptuner-relay/")

    @inlineCallbacks
    def test_quiet(self) -> Any:
        self.server.put(CODE)
        screen = yield self.fetch(Exit.DONE, quiet=True)
        self.assertEqual(screen.out.getvalue() + screen.err.getvalue(), "")

    @inlineCallbacks
    def test_that_very_bundle_or_none(self) -> Any:
        path = self.server.put(CODE)
        yield self.fetch(Exit.DONE, "--sha256", sha256(CODE).upper())
        self.assertEqual(self.server.requests[0].path, path)
        self.server.put(NEWER)
        screen = yield self.fetch(Exit.NO_BUNDLE, "--sha256", sha256(CODE))
        self.assertIn("HTTP 404: no such bundle is kept", screen.err.getvalue())
        self.assertEqual(self.target.read_bytes(), CODE)
        self.assertHere("got.js")

    @inlineCallbacks
    def test_only_when_it_changed(self) -> Any:
        self.server.put(CODE)
        have = ["--have", str(self.target)]
        yield self.fetch(Exit.DONE, *have)
        inode = self.target.stat().st_ino
        screen = yield self.fetch(Exit.DONE, *have)
        self.assertEqual(screen.out.getvalue(), f"unchanged  sha256 {sha256(CODE)}\n")
        self.assertEqual(self.target.stat().st_ino, inode)
        self.server.put(NEWER)
        yield self.fetch(Exit.DONE, *have)
        self.assertEqual(self.target.read_bytes(), NEWER)

    @inlineCallbacks
    def test_a_cut_and_another_run(self) -> Any:
        self.server.put(CODE)
        self.server.cut(1000)
        screen = yield self.fetch(Exit.NO_CONNECTION)
        self.assertIn("what came of it stays in got.js.part", screen.err.getvalue())
        self.assertHere("got.js.part", "got.js.part.json")
        self.server.cut(500)
        yield self.fetch(Exit.DONE, "--resume")
        ranges = [request.fields.get("range") for request in self.server.requests]
        self.assertEqual(ranges, [None, "bytes=1000-", "bytes=1500-"])
        self.assertEqual(self.target.read_bytes(), CODE)
        self.assertHere("got.js")

    @inlineCallbacks
    def test_damaged(self) -> Any:
        self.server.put(CODE)
        self.target.write_bytes(b"before")
        self.server.alter(ETag=f'"{sha256(NEWER)}"')
        screen = yield self.fetch(Exit.FAILED)
        self.assertIn("what came is damaged", screen.err.getvalue())
        self.assertEqual(self.target.read_bytes(), b"before")

    @inlineCallbacks
    def test_a_refusal_is_made_safe_to_print(self) -> Any:
        self.server.refuse(403, "\x1b[2J")
        screen = yield self.fetch(Exit.FAILED)
        self.assertIn("HTTP 403: \\x1b[2J", screen.err.getvalue())

    @inlineCallbacks
    def test_interrupted(self) -> Any:
        self.server.put(CODE)
        self.server.twists.append(lambda answer: replace(answer, cut=1000, hangs=True))
        fetch, _ = self.begin("fetch", "--output", str(self.target))
        part = self.here / "got.js.part"
        while not part.exists() or not part.stat().st_size:
            turned: Deferred[None] = Deferred()
            reactor.callLater(0, turned.callback, None)
            yield turned
        fetch.leave(Exit.INTERRUPTED)
        fetch.leave(Exit.TERMINATED)
        self.assertEqual((yield fetch.done), Exit.INTERRUPTED)
        self.assertHere("got.js.part", "got.js.part.json")

    def test_what_can_not_be_done(self) -> None:
        for arguments, words in (
            (["--output", str(self.here)], "is not a regular file"),
            (["--have", str(self.here / "none")], "neither a SHA-256"),
            (["--relay", "ws://" + "x" * 70], "--relay: "),
        ):
            error = self.assertRaises(UsageError, self.begin, "fetch", *arguments)
            self.assertIn(words, str(error))

    def test_not_on_a_terminal_unasked(self) -> None:
        from apptuner_relay.client.screen import Screen

        self.patch(Screen, "out_is_terminal", True)
        error = self.assertRaises(UsageError, self.begin, "fetch")
        self.assertIn("--output FILE, or --output -", str(error))


class DictionaryTests(RelayTestCase):
    """What has changed of code that is here."""

    skip = None if zstd is not None else "needs backports.zstd: the extra delta"

    def setUp(self) -> None:
        super().setUp()
        self.server = self.relay.server
        here = Path(self.mktemp())
        here.mkdir()
        self.target, self.base = here / "got.js", here / "before.js"
        self.base.write_bytes(BEFORE)
        self.server.bases.append(BEFORE)
        self.server.put(AFTER)
        self.patch(download_module, "RESUMING", Patience(10, 0, 0, forgiving=True))

    @inlineCallbacks
    def fetch(self, code: Exit, *arguments: str) -> Any:
        options = ("--output", str(self.target), *(arguments or ("--have", str(self.base))))
        fetch, screen = self.begin("fetch", *options)
        self.assertEqual((yield fetch.done), code, screen.err.getvalue())
        return screen

    @inlineCallbacks
    def test_only_what_has_changed_comes(self) -> Any:
        screen = yield self.fetch(Exit.DONE)
        self.assertEqual(self.target.read_bytes(), AFTER)
        wire = len(dcz(AFTER, BEFORE))
        self.assertLess(wire, 1000)
        self.assertIn(f"sha256 {sha256(AFTER)}  {wire} bytes on the wire", screen.out.getvalue())
        self.assertEqual(self.server.requests[0].fields["accept-encoding"], "dcz, zstd, gzip")

    @inlineCallbacks
    def test_in_the_place_of_what_was_there(self) -> Any:
        self.target.write_bytes(BEFORE)
        yield self.fetch(Exit.DONE, "--have", str(self.target))
        self.assertEqual(self.target.read_bytes(), AFTER)

    @inlineCallbacks
    def test_the_relay_knows_no_such_code(self) -> Any:
        self.server.bases.clear()
        screen = yield self.fetch(Exit.DONE)
        self.assertEqual(self.target.read_bytes(), AFTER)
        self.assertRegex(screen.out.getvalue(), r"  \d{5,} bytes on the wire")

    @inlineCallbacks
    def test_the_code_that_is_here(self) -> Any:
        self.server.put(BEFORE)
        screen = yield self.fetch(Exit.DONE)
        self.assertEqual(screen.out.getvalue(), f"unchanged  sha256 {sha256(BEFORE)}\n")

    @inlineCallbacks
    def test_a_hash_is_no_dictionary(self) -> Any:
        yield self.fetch(Exit.DONE, "--have", sha256(BEFORE))
        self.assertNotIn("available-dictionary", self.server.requests[0].fields)

    @inlineCallbacks
    def test_one_that_ends_early_is_an_error(self) -> Any:
        for short in (10, 45, len(dcz(AFTER, BEFORE)) - 1):
            self.server.twists.append(lambda answer, n=short: replace(answer, body=answer.body[:n]))
            screen = yield self.fetch(Exit.FAILED)
            self.assertIn("what came is damaged", screen.err.getvalue())
            self.assertFalse(self.target.exists())

    @inlineCallbacks
    def test_one_for_other_code_is_an_error(self) -> Any:
        for other in (dcz(AFTER, AFTER), b"x" * 100, dcz(AFTER, BEFORE) + b"x"):
            self.server.twists.append(lambda answer, body=other: replace(answer, body=body))
            screen = yield self.fetch(Exit.FAILED)
            self.assertIn("what came is damaged", screen.err.getvalue())
        wrong = dcz(AFTER, bytes(reversed(BEFORE)))[40:]
        self.server.twists.append(
            lambda answer: replace(answer, body=answer.body[:40] + wrong),
        )
        screen = yield self.fetch(Exit.FAILED)
        self.assertIn("what came is damaged", screen.err.getvalue())
        self.assertFalse(self.target.exists())

    @inlineCallbacks
    def test_after_a_cut_it_is_asked_for_again(self) -> Any:
        self.server.cut(50)
        yield self.fetch(Exit.DONE, "--have", str(self.base), "--resume")
        asked = [request.fields for request in self.server.requests]
        self.assertEqual([one["accept-encoding"] for one in asked], ["dcz, zstd, gzip"] * 2)
        self.assertNotIn("range", asked[1])
        self.assertEqual(self.target.read_bytes(), AFTER)

    @inlineCallbacks
    def test_without_the_library(self) -> Any:
        self.patch(zstd_library, "is_installed", lambda: False)
        screen = yield self.fetch(Exit.DONE)
        self.assertIn("backports.zstd is not installed", screen.err.getvalue())
        self.assertNotIn("available-dictionary", self.server.requests[0].fields)
        self.assertEqual(self.target.read_bytes(), AFTER)


class StandardOutputTests(ProgramTestCase):
    @inlineCallbacks
    def test_a_pipe(self) -> Any:
        self.relay.server.put(CODE, "A")
        for arguments in ([], ["--output", "-"], ["--quiet"]):
            child = self.run_program("fetch", "--session", "A", *arguments)
            self.assertEqual((yield child.done), Exit.DONE, child.err)
            self.assertEqual(child.out, CODE)
            said = f"{len(CODE)} bytes  sha256 {sha256(CODE)}\n".encode()
            self.assertEqual(child.err, b"" if "--quiet" in arguments else said)

    @inlineCallbacks
    def test_nothing_comes_out_before_it_is_checked(self) -> Any:
        self.relay.server.put(CODE, "A")
        self.relay.server.alter(ETag=f'"{sha256(NEWER)}"')
        child = self.run_program("fetch", "--session", "A")
        self.assertEqual((yield child.done), Exit.FAILED)
        self.assertEqual(child.out, b"")
        self.assertIn(b"damaged", child.err)

    @inlineCallbacks
    def test_unchanged(self) -> Any:
        self.relay.server.put(CODE, "A")
        child = self.run_program("fetch", "--session", "A", "--have", sha256(CODE))
        self.assertEqual((yield child.done), Exit.DONE)
        self.assertEqual(child.out, b"")
        self.assertIn(b"unchanged", child.err)

    @inlineCallbacks
    def test_a_pipe_that_nobody_reads(self) -> Any:
        self.relay.server.put(CODE, "A")
        self.relay.server.twists.append(lambda answer: self.closed(child, answer))
        child = self.run_program("fetch", "--session", "A")
        self.assertEqual((yield child.done), Exit.DONE, child.err)
        self.assertNoTraceback(child)

    def closed(self, child: Any, answer: Any) -> Any:
        child.transport.closeStdout()
        return answer

    @inlineCallbacks
    def test_a_reader_that_stops_does_not_keep_it_from_ending(self) -> Any:
        self.relay.server.put(CODE, "A")
        child = self.run_program("fetch", "--session", "A")
        child.transport.pipes[1].pauseProducing()
        yield child.says(b"sha256")
        child.transport.signalProcess("TERM")
        child.transport.pipes[1].resumeProducing()
        self.assertEqual((yield child.done), Exit.TERMINATED)
        self.assertNoTraceback(child)

    @inlineCallbacks
    def test_a_file(self) -> Any:
        self.relay.server.put(CODE, "A")
        path = self.mktemp()
        script = (
            "import os, sys\n"
            f"os.dup2(os.open({path!r}, os.O_WRONLY | os.O_CREAT), 1)\n"
            "from apptuner_relay.client.main import main\nsys.exit(main())"
        )
        child = self.run_program("fetch", "--session", "A", script=script)
        self.assertEqual((yield child.done), Exit.DONE, child.err)
        self.assertEqual(Path(path).read_bytes(), CODE)

    @inlineCallbacks
    def test_a_disk_that_is_full(self) -> Any:
        self.relay.server.put(CODE, "A")
        script = (
            "import os, sys\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1)\n"
            "from apptuner_relay.client.main import main\nsys.exit(main())"
        )
        child = self.run_program("fetch", "--session", "A", script=script)
        self.assertEqual((yield child.done), Exit.FAILED)
        self.assertIn(b"could not write the file: No space left", child.err)
        self.assertNoTraceback(child)

    @inlineCallbacks
    def test_a_kill_in_mid_download_and_another_run(self) -> Any:
        target = Path(self.mktemp())
        part = target.with_name(f"{target.name}.part")
        self.relay.server.put(CODE, "A")
        self.relay.server.twists.append(lambda answer: replace(answer, cut=1000, hangs=True))
        arguments = ["fetch", "--session", "A", "--output", str(target), "--resume"]
        child = self.run_program(*arguments)
        while not part.exists() or part.stat().st_size < 1000:
            turned: Deferred[None] = Deferred()
            reactor.callLater(0, turned.callback, None)
            yield turned
        child.transport.signalProcess("KILL")
        yield child.done
        child = self.run_program(*arguments)
        self.assertEqual((yield child.done), Exit.DONE, child.err)
        self.assertEqual(target.read_bytes(), CODE)
        self.assertEqual(self.relay.server.requests[1].fields["range"], "bytes=1000-")
        self.assertFalse(part.exists())
