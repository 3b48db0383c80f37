"""Runs of frames that pass on as they came: they are found, and not read. Pure.

Where nobody looks into messages, it is enough to know where their frames end. A run of whole frames
is sent on at once, with the client's masks, where it has any.
"""

from collections.abc import Iterator

SMALL_BYTES = 512
"""The most bytes of payload that a small frame has."""
_MOST_BYTES = 64 * 1024
"""How long a run is at most that has more than one frame: the caller can stop between two runs
only, and a control frame to whoever gets them goes between two runs."""
_MOST_FRAMES = 1024
"""How many frames of a message a run has at most."""


def end_of_run(buffer: bytearray, start: int, stop: int, has_masks: bool) -> int:
    """Where the run of small frames ends that begins at ``start``; ``start`` where there is none.

    All of its frames begin with the same byte as the first, have headers in the shortest form, and
    are whole.
    """
    # A length is told by 4 bytes: what has fewer left is for those who read frame by frame.
    first, last = buffer[start], min(stop - 4, start + _MOST_BYTES)
    # The second byte of a header has the length, above this.
    none = 0x80 if has_masks else 0
    long, header = none + 126, 6 if has_masks else 2
    at = begin = start
    while at <= last and buffer[at] == first:
        begin, length = at, buffer[at + 1]
        if length == long:
            length = buffer[at + 2] << 8 | buffer[at + 3]
            if not 126 <= length <= SMALL_BYTES:
                break
            at += header + 2 + length
        elif none <= length < long:
            at += header + length - none
        else:
            break
    return at if at <= stop else begin


def find_rest(buffer: bytearray, start: int, stop: int) -> tuple[int, int, bool]:
    """The run of frames without masks that continue a message, from ``start`` on, and are whole:
    where it ends, how many bytes of payload it has, and whether it ends the message."""
    at, size = start, 0
    for _ in range(_MOST_FRAMES):
        # What has fewer bytes left is for those who read frame by frame.
        if at + 10 > stop or buffer[at] & 0x7F:
            break
        length, begin = buffer[at + 1], at + 2
        if length > 125:
            begin, shortest = (at + 4, 126) if length == 126 else (at + 10, 0x10000)
            if length > 127:
                break
            length = int.from_bytes(buffer[at + 2 : begin], "big")
            if length < shortest:
                break
        if begin + length > stop or (size and size + length > _MOST_BYTES):
            break
        ends = buffer[at] > 0x7F
        at, size = begin + length, size + length
        if ends:
            return at, size, True
    return at, size, False


def payloads(run: bytes) -> Iterator[bytes]:
    """The payloads of a run of frames without masks."""
    at = 0
    while at < len(run):
        begin, length = at + 2, run[at + 1]
        if length > 125:
            begin = at + (4 if length == 126 else 10)
            length = int.from_bytes(run[at + 2 : begin], "big")
        at = begin + length
        yield run[begin:at]
