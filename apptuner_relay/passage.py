"""One message on its way from a source to its sinks, frame by frame, but not crumb by crumb."""

from collections.abc import Sequence
from typing import Protocol

from apptuner_relay.flow import Frame, Lane, Sink, Source
from apptuner_relay.wire.frames import CONTINUATION, frame

FREE_PIECES = 1024
"""So many pieces of a message pass as they come; of the rest a frame has at least `LEAST_BYTES`,
and at least that part of the longest message."""
LEAST_BYTES = 64 * 1024


class Way(Protocol):
    """Where the pieces of one message go."""

    def send(self, data: Frame, header: int, end: bool) -> None:
        """Pass the next frame on, the first ``header`` bytes of which are its header; ``end`` says
        that it is the message's last.

        :raises FrameError: what was sent is bad.
        """

    def cut(self, reason: str) -> None:
        """The source has died: leave no sink waiting for the rest."""


class Passage:
    """One message of several frames (or, ``separable``, several messages) on its way to sinks that
    take it as it is.

    :param offset: where the message that this comes from begins in its bundle's file, if it is
        kept in one.
    """

    def __init__(
        self,
        source: Source,
        sinks: Sequence[Sink],
        separable: bool = False,
        offset: int | None = None,
    ) -> None:
        self._lanes = [(sink, sink.open_lane(source, separable)) for sink in sinks]
        for _, lane in self._lanes:
            lane.passage = self
        source.feeds = sinks
        self.offset = offset
        self.passed = 0
        """Payload bytes so far."""

    def send(self, data: Frame, header: int, end: bool) -> None:
        """See `Way`."""
        self.passed += len(data) - header
        for sink, lane in self._lanes:
            sink.pass_on(lane, data, end)

    def cut(self, reason: str) -> None:
        """See `Way`."""
        lanes, self._lanes = self._lanes, []
        for sink, lane in lanes:
            sink.abandon(lane, reason)

    def leave(self, lane: Lane) -> None:
        """Put nothing more into ``lane``; somebody else goes on with it."""
        self._lanes = [(sink, one) for sink, one in self._lanes if one is not lane]
        lane.passage = None


class Joined:
    """Joins the crumbs of a long message, as they come from a slow uplink or a client that makes
    small frames. Real clients limit the frames of a message: npm's ws 8.23 to 16,384, PyPI's
    websockets to 4,096. Through here it has 2,049 at most. What is held of it is less than a frame,
    and of no use to anybody before the message is whole.

    :param way: its way on.
    :param longest: the most bytes that a message may have.
    """

    __slots__ = ("_held", "_least", "_pieces_left", "_way")

    def __init__(self, way: Way, longest: int) -> None:
        self._way = way
        self._pieces_left = FREE_PIECES
        self._least = max(LEAST_BYTES, longest // FREE_PIECES + 1)
        self._held = bytearray()

    def send(self, data: Frame, header: int, end: bool) -> None:
        """See `Way`."""
        if self._pieces_left:
            self._pieces_left -= 1
            self._way.send(data, header, end)
            return
        held = self._held
        if not held and (end or len(data) - header >= self._least):
            self._way.send(data, header, end)
            return
        held += memoryview(data)[header:]
        size = len(held)
        if end or size >= self._least:
            joined = frame(CONTINUATION, bytes(held), end)
            held.clear()
            self._way.send(joined, len(joined) - size, end)

    def cut(self, reason: str) -> None:
        """See `Way`."""
        self._held.clear()
        self._way.cut(reason)


class Fork:
    """Several ways for one message."""

    def __init__(self, ways: Sequence[Way]) -> None:
        self._ways = ways

    def send(self, data: Frame, header: int, end: bool) -> None:
        """See `Way`."""
        for way in self._ways:
            way.send(data, header, end)

    def cut(self, reason: str) -> None:
        """See `Way`."""
        for way in self._ways:
            way.cut(reason)
