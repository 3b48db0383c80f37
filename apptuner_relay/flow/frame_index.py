"""The offsets at which the frames and the messages of a log end. Pure."""

from array import array
from bisect import bisect_left, bisect_right


class FrameIndex:
    """The ends in one log, which grows. A frame takes eight bytes, and so does a message."""

    __slots__ = ("_frames", "_messages", "end")

    def __init__(self) -> None:
        self.end = 0
        """Where the last frame ends."""
        self._frames = array("Q")
        self._messages = array("Q")

    @property
    def messages(self) -> int:
        """How many messages have ended."""
        return len(self._messages)

    @property
    def whole(self) -> int:
        """Where the last message ends that has ended."""
        return self._messages[-1] if self._messages else 0

    def add(self, size: int, end: bool) -> None:
        """Add a frame of ``size`` bytes; ``end`` says whether it ends a message."""
        self.end += size
        self._frames.append(self.end)
        if end:
            self._messages.append(self.end)

    def cut_off(self, offset: int) -> None:
        """Forget the ends behind ``offset``, at which a frame ends."""
        self.end = offset
        for ends in (self._frames, self._messages):
            del ends[bisect_right(ends, offset) :]

    def last_frame_end(self, offset: int, most: int) -> int:
        """Where the last frame ends that ends within ``most`` bytes behind ``offset``. Where no
        frame does, the end of the next one."""
        ends = self._frames
        index = bisect_right(ends, offset)
        return ends[max(index, bisect_right(ends, offset + most) - 1)]

    def next_frame_end(self, offset: int) -> int:
        """Where the frame ends that has the byte at ``offset``."""
        return self._frames[bisect_right(self._frames, offset)]

    def ends_frame(self, offset: int) -> bool:
        """Whether a frame ends at ``offset``, or the log begins there."""
        return not offset or self._frames[bisect_left(self._frames, offset)] == offset

    def count_messages(self, offset: int) -> int:
        """How many messages end up to ``offset``."""
        return bisect_right(self._messages, offset)

    def message_end(self, number: int) -> int | None:
        """Where message ``number``, counted from 1, ends; 0 for number 0. None where the message
        hasn't ended."""
        if not number:
            return 0
        return self._messages[number - 1] if number <= len(self._messages) else None
