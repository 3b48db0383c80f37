"""The request of a client's opening handshake, before Autobahn reads it. Pure.

Autobahn refuses requests that real clients send: with a Host or an Origin that does not follow
RFC 3986, or with extensions and subprotocols that it cannot parse, even if it would not use them.
The relay refuses nobody for these. So it reads the four fields itself, and passes on to Autobahn
only what Autobahn understands.
"""

from collections.abc import Iterable
from typing import NamedTuple

from apptuner_relay.wire.offers import choose_deflate, parse_subprotocols

END = b"\r\n\r\n"
"""The end of a request's head."""

_HOST = b"host"
_ORIGIN = b"origin"
_EXTENSIONS = b"sec-websocket-extensions"
_SUBPROTOCOLS = b"sec-websocket-protocol"
_READ_HERE = frozenset((_HOST, _ORIGIN, _EXTENSIONS, _SUBPROTOCOLS))
_SOME_HOST = b"Host: relay"
_LINE_BREAKS = b"\n\r\x0b\x0c\x1c\x1d\x1e\x85"
_AS_SPACES = bytes.maketrans(_LINE_BREAKS, b" " * len(_LINE_BREAKS))
"""Autobahn splits the head as text, where each of these characters ends a line. In HTTP only CR LF
does. As spaces they cannot make two fields out of one that a proxy in front has checked."""


class Opening(NamedTuple):
    """The head of a request as Autobahn gets it, and the Origin, which it does not get."""

    head: bytes
    origin: str | None
    """``Origin`` as the client sent it; None where there is none."""


def write_head(uri: bytes, fields: Iterable[tuple[bytes, Iterable[bytes]]]) -> bytes:
    """The head of a GET request. Fields of the same name are combined (RFC 9110 §5.3)."""
    lines = [b"GET " + uri + b" HTTP/1.1"]
    lines += [name + b": " + b",".join(values) for name, values in fields]
    return b"\r\n".join(lines) + END


def read_opening(head: bytes) -> Opening:
    """Read a request's head.

    :param head: all of it, with `END`.
    """
    first, *lines = (line.translate(_AS_SPACES) for line in head.removesuffix(END).split(b"\r\n"))
    kept, values = [first], dict.fromkeys(_READ_HERE, b"")
    found: set[bytes] = set()
    for line in lines:
        name, _, value = line.partition(b":")
        name = name.strip().lower()
        if name in _READ_HERE:
            before = values[name] + b"," if name in found else b""
            values[name] = before + value.strip(b" \t")
            found.add(name)
        else:
            kept.append(line)
    # HTTP needs a Host (RFC 9112 §3.2); what it says does not matter here.
    if _HOST in found:
        kept.append(_SOME_HOST)
    taken = choose_deflate(values[_EXTENSIONS].decode("latin-1"))
    if taken is not None:
        kept.append(b"Sec-WebSocket-Extensions: " + str(taken).encode())
    asked = parse_subprotocols(values[_SUBPROTOCOLS].decode("latin-1"))
    if asked:
        kept.append(b"Sec-WebSocket-Protocol: " + ", ".join(asked).encode())
    origin = values[_ORIGIN].decode("latin-1") if _ORIGIN in found else None
    return Opening(b"\r\n".join(kept) + END, origin)
