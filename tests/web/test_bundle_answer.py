"""`apptuner_relay.web.bundle_answer`: who gets a bundle coded against what they have (RFC 9842),
and who gets it as ever. `test_bundle_resource` has all that doesn't concern dictionaries."""

import random

from twisted.internet.defer import fail, succeed

from apptuner_relay.session.session import session_hash
from apptuner_relay.spool.bundle import Digest, NotNow
from apptuner_relay.web.bundle_resource import BundlesResource
from apptuner_relay.wire.dictionary_transport import write_available_dictionary
from tests.log_capture import capture_log
from tests.spool.code.test_dictionary_coding import decoded
from tests.web.bundle_cache import DECODE, DictBundleCache, FileBundle
from tests.web.serving import KIB, SESSION, BundlesCase, Reply

LATEST = f"/bundles/{SESSION}"
OLD = "".join(random.Random(5).choices("var é=1;\n", k=300 * KIB)).encode()
NEW = OLD[: 100 * KIB] + b"log();" + OLD[100 * KIB :]
BROWSER = "gzip, deflate, br, zstd, dcb, dcz"


class DictionaryCase(BundlesCase):
    """`NEW` is the last bundle, `OLD` the one before."""

    with_dictionaries = True

    def setUp(self) -> None:
        super().setUp()
        self.old = FileBundle(self.directory, OLD)
        self.new = FileBundle(self.directory, NEW)
        self.bundle_cache = DictBundleCache(ABC234=self.new)
        self.bundle_cache.previous.append(self.old)
        self.serve(self.bundle_cache)
        self.immutable = f"{LATEST}/{self.new.sha256}"
        self.etag = f'"{self.new.sha256}-dcz-{self.old.sha256[:12]}"'
        self.addCleanup(lambda: self.assertEqual((self.old.users, self.new.users), (0, 0)))

    async def get(self, path: str = LATEST, have: bytes | None = OLD, **more: str) -> Reply:
        """What a client gets that has a dictionary."""
        fields = {"Accept_Encoding": BROWSER, **more}
        if have is not None:
            sha256 = FileBundle(self.directory, have).sha256
            fields.setdefault("Available_Dictionary", write_available_dictionary(sha256))
        return await self.fetch(path, **fields)

    def assertWhole(self, reply: Reply) -> None:
        """It is the code, in a coding that needs no dictionary."""
        coding = reply.fields.get("content-encoding", "identity")
        self.assertEqual(reply.status, 200, reply.body[:200])
        self.assertEqual(DECODE[coding](reply.body), NEW)
        self.assertNotIn("dcz", reply.fields["etag"])


class CodedTest(DictionaryCase):
    async def test_the_latest_and_by_content_address(self) -> None:
        for path in (LATEST, self.immutable):
            reply = await self.get(path)
            self.assertEqual((reply.status, reply.fields["content-encoding"]), (200, "dcz"))
            self.assertEqual(decoded(reply.body, OLD), NEW)
            self.assertLess(len(reply.body), 500)
            self.assertEqual(reply.fields["etag"], self.etag)
            self.assertEqual(reply.fields["vary"], "Accept-Encoding, Available-Dictionary")
            self.assertEqual(reply.fields["content-location"], self.immutable)
            self.assertNotIn("accept-ranges", reply.fields)

    async def test_only_what_stays_is_a_dictionary(self) -> None:
        field = f'match="{LATEST}{{/*}}?"'
        for have in (OLD, None):
            reply = await self.get(self.immutable, have)
            self.assertEqual(reply.fields["use-as-dictionary"], field)
            self.assertNotIn("use-as-dictionary", (await self.get(LATEST, have)).fields)
        part = await self.get(self.immutable, None, Range="bytes=0-9")
        self.assertEqual(part.status, 206)
        self.assertNotIn("use-as-dictionary", part.fields)
        missing = await self.get(f"{LATEST}/{'0' * 64}")
        self.assertNotIn("use-as-dictionary", missing.fields)

    async def test_the_very_code(self) -> None:
        reply = await self.get(have=NEW)
        self.assertEqual(decoded(reply.body, NEW), NEW)
        self.assertEqual(reply.fields["etag"], f'"{self.new.sha256}-dcz-{self.new.sha256[:12]}"')

    async def test_head(self) -> None:
        got = await self.get()
        head = await self.fetch(
            LATEST,
            "HEAD",
            Accept_Encoding=BROWSER,
            Available_Dictionary=write_available_dictionary(self.old.sha256),
        )
        del got.fields["date"], head.fields["date"]
        self.assertEqual((head.status, head.fields, head.body), (200, got.fields, b""))

    async def test_conditions(self) -> None:
        same = await self.get(If_None_Match=f'"x", {self.etag}')
        self.assertEqual((same.status, same.body, same.fields["etag"]), (304, b"", self.etag))
        self.assertEqual(same.fields["vary"], "Accept-Encoding, Available-Dictionary")
        other = f'"{self.new.sha256}", "{self.new.sha256}-zstd", "{self.new.sha256}-dcz-00"'
        self.assertEqual((await self.get(If_None_Match=other)).status, 200)
        self.assertEqual((await self.get(If_Match=self.etag)).status, 200)
        self.assertEqual((await self.get(If_Match=other)).status, 412)

    async def test_what_was_downloaded_may_be_a_dictionary(self) -> None:
        await self.fetch(LATEST, "HEAD")
        self.assertEqual(self.bundle_cache.lent, [])
        await self.fetch(LATEST)
        self.assertEqual(self.bundle_cache.lent, [self.new])


class CountedTest(DictionaryCase):
    """What metrics tell of downloads."""

    async def test_by_coding_with_what_is_saved(self) -> None:
        replies = [await self.get(), await self.get(), await self.get(Accept_Encoding="gzip")]
        saved = [len(NEW) - len(reply.body) for reply in replies]
        self.assertEqual(self.downloads.sent, {"dcz": 2, "gzip": 1})
        self.assertEqual(self.downloads.saved_bytes, {"dcz": saved[0] + saved[1], "gzip": saved[2]})
        self.assertGreater(saved[0], 200 * KIB)

    async def test_a_part_saves_nothing(self) -> None:
        await self.get(Accept_Encoding="gzip", Range="bytes=5-9")
        self.assertEqual(self.downloads.sent, {"gzip": 1})
        self.assertEqual(self.downloads.saved_bytes["gzip"], 0)

    async def test_what_sends_no_bundle(self) -> None:
        await self.get(If_None_Match=self.etag)
        await self.get(If_Match='"other"')
        await self.get("/bundles/XYZ789")
        await self.fetch(LATEST, "HEAD")
        self.assertEqual((self.downloads.sent, self.downloads.unchanged), ({}, 1))
        self.assertEqual(self.downloads.aborted, 0)


class WholeTest(DictionaryCase):
    async def test_who_does_not_name_it(self) -> None:
        for accepts in ("gzip, br, zstd", "*", "identity", "dcb", "zstd, dcz;q=0.5", "dcz;q=0"):
            self.assertWhole(await self.get(Accept_Encoding=accepts))

    async def test_who_has_something_else(self) -> None:
        self.assertWhole(await self.get(have=b"something else"))
        self.assertWhole(await self.get(have=None))
        for field in ("", "::", self.old.sha256, f":{self.old.sha256}:", "\xff"):
            self.assertWhole(await self.get(Available_Dictionary=field))

    async def test_never_a_range(self) -> None:
        ranged = await self.get(Accept_Encoding="identity, dcb, dcz", Range="bytes=5-9")
        self.assertEqual((ranged.status, ranged.body), (206, NEW[5:10]))
        self.assertEqual(ranged.fields["etag"], f'"{self.new.sha256}"')
        rest = await self.get(Accept_Encoding="identity, dcz", Range="bytes=5-", If_Range=self.etag)
        self.assertWhole(rest)

    async def test_too_small_a_dictionary(self) -> None:
        small = FileBundle(self.directory, b"1234567")
        self.bundle_cache.previous.append(small)
        self.assertWhole(await self.get(have=b"1234567"))
        self.assertEqual(small.users, 0)

    async def test_too_big_a_dictionary(self) -> None:
        self.old.digest_result = succeed(Digest(self.old.sha256, 2**27 + 1, 1))
        self.assertWhole(await self.get())

    async def test_a_dictionary_that_can_not_be_read(self) -> None:
        self.old.code_result = fail(NotNow("gone"))
        self.assertWhole(await self.get())

    async def test_a_coding_that_fails(self) -> None:
        self.new.delta_result = fail(NotNow("the worker died"))
        self.assertWhole(await self.get())

    async def test_nothing_else_is_acceptable(self) -> None:
        reply = await self.get(Accept_Encoding="dcz, identity;q=0")
        self.assertEqual(decoded(reply.body, OLD), NEW)
        refused = await self.get(have=None, Accept_Encoding="dcz, identity;q=0")
        self.assertError(refused, 406, "Accept-Encoding leaves none")

    async def test_an_empty_bundle(self) -> None:
        empty = FileBundle(self.directory, b"")
        self.bundle_cache.bundles[session_hash(SESSION)] = empty
        self.assertEqual(decoded((await self.get()).body, OLD), b"")
        reply = await self.get(f"{LATEST}/{empty.sha256}", None)
        self.assertNotIn("use-as-dictionary", reply.fields)


class WithoutLibraryTest(DictionaryCase):
    with_dictionaries = False

    async def test_as_ever(self) -> None:
        for path in (LATEST, self.immutable):
            reply = await self.get(path)
            self.assertWhole(reply)
            self.assertEqual(reply.fields["vary"], "Accept-Encoding")
            self.assertNotIn("use-as-dictionary", reply.fields)
        self.assertEqual(self.bundle_cache.lent, [])

    def test_it_is_logged_once(self) -> None:
        lines = capture_log(self)
        for cache, with_dictionaries in (
            (self.bundle_cache, False),
            (self.bundle_cache, True),
            (None, False),
        ):
            resource = BundlesResource(cache, None, with_dictionaries=with_dictionaries)  # type: ignore[arg-type]
            resource.log_what_is_missing()
        self.assertEqual(len(lines), 1)
        self.assertIn("backports.zstd", lines[0])
