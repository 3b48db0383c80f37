"""What the flow's tests put around it: outlets with little room, a file that is slow, a buffer that
is written over as soon as it may be."""

from collections import deque
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from apptuner_relay.flow.log_block import Block
from apptuner_relay.flow.sink import Sink
from apptuner_relay.flow.slow_consumers import SlowConsumers
from apptuner_relay.flow.source import Source
from apptuner_relay.wire.frames import FIN, Frame

WINDOW = 10_000
PLENTY = 1 << 60


def nobody() -> None:
    """Nobody is called."""


class Wire:
    """An outlet with room for so many bytes at a time, and what arrived through it.

    :param takes_parts: else it takes all that it is offered, and says then that it is full, as
        TLS does.
    """

    def __init__(self, room: int = PLENTY, takes_parts: bool = True) -> None:
        self.room = room
        self.takes_parts = takes_parts
        self.got = b""
        self.held = 0
        self.is_aborted = False
        self.is_full = False
        self.sink: Sink | None = None

    def offer(self, parts: Sequence[Frame]) -> int:
        assert not self.is_full, "more is offered to one that is full"
        offered = b"".join(parts)
        data = offered[: self.room] if self.takes_parts else offered
        self.room = max(0, self.room - len(offered))
        self.got += data
        if len(data) < len(offered):
            self.is_full = True
        elif not self.takes_parts and not self.room:
            self.is_full = True
            assert self.sink is not None
            self.sink.pauseProducing()
        return len(data)

    def write(self, data: bytes) -> None:
        self.got += data

    def unsent(self) -> int:
        return self.held

    def abort(self) -> None:
        self.is_aborted = True


class Connection:
    """One member's ends of the flow, and a switch on its source.

    :param lender: the buffer that all of them receive into.
    """

    def __init__(
        self,
        slow: SlowConsumers,
        room: int = PLENTY,
        clock: Clock | None = None,
        lender: "Buffer | None" = None,
        takes_parts: bool = True,
        window: int = WINDOW,
    ) -> None:
        self.wire = Wire(room, takes_parts)
        self.wire.sink = self.sink = Sink(self.wire, self.cut, window, slow)
        self.paused = False
        self.source = Source(self.pause, self.resume, window, lender, (clock or Clock()).callLater)
        self.closed: tuple[int, str] | None = None

    @property
    def got(self) -> bytes:
        return self.wire.got

    def pause(self) -> None:
        assert not self.paused
        self.paused = True

    def resume(self) -> None:
        assert self.paused
        self.paused = False

    def cut(self, code: int, reason: str) -> None:
        self.closed = code, reason

    def make_room(self, room: int = PLENTY) -> None:
        """The peer has read: so much can be sent."""
        self.wire.room = room
        self.wire.is_full = False
        self.sink.resumeProducing()


class Loan:
    """What is lent of a `Buffer`; it is written over when it may be."""

    def __init__(self, data: bytearray) -> None:
        self._data = data
        self._holders = 1
        self._is_sealed = False
        self.shares: list[Share] = []

    def share(self) -> "Share":
        assert not self._is_sealed
        self._holders += 1
        share = Share(self)
        self.shares.append(share)
        return share

    def seal(self) -> None:
        assert not self._is_sealed
        self._is_sealed = True
        self.drop()

    def drop(self) -> None:
        self._holders -= 1
        if not self._holders:
            self._data[:] = b"\xee" * len(self._data)


class Share:
    def __init__(self, loan: Loan) -> None:
        self._loan = loan
        self.is_released = False

    def release(self) -> None:
        if not self.is_released:
            self.is_released = True
            self._loan.drop()


class Buffer:
    """A buffer that is received into.

    :param most: how many may be lent.
    """

    def __init__(self, most: int = 1 << 30) -> None:
        self.data = bytearray()
        self.loans: list[Loan] = []
        self._most = most
        self._is_lent = False

    def receive(self, data: bytes) -> memoryview:
        """``data`` comes: good until `over`, or as long as it is lent."""
        self.data = bytearray(data)
        self._is_lent = False
        return memoryview(self.data)

    def over(self) -> None:
        """The block has been taken in."""
        if not self._is_lent:
            self.data[:] = b"\xdd" * len(self.data)

    def lend(self) -> Loan | None:
        if len(self.loans) == self._most:
            return None
        self._is_lent = True
        self.loans.append(Loan(self.data))
        return self.loans[-1]

    @property
    def is_back(self) -> bool:
        """Whether all that was lent has been given back."""
        return all(share.is_released for loan in self.loans for share in loan.shares)


class LateFile:
    """A file to which is written, and of which is read, when the test says so.

    :param most_waiting: how many blocks may wait before it is behind.
    """

    def __init__(self, most_waiting: int = 1 << 30) -> None:
        self.data = b""
        self.on_lost: Callable[[], None] = nobody
        self.waiting: deque[Block] = deque()
        self.users = 0
        self.is_finished = False
        self.is_lost = False
        self.is_unreadable = False
        self.is_cold = False
        """Whether what is read has to come from the disk."""
        self.reads: deque[tuple[Deferred[bytes], int, int]] = deque()
        self.at_most = 1 << 30
        """How much is read at once."""
        self.error: OSError | None = None
        self._most_waiting = most_waiting
        self._calls: list[Callable[[], None]] = []

    @property
    def written(self) -> int:
        return len(self.data)

    @property
    def is_behind(self) -> bool:
        return len(self.waiting) > self._most_waiting

    def when_written(self, call: Callable[[], None]) -> None:
        if self.waiting:
            self._calls.append(call)
        else:
            call()

    def append(self, block: Block) -> None:
        assert not self.is_finished
        assert not self.is_lost, "a block for a file that was lost"
        self.waiting.append(block)

    def work(self, most: int = 1 << 30) -> None:
        """Write up to ``most`` blocks."""
        for _ in range(min(most, len(self.waiting))):
            block = self.waiting.popleft()
            data = b"".join(block.parts)
            assert len(data) == block.size
            self.data += data
            block.release()
        if not self.waiting:
            calls, self._calls = self._calls, []
            for call in calls:
                call()

    def lose(self) -> None:
        """Nothing more can be written."""
        if self.is_lost:
            return
        self.is_lost = True
        waiting, self.waiting = self.waiting, deque()
        self.on_lost()
        for block in waiting:
            block.release()
        self.work()

    def finish(self) -> None:
        self.is_finished = True

    def read(self, offset: int, length: int) -> memoryview | None:
        assert offset >= 0 and offset + length <= self.written and length > 0
        if self.error is not None:
            raise self.error
        if self.is_cold:
            return None
        return memoryview(bytearray(self.data[offset : offset + min(length, self.at_most)]))

    def fetch(self, offset: int, length: int) -> Deferred[bytes]:
        assert offset >= 0 and offset + length <= self.written and length > 0
        read: Deferred[bytes] = Deferred()
        self.reads.append((read, offset, min(length, self.at_most)))
        return read

    def answer(self, error: OSError | None = None) -> None:
        """The disk has read what was asked for first."""
        read, offset, length = self.reads.popleft()
        if error is not None:
            read.errback(error)
        else:
            read.callback(self.data[offset : offset + length])

    def unreadable(self) -> None:
        self.is_unreadable = True

    def retain(self) -> None:
        self.users += 1

    def release(self) -> None:
        self.users -= 1
        assert self.users >= 0


def messages(wire: bytes) -> tuple[list[bytes], list[tuple[int, bytes]], bytes]:
    """The whole messages of what a server sent; its control frames, each with how many bytes of
    messages came before; and what there is of the message in progress, cut off wherever."""
    whole: list[bytes] = []
    controls: list[tuple[int, bytes]] = []
    part: bytes | None = None
    at, count = 0, 0
    while len(wire) - at >= 2:
        first, length = wire[at], wire[at + 1]
        extended = {126: 2, 127: 8}.get(length, 0)
        start = at + 2 + extended
        if extended:
            length = int.from_bytes(wire[at + 2 : start], "big")
        payload = wire[start : start + length]
        if len(payload) < length or start > len(wire):
            break
        at = start + length
        if first & 8:
            assert first & FIN
            controls.append((count, payload))
            continue
        count += len(payload)
        assert bool(first & 15) == (part is None), "a message inside of another"
        part = (part or b"") + payload
        if first & FIN:
            whole.append(part)
            part = None
    return whole, controls, (part or b"") + wire[at:]
