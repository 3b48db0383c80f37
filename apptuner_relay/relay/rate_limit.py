"""What becomes of messages beyond a client's message rate. Console logs wait, and the oldest of
them are dropped. Other messages pass, and the client is read from later. Bundles always pass.

Logs that wait are sent on in their order as soon as there is an allowance again, or when the client
disconnects: the last logs of a phone that crashes are those that say why. Errors and warnings have
an allowance of their own, and are never dropped in favour of other logs.
"""

from collections.abc import Callable
from typing import NamedTuple

from apptuner_relay.access.bucket import Allowance
from apptuner_relay.flow.source import Source
from apptuner_relay.operator.traffic import Traffic
from apptuner_relay.wire import messages
from apptuner_relay.wire.frames import TEXT, Frame, Texts
from apptuner_relay.wire.messages import HEAD_BYTES

LOG_TYPE = "console_log"
BURST_S = 5.0
"""How many seconds' worth of messages a client may send at once: an app that starts logs a lot."""
MOST_BYTES = 128 * 1024
"""How many bytes of errors and warnings may wait, and as many of other logs."""

_SERIOUS = frozenset({"warn", "error"})


class Line(NamedTuple):
    """A console log: a whole message."""

    opcode: int
    """As of `frames.Piece`."""
    payload: bytes


class LogQueue:
    """The logs that wait; the oldest are dropped when there are too many.

    :param most: how many logs may wait that are neither errors nor warnings. The caller limits the
        number of the serious ones.
    """

    __slots__ = (
        "_bytes",
        "_came",
        "_lines",
        "_most",
    )

    def __init__(self, most: int) -> None:
        self._most = most
        self._came = 0
        self._lines: tuple[list[tuple[int, Line]], ...] = ([], [])
        self._bytes = [0, 0]

    def __len__(self) -> int:
        return sum(map(len, self._lines))

    @property
    def ordinary(self) -> int:
        """How many of them are not serious."""
        return len(self._lines[False])

    def add(self, line: Line, serious: bool) -> int:
        """Have ``line`` wait. Returns how many lines were dropped for it, itself included."""
        lines, which = self._lines[serious], int(serious)
        self._came += 1
        lines.append((self._came, line))
        self._bytes[which] += len(line.payload)
        dropped = 0
        while self._bytes[which] > MOST_BYTES or (not serious and len(lines) > self._most):
            _, oldest = lines.pop(0)
            self._bytes[which] -= len(oldest.payload)
            dropped += 1
        return dropped

    def take(self) -> list[Line]:
        """Remove and return the lines, in the order in which they came."""
        entries = sorted(entry for lines in self._lines for entry in lines)
        for lines in self._lines:
            lines.clear()
        self._bytes = [0, 0]
        return [line for _, line in entries]


def _nobody_is_over() -> None:
    """The client has gone."""


class RateLimit:
    """One client's message rate.

    :param rate: messages a second; 0 for no limit.
    :param seconds: tells the time.
    :param source: the client's source, which is held while it may send nothing.
    :param on_excess: called when the client has sent more than it may; `catch_up` is due then,
        every second.
    """

    __slots__ = (
        "_dropped", "_is_lifted", "_logs", "_on_excess", "_seconds", "_serious", "_source",
        "_traffic", "allowance", "rate",
    )  # fmt: skip

    def __init__(
        self,
        rate: int,
        seconds: Callable[[], float],
        source: Source,
        traffic: Traffic,
        on_excess: Callable[[], None],
    ) -> None:
        self.rate = rate
        self._seconds = seconds
        self._source = source
        self._traffic = traffic
        self._on_excess = on_excess
        self.allowance = Allowance(rate, BURST_S, seconds())
        """Counted down for each message by the member, which calls `used_up` when none is left."""
        self._serious: Allowance | None = None
        """That of errors and warnings beyond it; None before the first one."""
        self._logs: LogQueue | None = None
        """None before the first log that waits: most clients stay below their rate."""
        self._dropped = 0
        self._is_lifted = False

    def used_up(self) -> bool:
        """Whether the messages taken in exceed the allowance."""
        # Logs that wait go first.
        return bool(self._logs) or not self.allowance.refill(self._seconds())

    def pick(self, texts: Texts) -> Texts:
        """Those of ``texts`` that may pass now; they are too many."""
        allowance = self.allowance
        allowed = 0 if self._logs else max(0, len(texts) + int(allowance.left))
        passing, over = texts[:allowed], texts[allowed:]
        allowance.left += len(over)
        others = 0
        for text in over:
            head = bytes(text[:HEAD_BYTES])
            kind = _type_of(head, len(text) <= HEAD_BYTES)
            if kind == LOG_TYPE:
                self._wait(Line(TEXT, bytes(text)), head)
                continue
            passing.append(text)
            others += kind not in messages.BUNDLE_TYPES
        if others:
            self._charge(others)
        return passing

    def lets_pass(self, kind: str | None) -> bool:
        """Whether a message of this type passes beyond the allowance. A log does not: the caller
        `collect`s it."""
        self.allowance.left += 1
        if kind == LOG_TYPE:
            return False
        if kind not in messages.BUNDLE_TYPES:
            self._charge(1)
        return True

    def collect(self, opcode: int, head: bytes) -> "Collector":
        """An intake for the pieces of a log that has to wait; ``head`` is its inflated head."""
        return Collector(opcode, lambda line: self._wait(line, head))

    def grant(self, count: int) -> None:
        """Let the client send ``count`` messages more, once."""
        self.allowance.grant(count)

    def catch_up(self) -> list[Line] | None:
        """The logs that waited, if there is an allowance again; else None."""
        if not self.allowance.refill(self._seconds()):
            return None
        # The serious ones had an allowance of their own.
        self.allowance.left -= self._logs.ordinary if self._logs else 0
        return self.rest()

    def rest(self) -> list[Line]:
        """The logs that waited, as nothing more will come."""
        return self._logs.take() if self._logs else []

    def count_dropped(self) -> int:
        """How many logs were dropped since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def let_go(self) -> None:
        """Read on."""
        self._source.let_go(self)

    def end(self) -> None:
        """The client has gone."""
        self._on_excess = _nobody_is_over

    def lift(self) -> None:
        """Read on, and hold the client no more, whatever it sends. Its logs are still limited."""
        self._is_lifted = True
        self.let_go()

    def _wait(self, line: Line | None, head: bytes) -> None:
        dropped = 1
        if line is not None:
            if self._logs is None:
                self._logs = LogQueue(self.rate)
            dropped = self._logs.add(line, self._is_serious(head))
        self._dropped += dropped
        self._traffic.dropped_logs += dropped
        self._on_excess()

    def _is_serious(self, head: bytes) -> bool:
        if messages.log_level(head) not in _SERIOUS:
            return False
        if self._serious is None:
            self._serious = Allowance(self.rate, BURST_S, self._seconds())
        serious = self._serious
        if serious.left < 1 and (not serious.refill(self._seconds()) or serious.left < 1):
            return False
        serious.left -= 1
        return True

    def _charge(self, count: int) -> None:
        """``count`` messages pass beyond the allowance: read on when there is one again."""
        if self._is_lifted:
            return
        self.allowance.left -= count
        # While logs wait, every message exceeds the allowance; none must wait longer than they do.
        if self.allowance.left < (-self.rate if self._logs else 0):
            self._traffic.throttled += 1
            self._source.hold(self)
            self._on_excess()


class Collector:
    """An intake (`flow.intake.Intake`) that makes a `Line` of a log.

    :param collected: called with the line; with None where it would be too long to wait.
    """

    def __init__(self, opcode: int, collected: Callable[[Line | None], None]) -> None:
        self._opcode = opcode
        self._collected = collected
        self._payload: bytearray | None = bytearray()

    def write(self, payload: Frame, end: bool) -> None:
        """See `Intake`."""
        if self._payload is not None:
            self._payload += payload
            if len(self._payload) > MOST_BYTES:
                self._payload = None
        if end:
            whole = self._payload
            self._collected(None if whole is None else Line(self._opcode, bytes(whole)))

    def cut(self, reason: str) -> None:
        """See `Intake`."""


def _type_of(head: bytes, complete: bool) -> str | None:
    """The type of a message; None where it has none, or is no JSON object."""
    try:
        return messages.sniff(head, complete).type
    except messages.NotAnObject:
        return None
