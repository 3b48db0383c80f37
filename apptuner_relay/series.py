"""Bundles in several messages, and how far into one a phone is. Pure: no sockets, no time.

A *series* is a ``bundle_start`` and the ``bundle_chunk`` messages that it announces. It is one
bundle: a phone that has its beginning gets its rest, or a newer bundle in its place, or has its
connection closed. A phone joins what it has by the chunks' numbers and keeps them over a new
connection, so it must get no chunk of a series of which it hasn't had the start on that connection.

A `Series` is what one sender has begun; a `Reception` is where one phone's connection stands.
"""

import re
from enum import Enum

MOST_CHUNKS = 1_000_000

_TOTAL = re.compile(rb'"totalChunks"\s*:\s*(\d{1,7})\s*[,}]')
_INDEX = re.compile(rb'"index"\s*:\s*(\d{1,7})\s*[,}]')


def chunks_announced(head: bytes) -> int:
    """How many chunks the message that begins with ``head`` says its series has, 1 to
    `MOST_CHUNKS`; 0 where it doesn't."""
    found = _TOTAL.search(head)
    count = int(found[1]) if found else 0
    return count if count <= MOST_CHUNKS else 0


def chunk_index(head: bytes) -> int | None:
    """Which chunk, from 0 on, the message that begins with ``head`` says that it is."""
    found = _INDEX.search(head)
    return int(found[1]) if found else None


class Series:
    """One bundle of a sender's, from when its first message begins.

    :param chunks: how many there are to be; None for a bundle in one message, 0 where the sender
        doesn't say.
    """

    def __init__(self, chunks: int | None) -> None:
        self._chunks = chunks
        self._missing = chunks or 0
        self._came = bytearray(-(-self._missing // 8))
        self._next = 0

    @property
    def chunks(self) -> int:
        """How many chunks it has; 0 for a bundle in one message, or where that is not known."""
        return self._chunks or 0

    @property
    def single(self) -> bool:
        """Whether it is one message."""
        return self._chunks is None

    @property
    def endless(self) -> bool:
        """Whether nobody has said how many chunks there will be."""
        return self._chunks == 0

    @property
    def complete(self) -> bool:
        """Whether its last message has begun to come."""
        return not self._missing and not self.endless

    def announce(self, chunks: int) -> None:
        """A chunk says how many there are, where the start didn't."""
        if self.endless and chunks:
            self._chunks = self._missing = chunks
            self._came = bytearray(-(-chunks // 8))

    def count(self, index: int | None) -> None:
        """A chunk begins to come. One that came before, or that can't be, completes nothing; one
        without a number is the next."""
        if index is None:
            index, self._next = self._next, self._next + 1
        if not 0 <= index < (self._chunks or 0):
            return
        byte, bit = index >> 3, 1 << (index & 7)
        if not self._came[byte] & bit:
            self._came[byte] |= bit
            self._missing -= 1


class State(Enum):
    """What a phone's connection has had of bundles."""

    WHOLE = "whole"
    """No part of one of which there is more to come."""
    INSIDE = "inside"
    """The beginning of the newest one."""
    SKIPPING = "skipping"
    """Part of one that another has taken the place of, and nothing of that other one."""
    CUT = "cut"
    """Part of one of which the rest never comes: the connection is to be closed."""


class Event(Enum):
    """What happens to the newest bundle of a phone."""

    PROMISED = "promised"
    """It begins, or is to be played, and takes the place of what came before."""
    BEGUN = "begun"
    """Its first message has been sent, and there are more."""
    ENDED = "ended"
    """All of it has been sent, or something whole in its place."""
    LOST = "lost"
    """What has not been sent of it never will be."""


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.WHOLE, Event.PROMISED): State.WHOLE,
    (State.WHOLE, Event.BEGUN): State.INSIDE,
    (State.WHOLE, Event.ENDED): State.WHOLE,
    (State.WHOLE, Event.LOST): State.WHOLE,
    (State.INSIDE, Event.PROMISED): State.SKIPPING,
    (State.INSIDE, Event.BEGUN): State.INSIDE,
    (State.INSIDE, Event.ENDED): State.WHOLE,
    (State.INSIDE, Event.LOST): State.CUT,
    (State.SKIPPING, Event.PROMISED): State.SKIPPING,
    (State.SKIPPING, Event.BEGUN): State.INSIDE,
    (State.SKIPPING, Event.ENDED): State.WHOLE,
    (State.SKIPPING, Event.LOST): State.CUT,
    (State.CUT, Event.PROMISED): State.CUT,
    (State.CUT, Event.BEGUN): State.CUT,
    (State.CUT, Event.ENDED): State.CUT,
    (State.CUT, Event.LOST): State.CUT,
}


class Reception:
    """What one phone's connection has had of bundles, whoever sends them.

    Bundles are told apart by their key: the `Series` for one that comes from its sender, the file's
    object for one that is played from the spool. What happens to any but the newest one is of no
    account: another has taken its place.
    """

    def __init__(self) -> None:
        self.state = State.WHOLE
        self._newest: object = None

    def promise(self, key: object) -> None:
        """A bundle begins, or is to be played."""
        self._newest = key
        self._happens(Event.PROMISED)

    def begun(self, key: object) -> None:
        """Its first message has been sent."""
        if key is self._newest:
            self._happens(Event.BEGUN)

    def ended(self, key: object) -> None:
        """All of it has been sent."""
        if key is self._newest:
            self._newest = None
            self._happens(Event.ENDED)

    def lost(self, key: object) -> bool:
        """The rest of it never comes. Whether the phone's connection has to be closed for that."""
        if key is not self._newest:
            return False
        self._newest = None
        self._happens(Event.LOST)
        return self.state is State.CUT

    def awaits(self, key: object) -> bool:
        """Whether that bundle is the newest one, and not all of it has been sent."""
        return key is self._newest

    def takes(self, key: object) -> bool:
        """Whether a chunk of that bundle may go to the phone."""
        return key is self._newest and self.state is State.INSIDE

    def change_over(self, before: object, after: object) -> None:
        """From now on what is left of the newest bundle comes under another key."""
        if before is self._newest:
            self._newest = after

    def _happens(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state, event]


class Listener:
    """Follows the messages of a connection that somebody else decides about, to tell whether it is
    in the middle of a series."""

    def __init__(self) -> None:
        self._series: Series | None = None

    @property
    def inside(self) -> bool:
        """Whether a series has begun, and not all of it has passed."""
        series = self._series
        return series is not None and not (series.endless or series.complete)

    def passed(self, kind: str | None, head: bytes) -> None:
        """A message of type ``kind`` that begins with ``head`` (inflated) has passed whole."""
        if kind == "bundle_update":
            self._series = None
        elif kind == "bundle_start":
            self._series = Series(chunks_announced(head))
        elif kind == "bundle_chunk" and self._series is not None:
            self._series.announce(chunks_announced(head))
            self._series.count(chunk_index(head))
