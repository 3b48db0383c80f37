"""What comes in from one member, and who may hold it."""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from apptuner_relay.flow.log import Log
from apptuner_relay.flow.log_interfaces import Awaited
from apptuner_relay.flow.receive_buffer import BufferLoan, BufferShare, ReceiveBuffer

PAUSE_S = 0.005
"""A sender that has sent nothing for this time has paused: bytes that wait for more are sent."""

BRIEFLY_S = 0.002
"""How long a source waits for readers that were at the head a moment ago: a connection that takes
512 KiB in that time is one of 250 MB/s."""
_BRIEFLY = "briefly"
_NOBODY: frozenset[object] = frozenset()
"""An empty set takes 216 bytes, and most sources are never held."""


def _do_nothing() -> None:
    """Nothing is left to be paused."""


def _no_share() -> None:
    """Lend nothing: what is to be stored has to be copied."""


class Fed(Protocol):
    """Where messages of a source go: a `sink.Sink`, which imports this module."""

    @property
    def full(self) -> bool:
        """Whether the transport takes no more for now."""

    @property
    def closed(self) -> bool:
        """Whether nothing is sent any more."""

    def flush(self, source: "Source | None") -> None:
        """Send what was put there: a block of the source has been taken in."""


class Source:
    """What comes in from one member.

    Frames of a source may be views of the buffer that its connection receives into. They are good
    until `flush`, which the connection calls when it has taken in a block.

    :param pause, resume: stop and start reading from the member's transport.
    :param window: how many bytes of its long messages may be in memory for want of a file.
    :param buffer: the buffer that its connection receives into. Without one, frames may be kept.
    :param later: calls a function after a delay in seconds.
    """

    __slots__ = (
        "_awaited", "_buffer", "_holders", "_is_timed", "_kept_bytes", "_later", "_loan", "_logs",
        "_pause", "_resume", "_waiting_since_s", "_window", "fed", "feeds", "gone",
    )  # fmt: skip

    def __init__(
        self,
        pause: Callable[[], None],
        resume: Callable[[], None],
        window: int = 256 * 1024,
        buffer: ReceiveBuffer | None = None,
        later: Callable[[float, Callable[[], None]], object] = lambda delay_s, call: None,
    ) -> None:
        self._pause = pause
        self._resume = resume
        self._window = window
        self._kept_bytes = 0
        self._buffer = buffer
        self._later = later
        self._loan: BufferLoan | None = None
        self._holders: AbstractSet[object] = _NOBODY
        self._waiting_since_s: float | None = None
        # Keys only, in order: a block may have a thousand short bundles.
        self._logs: dict[Log, None] = {}
        self._awaited: list[Awaited] = []
        """The logs for whose readers it waits, for `BRIEFLY_S` at most."""
        self._is_timed = False
        """Whether a call is due that ends the wait."""
        self.gone = False
        """Whether the member has disconnected. What it sent whole may still be on its way."""
        self.feeds: Sequence[Fed] = ()
        """The sinks that get the message in progress, or got the last one."""
        self.fed: list[Fed] = []
        """Sinks that have frames of this source to `flush`."""

    @property
    def root(self) -> "Source":
        """See `log_interfaces.Writer`."""
        return self

    @property
    def held(self) -> bool:
        """Whether reading is stopped."""
        return bool(self._holders)

    def hold(self, holder: object) -> None:
        """Stop reading from the member, until ``holder`` lets go."""
        if not self._holders:
            self._pause()
        self._holders |= {holder}

    def let_go(self, holder: object) -> None:
        """End the hold of ``holder``. Reading goes on when nobody else holds this source."""
        if holder in self._holders:
            self._holders = self._holders - {holder} or _NOBODY
            if not self._holders:
                self._resume()

    @property
    def is_over_window(self) -> bool:
        """See `log_interfaces.Root`."""
        return self._kept_bytes > self._window

    def count_memory(self, size: int) -> None:
        """See `log_interfaces.Root`."""
        self._kept_bytes += size
        if self._kept_bytes > self._window:
            self.hold(self)
        else:
            self.let_go(self)

    def wait_briefly(self, log: Awaited) -> None:
        """See `log_interfaces.Writer`."""
        if not self._is_timed:
            self._is_timed = True
            self._later(BRIEFLY_S, self._wait_no_longer)
        if log not in self._awaited:
            self._awaited.append(log)
        self.hold(_BRIEFLY)

    def go_on(self, log: Awaited) -> None:
        """See `log_interfaces.Writer`."""
        if log in self._awaited:
            self._awaited.remove(log)
        if not self._awaited:
            self.let_go(_BRIEFLY)

    def _wait_no_longer(self) -> None:
        self._is_timed = False
        awaited, self._awaited = self._awaited, []
        for log in awaited:
            log.waited_enough()
        self.let_go(_BRIEFLY)

    def fills(self, log: Log) -> None:
        """Have ``log`` flushed with the block that is being taken in."""
        self._logs[log] = None

    def when_paused(self, call: Callable[[], None]) -> None:
        """Call back after `PAUSE_S`, to send what waits for more bytes."""
        self._later(PAUSE_S, call)

    def flush(self) -> None:
        """A block has been taken in: send what was made of it."""
        self._flush(self._share)
        loan, self._loan = self._loan, None
        if loan is not None:
            loan.seal()

    def send_early(self) -> None:
        """Send what was made of a block so far, though there may be more in it. The buffer can't be
        lent yet."""
        self._flush(_no_share)

    def _flush(self, share: Callable[[], BufferShare | None]) -> None:
        self._waiting_since_s = None
        if self.fed:
            fed, self.fed = self.fed, []
            for sink in fed:
                sink.flush(self)
        if self._logs:
            logs, self._logs = self._logs, {}
            lend = share if self._buffer is not None else None
            for log in logs:
                log.flush(lend)

    def leave(self) -> None:
        """The member has disconnected, and nothing more of it comes. A bundle that is kept has its
        source for a day: what belongs to the connection goes now."""
        self.gone = True
        self._pause = self._resume = _do_nothing
        self.feeds = ()

    def stalled(self, now_s: float) -> float:
        """For how many seconds a message in progress has waited for its next block.

        Call it at intervals: the time is counted from the first call that finds it waiting.
        """
        if self.held:
            self._waiting_since_s = None
            return 0.0
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        return now_s - self._waiting_since_s

    def _share(self) -> BufferShare | None:
        if self._loan is None:
            assert self._buffer is not None
            self._loan = self._buffer.lend()
        return None if self._loan is None else self._loan.share()
