"""`apptuner_relay.client.representation`: what is requested of a bundle, and what answers mean."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.address import Relay
from apptuner_relay.client.codings import COMPRESSED
from apptuner_relay.client.representation import (
    Head,
    Mark,
    Meaning,
    meaning,
    request_headers,
    sha256_in,
)

from .bundle_server import ENCODERS, BundleServer

A, B = "a" * 64, "b" * 64
MARK = Mark(f'"{A}-gzip"', "gzip", 100)
FIELDS = ["etag", "content-length", "content-encoding", "content-range"]
SOME_FIELDS = st.dictionaries(
    st.sampled_from(FIELDS),
    st.text(max_size=12)
    | st.sampled_from([MARK.etag, '"x"', 'W/"x"', "7", "gzip", "br", "bytes 5-99/100", "bytes 5-"]),
)


class RequestTests(SynchronousTestCase):
    def test_with_nothing_here(self) -> None:
        self.assertEqual(
            request_headers(None, 0, None, COMPRESSED), {"Accept-Encoding": "zstd, gzip"}
        )
        self.assertEqual(request_headers(None, 0, None, ()), {"Accept-Encoding": "identity"})
        for mark in (MARK, Mark('W/"x"', "gzip", 9), Mark(None, "gzip", 9)):
            size = 0 if mark is MARK else 5
            self.assertEqual(
                request_headers(mark, size, None, ["gzip"]), {"Accept-Encoding": "gzip"}
            )

    def test_with_a_part_here(self) -> None:
        self.assertEqual(
            request_headers(MARK, 40, None, COMPRESSED),
            {"Accept-Encoding": "gzip", "Range": "bytes=40-", "If-Range": MARK.etag},
        )

    def test_with_all_of_it_here(self) -> None:
        self.assertEqual(
            request_headers(MARK, 100, None, COMPRESSED),
            {"Accept-Encoding": "gzip", "If-None-Match": MARK.etag},
        )

    def test_with_a_dictionary_here(self) -> None:
        headers = request_headers(None, 0, B, COMPRESSED, dictionary=True)
        field = "u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7u7s="
        self.assertEqual(headers["Available-Dictionary"], f":{field}:")
        self.assertEqual(headers["Accept-Encoding"], "dcz, zstd, gzip")
        self.assertIn(f'"{B}-dcz-{B[:12]}"', headers["If-None-Match"])
        # A part of another representation is gone on with.
        headers = request_headers(MARK, 40, B, COMPRESSED, dictionary=True)
        self.assertNotIn("Available-Dictionary", headers)
        self.assertEqual(headers["Accept-Encoding"], "gzip")

    def test_what_needs_a_dictionary_has_no_rest(self) -> None:
        mark = Mark(f'"{A}-dcz-{B[:12]}"', "dcz", 100)
        self.assertFalse(mark.resumable)
        self.assertEqual(sha256_in(mark.etag), A)
        self.assertIsNone(Mark.from_json(mark.to_json()))

    def test_what_need_not_be_sent(self) -> None:
        tags = f'"{B}", "{B}-gzip", "{B}-br", "{B}-zstd"'
        self.assertEqual(request_headers(None, 0, B, ())["If-None-Match"], tags)
        self.assertEqual(request_headers(MARK, 100, B, ())["If-None-Match"], f"{tags}, {MARK.etag}")


class MeaningTests(SynchronousTestCase):
    def meaning(
        self,
        status: int,
        have: str | None = None,
        mark: Mark | None = MARK,
        size: int = 40,
        **f: Any,
    ) -> Meaning:
        fields = {name.replace("_", "-"): value for name, value in f.items()}
        return meaning(Head.of(status, fields), mark, size, have)

    def test_a_rest(self) -> None:
        span = "bytes 40-99/100"
        for fields in (
            {"content_range": span},
            {"content_range": "bytes 40-99/*"},
            {"content_range": "bytes 40-60/100"},
            {"content_range": span, "etag": MARK.etag, "content_encoding": "GZIP"},
            {"content_range": span, "content_encoding": "x-gzip"},
        ):
            self.assertEqual(self.meaning(206, **fields), Meaning.REST, fields)

    def test_a_rest_of_something_else(self) -> None:
        span = "bytes 40-99/100"
        for fields in (
            {},
            {"content_range": "bytes 0-99/100"},
            {"content_range": "bytes 40-100/101"},
            {"content_range": "bytes */100"},
            {"content_range": span, "etag": f'"{A}"'},
            {"content_range": span, "etag": f'W/"{A}-gzip"'},
            {"content_range": span, "content_encoding": "zstd"},
        ):
            self.assertEqual(self.meaning(206, **fields), Meaning.START_OVER, fields)
        self.assertEqual(self.meaning(416), Meaning.START_OVER)

    def test_what_nobody_asked_for(self) -> None:
        for status in (206, 304, 416):
            self.assertEqual(self.meaning(status, mark=None, size=0), Meaning.REFUSED)
        self.assertEqual(self.meaning(304), Meaning.REFUSED)

    def test_nothing_new(self) -> None:
        self.assertEqual(self.meaning(304, size=100), Meaning.COMPLETE)
        self.assertEqual(self.meaning(304, size=100, have=B, etag=MARK.etag), Meaning.COMPLETE)
        self.assertEqual(self.meaning(304, size=100, have=B, etag=f'"{B}"'), Meaning.UNCHANGED)
        self.assertEqual(self.meaning(304, size=100, have=B), Meaning.UNCHANGED)
        self.assertEqual(self.meaning(304, have=B), Meaning.UNCHANGED)
        self.assertEqual(self.meaning(200, have=B, etag=f'W/"{B}-br"'), Meaning.UNCHANGED)
        self.assertEqual(self.meaning(200, have=B, etag=f'"{A}"'), Meaning.WHOLE)
        self.assertEqual(self.meaning(200), Meaning.WHOLE)

    @given(st.integers(100, 599), SOME_FIELDS, st.integers(0, 101), st.none() | st.just(A))
    @example(206, {"content-range": "bytes ²-5/9"}, 40, None)
    @example(200, {"content-length": "٣"}, 40, None)
    def test_any_answer_means_something_that_was_asked_for(
        self, status: int, fields: dict[str, str], size: int, have: str | None
    ) -> None:
        head = Head.of(status, fields)
        found = meaning(head, MARK, size, have)
        if found is Meaning.REST:
            self.assertEqual((head.first, status), (size, 206))
        if found is Meaning.COMPLETE:
            self.assertEqual(size, 100)
        if found is Meaning.UNCHANGED:
            self.assertIsNotNone(have)
        if found is Meaning.WHOLE:
            self.assertEqual(status, 200)

    @given(
        st.binary(max_size=300), st.sampled_from(["identity", *COMPRESSED]), st.data(),
        st.booleans(),
    )  # fmt: skip
    def test_an_honest_server_and_any_cuts_come_to_the_whole(
        self, code: bytes, coding: str, data: st.DataObject, changes: bool
    ) -> None:
        server = BundleServer()
        path = "/bundles/A"
        server.put(b"before" if changes else code, "A")
        server.codings = [coding]
        mark, got = None, b""
        while True:
            headers = request_headers(mark, len(got), None, COMPRESSED)
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            answer = server.answer(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
            fields = {name.lower(): value for name, value in answer.fields.items() if value}
            fields["content-length"] = str(len(answer.body))
            head = Head.of(answer.status, fields)
            found = meaning(head, mark, len(got), None)
            if found is Meaning.COMPLETE:
                break
            if found is Meaning.WHOLE:
                mark, got = head.mark, b""
            else:
                self.assertIs(found, Meaning.REST)
            cut = data.draw(st.integers(0, len(answer.body)))
            got += answer.body[:cut]
            if mark and mark.completed_by(len(got)):
                break
            if changes:
                server.put(code, "A")
                changes = data.draw(st.booleans())
        assert mark is not None
        self.assertIn(got, [ENCODERS[mark.coding](c) for c in (code, b"before")])


class MarkTests(SynchronousTestCase):
    @given(st.sampled_from(["identity", *COMPRESSED]), st.none() | st.integers(0, 2**40))
    def test_it_survives_on_disk(self, coding: str, length: int | None) -> None:
        mark = Mark('"\x80x"', coding, length)
        self.assertEqual(Mark.from_json(mark.to_json()), mark)

    @given(st.text() | st.from_regex(r'\{"etag": ".*", "coding": "gzip", "length": .*\}'))
    def test_rubbish_is_none_or_a_mark_that_can_be_sent(self, text: str) -> None:
        mark = Mark.from_json(text)
        if mark is not None:
            self.assertTrue(mark.resumable)
            assert mark.etag is not None
            self.assertNotIn("\n", mark.etag)

    def test_sha256_in_etags(self) -> None:
        for etag in (f'"{A}"', f'"{A}-gzip"', f'W/"{A}-zstd"'):
            self.assertEqual(sha256_in(etag), A)
        for etag in (None, "", A, f'"{A}0"', f'"{A.upper()}"', f'"x{A}"', f'"{A}" '):
            self.assertIsNone(sha256_in(etag))


class UrlTests(SynchronousTestCase):
    def test_bundles(self) -> None:
        self.assertEqual(
            Relay(True, "example.com", 443, "/apptuner").bundle_url("ABC"),
            "https://example.com:443/apptuner/bundles/ABC",
        )
        self.assertEqual(
            Relay(False, "::1", 3000).bundle_url("ABC", A), f"http://[::1]:3000/bundles/ABC/{A}"
        )
        self.assertEqual(
            Relay(False, "bücher.example", 80).bundle_url("A"),
            "http://xn--bcher-kva.example:80/bundles/A",
        )

    def test_what_is_announced(self) -> None:
        relay = Relay(False, "x", 3000, "/at")
        for url, resolved in {
            "/bundles/A/b?c=d": "http://x:3000/at/bundles/A/b?c=d",
            "http://cdn.example/b": "http://cdn.example/b",
            "https://cdn.example:8443/b#x": "https://cdn.example:8443/b",
            "wss://cdn.example/b": "https://cdn.example/b",
            "//cdn.example/b": "http://cdn.example/b",
            "HTTP://[::1]:80/": "http://[::1]:80/",
        }.items():
            self.assertEqual(relay.resolve(url), resolved)
        self.assertEqual(Relay(True, "x", 443).resolve("//y/b"), "https://y/b")

    def test_what_can_not_be_used(self) -> None:
        relay = Relay(False, "x", 3000)
        for url in (
            "", "bundles/A", "?a", "ftp://x/", "file:///etc/passwd", "http://", "http:///x",
            "http://a:b@x/", "http://@x/", "http://x:99999/", "http://x:0/", "http://x:y/",
            "http://[::1/", "/a b", "/a\r\nX: y", "/ü", "javascript:1", "/" + "x" * 5000,
        ):  # fmt: skip
            self.assertRaises(ValueError, relay.resolve, url)

    def test_what_is_less_secure_than_the_relay(self) -> None:
        error = self.assertRaises(ValueError, Relay(True, "x", 443).resolve, "http://cdn.example/")
        self.assertIn("not encrypted", str(error))

    @given(st.text() | st.from_regex(r"(https?:)?//[!-~]*"))
    def test_rubbish(self, url: str) -> None:
        try:
            resolved = Relay(True, "x", 443).resolve(url)
        except ValueError:
            return
        self.assertTrue(resolved.startswith("https://"))
        self.assertTrue(resolved.isascii() and resolved.isprintable())
