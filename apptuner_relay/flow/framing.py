"""Cuts the payload of a long message into frames of a useful size, while it comes. Pure.

Frames are not small: real clients limit how many frames a message may have (npm's ws 8.23: 16,384,
PyPI's websockets: 4,096). They are not big: a control frame waits for the end of the frame that is
on its way. No frame of text ends inside a UTF-8 character, as some clients check each frame by
itself (RFC 6455 §8.1 has the message checked). A compressed message that fits into one frame is one
frame, as Safari 15 fails at fragments of compressed messages.
"""

from collections.abc import Sequence
from typing import Protocol

from apptuner_relay.wire.frames import COMPRESSED, CONTINUATION, TEXT, Frame, frame_header

FRAME_BYTES = 96 * 1024
"""The payload of a frame, where a message may have 50 MiB. A control frame that waits behind such a
frame, and behind 128 KiB in the kernel, is sent after 2.2 s at 120 kB/s."""
WHOLE_BYTES = 64 * 1024
"""A compressed message of fewer bytes is one frame."""
LEAST_BYTES = 32 * 1024
"""Fewer bytes wait for more, for a moment."""
MOST_FRAMES = 2048
"""How many frames a message has at most."""
_PAUSE_FRAMES = 384
"""How many frames of a message may be shorter than `LEAST_BYTES`, because its sender paused."""
_LONGEST_CHARACTER = 4


class Frames(Protocol):
    """Where frames go: a `log.Log`, or a transform's list."""

    def begin_message(self) -> None:
        """Begin a message with what is added next."""

    def add(self, parts: Sequence[Frame], size: int, end: bool) -> None:
        """Append a frame, in ``parts`` of ``size`` bytes together; ``end`` says whether it ends a
        message."""


class Framer:
    """Cuts one message into frames.

    :param opcode: the message's, with `COMPRESSED` where it is compressed.
    :param longest: the most bytes that a message may have.
    """

    __slots__ = (
        "_compressed",
        "_frame_bytes",
        "_has_rest",
        "_held",
        "_is_first",
        "_least_bytes",
        "_opcode",
        "_pauses_left",
        "_text",
        "log",
    )

    def __init__(self, log: Frames, opcode: int, longest: int) -> None:
        self.log = log
        self._opcode = opcode
        self._text = opcode == TEXT
        self._compressed = bool(opcode & COMPRESSED)
        self._least_bytes = max(LEAST_BYTES, longest // (MOST_FRAMES - _PAUSE_FRAMES - 1) + 1)
        self._frame_bytes = max(FRAME_BYTES, 2 * self._least_bytes)
        self._pauses_left = _PAUSE_FRAMES
        self._held = bytearray()
        """The bytes that wait for more. They grow in place, as they may come one by one."""
        self._is_first = True
        self._has_rest = False
        log.begin_message()

    def write(self, payload: Frame, end: bool) -> bool:
        """Append the next bytes, which are good until the log's flush; ``end`` says whether they
        are the message's last. Returns whether bytes have begun to wait for more: `release` is to
        be called soon."""
        held, length = self._held, len(payload)
        whole = self._compressed and self._is_first
        if len(held) + length < (WHOLE_BYTES if whole else self._least_bytes) and not end:
            held += payload
            if self._pauses_left and not self._has_rest:
                self._has_rest = True
                return True
            return False
        if held and length < self._least_bytes:
            payload, held = bytes(held + payload), bytearray()
            length = len(payload)
        stop = length if end else length - self._cut_off(payload, length)
        view = memoryview(payload)
        at = 0
        while stop - at + len(held) > self._frame_bytes + self._least_bytes:
            until = at + self._frame_bytes - len(held)
            until -= self._inside(view, until)
            self._add(held, view[at:until], False)
            held, at = bytearray(), until
        self._add(held, view[at:stop], end)
        self._held = bytearray(view[stop:])
        return False

    def release(self) -> None:
        """The sender has paused: send what waits for more, unless it has paused too often."""
        self._has_rest = False
        held = self._held
        if not held or (self._compressed and self._is_first):
            return
        stop = len(held) - self._cut_off(held, len(held))
        if stop:
            self._pauses_left -= 1
            self._held = held[stop:]
            self._add(held[:stop], memoryview(b""), False)

    def send_held(self) -> None:
        """Send what waits for more: frames that somebody else has cut go on with the message."""
        held, self._held = self._held, bytearray()
        if held or self._is_first:
            self._add(held, memoryview(b""), False)

    def _add(self, held: bytearray, data: memoryview, end: bool) -> None:
        size = len(held) + len(data)
        header = frame_header(self._opcode, size, end) + held
        self._opcode, self._is_first = CONTINUATION, False
        self.log.add((header, data) if data else (header,), len(header) + len(data), end)

    def _inside(self, data: Frame, at: int) -> int:
        """How many bytes before ``at`` the character begins that has the byte at ``at``; 0 where a
        character begins there."""
        before = 0
        if self._text:
            while before < min(at, _LONGEST_CHARACTER) and data[at - before] & 0xC0 == 0x80:
                before += 1
        return before

    def _cut_off(self, data: Frame, stop: int) -> int:
        """How many bytes before ``stop`` a character begins whose end hasn't come; 0 for none."""
        if not self._text:
            return 0
        for back in range(1, min(stop, _LONGEST_CHARACTER - 1) + 1):
            byte = data[stop - back]
            if byte < 0x80:
                return 0
            if byte >= 0xC0:
                length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
                return back if length > back else 0
        return 0
