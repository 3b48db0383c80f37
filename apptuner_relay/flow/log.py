"""A long message, or several that belong together, as an append-only log of server frames.

Each reader (`log_interfaces.Reader`) reads the log at its own pace, from an offset of its own, and
no reader waits for another. A reader at the head is given each block as it comes, straight from the
buffer that it was received into. A reader that is behind reads from where the log is stored
(`log_storage`): blocks on their way to the disk, the file, or memory.
"""

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred

from apptuner_relay.flow.frame_index import FrameIndex
from apptuner_relay.flow.log_block import Block
from apptuner_relay.flow.log_interfaces import LogFile, Reader, Root, Writer
from apptuner_relay.flow.log_states import TRANSITIONS, LogEvent, LogState
from apptuner_relay.flow.log_storage import Lend, LogStorage
from apptuner_relay.wire.frames import Frame

# A global costs less than an attribute of an Enum, and these are looked at for each block.
_ENDING, _COMPLETE, _CUT = LogState.ENDING, LogState.COMPLETE, LogState.CUT


class Log:
    """One log. Its writer calls `begin_message`, `add` for each frame and `flush` at the end of
    each block; and `complete` or `cut` in the end.

    :param window: how many bytes it may have in memory for want of a file.
    :param file: the file of a log that is kept.
    :param open_file: opens a file for a log that isn't kept, when one is needed; returns None where
        there is none.
    """

    def __init__(
        self,
        writer: Writer,
        window: int,
        file: LogFile | None = None,
        open_file: Callable[[], LogFile | None] = lambda: None,
    ) -> None:
        self.state = LogState.GROWING
        self.whole = 0
        """Up to where its messages are complete."""
        self.begun = 0
        """How many messages have begun."""
        self.why = ""
        """Why it was cut."""
        self.count_begun: Callable[[], int] | None = None
        """Returns how many messages have begun, for a log that is made of another one: more of them
        may follow from what has begun there."""
        self.on_read: Callable[[], None] | None = None
        """Called once, when it gets its first reader."""
        self.index = FrameIndex()
        """Where its frames and messages end, those included that readers can't have yet."""
        self._writer = writer
        self._fresh: list[Frame] = []
        """What the next `flush` gives to readers."""
        self._readers: list[Reader] = []
        self._fallen: set[Reader] = set()
        """The readers that were at the head and didn't take all of the last block: the writer waits
        for them, briefly."""
        self._storage = LogStorage(writer, self._readers, window, file, open_file)

    @property
    def size(self) -> int:
        """How many bytes readers can have."""
        return self._storage.size

    @property
    def base(self) -> int:
        """Where what is stored begins."""
        return self._storage.base

    @property
    def has_ended(self) -> bool:
        """Whether readers get no more than they can have now."""
        return self.state is _COMPLETE or self.state is _CUT

    @property
    def root(self) -> Root:
        """The source that all of it comes from."""
        return self._writer.root

    @property
    def holds(self) -> Root | None:
        """That source, if its messages can't go on because of this log's readers."""
        root, storage = self._writer.root, self._storage
        if storage.is_holding and any(reader.offset == self.size for reader in self._readers):
            # It isn't the source that waits for them, but another reader does.
            return root
        return root if storage.memory_bytes and root.is_over_window else None

    @property
    def is_held_up(self) -> bool:
        """Whether its writer is held until a reader has read on."""
        return self._storage.is_holding

    @property
    def last_begun(self) -> int:
        """How many messages go before a small message that is sent now."""
        return self.begun if self.count_begun is None else self.count_begun()

    @property
    def is_between_messages(self) -> bool:
        """Whether what was added ends where a message ends."""
        return self.index.messages == self.begun

    @property
    def is_read(self) -> bool:
        """Whether it has a reader."""
        return bool(self._readers)

    # What its writer calls

    def waited_enough(self) -> None:
        """See `log_interfaces.Awaited`. The readers that it waited for are behind from now on."""
        self._fallen.clear()

    def begin_message(self) -> None:
        """Begin a message with what is added next."""
        self.begun += 1

    def add(self, parts: Sequence[Frame], size: int, end: bool) -> None:
        """Append a frame.

        :param parts: its bytes, ``size`` of them together, which are good until `flush`.
        :param end: whether it is the last of its message.
        """
        self._fresh += parts
        self.index.add(size, end)

    def flush(self, lend: Lend | None) -> None:
        """Give readers what was added, and store what has to be stored of it.

        :param lend: has the buffer lent that the parts lie in; None where that is nobody's.
        """
        parts, self._fresh = self._fresh, []
        if parts and not self.has_ended:
            storage = self._storage
            block = Block(storage.size, self.index.end, parts)
            storage.begin(block)
            self.whole = self.index.whole
            for reader in tuple(self._readers):
                reader.appended(parts, block.size)
            if self._fallen:
                self._writer.wait_briefly(self)
            storage.finish(block, lend)
        self._end_if_flushed()

    def complete(self) -> None:
        """End it: all of it was added. Harmless when it has ended."""
        self._happens(LogEvent.COMPLETED)
        self._end_if_flushed()

    def cut(self, why: str) -> None:
        """End it: the rest never comes. Harmless when it has ended, or is to."""
        if not self._happens(LogEvent.CUT_SHORT):
            return
        # What readers haven't been given yet is of no use: the file takes no more.
        self._fresh.clear()
        self.index.cut_off(self.size)
        self.why = why
        self._tell_end()

    # What its readers call

    def attach(self, reader: Reader) -> None:
        """Add a reader, which begins at its offset. That is not before `base`."""
        if not self._readers:
            self._storage.begin_reading()
        self._readers.append(reader)
        on_read, self.on_read = self.on_read, None
        if on_read is not None:
            on_read()

    def detach(self, reader: Reader) -> None:
        """Remove a reader. Harmless when it was removed before."""
        if reader not in self._readers:
            return
        self._readers.remove(reader)
        self.caught_up(reader)
        if not self._readers:
            self._storage.end_reading()
        self.advanced()

    def fell_behind(self, reader: Reader) -> None:
        """``reader`` was at the head, and hasn't taken all of the last block."""
        self._fallen.add(reader)

    def caught_up(self, reader: Reader) -> None:
        """``reader`` is at the head again, or is done."""
        if reader in self._fallen:
            self._fallen.discard(reader)
            if not self._fallen:
                self._writer.go_on(self)

    def advanced(self) -> None:
        """A reader has read on."""
        self._storage.drop_passed()

    def read(self, offset: int, most: int) -> Sequence[Frame] | None:
        """See `log_storage.LogStorage.read`."""
        return self._storage.read(offset, most)

    def fetch(self, offset: int, most: int) -> Deferred[bytes]:
        """See `log_storage.LogStorage.fetch`."""
        return self._storage.fetch(offset, most)

    def rest_of_frame(self, offset: int) -> bytes | None:
        """What follows ``offset``, up to the end of the frame that the byte there is in. None where
        it can't be had at once."""
        rest = b""
        while not self.index.ends_frame(offset):
            try:
                parts = self.read(offset, self.index.next_frame_end(offset) - offset)
            except OSError:
                return None
            data = b"".join(parts or ())
            if not data:
                return None
            rest += data
            offset += len(data)
        return rest

    # Within

    def _happens(self, event: LogEvent) -> bool:
        """Change the state. Returns whether the event meant anything."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def _end_if_flushed(self) -> None:
        if self.state is _ENDING and not self._fresh:
            self._happens(LogEvent.FLUSHED)
            self._tell_end()

    def _tell_end(self) -> None:
        self._storage.end()
        for reader in tuple(self._readers):
            reader.ended()
