"""What a follower of a log needs of the sink that it sends to."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from apptuner_relay.flow.interleaved import Waiting
from apptuner_relay.wire.frames import Frame

_F = TypeVar("_F", contravariant=True)
"""A follower."""


class Lane(Protocol[_F]):
    """The sink. An interface, as `sink.Sink` imports `follower`."""

    @property
    def full(self) -> bool:
        """Whether the transport takes no more for now."""

    @property
    def takes_parts(self) -> bool:
        """See `outlet.Outlet`."""

    @property
    def expects_control(self) -> bool:
        """Whether a control frame waits."""

    @property
    def has_others(self) -> bool:
        """Whether the queue has more than one entry."""

    def offer(self, parts: Sequence[Frame], size: int) -> int:
        """Send as much of ``parts``, ``size`` bytes together, as there is room for. Returns how
        many bytes that was; if fewer than ``size``, `full` is true from then on."""

    def send_controls(self) -> bool:
        """Send the control frames that wait, at a frame boundary. Returns whether there is room
        left."""

    def send_waiting(self, waiting: Waiting) -> bool:
        """Send a frame between two messages. Returns whether there is room left."""

    def let_others_go(self, follower: _F) -> bool:
        """Move ``follower`` to the end of the queue, if another entry has something to send.
        Returns whether it was moved."""

    def cut(self, code: int, reason: str) -> None:
        """Close the connection."""

    def count(self, waiting: Waiting) -> None:
        """Count ``waiting`` against the window of its source."""

    def pump(self) -> None:
        """Send what waits, while there is room."""

    def follower_ended(self, follower: _F, left: Sequence[Waiting]) -> None:
        """Remove ``follower`` from the queue, and put ``left`` in its place."""
