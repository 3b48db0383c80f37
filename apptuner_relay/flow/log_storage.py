"""Where a `log.Log` is stored, for readers that are behind.

- A log that is kept: all of it, in its file.
- Any other log: nothing, until a reader doesn't take a block at once; from that block on all of it,
  in a file that goes with its last reader. A log that is made of another one, for a single reader,
  is stored in memory instead.
- Where there is no file, or the disk has failed: in memory, what not all readers have taken. While
  that is more than the window, the writer is held.

The states are those of `storage_states`.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from apptuner_relay.flow.log_block import Block, cut_out
from apptuner_relay.flow.log_interfaces import LogFile, Reader, Writer
from apptuner_relay.flow.receive_buffer import BufferShare
from apptuner_relay.flow.storage_states import TRANSITIONS, StorageEvent, StorageState
from apptuner_relay.wire.frames import Frame

LEAST_LENT_BYTES = 64 * 1024
"""A smaller block is copied: its share would keep a whole receive buffer lent."""

# A global costs less than an attribute of an Enum, and these are looked at for each block.
_MEMORY, _LOST = StorageState.MEMORY, StorageState.LOST

Lend = Callable[[], BufferShare | None]
"""Lends the receive buffer that a block lies in; None when no other buffer is left."""


class LogStorage:
    """The storage of one log.

    :param readers: those of the log; the log changes the list.
    :param window: how many bytes may be in memory.
    :param file: the file of a log that is kept.
    :param open_file: opens a file for a log that isn't kept; returns None where there is none.
    """

    def __init__(
        self,
        writer: Writer,
        readers: Sequence[Reader],
        window: int,
        file: LogFile | None,
        open_file: Callable[[], LogFile | None],
    ) -> None:
        self.state = StorageState.MEMORY if file is None else StorageState.KEPT
        self.size = 0
        """Bytes that readers can have."""
        self.base = 0
        """Where what is stored begins."""
        self.memory_bytes = 0
        """How many bytes are in memory for want of a file."""
        self.is_holding = False
        """Whether the writer of a log that is made of another one is held for that."""
        self._writer = writer
        self._readers = readers
        self._window = window
        self._recent: deque[Block] = deque()
        """The blocks that aren't in the file, or not known to be."""
        self._fresh: Block | None = None
        """The block that readers are being given."""
        self._file = file
        self._file_start = 0
        """The offset in the log at which the file begins."""
        self._open_file = open_file
        if file is not None:
            file.on_lost = partial(self._lose_file, file)

    @property
    def _is_in_memory(self) -> bool:
        """Whether blocks are in memory until all readers have passed them."""
        return self.state is _MEMORY or self.state is _LOST

    # What the log calls

    def begin(self, block: Block) -> None:
        """Readers are about to be given ``block``, which can be read from now on."""
        self._recent.append(block)
        self._fresh = block
        self.size = block.stop

    def finish(self, block: Block, lend: Lend | None) -> None:
        """Readers have been given ``block``: store it, if somebody needs it still.

        :param lend: has the buffer lent that the block lies in; None where that is nobody's.
        """
        self._fresh = None
        if self._recent and self._recent[-1] is block:
            self._store(block, lend)

    def end(self) -> None:
        """The log has ended: nothing more is stored."""
        file = self._file
        if file is not None and not self._is_in_memory:
            # It may be lost by that.
            file.finish()
            file.when_written(self._drop_written)

    def begin_reading(self) -> None:
        """The log is about to have its first reader."""
        if self._file is not None:
            self._file.retain()

    def end_reading(self) -> None:
        """The log has no reader any more."""
        if self._file is not None:
            self._file.release()
        if self.state is not StorageState.KEPT:
            self._forget()

    def read(self, offset: int, most: int) -> Sequence[Frame] | None:
        """Up to ``most`` bytes from ``offset`` on, at least one, good until anything else is read.
        None where the disk has to be waited for: see `fetch`.

        :raises OSError: the file can't be read.
        :raises ValueError: nothing is stored at ``offset``.
        """
        file = self._file
        if file is not None:
            stop = self._file_start + file.written
            if offset < stop:
                try:
                    data = file.read(offset - self._file_start, min(most, stop - offset))
                except OSError:
                    file.unreadable()
                    raise
                return None if data is None else (data,)
        for block in self._recent:
            if block.start <= offset < block.stop:
                return cut_out(block.parts, offset - block.start, most)
        raise ValueError(f"byte {offset} is not stored")

    def fetch(self, offset: int, most: int) -> Deferred[bytes]:
        """Like `read`, in a thread. Fails with OSError."""
        file = self._file
        assert file is not None
        length = min(most, self._file_start + file.written - offset)

        def done(result: bytes | Failure) -> bytes | Failure:
            if not result or isinstance(result, Failure):
                file.unreadable()
            file.release()
            return result

        # The file stays open until then, though its reader may go.
        file.retain()
        return file.fetch(offset - self._file_start, length).addBoth(done)

    def drop_passed(self) -> None:
        """Forget the blocks in memory that all readers have passed."""
        if self._fresh is not None or not self._is_in_memory:
            return
        passed, recent = self._passed(), self._recent
        while recent and recent[0].stop <= passed:
            block = recent.popleft()
            self._count_memory(-block.size)
            self.base = block.stop

    # Within

    def _happens(self, event: StorageEvent) -> bool:
        """Change the state. Returns whether the event meant anything."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def _store(self, block: Block, lend: Lend | None) -> None:
        """``block`` is the last one: keep it, if somebody needs it still."""
        if self._is_in_memory:
            passed = self._passed()
            if passed < block.stop and (not self._is_copy or len(self._readers) > 1):
                self.drop_passed()
                self._fresh = block
                if passed >= self._recent[0].start:
                    self._spill()
                self._fresh = None
            if self._is_in_memory:
                self._keep_in_memory(block, passed, lend is None)
                return
        file, writer = self._file, self._writer
        assert file is not None
        if lend is not None:
            block.share = lend() if block.size >= LEAST_LENT_BYTES else None
            if block.share is None:
                block.parts = (b"".join(block.parts),)
        is_big_copy = lend is not None and block.share is None and block.size >= LEAST_LENT_BYTES
        file.append(block)
        if is_big_copy:
            # All buffers are lent. With many senders, each such copy may be its sender's last block
            # for a long time.
            file.when_written(self._drop_written)
        self._drop_written()
        if file.is_behind:
            writer.hold(file)
            file.when_written(lambda: writer.let_go(file))

    def _spill(self) -> None:
        """Store what comes in a file, if one can be opened, and first what is in memory. No reader
        needs anything that comes before that."""
        file = self._open_file()
        if file is None:
            return
        if self._file is not None:
            self._file.release()
        self._happens(StorageEvent.SPILLED)
        self._file, self._file_start = file, self._recent[0].start
        self.base = self._file_start
        file.on_lost = partial(self._lose_file, file)
        file.retain()
        self._count_memory(-self.memory_bytes)
        for block in tuple(self._recent):
            if block is not self._fresh and not self._is_in_memory:
                file.append(block)

    def _keep_in_memory(self, block: Block, passed: int, is_stable: bool) -> None:
        """Keep the part of ``block`` that not all readers have ``passed``.

        :param is_stable: whether its bytes stay as they are; otherwise they are copied.
        """
        if passed >= block.stop:
            self._recent.pop()
            self.drop_passed()
            self.base = block.stop
            return
        if passed > block.start:
            block.parts = cut_out(block.parts, passed - block.start, block.size)
            block.start = self.base = passed
        if not is_stable:
            block.parts = (b"".join(block.parts),)
        self._count_memory(block.size)
        self.drop_passed()

    def _lose_file(self, file: LogFile) -> None:
        """Nothing more can be written to ``file``: keep in memory what isn't written."""
        if self._file is not file or self._is_in_memory:
            return
        self._drop_written()
        self._happens(StorageEvent.FILE_LOST)
        if not self._readers:
            self._forget()
            return
        for block in self._recent:
            if block is not self._fresh:
                block.parts = (b"".join(block.parts),)
                block.release()
                self._count_memory(block.size)
        self.drop_passed()

    def _forget(self) -> None:
        """No reader is left, and the log isn't kept: nothing that there is so far is needed."""
        self._happens(StorageEvent.UNREAD)
        self._file = None
        self.base = self.size
        self._recent.clear()
        if self.memory_bytes:
            self._count_memory(-self.memory_bytes)

    def _drop_written(self) -> None:
        """Forget the blocks that are in the file."""
        if self._file is None or self._is_in_memory:
            return
        written = self._file_start + self._file.written
        while self._recent and self._recent[0].stop <= written:
            self._recent.popleft()

    def _count_memory(self, size: int) -> None:
        self.memory_bytes += size
        writer = self._writer
        if not self._is_copy:
            writer.root.count_memory(size)
            return
        is_over = self.memory_bytes > self._window
        if is_over != self.is_holding:
            self.is_holding = is_over
            if is_over:
                writer.hold(self)
            else:
                writer.let_go(self)

    @property
    def _is_copy(self) -> bool:
        """Whether the log is made of another one: its writer can wait for its readers, and while it
        has a single reader nobody else waits for that."""
        return id(self._writer) != id(self._writer.root)

    def _passed(self) -> int:
        """How far the last of the readers is."""
        return min((reader.offset for reader in self._readers), default=self.size)
