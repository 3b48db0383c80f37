"""How much waits in one sink, counted by the source that it came from. No I/O."""

from collections.abc import Set as AbstractSet

from apptuner_relay.flow.source import Source

_NONE: frozenset[Source] = frozenset()
"""Every sink has a backlog, which nearly never has a source over the window: an empty set takes 216
bytes."""


class Backlog:
    """What waits in one sink.

    Bytes are counted for a source, or for any other object: then nobody is to be held for them.

    :param window: how many bytes of one source may wait before it is to be held.
    """

    __slots__ = ("_bytes", "_window", "over")

    def __init__(self, window: int) -> None:
        self.over: AbstractSet[Source] = _NONE
        """The sources of which more than the window waited when that was last looked at."""
        self._bytes: dict[object, int] = {}
        self._window = window

    @property
    def size(self) -> int:
        """How many bytes wait."""
        return sum(self._bytes.values())

    def size_of(self, source: object) -> int:
        """How many bytes of ``source`` wait."""
        return self._bytes.get(source, 0)

    def count(self, source: object, size: int) -> bool:
        """Count ``size`` more bytes of ``source``; fewer, where that is negative. Returns whether
        ``source`` is to be held: more than the window of it waits."""
        size += self._bytes.get(source, 0)
        if size:
            self._bytes[source] = size
        else:
            del self._bytes[source]
        if size <= self._window or not isinstance(source, Source):
            return False
        self.over |= {source}
        return True

    def take_released(self) -> AbstractSet[Source]:
        """The sources that are over the window no more."""
        still = {source for source in self.over if self.size_of(source) > self._window}
        before, self.over = self.over, still or _NONE
        return before - still

    def clear(self) -> None:
        """Nothing waits any more."""
        self._bytes.clear()
