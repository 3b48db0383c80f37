"""What a client sends beyond its message rate: console logs wait, and the oldest of them are
dropped; for other messages the client is read from later; bundles always pass.

Logs that wait go on as soon as there is an allowance again, or when the client goes, in the order
in which they came: the last ones of a phone that dies are those that tell why. Errors and warnings
have an allowance of their own, and are never dropped for the sake of others.
"""

from collections.abc import Callable
from typing import NamedTuple

from apptuner_relay.access.bucket import Allowance
from apptuner_relay.flow import Frame, Source
from apptuner_relay.meters.traffic import Traffic
from apptuner_relay.wire import messages
from apptuner_relay.wire.frames import TEXT, Texts
from apptuner_relay.wire.messages import HEAD_BYTES

LOG_TYPE = "console_log"
BURST_S = 5.0
"""Seconds' worth of messages that a client may send at once: an app that starts logs a lot."""
MOST_BYTES = 128 * 1024
"""How much may wait of errors and warnings together, and as much of other logs."""

_SERIOUS = frozenset({"warn", "error"})


class Line(NamedTuple):
    """A console log: a whole message."""

    opcode: int
    """As of `frames.Piece`."""
    payload: bytes


class LogQueue:
    """The logs that wait; the oldest go when there are too many.

    :param most: how many others may wait than serious ones, for which somebody else counts.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._came = 0
        # Every client has one, which is nearly always empty: an empty deque takes 760 bytes.
        self._lines: tuple[list[tuple[int, Line]], ...] = ([], [])
        self._bytes = [0, 0]

    def __len__(self) -> int:
        return sum(map(len, self._lines))

    @property
    def ordinary(self) -> int:
        """How many of them are not serious."""
        return len(self._lines[False])

    def add(self, line: Line, serious: bool) -> int:
        """Have ``line`` wait. Returns how many were dropped for that, which may be itself."""
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
        """All that waited, in the order in which it came."""
        entries = sorted(entry for lines in self._lines for entry in lines)
        for lines in self._lines:
            lines.clear()
        self._bytes = [0, 0]
        return [line for _, line in entries]


class RateLimit:
    """One client's message rate.

    :param rate: messages a second; 0 for no limit.
    :param seconds: tells the time.
    :param source: what comes from the client: held while it may send nothing.
    :param on_excess: called when it has sent more than it may; `catch_up` is due then, every
        second.
    """

    def __init__(
        self,
        rate: int,
        seconds: Callable[[], float],
        source: Source,
        traffic: Traffic,
        on_excess: Callable[[], None],
    ) -> None:
        self._rate = rate
        self._seconds = seconds
        self._source = source
        self._traffic = traffic
        self._on_excess = on_excess
        self.allowance = Allowance(rate, BURST_S, seconds())
        """Counted down by who takes messages in; when none is left, `used_up` is asked."""
        self._serious = Allowance(rate, BURST_S, seconds())
        self._logs = LogQueue(rate)
        self._dropped = 0

    def used_up(self) -> bool:
        """Whether what was taken in is more than there is an allowance for."""
        # What waits goes first.
        return bool(self._logs) or not self.allowance.refill(self._seconds())

    def pick(self, texts: Texts) -> Texts:
        """What may pass now of ``texts``, which are too many."""
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
        """Whether a message may pass that is one too many. A log may not: it `collects` it."""
        self.allowance.left += 1
        if kind == LOG_TYPE:
            return False
        if kind not in messages.BUNDLE_TYPES:
            self._charge(1)
        return True

    def collect(self, opcode: int, head: bytes) -> "Collector":
        """Where the pieces of a log go that may not pass; it begins with ``head``, inflated."""
        return Collector(opcode, lambda line: self._wait(line, head))

    def grant(self, count: int) -> None:
        """Let it send ``count`` messages more, once."""
        self.allowance.grant(count)

    def catch_up(self) -> list[Line] | None:
        """What may go on of what waited, as there is an allowance again; None where there isn't."""
        if not self.allowance.refill(self._seconds()):
            return None
        # The serious ones have had theirs.
        self.allowance.left -= self._logs.ordinary
        return self._logs.take()

    def rest(self) -> list[Line]:
        """What waited, as nothing more will come."""
        return self._logs.take()

    def count_dropped(self) -> int:
        """How many logs were dropped since the last call."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def let_go(self) -> None:
        """Read on."""
        self._source.let_go(self)

    def _wait(self, line: Line | None, head: bytes) -> None:
        dropped = 1
        if line is not None:
            dropped = self._logs.add(line, self._is_serious(head))
        self._dropped += dropped
        self._traffic.dropped_logs += dropped
        self._on_excess()

    def _is_serious(self, head: bytes) -> bool:
        if messages.log_level(head) not in _SERIOUS:
            return False
        serious = self._serious
        if serious.left < 1 and (not serious.refill(self._seconds()) or serious.left < 1):
            return False
        serious.left -= 1
        return True

    def _charge(self, count: int) -> None:
        """Messages pass that are too many: read on only when there is an allowance again."""
        self.allowance.left -= count
        # While logs wait, everything is too much: what is beside them waits for no more than them.
        if self.allowance.left < (-self._rate if self._logs else 0):
            self._traffic.throttled += 1
            self._source.hold(self)
            self._on_excess()


class Collector:
    """A way (`passage.Way`) that ends in a `Line`, or in None where that would be too long.

    :param collected: called with it.
    """

    def __init__(self, opcode: int, collected: Callable[[Line | None], None]) -> None:
        self._opcode = opcode
        self._collected = collected
        self._payload: bytearray | None = bytearray()

    def send(self, data: Frame, header: int, end: bool) -> None:
        """See `Way`."""
        if self._payload is not None:
            self._payload += memoryview(data)[header:]
            if len(self._payload) > MOST_BYTES:
                self._payload = None
        if end:
            whole = self._payload
            self._collected(None if whole is None else Line(self._opcode, bytes(whole)))

    def cut(self, reason: str) -> None:
        """See `Way`."""


def _type_of(head: bytes, complete: bool) -> str | None:
    """The type of a message; None where it has none, or is no message."""
    try:
        return messages.sniff(head, complete).type
    except messages.NotAnObject:
        return None
