"""JSON bodies for twisted.web resources."""

from collections.abc import Sequence
from http import HTTPStatus

from twisted.web.resource import Resource
from twisted.web.server import Request

from apptuner_relay.wire.messages import compact_json

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")


def write_json(request: Request, value: object, status: int = 200) -> bytes:
    """Set status and headers, and return the body for ``render``."""
    body = compact_json(value)
    request.setResponseCode(status, HTTPStatus(status).phrase.encode())
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    request.setHeader(b"content-length", str(len(body)).encode())
    return b"" if request.method == b"HEAD" else body


class JsonResource(Resource):
    """Answers methods that it has no ``render_`` method for, and paths below it, with JSON
    errors."""

    taken_elsewhere: Sequence[str] = ()
    """The methods that something else answers here, before a resource is looked for."""

    def getChild(self, path: bytes, request: Request) -> Resource:
        return ErrorResource(404, "Not found")

    def render(self, request: Request) -> bytes | int:
        method = request.method.decode("ascii", "replace")
        allowed = [name for name in _METHODS if hasattr(self, f"render_{name}")]
        if "GET" not in allowed:
            # twisted.web's answer to a HEAD is that to a GET.
            allowed.remove("HEAD")
        allowed += self.taken_elsewhere
        handler = getattr(self, f"render_{method}", None) if method in allowed else None
        if handler is None:
            request.setHeader(b"allow", ", ".join(allowed).encode())
            return write_json(request, {"error": f"Only {' or '.join(allowed)} here"}, 405)
        result: bytes | int = handler(request)
        return result


class ErrorResource(Resource):
    """Answers everything with one status and ``{"error": text}``."""

    isLeaf = True

    def __init__(self, status: int, text: str) -> None:
        super().__init__()
        self._status = status
        self._text = text

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Answer the paths below as well."""
        return self

    def render(self, request: Request) -> bytes:
        return write_json(request, {"error": self._text}, self._status)
