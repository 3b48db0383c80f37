"""The buffer that all connections of a reactor receive into, one after the other.

The relay is done with most blocks before the next one is received. A block that is still needed, as
the disk has yet to write it, has the buffer lent; the connections go on with another one.
"""

from collections import deque
from threading import Lock

from apptuner_relay.wire.frames import HEADROOM

BLOCK_BYTES = 512 * 1024
"""The most bytes that are received at once."""
TURN_S = 0.01
"""For how long a block may be taken in: its rest waits for the reactor's next turn, as others, and
signals, would wait for it otherwise. A block may have 87,000 frames."""

MOST_BUFFERS = 4
"""How many buffers there may be: the one that is received into, and those that are lent. They are
few, so that they stay in the processor's cache."""
_SHORT_BYTES = 80 * 1024
"""The most bytes that are received at once while no other buffer is left. Then blocks have to be
copied, and there may be a copy for each sender."""


class ReceiveBuffer:
    """What a block is received into: `data`, from `START` on. For the reactor's thread only.

    `room` is where a block may lie, and `next_room` as much of that as is to be received at once.
    """

    START = HEADROOM
    room: memoryview
    next_room: memoryview

    def __init__(self) -> None:
        self._spare: deque[bytearray] = deque()
        self._count = 0
        self._use(self._another())

    def lend(self) -> "BufferLoan | None":
        """Lend the buffer that was received into, and go on with another one. Returns None when no
        other is left: there are `MOST_BUFFERS`."""
        try:
            other = self._spare.pop()
        except IndexError:
            if self._count == MOST_BUFFERS:
                self.next_room = self.room[:_SHORT_BYTES]
                return None
            other = self._another()
        loan = BufferLoan(self.data, self._spare)
        self._use(other)
        return loan

    def _another(self) -> bytearray:
        self._count += 1
        return bytearray(HEADROOM + BLOCK_BYTES)

    def _use(self, data: bytearray) -> None:
        self.data = data
        self.view = memoryview(data)
        self.room = self.next_room = self.view[HEADROOM:]


class BufferLoan:
    """The loan of a buffer. The buffer is back when the loan is sealed and all shares are released.

    Only the reactor's thread receives into a buffer that is back. So it may still read there, until
    its next turn, what a released share stood for.
    """

    def __init__(self, data: bytearray, spare: deque[bytearray]) -> None:
        self._data = data
        self._spare = spare
        self._lock = Lock()
        # The maker of the loan counts as a holder until `seal`.
        self._holders = 1
        self._sealed = False

    def share(self) -> "BufferShare":
        """Add a holder. Not after `seal`."""
        with self._lock:
            assert not self._sealed
            self._holders += 1
        return BufferShare(self)

    def seal(self) -> None:
        """End the making of shares."""
        with self._lock:
            if self._sealed:
                return
            self._sealed = True
        self._drop()

    def _drop(self) -> None:
        with self._lock:
            self._holders -= 1
            is_free = not self._holders
        if is_free:
            self._spare.append(self._data)


class BufferShare:
    """The share of one holder in a `BufferLoan`."""

    __slots__ = ("_loan",)

    def __init__(self, loan: BufferLoan) -> None:
        self._loan: list[BufferLoan] = [loan]

    def release(self) -> None:
        """End the share. Any thread may call this, and more than once."""
        try:
            # This is atomic: of two threads one gets it.
            loan = self._loan.pop()
        except IndexError:
            return
        loan._drop()
