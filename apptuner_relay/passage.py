"""One message on its way from a source to its sinks, frame by frame."""

from collections.abc import Sequence
from typing import Protocol

from apptuner_relay.flow import Frame, Lane, Sink, Source


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
