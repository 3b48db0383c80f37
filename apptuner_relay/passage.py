"""One message on its way from a source to its sinks, frame by frame."""

from collections.abc import Sequence
from typing import Protocol

from apptuner_relay.flow import Frame, Sink, Source


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
    take it as it is."""

    def __init__(self, source: Source, sinks: Sequence[Sink], separable: bool = False) -> None:
        self._lanes = [(sink, sink.open_lane(source, separable)) for sink in sinks]
        source.feeds = sinks

    def send(self, data: Frame, header: int, end: bool) -> None:
        """See `Way`."""
        for sink, lane in self._lanes:
            sink.pass_on(lane, data, end)

    def cut(self, reason: str) -> None:
        """See `Way`."""
        lanes, self._lanes = self._lanes, []
        for sink, lane in lanes:
            sink.abandon(lane, reason)


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
