"""Puts a ``bundle_patch`` together while it comes."""

from collections.abc import Callable

from apptuner_relay.flow.pipeline import MessageInfo
from apptuner_relay.wire.bundle_patch import MOST_PATCH_BYTES
from apptuner_relay.wire.deflate import Inflation
from apptuner_relay.wire.frames import Frame


class PatchIntake:
    """The `flow.intake.Intake` of one.

    :param done: called with the message, inflated, when it has come whole; with None where it has
        more than `MOST_PATCH_BYTES`.
    """

    def __init__(self, message: MessageInfo, done: Callable[[bytes | None], None]) -> None:
        self._inflation = Inflation(message.limit) if message.compressed else None
        self._done = done
        self._text = bytearray()

    def write(self, payload: Frame, end: bool) -> None:
        """See `Intake`."""
        if self._inflation is None:
            self._add(payload)
        else:
            # A copy, as the buffer is received into again. All of it is inflated: it may be bad.
            self._inflation.feed(bytes(payload), end)
            while text := self._inflation.read(MOST_PATCH_BYTES):
                self._add(text)
        if end:
            is_long = len(self._text) > MOST_PATCH_BYTES
            self._done(None if is_long else bytes(self._text))

    def cut(self, reason: str) -> None:
        """See `Intake`."""

    def _add(self, text: Frame) -> None:
        if len(self._text) <= MOST_PATCH_BYTES:
            self._text += text
