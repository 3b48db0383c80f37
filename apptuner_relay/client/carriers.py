"""How a bundle gets from `push` to the relay: as messages over the member's own connection, or over
HTTP (`http_carrier`). Each carrier packs it into a parcel; what is sent when is for `pushing`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from time import time as wall_s
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred

from apptuner_relay.client.bundles import ReadBundle
from apptuner_relay.client.membership import Membership
from apptuner_relay.support.clocks import in_ms


class Sending(Protocol):
    """A bundle under way."""

    done: Deferred[bool]
    """Fires with True when all is with the relay, with False when it failed or was stopped."""

    def stop(self) -> None:
        """Stop it as soon as that does no harm."""


class Parcel(NamedTuple):
    """A bundle that is ready to be sent."""

    size_bytes: int
    """Of all that is sent."""
    first_bytes: int
    """Of what has to be sent before anybody can have the bundle."""
    start: Callable[[Callable[[int], None]], Sending]
    """Begin to send it. What it is given is told how many bytes are sent, after every piece."""


class Carrier(Protocol):
    """A way of sending one bundle."""

    def pack(self, targets: Sequence[str | None]) -> Parcel:
        """Make it ready for these phones; None is all of them.

        Raises `BundleError` for a bundle that no relay would take.
        """


class MessageCarrier:
    """Sends it as messages, over the connection of a member."""

    def __init__(self, bundle: ReadBundle, membership: Membership) -> None:
        self._bundle = bundle
        self._membership = membership

    def pack(self, targets: Sequence[str | None]) -> Parcel:
        """See `Carrier`."""
        timestamp = in_ms(wall_s())
        batches = [self._bundle.messages(timestamp, target) for target in targets]
        sizes = [sum(map(len, batch)) for batch in batches]
        messages = chain.from_iterable(batches)
        return Parcel(sum(sizes), sizes[0], lambda told: self._membership.stream(messages, told))
