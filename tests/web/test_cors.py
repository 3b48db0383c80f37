"""`apptuner_relay.web.cors`: what a browser may show a page."""

import json

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from apptuner_relay.config.origins import ALL, Origins
from apptuner_relay.web.cors import allow_origin, answer_preflight

PAGE = "https://dashboard.example.com"
OURS = Origins.parse(f"{PAGE} null")
FIELD = b"access-control-allow-origin"


def ask(origin: str | None) -> DummyRequest:
    request = DummyRequest([])
    if origin is not None:
        request.requestHeaders.addRawHeader(b"origin", origin.encode("latin-1"))
    return request


def fields(request: DummyRequest, name: bytes) -> list[bytes]:
    return list(request.responseHeaders.getRawHeaders(name, []))


class AllowOriginTest(SynchronousTestCase):
    def test_any_page(self) -> None:
        for origin in (PAGE, "null", "\xff", None):
            request = ask(origin)
            self.assertTrue(allow_origin(request, ALL))
            self.assertEqual(fields(request, FIELD), [b"*"])

    def test_page_on_the_list(self) -> None:
        for origin in (PAGE, "HTTPS://Dashboard.Example.com:443", "null"):
            request = ask(origin)
            self.assertTrue(allow_origin(request, OURS))
            # As the browser has it, which compares the text.
            self.assertEqual(fields(request, FIELD), [origin.encode()])
            self.assertEqual(fields(request, b"vary"), [b"Origin"])

    def test_foreign_page(self) -> None:
        request = ask("https://evil.example")
        self.assertFalse(allow_origin(request, OURS))
        self.assertEqual(fields(request, FIELD), [])
        self.assertEqual(fields(request, b"vary"), [b"Origin"])

    def test_no_browser(self) -> None:
        request = ask(None)
        self.assertTrue(allow_origin(request, OURS))
        self.assertEqual(fields(request, FIELD), [])

    def test_a_field_that_is_there_already(self) -> None:
        request = ask(PAGE)
        request.responseHeaders.addRawHeader(b"vary", b"Accept-Encoding")
        allow_origin(request, OURS)
        self.assertEqual(fields(request, b"vary"), [b"Accept-Encoding", b"Origin"])


class PreflightTest(SynchronousTestCase):
    def test_allowed(self) -> None:
        request = ask(PAGE)
        body = answer_preflight(request, OURS, ["PUT"], ["Authorization", "Content-Encoding"])
        self.assertEqual((body, request.responseCode), (b"", 204))
        self.assertEqual(fields(request, FIELD), [PAGE.encode()])
        self.assertEqual(fields(request, b"access-control-allow-methods"), [b"PUT"])
        self.assertEqual(
            fields(request, b"access-control-allow-headers"), [b"Authorization, Content-Encoding"]
        )
        self.assertEqual(fields(request, b"access-control-max-age"), [b"600"])

    def test_refused(self) -> None:
        request = ask("https://evil.example")
        body = answer_preflight(request, OURS, ["PUT"], ["Authorization"])
        self.assertEqual(request.responseCode, 403)
        self.assertEqual(json.loads(body), {"error": "Your origin is not allowed"})
        self.assertEqual(fields(request, b"access-control-allow-methods"), [])
