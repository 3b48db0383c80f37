"""Downloads over real sockets: cut, changed, damaged, refused, and gone on with."""

from __future__ import annotations

import fcntl
import io
import json
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks
from twisted.internet.task import Clock

from apptuner_relay.client import download as download_module
from apptuner_relay.client import transfer
from apptuner_relay.client.download import Downloader, DownloadError, Fetched, Wanted
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.policy import Patience
from apptuner_relay.client.screen import Screen

from .bundle_server import ENCODERS, Answer, sha256
from .little_relay import Recorder, RelayTestCase

NOISE = random.Random(4)
CODE = b"".join(b"let a%d = %d;\n" % (n, NOISE.getrandbits(200)) for n in range(20_000))
NEWER = CODE.replace(b"let", b"var")


class DownloadTestCase(RelayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = self.relay.server
        self.here = Path(self.mktemp())
        self.here.mkdir()
        self.target = self.here / "got.js"
        self.part = self.here / "got.js.part"
        self.note = self.here / "got.js.part.json"
        self.screen = Recorder()

    def begin_download(self, **changes: Any) -> Deferred[Fetched]:
        wanted = {"url": self.relay.address.bundle_url("ABC234")}
        for name in ("url", "sha256", "size", "have"):
            if name in changes:
                wanted[name] = changes.pop(name)
        target = changes.pop("target", self.target)
        changes.setdefault("resume", True)
        changes.setdefault("patience", Patience(10, 0, 0, forgiving=True))
        downloader = Downloader(reactor, self.relay.address, self.screen, **changes)
        return downloader.start(Wanted(**wanted), target)

    @inlineCallbacks
    def fails(self, code: Exit, *words: str, **changes: Any) -> Any:
        error = yield self.assertFailure(self.begin_download(**changes), DownloadError)
        self.assertEqual(error.code, code)
        for word in words:
            self.assertIn(word, str(error))

    @inlineCallbacks
    def gets(self, code: bytes, **changes: Any) -> Any:
        changes.setdefault("keep", True)
        fetched = yield self.begin_download(**changes)
        self.assertEqual(fetched, Fetched(sha256(code), len(code)))
        self.assertEqual(self.target.read_bytes(), code)
        self.assertNothingLeft("got.js")

    def assertNothingLeft(self, *but: str) -> None:
        self.assertEqual(sorted(path.name for path in self.here.iterdir()), sorted(but))

    def assertSaid(self, *words: str) -> None:
        for word in words:
            self.assertIn(word, self.screen.err.getvalue())

    def turn(self) -> Deferred[None]:
        """Fires in the reactor's next turn."""
        turned: Deferred[None] = Deferred()
        reactor.callLater(0, turned.callback, None)
        return turned

    def asked(self, name: str) -> list[str | None]:
        return [request.fields.get(name) for request in self.server.requests]

    def etag(self, code: bytes, coding: str) -> str:
        return f'"{sha256(code)}"' if coding == "identity" else f'"{sha256(code)}-{coding}"'


class WholeTests(DownloadTestCase):
    @inlineCallbacks
    def test_in_every_coding(self) -> Any:
        self.server.put(CODE)
        for codings in (["zstd", "gzip"], ["gzip"], []):
            self.server.codings = codings
            self.target.write_bytes(b"before")
            yield self.gets(CODE)
        self.assertEqual(self.asked("accept-encoding"), ["zstd, gzip"] * 3)

    @inlineCallbacks
    def test_of_nothing(self) -> Any:
        self.server.put(b"")
        for codings in (["zstd"], []):
            self.server.codings = codings
            yield self.gets(b"")

    @inlineCallbacks
    def test_without_a_file(self) -> Any:
        self.server.put(CODE)
        fetched = yield self.begin_download(target=None)
        self.assertEqual(fetched, Fetched(sha256(CODE), len(CODE)))
        self.assertNothingLeft()

    @inlineCallbacks
    def test_into_an_open_file(self) -> Any:
        self.server.put(CODE)
        for codings in (["zstd"], []):
            self.server.codings = codings
            with (self.here / "spool").open("w+b") as spool:
                yield self.begin_download(target=spool)
                spool.seek(0)
                self.assertEqual(spool.read(), CODE)

    @inlineCallbacks
    def test_progress_on_a_terminal(self) -> Any:
        terminal = io.StringIO()
        terminal.isatty = lambda: True
        self.screen = Screen(io.StringIO(), terminal)
        self.patch(os, "environ", {**os.environ, "TERM": "xterm"})
        self.server.put(CODE)
        self.server.codings = []
        self.server.cut(1_000_000)
        yield self.begin_download()
        self.assertIn("receiving", terminal.getvalue())
        self.assertIn("1.0/1.5 MB", terminal.getvalue())

    @inlineCallbacks
    def test_without_a_length(self) -> Any:
        self.server.put(CODE)
        self.server.alter(Content_Length="", Transfer_Encoding="")
        yield self.gets(CODE)

    @inlineCallbacks
    def test_unchanged(self) -> Any:
        self.server.put(CODE)
        for codings in (["zstd"], ["gzip"], []):
            self.server.codings = codings
            fetched = yield self.begin_download(have=sha256(CODE), keep=True)
            self.assertEqual(fetched, Fetched(sha256(CODE), None, unchanged=True))
        self.server.twists.append(lambda answer: replace(self.server._honest(self.plain()), cut=10))
        fetched = yield self.begin_download(have=sha256(CODE))
        self.assertTrue(fetched.unchanged)
        self.assertNothingLeft()
        yield self.gets(CODE, have=sha256(NEWER))

    def plain(self) -> Any:
        """A request as from somebody who has nothing."""
        return replace(self.server.requests[-1], fields={})

    @inlineCallbacks
    def test_redirected(self) -> Any:
        path = self.server.put(CODE)
        moved = Answer(302, b"x" * 100_000, {"Location": path}, hangs=True)
        self.server.twists.append(lambda _: moved)
        yield self.gets(CODE)
        self.assertEqual(self.server.requests[1].path, path)
        self.server.twists += [lambda _: replace(moved, hangs=False)] * 10
        yield self.fails(Exit.FAILED, "redirects too often")

    @inlineCallbacks
    def test_redirected_to_where_nothing_is_encrypted(self) -> Any:
        web = transfer.Web(reactor, reactor, secure=True)
        failed = Deferred.fromCoroutine(web.get(f"http://127.0.0.1:{self.relay.address.port}/", {}))
        error = yield self.assertFailure(failed, transfer.TransferError)
        self.assertTrue(error.final)
        self.assertEqual(self.server.requests, [])


class WrongTests(DownloadTestCase):
    @inlineCallbacks
    def test_a_bundle_that_is_not_there(self) -> Any:
        yield self.fails(Exit.NO_BUNDLE, "HTTP 404: no such bundle is kept")
        self.server.refuse(410, "it was here")
        yield self.fails(Exit.NO_BUNDLE, "HTTP 410: it was here")
        self.assertNothingLeft()

    @inlineCallbacks
    def test_a_refusal(self) -> Any:
        self.server.refuse(403, "your session is \x1b[2Jclosed")
        yield self.fails(Exit.FAILED, "HTTP 403: your session is")
        self.server.twists.append(lambda _: Answer(400, b"<html>" * 100_000))
        yield self.fails(Exit.FAILED, "HTTP 400: Whatever")
        self.assertEqual(len(self.server.requests), 2)

    @inlineCallbacks
    def test_trouble_that_may_pass(self) -> Any:
        self.server.put(CODE)
        for status in (500, 503, 429):
            self.server.refuse(status)
        yield self.gets(CODE)
        self.assertSaid("HTTP 503: not today; going on at byte 0 in 0 s (2 of 10)")

    @inlineCallbacks
    def test_trouble_that_does_not_pass(self) -> Any:
        self.server.refuse(500)
        yield self.fails(Exit.FAILED, "HTTP 500", resume=False)
        self.assertEqual(len(self.server.requests), 1)
        for _ in range(3):
            self.server.refuse(500)
        yield self.fails(Exit.FAILED, "HTTP 500", patience=Patience(2, 0, 0, forgiving=True))
        self.assertEqual(len(self.server.requests), 4)

    @inlineCallbacks
    def test_a_sha256_that_is_a_lie(self) -> Any:
        self.target.write_bytes(b"before")
        self.server.put(CODE)
        for codings in (["zstd"], []):
            self.server.codings = codings
            self.server.alter(ETag=f'"{sha256(NEWER)}"')
            yield self.fails(Exit.FAILED, "damaged", sha256(CODE), sha256(NEWER), keep=True)
        self.assertEqual(self.target.read_bytes(), b"before")
        self.assertNothingLeft("got.js")

    @inlineCallbacks
    def test_another_bundle_than_was_announced(self) -> Any:
        self.server.put(CODE)
        yield self.fails(Exit.FAILED, "another bundle came", sha256=sha256(NEWER))
        self.server.alter(ETag="")
        yield self.fails(Exit.FAILED, "damaged: its sha256 is", sha256=sha256(NEWER))
        self.server.alter(ETag="")
        yield self.fails(Exit.FAILED, "damaged: it is longer than 5 bytes", size=5)
        yield self.fails(Exit.FAILED, "and should be 10,000,000", size=10_000_000)
        self.server.codings = []
        yield self.fails(Exit.FAILED, "and should be 5", size=5)
        self.assertNothingLeft()

    @inlineCallbacks
    def test_a_body_that_is_garbled(self) -> Any:
        self.server.put(CODE)
        for coding in ("zstd", "gzip"):
            self.server.codings = [coding]
            for body in (b"garbage", ENCODERS[coding](CODE)[:-100], ENCODERS[coding](NEWER)):
                self.server.twists.append(lambda answer, body=body: replace(answer, body=body))
                yield self.fails(Exit.FAILED, "damaged")
        self.assertNothingLeft()

    @inlineCallbacks
    def test_a_body_that_is_a_bomb(self) -> Any:
        self.patch(download_module, "MAX_BUNDLE_BYTES", 1_000_000)
        self.server.put(bytes(10_000_000))
        for coding in ("zstd", "gzip"):
            self.server.codings = [coding]
            yield self.fails(Exit.FAILED, "it is longer than 1,000,000 bytes")
        self.server.codings = []
        yield self.fails(Exit.FAILED, "10,000,000 bytes, which is too much")
        self.server.alter(Content_Length="")
        yield self.fails(Exit.FAILED, "more than 1,000,000 bytes came", keep=True)
        self.assertNothingLeft()

    @inlineCallbacks
    def test_a_coding_that_was_not_asked_for(self) -> Any:
        self.server.put(CODE)
        self.server.alter(Content_Encoding="br")
        yield self.fails(Exit.FAILED, "content coding that was not asked for")

    @inlineCallbacks
    def test_a_server_that_does_not_say_the_sha256(self) -> Any:
        self.server.put(CODE)
        self.server.alter(ETag='"v1"')
        yield self.gets(CODE)
        self.assertSaid("does not say which sha256")

    @inlineCallbacks
    def test_nobody_there(self) -> Any:
        yield self.relay.close()
        yield self.fails(Exit.NO_CONNECTION, "could not connect: ", "refused", resume=False)

    @inlineCallbacks
    def test_what_is_no_http(self) -> Any:
        relay, _ = self.listen_refusing(b"SSH-2.0-x\r\n\r\n")
        url = relay.bundle_url("A")
        yield self.fails(Exit.NO_CONNECTION, "the connection was lost", url=url, resume=False)

    @inlineCallbacks
    def test_a_file_that_can_not_be_written(self) -> Any:
        self.server.put(CODE)
        self.part.mkdir()
        yield self.fails(Exit.FAILED, "could not write the file: Is a directory")
        self.part.rmdir()
        self.part.symlink_to("elsewhere")
        yield self.fails(Exit.FAILED, "could not write the file")
        self.assertFalse((self.here / "elsewhere").exists())

    @inlineCallbacks
    def test_a_disk_that_is_full(self) -> Any:
        self.server.put(CODE)
        self.patch(download_module, "PartFile", FullPart)
        yield self.fails(Exit.FAILED, "could not write the file: No space left")
        self.assertNothingLeft()

    @inlineCallbacks
    def test_a_part_that_another_program_has(self) -> Any:
        self.server.put(CODE)
        self.part.write_bytes(b"other's")
        with self.part.open() as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            yield self.fails(Exit.FAILED, "another program downloads to got.js.part")
            self.assertEqual(self.part.read_bytes(), b"other's")
        yield self.gets(CODE)


class FullPart(download_module.PartFile):
    """A part on a disk with hardly any room."""

    def append(self, data: bytes) -> None:
        super().append(data[:10])
        raise OSError(28, "No space left on device")


class CutTests(DownloadTestCase):
    @inlineCallbacks
    def test_it_goes_on_where_it_stopped(self) -> Any:
        self.server.put(CODE)
        for codings in (["zstd"], ["gzip"], []):
            self.server.requests.clear()
            self.server.codings = codings
            self.server.cut(0, 1, 100_000, 0, 1)
            yield self.gets(CODE, sha256=sha256(CODE), size=len(CODE))
            spans = [None, None, "bytes=1-", "bytes=100001-", "bytes=100001-", "bytes=100002-"]
            self.assertEqual(self.asked("range"), spans)
            etag = self.etag(CODE, (codings or ["identity"])[0])
            self.assertEqual(self.asked("if-range"), [None, None, *[etag] * 4])
            self.assertEqual(self.asked("accept-encoding")[-1], (codings or ["identity"])[0])
        self.assertSaid("going on at byte 100,001 in 0 s (1 of 10)")

    @inlineCallbacks
    def test_progress_makes_tries_good_again_and_only_that(self) -> Any:
        self.server.put(CODE)
        self.server.cut(*[1] * 10)
        patience = Patience(2, 0, 0, forgiving=True)
        yield self.gets(CODE, patience=patience)
        self.server.cut(10, 0, 0, 0)
        yield self.fails(Exit.NO_CONNECTION, "the connection was lost", patience=patience)
        # Starting over again and again is none.
        for code in [CODE, NEWER] * 2:
            self.server.twists.append(
                lambda answer, code=code: Answer(200, code, {"ETag": f'"{sha256(code)}"'}, cut=10)
            )
        yield self.fails(Exit.NO_CONNECTION, patience=patience)
        self.assertNothingLeft("got.js")

    @inlineCallbacks
    def test_not_without_being_asked_to(self) -> Any:
        self.server.put(CODE)
        self.server.cut(1000)
        yield self.fails(Exit.NO_CONNECTION, "the connection was lost", resume=False)
        self.assertEqual(len(self.server.requests), 1)
        self.assertNothingLeft()

    @inlineCallbacks
    def test_the_bundle_changed_meanwhile(self) -> Any:
        self.server.put(CODE)
        self.server.cut(1000)
        self.relay.on("request", lambda _: self.server.put(NEWER))
        yield self.gets(NEWER)
        self.assertEqual(self.asked("range"), [None, "bytes=1000-"])
        self.assertSaid("something else by now; starting over")

    @inlineCallbacks
    def test_answers_that_do_not_fit_what_is_here(self) -> Any:
        self.server.put(CODE)
        self.server.codings = []
        for twist in (
            {"ETag": f'"{sha256(NEWER)}"'},
            {"Content_Range": f"bytes 999-{len(CODE) - 1}/{len(CODE)}"},
            {"Content_Range": f"bytes 1000-{len(CODE)}/{len(CODE) + 1}"},
            {"Content_Range": ""},
            {"Content_Range": "multipart"},
            {"Content_Encoding": "gzip"},
        ):
            self.server.requests.clear()
            self.server.cut(1000)
            self.server.alter(**twist)
            yield self.gets(CODE)
            self.assertEqual(self.asked("range"), [None, "bytes=1000-", None])
        self.server.cut(1000)
        self.server.refuse(416)
        yield self.gets(CODE)
        self.assertSaid("starting over")

    @inlineCallbacks
    def test_a_206_to_who_asked_for_no_range(self) -> Any:
        self.server.put(CODE)
        self.server.twists.append(lambda answer: replace(answer, status=206))
        yield self.fails(Exit.FAILED, "HTTP 206")

    @inlineCallbacks
    def test_a_rest_that_does_not_fit_is_found_out_and_all_is_fetched_again(self) -> Any:
        self.server.put(CODE)
        self.server.codings = []
        self.server.cut(1000)
        body = CODE[1000:].swapcase()
        self.server.twists.append(lambda answer: replace(answer, body=body))
        yield self.gets(CODE)
        self.assertSaid("what was put together is damaged")
        self.assertEqual(len(self.server.requests), 3)

    @inlineCallbacks
    def test_a_server_that_can_not_resume(self) -> Any:
        self.server.put(CODE)
        for etag in ("", f'W/"{sha256(CODE)}"'):
            self.server.requests.clear()
            self.server.twists.append(
                lambda answer, e=etag: replace(answer, fields=answer.fields | {"ETag": e}, cut=9)
            )
            yield self.gets(CODE)
            self.assertEqual(self.asked("range"), [None, None])
            self.assertEqual(self.asked("accept-encoding"), ["zstd, gzip", "identity"])

    @inlineCallbacks
    def test_silence(self) -> Any:
        self.server.put(CODE)
        clock = Clock()
        self.server.twists.append(lambda answer: replace(answer, cut=1000, hangs=True))
        done = self.begin_download(clock=clock, resume=False, keep=True)
        yield self.relay.once("request")
        while not self.part.exists() or self.part.stat().st_size < 1000:
            yield self.turn()
        clock.advance(transfer.STALL_SECONDS - 1)
        self.assertNoResult(done)
        clock.advance(1)
        error = yield self.assertFailure(done, DownloadError)
        self.assertEqual((error.code, str(error)), (3, "the server said nothing for 60 s"))
        self.assertEqual(clock.getDelayedCalls(), [])
        self.assertSaid("stays in got.js.part")

    @inlineCallbacks
    def test_silence_from_the_start(self) -> Any:
        clock = Clock()
        relay, factory = self.listen_refusing(b"", closes=False)
        done = self.begin_download(url=relay.bundle_url("A"), clock=clock, resume=False)
        while not factory.asked:
            yield self.turn()
        clock.advance(transfer.STALL_SECONDS)
        error = yield self.assertFailure(done, DownloadError)
        self.assertEqual(str(error), "the server said nothing for 60 s")
        self.assertEqual(clock.getDelayedCalls(), [])

    @inlineCallbacks
    def test_backoff(self) -> Any:
        clock = Clock()
        self.server.put(CODE)
        self.server.cut(0, 0, 0, 1000, 0)
        done = self.begin_download(clock=clock, patience=download_module.RESUMING)
        for delay, tries in ((1, 1), (2, 2), (4, 3), (1, 1), (2, 2)):
            while f"in {delay} s ({tries} of 10)" not in self.screen.err.getvalue():
                yield self.turn()
            self.screen.err.truncate(0)
            [call] = clock.getDelayedCalls()
            self.assertEqual(call.getTime() - clock.seconds(), delay)
            clock.advance(delay)
        yield done
        self.assertEqual(self.target.read_bytes(), CODE)


class EarlierRunTests(DownloadTestCase):
    @inlineCallbacks
    def leave(self, size: int, code: bytes = CODE) -> Any:
        """Have a run leave a part of this many bytes."""
        self.target.unlink(missing_ok=True)
        self.server.put(code)
        self.server.cut(size)
        yield self.fails(Exit.NO_CONNECTION, resume=False, keep=True)
        self.assertEqual(self.part.stat().st_size, size)
        self.assertNothingLeft("got.js.part", "got.js.part.json")
        self.server.requests.clear()

    @inlineCallbacks
    def test_a_part_that_was_left(self) -> Any:
        for codings in (["zstd"], ["gzip"], []):
            self.server.codings = codings
            yield self.leave(1000)
            # Another coding is preferred now: it goes on in the one that it has.
            self.server.codings = ["zstd", "gzip"]
            yield self.gets(CODE)
            self.assertEqual(self.asked("range"), ["bytes=1000-"])
        self.assertSaid("going on with the 1,000 bytes of an earlier run")

    @inlineCallbacks
    def test_it_is_not_gone_on_with_unasked(self) -> Any:
        yield self.leave(1000)
        yield self.gets(CODE, resume=False)
        self.assertEqual(self.asked("range"), [None])

    @inlineCallbacks
    def test_of_another_bundle(self) -> Any:
        yield self.leave(1000)
        self.server.put(NEWER)
        yield self.gets(NEWER)
        self.assertEqual(self.asked("range"), ["bytes=1000-"])

    @inlineCallbacks
    def test_that_was_damaged_since(self) -> Any:
        self.server.codings = []
        yield self.leave(1000)
        with self.part.open("r+b") as file:
            file.write(b"\0" * 500)
        yield self.gets(CODE)
        self.assertEqual(self.asked("range"), ["bytes=1000-", None])

    @inlineCallbacks
    def test_that_lacks_nothing(self) -> Any:
        for code in (CODE, NEWER):
            self.server.codings = ["gzip"]
            whole = ENCODERS["gzip"](CODE)
            yield self.leave(len(whole) - 1)
            with self.part.open("ab") as file:
                file.write(whole[-1:])
            self.server.put(code)
            yield self.gets(code)
            self.assertEqual(self.asked("range"), [None])
            self.assertIn(self.etag(CODE, "gzip"), self.asked("if-none-match")[0])

    @inlineCallbacks
    def test_that_is_what_need_not_be_sent(self) -> Any:
        yield self.leave(1000)
        fetched = yield self.begin_download(have=sha256(CODE))
        self.assertTrue(fetched.unchanged)
        self.assertNothingLeft()

    @inlineCallbacks
    def test_with_a_note_that_makes_no_sense(self) -> Any:
        good = {"etag": '"x"', "coding": "gzip", "length": 5000}
        for note in (
            b"", b"\xff", b"[]", b"[" * 4096, b"x" * 10_000,
            *(json.dumps({**good, **change}).encode() for change in (
                {"etag": None}, {"etag": 'W/"x"'}, {"etag": '"x"\r\nX: y'}, {"coding": "br"},
                {"coding": []}, {"length": "5"}, {"length": True}, {"length": 999},
            )),
        ):  # fmt: skip
            yield self.leave(1000)
            self.note.write_bytes(note)
            yield self.gets(CODE)
            self.assertEqual(self.asked("range"), [None])
        yield self.leave(1000)
        self.note.unlink()
        yield self.gets(CODE)
        self.assertEqual(self.asked("range"), [None])


class CancelTests(DownloadTestCase):
    @inlineCallbacks
    def test_in_the_middle(self) -> Any:
        self.server.put(CODE)
        self.target.write_bytes(b"before")
        for keep in (False, True):
            self.server.twists.append(lambda answer: replace(answer, cut=1000, hangs=True))
            done = self.begin_download(keep=keep)
            while not self.part.exists() or self.part.stat().st_size < 1000:
                yield self.turn()
            done.cancel()
            yield self.assertFailure(done, CancelledError)
            self.assertNothingLeft("got.js", *[self.part.name, self.note.name] * keep)
        self.assertEqual(self.target.read_bytes(), b"before")
        self.assertEqual(self.part.stat().st_size, 1000)

    @inlineCallbacks
    def test_while_it_is_decoded(self) -> Any:
        self.server.put(CODE)
        self.target.write_bytes(b"before")
        cancelled: list[Deferred[Fetched]] = []
        unpack = download_module.unpack

        def slow(*arguments: Any) -> Any:
            reactor.callFromThread(cancelled[0].cancel)
            return unpack(*arguments)

        self.patch(download_module, "unpack", slow)
        cancelled.append(self.begin_download())
        yield self.assertFailure(cancelled[0], CancelledError)
        self.assertEqual(self.target.read_bytes(), b"before")
        self.assertNothingLeft("got.js")

    @inlineCallbacks
    def test_before_anything_came(self) -> Any:
        relay, factory = self.listen_refusing(b"", closes=False)
        done = self.begin_download(url=relay.bundle_url("A"))
        while not factory.asked:
            yield self.turn()
        done.cancel()
        yield self.assertFailure(done, CancelledError)
        self.assertNothingLeft()

    @inlineCallbacks
    def test_between_two_tries(self) -> Any:
        self.server.put(CODE)
        self.server.cut(1000)
        clock = Clock()
        done = self.begin_download(clock=clock, patience=Patience(1, 9, 9, forgiving=True))
        while "going on" not in self.screen.err.getvalue():
            yield self.turn()
        done.cancel()
        yield self.assertFailure(done, CancelledError)
        self.assertEqual(clock.getDelayedCalls(), [])
