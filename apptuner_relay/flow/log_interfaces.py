"""What a `log.Log` needs of its readers, its file and its writer. Interfaces only."""

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from apptuner_relay.flow.log_block import Block
from apptuner_relay.wire.frames import Frame


class Reader(Protocol):
    """A reader of a log: a `follower.Follower`, or a `transcoder.Transcoder`."""

    @property
    def offset(self) -> int:
        """How many bytes of the log it has read."""

    def appended(self, parts: Sequence[Frame], size: int) -> None:
        """The log has grown by ``parts``, ``size`` bytes together, which are good until this
        returns."""

    def ended(self) -> None:
        """The log is complete, or was cut: see its state."""


class LogFile(Protocol):
    """A file that holds a log from some offset on: `spool.bundle_file.BundleFile`."""

    written: int
    """How many bytes can be read; set by the thread that writes."""
    on_lost: Callable[[], None]
    """Called by the file when nothing more can be written. What is written can still be read."""

    @property
    def is_behind(self) -> bool:
        """Whether too much waits to be written, of all files together."""

    def when_written(self, call: Callable[[], None]) -> None:
        """Call back when what waits now has been written, or never will be."""

    def append(self, block: Block) -> None:
        """Write ``block`` behind what was appended before, and release it then. When it can't be
        written, `on_lost` is called before it is released."""

    def finish(self) -> None:
        """Nothing more will be appended."""

    def read(self, offset: int, length: int) -> memoryview | None:
        """Up to ``length`` bytes from ``offset`` on, good until anything else is read. None where
        the disk would have to be waited for: see `fetch`."""

    def fetch(self, offset: int, length: int) -> Deferred[bytes]:
        """Like `read`, in a thread. Fails with OSError."""

    def unreadable(self) -> None:
        """It can't be read: nobody else is to be given it."""

    def retain(self) -> None:
        """Keep it for a reader, until `release`."""

    def release(self) -> None:
        """See `retain`."""


class Root(Protocol):
    """The source that all of a log comes from: a `source.Source`."""

    @property
    def is_over_window(self) -> bool:
        """Whether it is held because too much of it is in memory."""

    def count_memory(self, size: int) -> None:
        """Count ``size`` more bytes of it that are in memory; fewer, where that is negative."""


class Awaited(Protocol):
    """A log whose writer waits for its readers: a `log.Log`."""

    def waited_enough(self) -> None:
        """The writer waits no longer."""


class Writer(Protocol):
    """What writes a log: a `source.Source`, or a `transcoder.Transcoder`."""

    @property
    def root(self) -> Root:
        """The source that all of it comes from."""

    def hold(self, holder: object) -> None:
        """Write nothing more, until ``holder`` lets go."""

    def wait_briefly(self, log: Awaited) -> None:
        """Write nothing more for a moment, or until `go_on`. Readers may be at the head again by
        then: a block costs less when it is sent at once than when it is read later."""

    def go_on(self, log: Awaited) -> None:
        """See `wait_briefly`."""

    def let_go(self, holder: object) -> None:
        """See `hold`."""
