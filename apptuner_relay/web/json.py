"""JSON bodies for twisted.web resources."""

import json
from http import HTTPStatus

from twisted.web.resource import Resource
from twisted.web.server import Request


def write_json(request: Request, value: object, status: int = 200) -> bytes:
    """Set status and headers, and return the body for ``render``."""
    body = json.dumps(value, separators=(",", ":")).encode()
    request.setResponseCode(status, HTTPStatus(status).phrase.encode())
    request.setHeader(b"content-type", b"application/json")
    request.setHeader(b"cache-control", b"no-store")
    request.setHeader(b"content-length", str(len(body)).encode())
    return b"" if request.method == b"HEAD" else body


class ErrorResource(Resource):
    """Answers everything with one status and ``{"error": text}``."""

    isLeaf = True

    def __init__(self, status: int, text: str) -> None:
        super().__init__()
        self._status = status
        self._text = text

    def render(self, request: Request) -> bytes:
        return write_json(request, {"error": self._text}, self._status)
