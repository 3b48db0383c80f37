"""Small frames that wait for their place between the messages of a log.

A message that was sent while a log was being followed belongs behind the messages of the log that
had begun by then. Each frame is kept with the number of messages that go before it. Pure.
"""

from typing import NamedTuple

_OVERHEAD_BYTES = 200
"""What is counted for a frame that waits beside its bytes. Without it, empty frames of thousands of
times the window could wait."""


class Waiting(NamedTuple):
    """A whole frame that waits for room."""

    data: bytes
    source: object
    """The `source.Source` that it is counted for; None for a notice of the relay's own."""

    @property
    def cost(self) -> int:
        """How many bytes are counted for it."""
        return len(self.data) + _OVERHEAD_BYTES


class Interleaved(list[tuple[int, Waiting]]):
    """The frames of one follower, each with how many of the log's messages go before it, in the
    order in which they are sent.

    A list, as a follower asks for every block whether it is empty.
    """

    __slots__ = ()

    def add(self, messages: int, waiting: Waiting) -> None:
        """Add a frame behind ``messages`` messages, and behind the frames that are there."""
        self.append((messages, waiting))

    def add_notice(self, messages: int, waiting: Waiting) -> None:
        """Add a frame behind ``messages`` messages, and in front of the frames that go later."""
        at = sum(1 for number, _ in self if number <= messages)
        self.insert(at, (messages, waiting))

    def has_due(self, messages: int) -> bool:
        """Whether a frame may be sent when ``messages`` messages have been."""
        return bool(self) and self[0][0] <= messages

    def take(self) -> Waiting:
        """Remove the first frame and return it. There has to be one."""
        return self.pop(0)[1]

    def frames(self) -> list[Waiting]:
        """All of them, in order."""
        return [waiting for _, waiting in self]
