"""Makes texts of the frames that a sink sends: the reverse of what a WebSocket connection is for,
as an event of a channel carries whole texts.

What can't pass through a channel is skipped and never collected: a long message, one that is
binary, and control frames. Pure.
"""

from collections.abc import Callable

from apptuner_relay.wire.frames import BINARY, CLOSE, FIN, TEXT, Frame
from apptuner_relay.wire.messages import HEAD_BYTES

_WHOLE_TEXT = FIN | TEXT
_OPCODE = 0x0F
_COMPRESSED = 0x40
_LONGEST_HEADER = 10


class OutgoingTexts:
    """Reads the frames of one sink, which have no masks.

    :param most_bytes: what is collected of a text; of a longer one, and of any other message, only
        the head is.
    :param passed: called with each text.
    :param skipped: called with the head of a message that can't pass, at its end, and with its
        size in bytes.
    """

    def __init__(
        self,
        most_bytes: int,
        passed: Callable[[bytes], None],
        skipped: Callable[[bytes, int], None],
    ) -> None:
        self._most_bytes = most_bytes
        self._passed = passed
        self._skipped = skipped
        self._header = b""
        """The beginning of a frame's header."""
        self._left = 0
        """How many bytes are missing of the payload of the frame that is being read."""
        self._is_control = False
        self._is_last = False
        """Whether that frame is its message's last one."""
        self._is_text = False
        self._message = bytearray()
        """What has come of the message; of one that is skipped, its head."""
        self._size = 0

    def feed(self, part: Frame) -> None:
        """Take in the next bytes of the sink, which may begin and end anywhere."""
        size = len(part)
        if not self._left and not self._header and not self._size and size >= 2:
            # Nearly every part is one whole frame with a short text.
            length, payload = part[1], 2
            if length == 126 and size >= 4:
                length, payload = part[2] << 8 | part[3], 4
            whole = payload + length == size and length <= self._most_bytes
            if part[0] == _WHOLE_TEXT and whole:
                self._passed(bytes(part[payload:]))
                return
        view = memoryview(part)
        while view:
            view = self._take_payload(view) if self._left else self._take_header(view)

    def _take_header(self, view: memoryview) -> memoryview:
        header = self._header + view[: _LONGEST_HEADER - len(self._header)]
        begin = 2
        if len(header) >= 2:
            begin = {126: 4, 127: 10}.get(header[1], 2)
        if len(header) < begin:
            self._header = header
            return view[len(view) :]
        rest = view[begin - len(self._header) :]
        self._header = b""
        first = header[0]
        self._left = header[1] if begin == 2 else int.from_bytes(header[2:begin], "big")
        self._is_control = bool(first & CLOSE)
        self._is_last = bool(first & FIN)
        if first & _OPCODE in (TEXT, BINARY):
            self._is_text = first & (_OPCODE | _COMPRESSED) == TEXT
        if not self._left:
            self._end_frame()
        return rest

    def _take_payload(self, view: memoryview) -> memoryview:
        payload, rest = view[: self._left], view[self._left :]
        self._left -= len(payload)
        if not self._is_control:
            self._size += len(payload)
            most = self._most_bytes
            if not self._is_text or self._size > most:
                most = HEAD_BYTES
                del self._message[most:]
            self._message += payload[: max(0, most - len(self._message))]
        if not self._left:
            self._end_frame()
        return rest

    def _end_frame(self) -> None:
        if self._is_control or not self._is_last:
            return
        message, size = bytes(self._message), self._size
        self._message.clear()
        self._size = 0
        if self._is_text and size <= self._most_bytes:
            self._passed(message)
        else:
            self._skipped(message, size)
