"""RFC 6455's framing once more, as plainly as it can be read: what `FrameReader` is compared with.

Slow, with the whole stream in memory, and nothing of it shared with the relay.
"""

from dataclasses import dataclass, field

_DATA, _CONTROL = (0, 1, 2), (8, 9, 10)


@dataclass
class Reading:
    """What a stream consists of, up to its end or its first violation."""

    messages: list[tuple[int, bytes]] = field(default_factory=list)
    """``(opcode, payload)``, the opcode with the bit 0x40 where it was set."""
    controls: list[tuple[int, bytes]] = field(default_factory=list)
    begun: bytes = b""
    """The payload of a message that has no end here."""
    code: int | None = None
    """The close code of the first violation."""


def read_stream(stream: bytes, limit: int, deflate: bool) -> Reading:
    """Read a client's stream from its beginning."""
    reading = Reading()
    opcode: int | None = None
    size = 0
    at = 0
    while at < len(stream):
        first = stream[at]
        kind, rsv, fin = first & 15, first & 0x70, bool(first & 0x80)
        if kind not in _DATA + _CONTROL or (
            rsv and not (deflate and rsv == 0x40 and kind in (1, 2))
        ):
            return _ended(reading, 1002)
        if kind in _CONTROL and not fin:
            return _ended(reading, 1002)
        if kind in _DATA and (kind == 0) != (opcode is not None):
            return _ended(reading, 1002)
        if at + 1 == len(stream):
            break
        length = stream[at + 1] & 0x7F
        if not stream[at + 1] & 0x80 or (kind in _CONTROL and length > 125):
            return _ended(reading, 1002)
        extra = {126: 2, 127: 8}.get(length, 0)
        begin = at + 2 + extra + 4
        if begin > len(stream):
            break
        if extra:
            length = int.from_bytes(stream[at + 2 : at + 2 + extra], "big")
            if length < (126 if extra == 2 else 65536) or length >= 1 << 63:
                return _ended(reading, 1002)
        mask = stream[begin - 4 : begin]
        masked = stream[begin : begin + length]
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(masked))
        whole = len(payload) == length
        at = begin + len(payload)
        if kind in _CONTROL:
            if not whole:
                break
            reading.controls.append((kind, payload))
            continue
        if kind:
            opcode, size = kind | rsv, 0
        size += length
        if size > limit:
            return _ended(reading, 1009)
        reading.begun += payload
        end = fin and whole
        if opcode == 1 and not could_be_text(reading.begun, end):
            return _ended(reading, 1007)
        if end:
            assert opcode is not None
            reading.messages.append((opcode, reading.begun))
            reading.begun, opcode = b"", None
    return reading


def could_be_text(data: bytes, end: bool) -> bool:
    """Whether bytes are UTF-8, or can become so by more of them unless ``end``."""
    tails = [b""]
    if not end:
        tails += [byte * count for byte in (b"\x80", b"\x9f", b"\xbf") for count in (1, 2, 3)]
    return any(_is_text(data + tail) for tail in tails)


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _ended(reading: Reading, code: int) -> Reading:
    reading.code = code
    return reading
