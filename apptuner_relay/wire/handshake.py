"""The request of a client's opening handshake, before Autobahn reads it. Pure.

Autobahn refuses what clients do send: hosts and origins that aren't written as RFC 3986 has them,
and extensions and subprotocols that it doesn't like, even those that it would never take. None of
these is a reason to refuse anybody here, so Autobahn gets to see what it can do something with.
"""

from collections.abc import Iterable
from typing import NamedTuple

from apptuner_relay.wire.offers import choose_deflate, parse_subprotocols

END = b"\r\n\r\n"
"""Of a request's head."""

_HOST = b"host"
_ORIGIN = b"origin"
_EXTENSIONS = b"sec-websocket-extensions"
_SUBPROTOCOLS = b"sec-websocket-protocol"
_READ_HERE = frozenset((_HOST, _ORIGIN, _EXTENSIONS, _SUBPROTOCOLS))
_SOME_HOST = b"Host: relay"
_LINE_BREAKS = b"\n\r\x0b\x0c\x1c\x1d\x1e\x85"
_AS_SPACES = bytes.maketrans(_LINE_BREAKS, b" " * len(_LINE_BREAKS))
"""Autobahn reads text, in which all of these end a line; in HTTP they are part of one. So nobody
makes two fields of one, behind a proxy that has looked at it."""


class Opening(NamedTuple):
    """The head of a request, for Autobahn, and what it doesn't get to see."""

    head: bytes
    origin: str | None
    """``Origin`` as it came; None where there was none."""


def write_head(uri: bytes, fields: Iterable[tuple[bytes, Iterable[bytes]]]) -> bytes:
    """The head of a GET; several fields of a name are put together (RFC 9110 §5.3)."""
    lines = [b"GET " + uri + b" HTTP/1.1"]
    lines += [name + b": " + b",".join(values) for name, values in fields]
    return b"\r\n".join(lines) + END


def read_opening(head: bytes) -> Opening:
    """:param head: up to `END` and with it."""
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
    # That there is one is as much as HTTP asks for (RFC 9112 §3.2).
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
