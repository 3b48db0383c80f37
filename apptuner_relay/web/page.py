"""``GET /``, ``/s``, ``/advice`` and ``/static/…``: the status page, that of a session, and their
files.

The files are in ``static/`` and are read once. They hold no metrics: the pages' scripts get those
from ``/api/`` and ``/session/``. They load nothing from other hosts; their
Content-Security-Policy (W3C CSP3) forbids it.
"""

import hashlib
from pathlib import Path

from twisted.web.http import CACHED
from twisted.web.resource import Resource
from twisted.web.server import Request

from apptuner_relay.web.guard import Denied, Guard
from apptuner_relay.web.headers import header
from apptuner_relay.web.json_body import ErrorResource, JsonResource, write_json

POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ]
)

_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
_PAGES = {401: "signin.html", 403: "closed.html"}
"""The page for a browser that isn't let in, by status."""


def read_static() -> dict[str, bytes]:
    """The files of ``static/`` by their names."""
    return {
        entry.name: entry.read_bytes()
        for entry in Path(__file__).with_name("static").iterdir()
        if entry.is_file()
    }


def is_page(name: str) -> bool:
    return name.endswith(".html")


class PageResource(JsonResource):
    """The status page; for those who aren't let in, a page that says how to be."""

    def __init__(self, guard: Guard, static: dict[str, bytes]) -> None:
        super().__init__()
        self._guard = guard
        self._static = static

    def render_GET(self, request: Request) -> bytes:
        # Other sites may link to the page, so this isn't `authorize`.
        try:
            self._guard.authenticate(request)
        except Denied as denied:
            if "text/html" not in (header(request, "accept") or ""):
                return denied.write(request)
            denied.set_headers(request)
            request.setResponseCode(denied.status)
            return self._write(request, _PAGES[denied.status])
        return self._write(request, "status.html")

    def _write(self, request: Request, name: str) -> bytes:
        request.setHeader(b"cache-control", b"no-store")
        return _write(request, name, self._static[name])


class AdviceResource(JsonResource):
    """What to do about each warning, for everybody: there are no metrics in it."""

    def __init__(self, static: dict[str, bytes]) -> None:
        super().__init__()
        self._static = static

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"cache-control", b"no-cache")
        return _write(request, "advice.html", self._static["advice.html"])


class SessionPageResource(JsonResource):
    """``GET /s``: the page of one session, for everybody. Which session, only the browser knows:
    its id is behind the ``#``, and no browser sends that."""

    def __init__(self, static: dict[str, bytes]) -> None:
        super().__init__()
        self._body = static["session.html"]

    def getChild(self, path: bytes, request: Request) -> Resource:
        if not path and not request.postpath:
            return _BackResource()
        return ErrorResource(404, "Not found: a session's page is /s#ID, with its id behind a #")

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"cache-control", b"no-store")
        return _write(request, "session.html", self._body)


class _BackResource(JsonResource):
    """``/s/``, in which the page's relative URLs would name nothing."""

    def render_GET(self, request: Request) -> bytes:
        body = write_json(request, {"error": "The page is at /s"}, 308)
        request.setHeader(b"location", b"../s")
        return body


class StaticResource(JsonResource):
    """Style sheets, scripts and the icon, for everybody: the sign-in page needs them."""

    def __init__(self, static: dict[str, bytes]) -> None:
        super().__init__()
        for name, body in static.items():
            if not is_page(name):
                self.putChild(name.encode(), _FileResource(name, body))

    def render_GET(self, request: Request) -> bytes:
        return write_json(request, {"error": "Not found"}, 404)


class _FileResource(JsonResource):
    def __init__(self, name: str, body: bytes) -> None:
        super().__init__()
        self._name = name
        self._body = body
        self._tag = b'"%s"' % hashlib.sha256(body).hexdigest()[:32].encode()

    def render_GET(self, request: Request) -> bytes:
        # Revalidated each time, so that page and script are of the same version.
        request.setHeader(b"cache-control", b"no-cache")
        if request.setETag(self._tag) is CACHED:
            return b""
        return _write(request, self._name, self._body)


def _write(request: Request, name: str, body: bytes) -> bytes:
    request.setHeader(b"content-type", _TYPES[name[name.rindex(".") :]])
    request.setHeader(b"content-security-policy", POLICY.encode())
    request.setHeader(b"x-content-type-options", b"nosniff")
    request.setHeader(b"referrer-policy", b"no-referrer")
    request.setHeader(b"content-length", b"%d" % len(body))
    return b"" if request.method == b"HEAD" else body
