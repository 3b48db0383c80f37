"""Writes a server's frame header into a buffer, in front of a payload that lies there."""


def write_header(buffer: bytearray, first: int, payload: int, stop: int) -> int:
    """Write a server's header in front of ``payload``; returns where the header begins."""
    length = stop - payload
    if length < 126:
        buffer[payload - 2] = first
        buffer[payload - 1] = length
        return payload - 2
    if length < 0x10000:
        buffer[payload - 4 : payload] = bytes((first, 126, length >> 8, length & 0xFF))
        return payload - 4
    buffer[payload - 10 : payload] = b"%c\x7f%b" % (first, length.to_bytes(8, "big"))
    return payload - 10
