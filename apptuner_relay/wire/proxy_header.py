"""The PROXY protocol: with its header a load balancer that forwards TCP names the client. Pure.

Both versions are read, the line of text and the binary header
(https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, sections 2.1 and 2.2). The caller has
to know whether a connection begins with a header, and whether to trust it: that can't be guessed.
"""

import re
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

V1_BYTES = 107
"""The longest line, with its CRLF."""
V2_BYTES = 4096
"""The longest binary header that is accepted. Addresses need at most 232 bytes; the rest is TLVs,
which are skipped."""

_V1_START = b"PROXY "
_V2_START = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED_BYTES = 16
_LOCAL, _PROXY = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31
_ADDRESSES_BYTES = {_TCP4: 12, _TCP6: 36, _UNIX: 216}
_PORT = re.compile(r"0|[1-9][0-9]{0,4}")
_MOST_PORT = 65535


class BadHeader(ValueError):
    """The bytes are not a header of the PROXY protocol. The text says why, and quotes none of
    them."""


class Header(NamedTuple):
    """What a header says."""

    length: int
    """How many bytes it has. What follows is the client's."""
    client: tuple[IPv4Address | IPv6Address, int] | None
    """The client's address and port; None if the proxy doesn't say."""
    local: bool = False
    """Whether the proxy connects for itself, as for a health check."""


def read_header(data: bytes) -> Header | None:
    """Read the header at the start of ``data``; None if it is not complete yet.

    :raises BadHeader: it is not a header, whatever follows.
    """
    if data.startswith(_V2_START[: len(data)]):
        return _read_v2(data)
    if data.startswith(_V1_START[: len(data)]):
        return _read_v1(data)
    raise BadHeader("no PROXY header")


def _read_v1(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, V1_BYTES)
    if end < 0:
        if len(data) >= V1_BYTES:
            raise BadHeader("a PROXY line that is too long")
        return None
    try:
        words = data[:end].decode("ascii").split(" ")
    except UnicodeDecodeError:
        raise BadHeader("a PROXY line that is not ASCII") from None
    length = end + 2
    if words[1] == "UNKNOWN":
        return Header(length, None)
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise BadHeader("a PROXY line of another form")
    read: type[IPv4Address | IPv6Address] = IPv4Address if words[1] == "TCP4" else IPv6Address
    try:
        source, _ = read(words[2]), read(words[3])
        if "%" in words[2]:
            raise ValueError("a zone")
    except ValueError:
        raise BadHeader(f"a PROXY line with a bad address of {words[1]}") from None
    for word in words[4:]:
        if not _PORT.fullmatch(word) or int(word) > _MOST_PORT:
            raise BadHeader("a PROXY line with a bad port")
    return Header(length, (source, int(words[4])))


def _read_v2(data: bytes) -> Header | None:
    if len(data) < _V2_FIXED_BYTES:
        return None
    command, family = data[12], data[13]
    length = _V2_FIXED_BYTES + int.from_bytes(data[14:16], "big")
    if command not in (_LOCAL, _PROXY):
        raise BadHeader("a PROXY header of another version or command")
    if length > V2_BYTES:
        raise BadHeader("a PROXY header that is too long")
    if command == _PROXY:
        if family != _UNSPECIFIED and family not in _ADDRESSES_BYTES:
            raise BadHeader("a PROXY header of no stream over IP or UNIX")
        if length - _V2_FIXED_BYTES < _ADDRESSES_BYTES.get(family, 0):
            raise BadHeader("a PROXY header that is too short for its addresses")
    if len(data) < length:
        return None
    if command == _LOCAL:
        return Header(length, None, local=True)
    if family == _TCP4:
        return Header(length, (IPv4Address(data[16:20]), int.from_bytes(data[24:26], "big")))
    if family == _TCP6:
        return Header(length, (IPv6Address(data[16:32]), int.from_bytes(data[48:50], "big")))
    return Header(length, None)
