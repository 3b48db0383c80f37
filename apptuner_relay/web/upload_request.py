"""What the head of an upload says: of which session it is, who sends it, and what its body is."""

import re
from typing import NamedTuple

from twisted.web.server import Request

from apptuner_relay.access.caller import Caller, read_caller
from apptuner_relay.session.session import BadRequest, check_session_id
from apptuner_relay.support.client_address import FIELD, TrustedProxies, host_of
from apptuner_relay.web.headers import header
from apptuner_relay.web.patch_body import PatchBody, check_if_match
from apptuner_relay.web.upload_answers import PatchRefusal
from apptuner_relay.web.upload_body import UploadBody, read_coding, too_large
from apptuner_relay.wire.bundle_patch import MOST_PATCH_BYTES, PATCH_MEDIA_TYPE, PatchFault

PREFIX = b"/bundles/"

_JSON = re.compile(r"application/(?:json|[^/\s]+\+json)")


class UploadRequest(NamedTuple):
    """The head of an upload."""

    session_id: str
    query: str
    caller: Caller
    body: UploadBody | PatchBody
    """What its body is to be fed to."""
    expects_continue: bool
    """Whether the body is sent once it is asked for (RFC 9110 §10.1.1)."""


def is_upload(method: bytes, target: bytes) -> bool:
    """Whether a request is an upload, or the preflight of one (`web.cors`).

    :param target: see RFC 9112 §3.2.
    """
    return target.startswith(PREFIX) and method in (b"PUT", b"OPTIONS")


def client_address(request: Request, trusted: TrustedProxies) -> str | None:
    """The address of a request's client; see `TrustedProxies.client`."""
    fields = request.requestHeaders.getRawHeaders(FIELD, [])
    return trusted.client(host_of(request.getClientAddress()), fields)


def read_upload(
    request: Request, target: bytes, length: int | None, address: str | None, max_message: int
) -> UploadRequest:
    """Read the head of an upload.

    :param length: of its body, in bytes; None where it is unknown.
    :param address: the client's.
    :param max_message: the most bytes that a message may have.
    :raises BadRequest: 404 for another path, 400 for what is malformed, 413 for too long a body,
        415 for another coding or for JSON that is no patch, 428 for a patch without ``If-Match``.
    """
    path, _, query = target.decode("ascii", "replace").partition("?")
    name = path.removeprefix(PREFIX.decode())
    if "/" in name:
        raise BadRequest(404, "Not found: put a bundle to /bundles/SESSION")
    session_id = check_session_id(name)
    if request.requestHeaders.hasHeader(b"content-range"):
        # RFC 9110 §14.5.
        raise BadRequest(400, "A bundle is uploaded whole, without Content-Range")
    body = _read_body(request, length, max_message)
    if length == 0:
        body.finish(0)
    authorization, origin = header(request, "authorization"), header(request, "origin")
    caller = read_caller(address, origin, authorization, query)
    expects = header(request, "expect") is not None
    return UploadRequest(session_id, query, caller, body, expects)


def _read_body(request: Request, length: int | None, max_message: int) -> UploadBody | PatchBody:
    media_type = (header(request, "content-type") or "").partition(";")[0].strip().lower()
    is_patch = media_type == PATCH_MEDIA_TYPE
    if not is_patch and _JSON.fullmatch(media_type):
        raise BadRequest(
            415,
            f"A bundle's code is no JSON, and a patch is {PATCH_MEDIA_TYPE}",
            (("Accept", f"{PATCH_MEDIA_TYPE}, text/javascript"),),
        )
    if length is not None and length > max_message:
        raise too_large(max_message)
    coding = read_coding(header(request, "content-encoding"))
    if not is_patch:
        return UploadBody(coding, max_message)
    if_match = check_if_match(header(request, "if-match"))
    if length is not None and length > MOST_PATCH_BYTES:
        raise PatchRefusal(PatchFault.TOO_BIG)
    return PatchBody(coding, if_match)
