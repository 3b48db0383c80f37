"""In which form a message goes to each of its recipients."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from apptuner_relay.flow.log import Log
from apptuner_relay.flow.sink import Sink
from apptuner_relay.wire.chunks import begins_bundle
from apptuner_relay.wire.frames import COMPRESSED

_SPLIT_BYTES = 1024 * 1024
"""Payload size above which a bundle in one message goes in chunks to phones that ask for that."""
_SPLIT_COMPRESSED_BYTES = 64 * 1024
"""The same for a compressed bundle, whose real size is known at its end only."""


class Recipient(Protocol):
    """A client that gets messages: `relay.member.Member`."""

    sink: Sink
    chunks: bool
    """Whether it wants a big ``bundle_update`` in chunks."""

    @property
    def deflates(self) -> bool:
        """Whether it takes compressed messages."""


@dataclass(frozen=True)
class MessageInfo:
    """What is known of a message when its first piece has come."""

    opcode: int
    """With `wire.frames.COMPRESSED`, where it is."""
    type: str | None
    """The ``type`` of its JSON, where that was found."""
    head: bytes
    """The beginning of its payload, inflated."""
    size: int | None
    """The size of its payload in bytes as it is sent, where that is known."""
    limit: int
    """The most bytes that its payload may have, inflated."""
    thorough: bool
    """Whether all that it inflates to is to be checked."""
    now_ms: int
    """When it came, in milliseconds since the epoch."""

    @property
    def compressed(self) -> bool:
        """Whether its payload is compressed (RFC 7692)."""
        return bool(self.opcode & COMPRESSED)

    @property
    def may_be_split(self) -> bool:
        """Whether it goes in chunks to recipients that want that."""
        if self.type != "bundle_update" or not begins_bundle(self.head):
            return False
        if self.size is None:
            return True
        return self.size > (_SPLIT_COMPRESSED_BYTES if self.compressed else _SPLIT_BYTES)


class WireForm(Enum):
    """What is made of a log for some of its readers."""

    ORIGINAL = "original"
    INFLATED = "inflated"
    DEFLATED = "deflated"
    CHUNKS = "chunks"


def form_for(
    recipient: Recipient,
    message: MessageInfo,
    deflates_plain: bool = False,
    more_may_be_compressed: bool = False,
) -> WireForm:
    """The form in which ``recipient`` gets the log that begins with ``message``.

    :param deflates_plain: whether a plain message is compressed for recipients that take that.
    :param more_may_be_compressed: whether later messages of the log may be compressed, though this
        one is not.
    """
    if recipient.chunks and message.may_be_split:
        return WireForm.CHUNKS
    if message.compressed or (more_may_be_compressed and not recipient.deflates):
        return WireForm.ORIGINAL if recipient.deflates else WireForm.INFLATED
    return WireForm.DEFLATED if deflates_plain and recipient.deflates else WireForm.ORIGINAL


class Forms:
    """One log, in each of the forms in which somebody reads it.

    :param transcribe: makes the log of another form; nothing is read or made before it has a
        reader.
    """

    def __init__(self, original: Log, transcribe: Callable[[WireForm], Log]) -> None:
        self.original = original
        self._transcribe = transcribe
        self._made: dict[WireForm, Log] = {}

    def take(self, form: WireForm) -> Log:
        """The log in ``form``, to be read from its start. A form is made once for all readers,
        while all of it is stored and none of them holds it up."""
        if form is WireForm.ORIGINAL:
            return self.original
        log = self._made.get(form)
        if log is None or log.base or log.is_held_up or not log.is_read:
            log = self._made[form] = self._transcribe(form)
        return log
