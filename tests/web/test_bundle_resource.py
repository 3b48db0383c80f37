"""`apptuner_relay.web.bundle_resource`: what is answered to whom, over real connections."""

import errno
import os
import random
from pathlib import Path

from twisted.internet.defer import Deferred, fail
from twisted.logger import LogEvent, globalLogPublisher

from apptuner_relay.session.session import session_hash
from apptuner_relay.spool.bundle import CODINGS, NoCode, NotNow
from apptuner_relay.spool.page_cache import PageCache
from apptuner_relay.web.negotiation import PREFERENCE
from apptuner_relay.web.streaming import BLOCK_BYTES
from tests.web.bundle_cache import DECODE, DictBundleCache, FileBundle
from tests.web.serving import KIB, SESSION, BundlesCase, Reply

LATEST = f"/bundles/{SESSION}"
CODE = "".join(random.Random(4).choices("var é=1;\n", k=300 * KIB)).encode()
OTHER_SHA256 = "0" * 64


class ServedCase(BundlesCase):
    """A bundle of `CODE` in the cache."""

    def setUp(self) -> None:
        super().setUp()
        self.bundle = FileBundle(self.directory, CODE)
        self.bundle_cache = DictBundleCache(ABC234=self.bundle)
        self.serve(self.bundle_cache)
        self.immutable = f"{LATEST}/{self.bundle.sha256}"
        self.etag = f'"{self.bundle.sha256}"'
        self.addCleanup(lambda: self.assertEqual(self.bundle.users, 0))


class RepresentationTest(ServedCase):
    async def test_the_latest(self) -> None:
        reply = await self.fetch(LATEST)
        self.assertEqual((reply.status, reply.body), (200, CODE))
        for name in ("date", "server", "connection"):
            del reply.fields[name]
        self.assertEqual(
            reply.fields,
            {
                "content-type": "text/javascript; charset=utf-8",
                "content-length": str(len(CODE)),
                "content-location": self.immutable,
                "etag": self.etag,
                "cache-control": "no-cache",
                "vary": "Accept-Encoding, Available-Dictionary",
                "access-control-allow-origin": "*",
                "access-control-expose-headers": "Content-Location, ETag, Location, Retry-After",
                "accept-ranges": "bytes",
                "x-content-type-options": "nosniff",
            },
        )
        self.assertEqual(self.bundle.uses, 1)

    async def test_by_content_address(self) -> None:
        latest = await self.fetch(LATEST)
        reply = await self.fetch(self.immutable)
        self.assertEqual((reply.status, reply.body), (200, CODE))
        self.assertEqual(reply.fields.pop("cache-control"), "public, max-age=31536000, immutable")
        self.assertEqual(reply.fields.pop("use-as-dictionary"), f'match="{LATEST}{{/*}}?"')
        del latest.fields["cache-control"], latest.fields["date"], reply.fields["date"]
        self.assertEqual(reply.fields, latest.fields)

    async def test_another_bundle_takes_its_place(self) -> None:
        newer = FileBundle(self.directory, b"newer")
        self.bundle_cache.bundles[session_hash(SESSION)] = newer
        self.assertEqual((await self.fetch(LATEST)).body, b"newer")
        self.assertError(await self.fetch(self.immutable), 404, "another SHA-256")
        self.assertEqual((await self.fetch(f"{LATEST}/{newer.sha256}")).body, b"newer")

    async def test_every_coding(self) -> None:
        etags = set()
        for coding in CODINGS:
            reply = await self.fetch(LATEST, Accept_Encoding=coding)
            self.assertEqual(reply.status, 200)
            self.assertEqual(reply.fields.get("content-encoding", "identity"), coding)
            self.assertEqual(reply.fields["content-length"], str(len(reply.body)))
            self.assertEqual(reply.fields["vary"], "Accept-Encoding, Available-Dictionary")
            self.assertEqual(DECODE[coding](reply.body), CODE)
            etags.add(reply.fields["etag"])
        self.assertEqual(
            etags, {self.etag, *(f'"{self.bundle.sha256}-{c}"' for c in ("gzip", "br", "zstd"))}
        )

    async def test_nothing_acceptable(self) -> None:
        reply = await self.fetch(LATEST, Accept_Encoding="identity;q=0")
        self.assertError(reply, 406, ", ".join(PREFERENCE))
        self.assertEqual(reply.fields["vary"], "Accept-Encoding, Available-Dictionary")

    async def test_head(self) -> None:
        for path in (LATEST, self.immutable):
            for fields in ({}, {"Accept_Encoding": "br"}):
                got = await self.fetch(path, **fields)
                head = await self.fetch(path, "HEAD", **fields)
                del got.fields["date"], head.fields["date"]
                self.assertEqual((head.status, head.fields, head.body), (200, got.fields, b""))

    async def test_head_of_an_error(self) -> None:
        got = await self.fetch("/bundles/NOBODY")
        head = await self.fetch("/bundles/NOBODY", "HEAD")
        self.assertEqual((head.status, head.body), (404, b""))
        self.assertEqual(head.fields["content-length"], got.fields["content-length"])

    async def test_where_none_can_be_there(self) -> None:
        self.assertError(await self.fetch("/bundles/NOBODY"), 404, "session is kept")
        self.bundle_cache.off = "No space left on device"
        none = "this relay caches none at present"
        self.assertError(await self.fetch("/bundles/NOBODY"), 404, none)
        self.assertEqual((await self.fetch(LATEST)).status, 200, "what was cached before")

    async def test_an_empty_bundle(self) -> None:
        empty = FileBundle(self.directory, b"")
        self.bundle_cache.bundles[session_hash(SESSION)] = empty
        reply = await self.fetch(LATEST)
        self.assertEqual((reply.status, reply.body), (200, b""))
        self.assertEqual(reply.fields["content-length"], "0")
        self.assertEqual(reply.fields["content-type"], "text/javascript; charset=utf-8")
        self.assertEqual((await self.fetch(LATEST, Range="bytes=-1")).status, 200)
        self.assertError(await self.fetch(LATEST, Range="bytes=0-"), 416, "starts after")


class ConditionTest(ServedCase):
    async def test_if_none_match(self) -> None:
        for path in (LATEST, self.immutable):
            for method in ("GET", "HEAD"):
                whole = await self.fetch(path, "HEAD")
                reply = await self.fetch(path, method, If_None_Match=f'"x", W/{self.etag}')
                self.assertEqual((reply.status, reply.body), (304, b""))
                # RFC 9110 §15.4.5
                for name in ("etag", "cache-control", "content-location", "vary"):
                    self.assertEqual(reply.fields[name], whole.fields[name])
                for name in ("content-length", "content-type", "transfer-encoding"):
                    self.assertNotIn(name, reply.fields)

    async def test_not_modified_needs_no_file(self) -> None:
        for field in ("*", f'"{self.bundle.sha256}-zstd"'):
            reply = await self.fetch(LATEST, If_None_Match=field, Accept_Encoding="zstd")
            self.assertEqual(reply.status, 304)
        self.assertEqual(self.bundle.asked, [])

    async def test_another_codings_tag_is_another(self) -> None:
        reply = await self.fetch(LATEST, If_None_Match=self.etag, Accept_Encoding="gzip")
        self.assertEqual(reply.status, 200)

    async def test_if_match(self) -> None:
        for field in (self.etag, "*", f'"x", {self.etag}'):
            self.assertEqual((await self.fetch(LATEST, If_Match=field)).status, 200)
        for field in ('"x"', f"W/{self.etag}"):
            self.assertError(await self.fetch(LATEST, If_Match=field), 412, "If-Match")

    async def test_several_lines_are_one_list(self) -> None:
        client = self.client()
        client.socket.sendall(
            f'HEAD {LATEST} HTTP/1.1\r\nHost: x\r\nIf-None-Match: "x"\r\n'
            f"If-None-Match: {self.etag}\r\n\r\n".encode()
        )
        self.assertEqual((await client.head()).status, 304)

    async def test_dates_count_for_nothing(self) -> None:
        date = "Wed, 21 Oct 2065 07:28:00 GMT"
        for name in ("If_Modified_Since", "If_Unmodified_Since"):
            self.assertEqual((await self.fetch(LATEST, **{name: date})).status, 200)

    async def test_conditions_come_after_other_errors(self) -> None:
        reply = await self.fetch(f"{LATEST}/{OTHER_SHA256}", If_None_Match="*")
        self.assertError(reply, 404, "another SHA-256")
        reply = await self.fetch(LATEST, If_Match='"x"', Range="bytes=999999999-")
        self.assertError(reply, 412, "If-Match")


class RangeTest(ServedCase):
    def assertPart(self, reply: Reply, start: int, stop: int, whole: bytes = CODE) -> None:
        self.assertEqual(reply.status, 206)
        self.assertEqual(reply.fields["content-range"], f"bytes {start}-{stop - 1}/{len(whole)}")
        self.assertEqual(reply.fields["content-length"], str(stop - start))
        self.assertEqual(reply.body, whole[start:stop])

    async def test_parts(self) -> None:
        end = len(CODE)
        for path in (LATEST, self.immutable):
            for field, start, stop in (
                ("bytes=0-0", 0, 1),
                ("bytes=100-299999", 100, 300000),
                ("bytes=131072-", 131072, end),
                ("bytes=-70000", end - 70000, end),
                (f"bytes={end - 1}-{end + 9}", end - 1, end),
            ):
                reply = await self.fetch(path, Range=field)
                self.assertPart(reply, start, stop)
                for name in ("etag", "cache-control", "content-location", "vary"):
                    self.assertIn(name, reply.fields)

    async def test_of_every_coding(self) -> None:
        for coding in CODINGS:
            whole = self.bundle.form(coding)
            first = await self.fetch(LATEST, Range="bytes=0-999", Accept_Encoding=coding)
            self.assertPart(first, 0, 1000, whole)
            rest = await self.fetch(
                LATEST,
                Range="bytes=1000-",
                Accept_Encoding=coding,
                If_Range=first.fields["etag"],
            )
            self.assertPart(rest, 1000, len(whole), whole)
            self.assertEqual(DECODE[coding](first.body + rest.body), CODE)

    async def test_not_satisfiable(self) -> None:
        for field in (f"bytes={len(CODE)}-", "bytes=-0"):
            reply = await self.fetch(LATEST, Range=field)
            self.assertError(reply, 416, "range")
            self.assertEqual(reply.fields["content-range"], f"bytes */{len(CODE)}")

    async def test_the_whole_instead(self) -> None:
        for field in ("bytes=0-1,5-9", "bytes=9-5", "chars=0-1", "bytes=x"):
            reply = await self.fetch(LATEST, Range=field)
            self.assertEqual((reply.status, reply.body), (200, CODE), field)
        head = await self.fetch(LATEST, "HEAD", Range="bytes=0-1")
        self.assertEqual((head.status, head.fields["content-length"]), (200, str(len(CODE))))

    async def test_if_range(self) -> None:
        self.assertPart(await self.fetch(LATEST, Range="bytes=5-9", If_Range=self.etag), 5, 10)
        for field in (f"W/{self.etag}", '"x"', "Wed, 21 Oct 2065 07:28:00 GMT"):
            reply = await self.fetch(LATEST, Range="bytes=5-9", If_Range=field)
            self.assertEqual((reply.status, reply.body), (200, CODE), field)
            # What doesn't apply can't be out of bounds, either.
            reply = await self.fetch(LATEST, Range="bytes=999999999-", If_Range=field)
            self.assertEqual(reply.status, 200)


class RefusalTest(ServedCase):
    async def test_nothing_kept(self) -> None:
        self.assertError(await self.fetch("/bundles/NOBODY"), 404, "No bundle")
        self.assertError(await self.fetch("/bundles/abc234"), 404, "No bundle")
        self.assertError(await self.fetch(f"/bundles/NOBODY/{OTHER_SHA256}"), 404, "No bundle")

    async def test_no_code(self) -> None:
        self.bundle.digest_result = fail(NoCode("it is not JSON"))
        self.assertError(await self.fetch(LATEST), 404, "no code to be had: it is not JSON")
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_no_code_at_the_moment(self) -> None:
        self.bundle.code_result = fail(NotNow("the worker has died"))
        self.assertError(await self.fetch(LATEST), 503, "the worker has died")

    async def test_a_bad_session_id(self) -> None:
        for name in ("", "a" * 65, "a.b", "a%20b", "%C3%BC", "a%2Fb", "%00", "a%0d%0aX:y"):
            self.assertError(await self.fetch(f"/bundles/{name}"), 400, "Bad session id")

    async def test_a_bad_hash(self) -> None:
        for name in ("", "x", "0" * 63, "0" * 65, "G" * 64, self.bundle.sha256.upper(), "%0a"):
            self.assertError(await self.fetch(f"{LATEST}/{name}"), 400, "Bad SHA-256")

    async def test_another_path(self) -> None:
        self.assertError(await self.fetch("/bundles"), 404, "/bundles/SESSION")
        self.assertError(await self.fetch(f"{self.immutable}/"), 404, "/bundles/SESSION")

    async def test_methods(self) -> None:
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "BREW"):
            for path in (LATEST, self.immutable, "/bundles/a.b"):
                reply = await self.fetch(path, method)
                self.assertError(reply, 405, "GET or HEAD")
                self.assertEqual(reply.fields["allow"], "GET, HEAD, PUT, OPTIONS")


class FaultTest(ServedCase):
    def setUp(self) -> None:
        super().setUp()
        self.events: list[LogEvent] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def assertLogged(self, kind: type[Exception]) -> None:
        self.assertEqual(len(self.flushLoggedErrors(kind)), 1)
        [event] = [event for event in self.events if "log_failure" in event]
        self.assertEqual(event["session"], session_hash(SESSION)[:8])
        self.assertNotIn(SESSION, str(event))

    async def test_a_store_that_fails(self) -> None:
        self.bundle.digest_result = fail(OSError("disk gone"))
        self.assertError(await self.fetch(LATEST), 500, "failed")
        self.assertLogged(OSError)

    async def test_a_cache_that_fails(self) -> None:
        self.bundle_cache.bundles = None  # type: ignore[assignment]
        self.assertError(await self.fetch(LATEST), 500, "failed")
        self.assertLogged(AttributeError)

    async def test_a_file_that_is_missing(self) -> None:
        self.bundle.code_result = Deferred()
        self.bundle.code_result.callback(Path("/nowhere/at/all"))
        self.assertError(await self.fetch(LATEST), 500, "failed")
        self.assertLogged(FileNotFoundError)

    async def test_a_file_that_can_not_be_read(self) -> None:
        self.bundle.file("gzip").mkdir()
        self.assertError(await self.fetch(LATEST, Accept_Encoding="gzip"), 500, "failed")
        self.assertLogged(IsADirectoryError)

    async def test_a_file_that_fails_at_once(self) -> None:
        def pread(*_: int) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

        self.patch(PageCache, "read", lambda *_: None)
        self.patch(os, "pread", pread)
        reply = await self.fetch(LATEST, Accept_Encoding="gzip", Range="bytes=1-")
        self.assertError(reply, 500, "failed")
        self.assertNotIn("content-range", reply.fields)
        self.assertLogged(OSError)

    async def test_a_file_that_ends_early(self) -> None:
        real = os.pread

        def pread(descriptor: int, size: int, at: int) -> bytes:
            return real(descriptor, size, at) if at < BLOCK_BYTES else b""

        self.patch(PageCache, "read", lambda *_: None)
        self.patch(os, "pread", pread)
        reply = await self.fetch(LATEST)
        # The client can tell, as there is less than was promised.
        self.assertEqual(reply.fields["content-length"], str(len(CODE)))
        self.assertEqual(reply.body, CODE[: len(reply.body)])
        self.assertTrue(len(reply.body) <= BLOCK_BYTES)
        self.assertLogged(EOFError)
