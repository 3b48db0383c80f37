"""A part of a log that came in one block from its sender."""

from collections.abc import Sequence

from apptuner_relay.flow.receive_buffer import BufferShare
from apptuner_relay.wire.frames import Frame


class Block:
    """The bytes ``start`` to ``stop`` of a log.

    :param parts: the bytes, in order; they may be views of a buffer that is lent.
    :param share: the block's share in that buffer, where there is one.
    """

    __slots__ = ("parts", "share", "start", "stop")

    def __init__(
        self, start: int, stop: int, parts: Sequence[Frame], share: BufferShare | None = None
    ) -> None:
        self.start = start
        self.stop = stop
        self.parts = parts
        self.share = share

    @property
    def size(self) -> int:
        """How many bytes."""
        return self.stop - self.start

    def release(self) -> None:
        """End the loan of the buffer: `parts` may change from the reactor's next turn on. Any
        thread may call this, and more than once."""
        if self.share is not None:
            self.share.release()


def cut_out(parts: Sequence[Frame], skip: int, most: int) -> list[Frame]:
    """Up to ``most`` bytes of ``parts`` that follow the first ``skip`` bytes, as views."""
    out: list[Frame] = []
    for part in parts:
        length = len(part)
        if skip >= length:
            skip -= length
            continue
        view = memoryview(part)[skip : skip + most]
        skip = 0
        out.append(view)
        most -= len(view)
        if not most:
            break
    return out
