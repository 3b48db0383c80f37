"""A request's header fields as text."""

from twisted.web.server import Request


def header(request: Request, name: str) -> str | None:
    """The last field of that name, or None.

    A client may send any bytes: RFC 9110 §5.5 has them be opaque, and ISO 8859-1 keeps them so.
    Asked for text, twisted.web decodes UTF-8, and fails where a field is none.
    """
    value: bytes | None = request.getHeader(name.encode("ascii"))
    return None if value is None else value.decode("latin-1")
