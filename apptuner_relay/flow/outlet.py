"""What the flow needs of a member's transport. An interface only; `edge` implements it."""

from collections.abc import Sequence
from typing import Protocol

from apptuner_relay.wire.frames import Frame


class Outlet(Protocol):
    """Where a sink sends to."""

    takes_parts: bool
    """Whether it may take less than it is offered: then it copies nothing of what it is offered.
    Otherwise it takes all, and copies what it can't send yet."""

    def offer(self, parts: Sequence[Frame]) -> int:
        """Send as much of ``parts`` as there is room for. Returns how many bytes that was. When it
        wasn't all, the sink's ``resumeProducing`` is called once there is room again."""

    def write(self, data: bytes) -> None:
        """Send all of ``data``, whether there is room or not."""

    def unsent(self) -> int:
        """How many bytes the system holds that haven't reached the peer; 0 if that is unknown."""

    def abort(self) -> None:
        """Close the connection at once, without a Close frame."""
