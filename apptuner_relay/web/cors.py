"""Cross-origin requests (CORS, the Fetch standard's "CORS protocol"): lets the pages that
``--allowed-origin`` allows read an answer, and answers their preflights.

It says what a browser may show a page. Whether the request itself is refused is the resource's to
decide: a program other than a browser may send any Origin, or none.
"""

from collections.abc import Sequence
from http import HTTPStatus

from twisted.web.server import Request

from apptuner_relay.config.origins import Origins
from apptuner_relay.web.headers import header
from apptuner_relay.web.json_body import write_json

PREFLIGHT_S = 600
"""How long a browser may go by the answer to a preflight. Browsers have caps of 2 h and more."""

_EXPOSED = b"Content-Location, ETag, Location, Retry-After"
"""What a page may read beside the fields that any page may."""


def allow_origin(request: Request, origins: Origins) -> bool:
    """Have the answer be readable for the request's page, if that is allowed.

    :return: whether it is. A request without Origin, which is not a page's, is allowed.
    """
    if not origins.allowed:
        request.setHeader(b"access-control-allow-origin", b"*")
        request.setHeader(b"access-control-expose-headers", _EXPOSED)
        return True
    # Whatever the answer is: no cache may give it to a page of another origin.
    request.responseHeaders.addRawHeader(b"vary", b"Origin")
    origin = header(request, "origin")
    if origin is None:
        return True
    if not origins.allow(origin):
        return False
    request.setHeader(b"access-control-allow-origin", origin.encode("latin-1"))
    request.setHeader(b"access-control-expose-headers", _EXPOSED)
    return True


def answer_preflight(
    request: Request, origins: Origins, methods: Sequence[str], headers: Sequence[str]
) -> bytes:
    """Answer an ``OPTIONS`` request: 204, or 403 with a JSON error to a page that is not allowed.

    :param methods: what a page may send, such as ``PUT``.
    :param headers: the header fields that it may set beside those that any page may set.
    :return: the body, for ``render``.
    """
    if not allow_origin(request, origins):
        return write_json(request, {"error": "Your origin is not allowed"}, 403)
    request.setResponseCode(HTTPStatus.NO_CONTENT, HTTPStatus.NO_CONTENT.phrase.encode())
    request.setHeader(b"allow", ", ".join(("OPTIONS", *methods)).encode())
    request.setHeader(b"access-control-allow-methods", ", ".join(methods).encode())
    request.setHeader(b"access-control-allow-headers", ", ".join(headers).encode())
    request.setHeader(b"access-control-max-age", str(PREFLIGHT_S).encode())
    # What twisted.web would name otherwise.
    request.defaultContentType = None
    return b""
