"""Logs that a test writes itself, and who reads them as it says."""

from collections import deque
from collections.abc import Iterable, Sequence

from apptuner_relay.flow.log import Log
from apptuner_relay.flow.log_interfaces import LogFile
from apptuner_relay.flow.log_states import LogState
from apptuner_relay.wire.frames import CONTINUATION, TEXT, Frame, frame
from tests.flow.parts import PLENTY, WINDOW, Buffer, Loan, Share


class Root:
    """Counts what is kept in memory, as a source does."""

    def __init__(self, window: int = WINDOW) -> None:
        self.kept_bytes = 0
        self.holders: set[object] = set()
        self.awaited: set[Log] = set()
        """Those that it waits for, briefly."""
        self._window = window

    @property
    def root(self) -> "Root":
        return self

    @property
    def is_over_window(self) -> bool:
        return self.kept_bytes > self._window

    def count_memory(self, size: int) -> None:
        self.kept_bytes += size
        assert self.kept_bytes >= 0

    def wait_briefly(self, log: Log) -> None:
        self.awaited.add(log)

    def go_on(self, log: Log) -> None:
        self.awaited.remove(log)

    def hold(self, holder: object) -> None:
        self.holders.add(holder)

    def let_go(self, holder: object) -> None:
        self.holders.discard(holder)


class Writing:
    """A log of text messages that a test writes.

    :param files: what the log is given where it needs a file.
    """

    def __init__(
        self,
        kept: LogFile | None = None,
        files: Iterable[LogFile] = (),
        window: int = WINDOW,
        buffer: Buffer | None = None,
    ) -> None:
        self.root = Root(window)
        self.files = deque(files)
        self.buffer = buffer
        self.log = Log(
            self.root, window, kept, lambda: self.files.popleft() if self.files else None
        )
        self.wire = b""
        """All that has been added."""

    def add(self, payload: bytes, begins: bool = True, end: bool = True) -> bytes:
        """Add a frame of a message; returns its bytes."""
        data = frame(TEXT if begins else CONTINUATION, payload, end)
        if begins:
            self.log.begin_message()
        self.wire += data
        parts: Sequence[Frame] = (data,)
        if self.buffer is not None:
            view = self.buffer.receive(data)
            parts = (view[:1], view[1:])
        self.log.add(parts, len(data), end)
        return data

    def flush(self) -> None:
        buffer = self.buffer
        if buffer is None:
            self.log.flush(None)
            return
        loans: list[Loan | None] = []

        def lend() -> Share | None:
            loans.append(buffer.lend())
            return None if loans[-1] is None else loans[-1].share()

        self.log.flush(lend)
        for loan in loans:
            if loan is not None:
                loan.seal()
        buffer.over()

    def write(self, payload: bytes, begins: bool = True, end: bool = True) -> bytes:
        """Add a frame and give it to readers."""
        data = self.add(payload, begins, end)
        self.flush()
        return data


class Reading:
    """A reader of a log that takes so many bytes of each block, and more when it is told to."""

    def __init__(self, log: Log, most: int = PLENTY) -> None:
        self.offset = 0
        self.most = most
        self.got = b""
        self.ends: list[LogState] = []
        self.log = log
        log.attach(self)

    def appended(self, parts: Sequence[Frame], size: int) -> None:
        data = b"".join(parts)
        assert len(data) == size
        if self.offset + size == self.log.size:
            self._take(data[: self.most])

    def ended(self) -> None:
        self.ends.append(self.log.state)

    def read(self, most: int = PLENTY) -> None:
        """Read on, up to ``most`` bytes."""
        while most and self.offset < self.log.size:
            parts = self.log.read(self.offset, most)
            assert parts is not None
            data = b"".join(parts)
            assert 0 < len(data) <= most
            most -= len(data)
            self._take(data)
            self.log.advanced()

    def _take(self, data: bytes) -> None:
        self.got += data
        self.offset += len(data)
