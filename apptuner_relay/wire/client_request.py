"""Reads the request of a client's opening handshake in one go. Pure.

Nearly all clients send the same few fields, in a head that arrives whole. `read_client_request`
takes these, and leaves alone whatever is unusual in any way: that goes through twisted.web and
Autobahn, which know all of HTTP. A test compares what becomes of a handshake on either way.
"""

import re
from base64 import b64encode
from functools import lru_cache
from hashlib import sha1
from typing import NamedTuple

from apptuner_relay.wire.deflate import NO_CONTEXT_TAKEOVER
from apptuner_relay.wire.handshake import END
from apptuner_relay.wire.offers import (
    FULL_WINDOW_BITS,
    Deflate,
    choose_deflate,
    parse_subprotocols,
)

MOST_FIELDS = 40
"""Header fields of a request that is read here."""

_REQUEST_LINE = re.compile(
    rb"GET (/(cli|mobile|dashboard|desktop)/[A-Za-z0-9_-]{1,64}(?:\?[!\"$-~]*)?) HTTP/1\.1"
)
_FIELD = re.compile(rb"^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n]*)\r$", re.MULTILINE)
_USUAL = bytes((0x09, 0x0A, 0x0D, *range(0x20, 0x7F)))
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 §1.3."""
_UNUSUAL = frozenset(("content-length", "transfer-encoding", "expect"))
"""Fields that say of a request that it has a body."""
_CONNECTION = frozenset(("upgrade", "keep-alive, upgrade"))


class ClientRequest(NamedTuple):
    """A client's handshake."""

    role: str
    """The first segment of its path."""
    target: str
    """Its path, with the query."""
    fields: dict[str, str]
    """Its header fields, by their names in lower case."""
    deflate: Deflate | None
    """The offer of permessage-deflate that can be accepted."""
    subprotocols: list[str]
    rest: bytes
    """What was received behind the request."""

    def answer(self, server: str, subprotocol: str | None, deflates: bool) -> bytes:
        """The response that opens the WebSocket (RFC 6455 §4.2.2).

        :param server: what it says of the relay.
        :param deflates: whether the offer of permessage-deflate is accepted, where there is one.
        """
        key = self.fields["sec-websocket-key"].encode()
        accept = b64encode(sha1(key + _GUID, usedforsecurity=False).digest()).decode()
        spoken = "" if subprotocol is None else f"Sec-WebSocket-Protocol: {subprotocol}\r\n"
        deflate = _show_deflate(self.deflate) if deflates and self.deflate is not None else ""
        return (
            f"HTTP/1.1 101 Switching Protocols\r\nServer: {server}\r\nUpgrade: WebSocket\r\n"
            f"Connection: Upgrade\r\n{spoken}Sec-WebSocket-Accept: {accept}\r\n{deflate}\r\n"
        ).encode()


def read_client_request(data: bytes, limit: int) -> ClientRequest | None:
    """Read a request, if it is a client's opening handshake without anything unusual.

    :param data: what was received of the connection.
    :param limit: how many bytes a request's head may have.
    :return: None for any other request, and for one that is not all there.
    """
    head, end, rest = data.partition(END)
    if not end or len(head) + len(end) > limit or head.translate(None, _USUAL):
        return None
    first, _, lines = head.partition(b"\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        return None
    lines += b"\r"
    count = lines.count(b"\n") + 1
    found = _FIELD.findall(lines)
    if len(found) != count or lines.count(b"\r") != count or count > MOST_FIELDS:
        return None
    fields = {name.lower().decode(): value.rstrip(b" \t").decode() for name, value in found}
    if len(fields) != count or not _is_handshake(fields):
        return None
    return ClientRequest(
        line[2].decode(),
        line[1].decode(),
        fields,
        choose_deflate(fields.get("sec-websocket-extensions", "")),
        parse_subprotocols(fields.get("sec-websocket-protocol", "")),
        rest,
    )


def _is_handshake(fields: dict[str, str]) -> bool:
    return (
        fields.get("upgrade", "").lower() == "websocket"
        and fields.get("sec-websocket-version") == "13"
        and fields.get("connection", "").lower() in _CONNECTION
        and _KEY.fullmatch(fields.get("sec-websocket-key", "")) is not None
        and "host" in fields
        and _UNUSUAL.isdisjoint(fields)
    )


@lru_cache
def _show_deflate(taken: Deflate) -> str:
    """The field that accepts an offer, with messages that stand alone (RFC 7692 §7.1.1)."""
    window = f"; server_max_window_bits={FULL_WINDOW_BITS}" if taken.says_window else ""
    return f"Sec-WebSocket-Extensions: {NO_CONTEXT_TAKEOVER}{window}\r\n"
