"""Which way a message takes: as it is to those who can have it so, through stages to the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from apptuner_relay.flow import Sink, Source
from apptuner_relay.passage import Fork, Passage, Way
from apptuner_relay.stages import Chunker, Deflater, Guard, Inflater, Place, Refuse, Slicer
from apptuner_relay.wire.chunks import CHUNK_BYTES, Plan, Rechunker, begins_bundle
from apptuner_relay.wire.deflate import BombGuard, may_exceed
from apptuner_relay.wire.frames import COMPRESSED, TEXT
from apptuner_relay.wire.messages import BUNDLE_TYPES

_SPLIT_BYTES = 1024 * 1024
"""A bundle in one message above this goes in small frames or chunks to phones that need that."""
_SPLIT_COMPRESSED_BYTES = 64 * 1024
"""As much for a compressed one, whose real size shows at its end only."""


class Recipient(Protocol):
    """Whom a message goes to."""

    sink: Sink
    deflates: bool
    """Takes compressed messages."""
    slices: bool
    """Wants big bundles in small frames."""
    chunks: bool
    """Wants a big ``bundle_update`` in chunks."""

    def expect_logs(self, count: int) -> None:
        """It gets a message of which it will log so many lines."""


@dataclass(frozen=True)
class Parcel:
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
    """Whether to check all that it inflates to."""
    now_ms: int
    """When it came."""
    offset: int | None = None
    """Where it begins in the file of its bundle, if it is kept in one."""

    @property
    def compressed(self) -> bool:
        return bool(self.opcode & COMPRESSED)

    @property
    def big(self) -> bool:
        """Whether it may be a bundle that is split for some."""
        if self.type != "bundle_update":
            return False
        if self.size is None:
            return True
        return self.size > (_SPLIT_COMPRESSED_BYTES if self.compressed else _SPLIT_BYTES)


class Opener(Protocol):
    """Makes a way that ends at sinks."""

    def __call__(
        self, source: Source, sinks: Sequence[Sink], separable: bool = False, /
    ) -> Way: ...


_LOGGED_LINES = 2
"""What a released phone logs of each message of a bundle."""


def make_way(
    message: Parcel,
    source: Source,
    recipients: Sequence[Recipient],
    refuse: Refuse,
    passage: Opener | None = None,
    deflate: bool = False,
    plan: Plan | None = None,
) -> Way:
    """The way of ``message`` from ``source`` to ``recipients``. Every piece of it is to be sent.

    :param refuse: closes the sender's connection.
    :param passage: makes the last part of the way; a new `Passage` where nothing is said.
    :param deflate: compress it even for a single one that negotiated that.
    :param plan: how somebody else has begun to cut it into chunks.
    """

    def open_passage(origin: Source, sinks: Sequence[Sink], separable: bool = False) -> Way:
        if passage is not None:
            return passage(origin, sinks, separable)
        return Passage(origin, sinks, separable, message.offset)

    guesses: list[Callable[[], int]] = []
    """How long it may be, where that has to be guessed."""
    sinks = [one.sink for one in recipients]
    chunks = message.big and begins_bundle(message.head)
    chunked = [one.sink for one in recipients if chunks and one.chunks]
    whole = [one for one in recipients if not (chunks and one.chunks)]
    deflating = [one for one in whole if one.deflates]
    plain = [one for one in whole if not one.deflates]

    def passages(origin: Source, group: Sequence[Recipient]) -> list[Way]:
        sliced = [one.sink for one in group if message.big and one.slices]
        others = [one.sink for one in group if not (message.big and one.slices)]
        ways: list[Way] = []
        if others:
            ways.append(open_passage(origin, others))
        if sliced:
            ways.append(Slicer(open_passage(origin, sliced)))
        return ways

    def plain_forms(origin: Source) -> list[Way]:
        ways = passages(origin, plain)
        if chunked:
            known = message.size is not None and not message.compressed
            most = message.size if known and message.size is not None else message.limit
            guess = guesses[0] if guesses else None
            rechunker = Rechunker(message.now_ms, most, known, guess, plan)
            ways.append(
                Chunker(
                    Place(origin, refuse, sinks),
                    lambda last: open_passage(last, chunked, True),
                    chunked,
                    rechunker,
                )
            )
        return ways

    place = Place(source, refuse, sinks)
    ways: list[Way] = []
    for one in recipients if message.type in BUNDLE_TYPES else ():
        many = 1 + (message.size or message.limit) // CHUNK_BYTES if chunks and one.chunks else 1
        one.expect_logs(_LOGGED_LINES * many)
    if message.compressed:
        suspect = message.size is None or may_exceed(message.size, message.limit)
        if message.thorough or suspect:
            text = bool(message.opcode & TEXT)
            ways.append(Guard(BombGuard(message.limit, message.thorough, text)))
        ways += passages(source, deflating)
        if plain or chunked:
            opcode = message.opcode & ~COMPRESSED
            size = message.size
            if size is not None:
                guesses.append(lambda: inflater.expects(size))
            inflater = Inflater(
                place, lambda origin: _fork(plain_forms(origin)), opcode, message.limit
            )
            ways.append(inflater)
    else:
        if deflate or (message.type in BUNDLE_TYPES and len(deflating) > 1):
            ways.append(
                Deflater(place, lambda origin: _fork(passages(origin, deflating)), message.opcode)
            )
        else:
            plain = [*plain, *deflating]
        ways += plain_forms(source)
    source.feeds = sinks
    return _fork(ways)


def _fork(ways: Sequence[Way]) -> Way:
    return ways[0] if len(ways) == 1 else Fork(ways)
