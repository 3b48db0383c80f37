"""Bundles in several messages: how much has come of one. Pure.

A *series* is a ``bundle_start`` and the ``bundle_chunk`` messages that it announces. It is one
bundle. A phone joins the chunks that it has by their numbers, and keeps them over a new connection.
So it must get no chunk of a series of which it hasn't had the start on that connection.

A `Series` is what one sender has begun. What one phone has got of it is a `reception.Reception`.
"""

import re

from apptuner_relay.flow.series_states import TRANSITIONS, SeriesEvent, SeriesState

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
        if chunks is None:
            self.state = SeriesState.SINGLE
        else:
            self.state = SeriesState.INCOMPLETE if chunks else SeriesState.UNANNOUNCED
        self.chunks = chunks or 0
        """How many chunks it has; 0 for a bundle in one message, or where that is not known."""
        self._missing = self.chunks
        self._came = bytearray(-(-self.chunks // 8))
        """A bit for each chunk that has begun to come."""
        self._next = 0

    @property
    def single(self) -> bool:
        """Whether it is one message."""
        return self.state is SeriesState.SINGLE

    @property
    def endless(self) -> bool:
        """Whether nobody has said how many chunks there will be."""
        return self.state is SeriesState.UNANNOUNCED

    @property
    def complete(self) -> bool:
        """Whether its last message has begun to come."""
        return self.state is SeriesState.SINGLE or self.state is SeriesState.COMPLETE

    def announce(self, chunks: int) -> None:
        """A chunk says how many there are. That counts where nothing else has said it."""
        if chunks and self._happens(SeriesEvent.ANNOUNCED):
            self.chunks = self._missing = chunks
            self._came = bytearray(-(-chunks // 8))

    def count(self, index: int | None) -> None:
        """A chunk begins to come. One that came before, or whose number can't be, completes
        nothing; one without a number is the next."""
        if index is None:
            index, self._next = self._next, self._next + 1
        if not 0 <= index < self.chunks:
            return
        byte, bit = index >> 3, 1 << (index & 7)
        if not self._came[byte] & bit:
            self._came[byte] |= bit
            self._missing -= 1
            if not self._missing:
                self._happens(SeriesEvent.LAST_CHUNK)

    def _happens(self, event: SeriesEvent) -> bool:
        """Change the state. Returns whether the event meant anything."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True


class SeriesReader:
    """Reads the messages that pass on a connection to another relay, to tell whether it is in the
    middle of a series. The other relay decides what is sent."""

    def __init__(self) -> None:
        self._series: Series | None = None

    @property
    def inside(self) -> bool:
        """Whether a series has begun, and not all of it has passed."""
        return self._series is not None and self._series.state is SeriesState.INCOMPLETE

    def passed(self, kind: str | None, head: bytes) -> None:
        """A message of type ``kind`` that begins with ``head`` (inflated) has passed whole."""
        if kind == "bundle_update":
            self._series = None
        elif kind == "bundle_start":
            self._series = Series(chunks_announced(head))
        elif kind == "bundle_chunk" and self._series is not None:
            self._series.announce(chunks_announced(head))
            self._series.count(chunk_index(head))
