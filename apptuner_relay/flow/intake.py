"""Where a message goes while it comes: it is put together, or written to a log."""

from collections.abc import Callable
from typing import Protocol

from apptuner_relay.flow.framing import Framer
from apptuner_relay.flow.log import Log
from apptuner_relay.flow.pipeline import MessageInfo
from apptuner_relay.flow.source import Source
from apptuner_relay.wire.deflate import BombGuard, may_exceed
from apptuner_relay.wire.frames import TEXT, Frame

SHORT_BYTES = 64 * 1024
"""A message of up to this many payload bytes is put together and sent as one frame; a longer one
becomes a log."""


class Intake(Protocol):
    """Where the pieces of one message go."""

    def write(self, payload: Frame, end: bool) -> None:
        """Take the next bytes, which are good until the source's flush.

        :param end: whether they are the last ones of the message.
        :raises FrameError: what was sent is bad.
        """

    def cut(self, reason: str) -> None:
        """The rest of it never comes."""


class LogIntake:
    """A message that is written to ``log``, where others may come before and behind it.

    :param longest: the most bytes that a message may have.
    :param on_cut: called with the reason when its rest never comes; cuts the log if not given.
    """

    def __init__(
        self,
        source: Source,
        log: Log,
        opcode: int,
        longest: int,
        on_cut: Callable[[str], None] | None = None,
    ) -> None:
        self._framer = Framer(log, opcode, longest)
        self._source = source
        self._log = log
        self._on_cut = on_cut or log.cut

    def write(self, payload: Frame, end: bool) -> None:
        """See `Intake`."""
        if self._framer.write(payload, end):
            self._source.when_paused(self._send_rest)
        self._source.fills(self._log)

    def cut(self, reason: str) -> None:
        """See `Intake`."""
        self._on_cut(reason)

    def _send_rest(self) -> None:
        self._framer.release()
        self._log.flush(None)


class WholeLogIntake(LogIntake):
    """A message that is all of its log."""

    def write(self, payload: Frame, end: bool) -> None:
        """See `Intake`."""
        super().write(payload, end)
        if end:
            self._log.complete()


class AssemblingIntake:
    """A message that is put together while it may be a short one.

    :param short: called with the payload of a short message.
    :param long: opens the intake of a long one.
    """

    def __init__(self, short: Callable[[bytes], None], long: Callable[[], Intake]) -> None:
        self._short = short
        self._open_long = long
        self._held = bytearray()
        self._long: Intake | None = None

    def write(self, payload: Frame, end: bool) -> None:
        """See `Intake`."""
        if self._long is not None:
            self._long.write(payload, end)
        elif len(self._held) + len(payload) > SHORT_BYTES:
            self._long = self._open_long()
            if self._held:
                # A copy: a log may keep what it is given.
                self._long.write(bytes(self._held), False)
            self._long.write(payload, end)
        else:
            self._held += payload
            if end:
                self._short(bytes(self._held))

    def cut(self, reason: str) -> None:
        """See `Intake`."""
        if self._long is not None:
            self._long.cut(reason)


class GuardedIntake:
    """A compressed message that is checked before it goes on."""

    def __init__(self, guard: BombGuard, intake: Intake) -> None:
        self.guard = guard
        self._intake = intake

    def write(self, payload: Frame, end: bool) -> None:
        """See `Intake`."""
        self.guard.check(memoryview(payload), end)
        self._intake.write(payload, end)

    def cut(self, reason: str) -> None:
        """See `Intake`."""
        self._intake.cut(reason)


class DiscardingIntake:
    """The intake of a message that is for nobody."""

    def write(self, payload: Frame, end: bool) -> None:
        """See `Intake`."""

    def cut(self, reason: str) -> None:
        """See `Intake`."""


def guarded(message: MessageInfo, intake: Intake) -> Intake:
    """``intake``, behind a guard where ``message`` may inflate to more than its limit, or is to be
    checked thoroughly."""
    if not message.compressed:
        return intake
    size = message.size
    if not message.thorough and size is not None and not may_exceed(size, message.limit):
        return intake
    is_text = bool(message.opcode & TEXT)
    return GuardedIntake(BombGuard(message.limit, message.thorough, is_text), intake)
