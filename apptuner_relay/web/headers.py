"""A request's header fields as text."""

from twisted.web.server import Request


def header(request: Request, name: str) -> str | None:
    """The last field of that name, or None.

    Whatever bytes a client sends: RFC 9110 §5.5 has them read as opaque, which ISO 8859-1 is. Asked
    for text, twisted.web takes them for UTF-8 and fails where they are none.
    """
    value: bytes | None = request.getHeader(name.encode("ascii"))
    return None if value is None else value.decode("latin-1")
