"""Which way a message takes: as it is to those who can have it so, through stages to the others."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from apptuner_relay.flow import Fork, Passage, Sink, Source, Way
from apptuner_relay.stages import Chunker, Deflater, Guard, Inflater, Refuse
from apptuner_relay.wire.chunks import Rechunker, begins_bundle
from apptuner_relay.wire.deflate import BombGuard, may_exceed
from apptuner_relay.wire.frames import COMPRESSED
from apptuner_relay.wire.messages import BUNDLE_TYPES

_SPLIT_BYTES = 1024 * 1024
"""A bundle in one message above this goes in chunks to phones that ask for them."""
_SPLIT_COMPRESSED_BYTES = 64 * 1024
"""As much for a compressed one, whose real size shows at its end only."""


class Recipient(Protocol):
    """Whom a message goes to."""

    sink: Sink
    deflates: bool
    """Takes compressed messages."""
    chunks: bool
    """Wants a big ``bundle_update`` in chunks."""


@dataclass(frozen=True)
class Envelope:
    """What is known of a message of which the first piece is there.

    ``size`` is that of its payload in bytes, or None; ``limit`` the most that it may have,
    inflated.
    """

    opcode: int
    type: str | None
    head: bytes
    size: int | None
    limit: int
    thorough: bool
    """Whether to count all that it inflates to."""

    @property
    def compressed(self) -> bool:
        return bool(self.opcode & COMPRESSED)

    @property
    def splits(self) -> bool:
        """Whether it is a bundle that goes in chunks to those who want that."""
        if self.type != "bundle_update" or not begins_bundle(self.head):
            return False
        if self.size is None:
            return True
        return self.size > (_SPLIT_COMPRESSED_BYTES if self.compressed else _SPLIT_BYTES)


def make_way(
    message: Envelope,
    source: Source,
    recipients: Sequence[Recipient],
    refuse: Refuse,
    now_ms: int,
) -> Way:
    """The way of ``message`` from ``source`` to ``recipients``. Every piece of it is to be sent.

    :param refuse: closes the sender's connection.
    """
    sinks = [recipient.sink for recipient in recipients]
    splits = message.splits
    chunked = [one.sink for one in recipients if splits and one.chunks]
    whole = [one for one in recipients if not (splits and one.chunks)]
    deflating = [one.sink for one in whole if one.deflates]
    plain = [one.sink for one in whole if not one.deflates]

    def plain_forms(origin: Source) -> Way:
        ways: list[Way] = []
        if plain:
            ways.append(Passage(origin, plain))
        if chunked:
            most = message.limit
            if message.size is not None and not message.compressed:
                most = message.size
            ways.append(Chunker(origin, refuse, chunked, Rechunker(most, now_ms), sinks))
        return _fork(ways)

    ways: list[Way] = []
    if message.compressed:
        if message.size is None or may_exceed(message.size, message.limit):
            ways.append(Guard(BombGuard(message.limit, message.thorough)))
        if deflating:
            ways.append(Passage(source, deflating))
        if plain or chunked:
            opcode = message.opcode & ~COMPRESSED
            inflater = Inflater(source, refuse, plain_forms, opcode, message.limit, sinks)
            ways.append(inflater)
    else:
        if message.type in BUNDLE_TYPES and len(deflating) > 1:
            ways.append(
                Deflater(
                    source,
                    refuse,
                    lambda origin: Passage(origin, deflating),
                    message.opcode,
                    sinks,
                )
            )
        else:
            plain += deflating
        if plain or chunked:
            ways.append(plain_forms(source))
    source.feeds = sinks
    return _fork(ways)


def _fork(ways: Sequence[Way]) -> Way:
    return ways[0] if len(ways) == 1 else Fork(ways)
