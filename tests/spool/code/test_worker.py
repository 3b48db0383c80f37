"""`apptuner_relay.spool.code.worker`: the real process, asked over its standard input."""

import errno
import gzip
import io
import json
import os
import resource
import sys
import threading
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import brotli
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from apptuner_relay.spool import bundle
from apptuner_relay.spool.code import content_codings as codings
from apptuner_relay.spool.code import worker
from apptuner_relay.spool.code.bundle_messages import bundle_start
from apptuner_relay.spool.code.content_codings import CODINGS, Encoder
from apptuner_relay.spool.code.extraction import Extraction
from apptuner_relay.spool.code.utf16_offsets import utf16_length
from apptuner_relay.spool.code.worker import MOST_MAKINGS, MOST_PATCHINGS
from tests.live.processes import Child, checkout_env, run, within_patience
from tests.spool.code.test_bundle_messages import joined
from tests.spool.wire_forms import CODE, chunks, message, sha256, stringified, update

LIMIT = 50 * 1024 * 1024
MOST_NICENESS = 19
"""Linux's limit, setpriority(2)."""


class Asked(Child):
    """A worker, and the answers that it gave."""

    def __init__(self) -> None:
        self._answers: dict[int, dict[str, Any]] = {}
        self._waiting: dict[int, Deferred[dict[str, Any]]] = {}
        argv = [sys.executable, "-m", "apptuner_relay.spool.code.worker"]
        super().__init__(argv, env=checkout_env(), on_line=self._answered)

    def ask(self, number: int, what: str, **more: object) -> None:
        self.write_line(json.dumps({"id": number, "do": what, **more}))

    def digest(self, number: int, path: Path) -> None:
        self.ask(number, "digest", path=str(path), limit=LIMIT)

    def make(self, number: int, path: Path, coding: str, output: Path) -> None:
        part = f"{output}.part"
        self.ask(
            number,
            "make",
            path=str(path),
            limit=LIMIT,
            coding=coding,
            is_code=False,
            part=part,
            output=str(output),
        )

    def patch(
        self, number: int, path: Path, base_sha256: object, message: str, name: str = "out.js"
    ) -> None:
        output = path.absolute().with_name(name)
        self.ask(
            number,
            "patch",
            path=str(path),
            base_sha256=base_sha256,
            message=message,
            limit=LIMIT,
            part=f"{output}.part",
            output=str(output),
        )

    def answer(self, number: int) -> Deferred[dict[str, Any]]:
        """The answer to a request, without its number."""
        waiting: Deferred[dict[str, Any]] = Deferred()
        if number in self._answers:
            waiting.callback(self._answers[number])
        self._waiting[number] = waiting
        return within_patience(waiting, lambda: f"no answer to {number}: {self!r}")

    def _answered(self, line: str) -> None:
        said = json.loads(line)
        number = said.pop("id")
        self._answers[number] = said
        if number in self._waiting:
            self._waiting[number].callback(said)


class TheProcess(TestCase):
    def setUp(self) -> None:
        self.room = Path(self.mktemp())
        self.room.mkdir()
        self.worker = Asked()
        self.addCleanup(self._end)

    def _end(self) -> Deferred[None]:
        self.worker.signal("KILL")
        return self.worker.over()

    def file(self, name: str, wire: bytes) -> Path:
        path = self.room / name
        path.write_bytes(wire)
        return path.absolute()

    async def test_it_follows_a_file_that_is_being_written(self) -> None:
        wire = update(CODE * 20_000, compressed=True, parts=9)
        path = self.file("a", b"")
        self.worker.digest(1, path)
        for at in range(0, len(wire), 10_000):
            with path.open("ab") as file:
                file.write(wire[at : at + 10_000])
            self.worker.ask(1, "written", size=path.stat().st_size)
        self.worker.ask(1, "finish")
        code = CODE * 20_000
        self.assertEqual(
            await self.worker.answer(1),
            {"sha256": sha256(code), "size": len(code.encode()), "units": utf16_length(code)},
        )

    async def test_it_reads_no_further_than_it_is_told(self) -> None:
        wire = update("x" * 1000)
        path = self.file("a", wire + b"what is not written yet")
        self.worker.digest(1, path)
        self.worker.ask(1, "finish", size=len(wire))
        self.assertEqual((await self.worker.answer(1))["sha256"], sha256("x" * 1000))

    async def test_several_at_once(self) -> None:
        codes = [str(i) * (i * 50_000) for i in range(1, 9)]
        for i, code in enumerate(codes):
            path = self.file(str(i), chunks([code[:7], code[7:]]))
            self.worker.digest(i, path)
            self.worker.make(100 + i, path, "identity", self.room.absolute() / f"{i}.js")
        for i, code in reversed([*enumerate(codes)]):
            self.worker.ask(i, "finish", size=(self.room / str(i)).stat().st_size)
            self.assertEqual((await self.worker.answer(i))["sha256"], sha256(code))
            self.assertEqual(await self.worker.answer(100 + i), {"size": len(code)})
            self.assertEqual((self.room / f"{i}.js").read_text(), code)

    async def test_few_files_are_made_at_once_and_all_of_them_in_the_end(self) -> None:
        path = self.file("a", update(CODE * 20_000))
        outputs = [self.room.absolute() / f"{i}.br" for i in range(2 * MOST_MAKINGS)]
        for i, output in enumerate(outputs):
            self.worker.make(i, path, "br", output)
        self.worker.digest(100, self.room / "missing")
        await self.worker.answer(100)
        self.assertLessEqual(len([*self.room.glob("*.part")]), MOST_MAKINGS)
        for i, output in enumerate(outputs):
            self.assertEqual(await self.worker.answer(i), {"size": output.stat().st_size})

    async def test_few_patches_are_worked_on_at_once_and_all_of_them_in_the_end(self) -> None:
        old = "x" * 3_000_000
        path, new = self.file("a", old.encode()), f"y{old}"
        fields = {"type": "bundle_patch", "base": sha256(old), "sha256": sha256(new)}
        fields |= {"size": len(new), "units": len(new), "edits": [[0, 0, "y"]]}
        asked = range(10 * MOST_PATCHINGS)
        for i in asked:
            self.worker.patch(i, path, sha256(old), json.dumps(fields), f"{i}.js")
        self.worker.digest(100, self.room / "missing")
        await self.worker.answer(100)
        self.assertLessEqual(len([*self.room.glob("*.part")]), MOST_PATCHINGS)
        for i in asked:
            self.assertEqual((await self.worker.answer(i))["sha256"], sha256(new))
            self.assertEqual((self.room / f"{i}.js").read_text(), new)

    async def test_what_goes_wrong_is_an_answer_and_disturbs_nobody(self) -> None:
        good = self.file("good", update("fine"))
        self.worker.digest(1, good)
        for number, wire, said in (
            (2, b"\xff\xff", "not a server's frames"),
            (3, update("x")[:-3], "the bundle has no end"),
        ):
            self.worker.digest(number, self.file(str(number), wire))
            self.worker.ask(number, "finish", size=len(wire))
            self.assertIn(said, (await self.worker.answer(number))["error"])
            self.worker.ask(number, "written", size=1 << 30)
        self.worker.digest(4, good)
        self.worker.ask(4, "finish", size=1 << 20)
        self.assertIn("shorter", (await self.worker.answer(4))["error"])
        self.worker.digest(5, self.room / "missing")
        self.assertEqual(await self.worker.answer(5), {"error": os.strerror(errno.ENOENT)})
        self.worker.ask(1, "finish", size=good.stat().st_size)
        self.assertEqual(
            await self.worker.answer(1), {"sha256": sha256("fine"), "size": 4, "units": 4}
        )
        self.assertEqual(self.worker.err, "")

    async def test_what_can_not_be_made_leaves_nothing_behind(self) -> None:
        output = self.room.absolute() / "out.js"
        for number, (path, coding, out, said) in enumerate(
            [
                (self.file("bad", update("x" * 300_000)[:-1]), "gzip", output, "no end"),
                (self.file("good", update("x")), "compress", output, "coding"),
                (self.room / "missing", "gzip", output, os.strerror(errno.ENOENT)),
                (self.file("good", update("x")), "br", output / "x", os.strerror(errno.ENOENT)),
            ]
        ):
            self.worker.make(number, path.absolute(), coding, out)
            self.assertIn(said, (await self.worker.answer(number))["error"])
        self.assertEqual(sorted(os.listdir(self.room)), ["bad", "good"])

    async def test_patches(self) -> None:
        old = "".join(f"var line{number} = '🛒';\n" for number in range(30_000))
        new = old.replace("line77 ", "line seventy-seven ")
        base, path = (self.file(name, code.encode()) for name, code in (("a", old), ("b", new)))
        about = {"base_sha256": sha256(old), "sha256": sha256(new), "now_ms": 5}
        self.worker.ask(1, "diff", base=str(base), path=str(path), **about)
        message = (await self.worker.answer(1))["message"]
        patch = json.loads(message)
        self.assertEqual((patch["type"], patch["timestamp"]), ("bundle_patch", 5))
        self.assertEqual(len(patch["edits"]), 1)
        self.worker.patch(2, base, sha256(old), message)
        units = utf16_length(new)
        answer = {"sha256": sha256(new), "size": len(new.encode()), "units": units}
        self.assertEqual(await self.worker.answer(2), answer)
        self.assertEqual((self.room / "out.js").read_text(), new)
        self.assertEqual((self.room / "out.js").stat().st_mode & 0o777, 0o600)
        self.assertEqual(sorted(os.listdir(self.room)), ["a", "b", "out.js"])

    async def test_messages(self) -> None:
        code = "".join(f"var line{number} = '🛒';\n" for number in range(30_000))
        path, output = self.file("a", code.encode()), self.room.absolute() / "out"
        about = {"part": f"{output}.part", "output": str(output), "now_ms": 5, "limit": LIMIT}
        self.worker.ask(1, "write", path=str(path), **about)
        self.assertEqual(await self.worker.answer(1), {"size": output.stat().st_size})
        start = bundle_start(len(code.encode()), utf16_length(code), 5, LIMIT)
        assert start is not None
        self.assertEqual(joined([start, *output.read_bytes().splitlines()]), code)
        self.assertEqual(output.stat().st_mode & 0o777, 0o600)
        self.worker.ask(2, "write", path=str(self.room / "missing"), **about)
        self.assertEqual([*await self.worker.answer(2)], ["error"])
        self.assertEqual(sorted(os.listdir(self.room)), ["a", "out"])

    async def test_codings_of_a_file_with_the_code_itself(self) -> None:
        path, output = self.file("a", b"x" * 300_000), self.room.absolute() / "out"
        about = {"part": f"{output}.part", "output": str(output), "limit": LIMIT}
        self.worker.ask(1, "make", path=str(path), is_code=True, coding="gzip", **about)
        self.assertEqual(await self.worker.answer(1), {"size": output.stat().st_size})
        self.assertEqual(gzip.decompress(output.read_bytes()), b"x" * 300_000)

    async def test_patches_that_can_not_be_made_or_are_refused(self) -> None:
        old, empty = self.file("a", b"x" * 300_000), self.file("b", b"")
        about = {"base_sha256": "", "sha256": "", "now_ms": 5}
        for number, (base, new) in enumerate([(old, empty), (empty, old), (empty, empty)]):
            self.worker.ask(number, "diff", base=str(base), path=str(new), **about)
        for number, answer in enumerate(("message", "error", "message")):
            self.assertEqual([*await self.worker.answer(number)], [answer])
        right = {
            "type": "bundle_patch",
            "base": sha256("x" * 300_000),
            "sha256": sha256("x" * 300_000),
            "size": 300_000,
            "units": 300_000,
            "edits": [],
        }
        for number, (changed, fault) in enumerate(
            [
                ({"edits": 1}, "malformed"),
                ({"base": "0" * 64}, "base"),
                ({"sha256": "0" * 64}, "sha256"),
                ({"edits": [[300_001, 300_001, ""]]}, "bounds"),
            ],
            start=10,
        ):
            self.worker.patch(number, old, sha256("x" * 300_000), json.dumps(right | changed))
            self.assertEqual((await self.worker.answer(number))["fault"], fault)
        self.worker.patch(20, self.room / "missing", right["base"], json.dumps(right))
        self.assertEqual(await self.worker.answer(20), {"error": os.strerror(errno.ENOENT)})
        self.assertEqual(sorted(os.listdir(self.room)), ["a", "b"])

    async def test_a_disk_that_takes_no_more_is_an_answer(self) -> None:
        path = self.file("a", update(CODE * 10_000))
        self.worker.digest(1, self.room / "missing")
        await self.worker.answer(1)
        resource.prlimit(self.worker.pid, resource.RLIMIT_FSIZE, (50_000, 50_000))
        self.worker.make(2, path, "identity", self.room.absolute() / "out.js")
        self.assertEqual(await self.worker.answer(2), {"error": os.strerror(errno.EFBIG)})
        self.assertEqual(os.listdir(self.room), ["a"])

    async def test_cancelled_on_a_full_disk(self) -> None:
        payload = {"code": "x" * 400_000, "sourceMap": os.urandom(5_000_000).hex()}
        text = stringified({"type": "bundle_update", "payload": payload})
        path = self.file("a", message(text, compressed=True))
        good = self.file("b", update("x"))
        self.worker.digest(1, self.room / "missing")
        await self.worker.answer(1)
        resource.prlimit(self.worker.pid, resource.RLIMIT_FSIZE, (0, 0))
        # What comes of this waits in a buffer until the part is closed.
        self.worker.make(2, path, "zstd", self.room.absolute() / "out.js")
        self.worker.digest(3, self.room / "missing")
        await self.worker.answer(3)
        self.worker.ask(2, "cancel")
        self.worker.digest(4, good)
        self.worker.ask(4, "finish", size=good.stat().st_size)
        self.assertEqual((await self.worker.answer(4))["size"], 1)
        self.assertEqual(sorted(os.listdir(self.room)), ["a", "b"])

    async def test_cancelled_work_leaves_nothing_behind(self) -> None:
        path = self.file("a", update(CODE * 50_000))
        self.worker.make(1, path, "br", self.room.absolute() / "out.js")
        self.worker.digest(2, path)
        self.worker.ask(1, "cancel")
        self.worker.ask(2, "cancel")
        self.worker.digest(3, path)
        self.worker.ask(3, "finish", size=path.stat().st_size)
        await self.worker.answer(3)
        self.assertEqual(os.listdir(self.room), ["a"])
        self.assertEqual(self.worker.out.count("\n"), 1)

    async def test_cancelled_when_it_is_done_nothing_is_left_either(self) -> None:
        path = self.file("a", update("x"))
        output = self.room.absolute() / "out.js"
        self.worker.make(1, path, "br", output)
        await self.worker.answer(1)
        self.assertTrue(output.exists())
        for _ in range(2):
            self.worker.ask(1, "cancel", output=str(output))
        self.worker.digest(2, self.room / "missing")
        await self.worker.answer(2)
        self.assertEqual(os.listdir(self.room), ["a"])

    async def test_it_ends_when_its_input_does(self) -> None:
        path = self.file("a", update(CODE * 200_000))
        self.worker.make(1, path, "br", self.room.absolute() / "out.js")
        self.worker.digest(2, self.room / "missing")
        await self.worker.answer(2)
        self.worker.transport.closeStdin()  # type: ignore[union-attr]
        await within_patience(self.worker.over(), lambda: repr(self.worker))
        self.assertEqual((self.worker.exit_code, self.worker.err), (0, ""))
        self.assertEqual(os.listdir(self.room), ["a"])

    async def test_signals_that_are_meant_for_the_relay(self) -> None:
        path = self.file("a", update("x"))
        self.worker.digest(1, path)
        self.worker.digest(2, self.room / "missing")
        await self.worker.answer(2)
        self.worker.signal("INT")
        self.worker.signal("TERM")
        self.worker.ask(1, "finish", size=path.stat().st_size)
        self.assertEqual((await self.worker.answer(1))["size"], 1)

    async def test_it_is_niced(self) -> None:
        self.worker.digest(1, self.room / "missing")
        await self.worker.answer(1)
        niceness = os.getpriority(os.PRIO_PROCESS, self.worker.pid)
        own = os.getpriority(os.PRIO_PROCESS, 0)
        self.assertEqual(niceness, min(own + worker._NICENESS, MOST_NICENESS))

    async def test_it_knows_nothing_of_twisted(self) -> None:
        look = "import apptuner_relay.spool.code.worker, sys; print('twisted' in sys.modules)"
        seen = await run([sys.executable, "-c", look], env=checkout_env())
        self.assertEqual(seen.out, "False\n", repr(seen))


class Mistakes(SynchronousTestCase):
    def test_one_of_ours_costs_one_answer_and_tells_nothing_of_contents(self) -> None:
        class Broken(Extraction):
            def feed(self, data: bytes) -> Iterator[bytes]:
                if b"secret" in data:
                    raise LookupError(data)
                return super().feed(data)

        self.patch(worker, "Extraction", Broken)
        errors = io.StringIO()
        self.patch(sys, "stderr", errors)
        lines = []
        for number, wire in enumerate([update("secret"), update("fine")]):
            path = self.mktemp()
            Path(path).write_bytes(wire)
            lines.append({"id": number, "do": "digest", "path": path, "limit": LIMIT})
            lines.append({"id": number, "do": "finish", "size": len(wire)})
        requests, answers = os.pipe(), os.pipe()
        for end in (requests[0], answers[0]):
            self.addCleanup(os.close, end)
        os.write(requests[1], "".join(json.dumps(line) + "\n" for line in lines).encode())
        at_work = worker.Worker(requests[0], answers[1])
        thread = threading.Thread(target=at_work.run)
        thread.start()
        with open(answers[0], closefd=False) as said:
            got = [json.loads(said.readline()) for _ in range(2)]
        os.close(requests[1])
        thread.join()
        os.close(answers[1])
        self.assertEqual(got[0], {"id": 0, "error": "the worker failed: LookupError"})
        self.assertEqual(got[1], {"id": 1, "sha256": sha256("fine"), "size": 4, "units": 4})
        self.assertIn("LookupError", errors.getvalue())
        self.assertNotIn("bundle_update", errors.getvalue())


class ContentCodings(SynchronousTestCase):
    def test_the_names_are_the_store_s(self) -> None:
        self.assertEqual(CODINGS, bundle.CODINGS)

    @given(
        st.sampled_from(CODINGS),
        st.integers(0, 300_000),
        st.lists(st.integers(0, 300_000), max_size=9),
    )
    def test_the_same_bytes_in_whatever_pieces(
        self, coding: str, size: int, cuts: list[int]
    ) -> None:
        code = (CODE.encode() * 7000)[:size]
        at_once = Encoder(coding)
        whole = at_once.feed(code) + at_once.finish()
        encoder, edges = Encoder(coding), [0, *sorted(cuts), size]
        cut = b"".join(encoder.feed(code[min(a, size) : min(b, size)]) for a, b in pairwise(edges))
        assert cut + encoder.finish() == whole
        assert decoded(coding, whole) == code

    def test_gzip_tells_no_time(self) -> None:
        encoder = Encoder("gzip")
        self.assertEqual((encoder.feed(b"x") + encoder.finish())[4:8], bytes(4))

    def test_gzip_without_isa_l(self) -> None:
        self.patch(codings, "codec", zlib)
        encoder = Encoder("gzip")
        made = encoder.feed(b"x" * 100_000) + encoder.finish()
        self.assertEqual(gzip.decompress(made), b"x" * 100_000)


def decoded(coding: str, data: bytes) -> bytes:
    match coding:
        case "gzip":
            return gzip.decompress(data)
        case "br":
            plain: bytes = brotli.decompress(data)
            return plain
        case "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data
