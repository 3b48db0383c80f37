"""What an operator is shown of a managed WebSocket service: whether it carries channels, what it
refuses, and who is there. Pure.

What speaks to the service is above this part, and is read through the protocol here. A relay
without ``--managed`` has none.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from apptuner_relay.operator.conditions import Conditions
from apptuner_relay.operator.managed_counters import ManagedCounters
from apptuner_relay.support.units import show_count, show_duration

AWAY_S = 5.0
"""How long a service may be away before that is worth a warning: most connections that end are made
again at once."""


class ServiceRefusal(NamedTuple):
    """Something that a service refuses until somebody changes something."""

    code: int
    """The service's own code (4000 to 4399), or an HTTP status."""
    text: str
    """What is refused, and why, in this relay's own words: everybody may read it in ``/health``."""


class ManagedView(Protocol):
    """A managed service, and the gateway to it: `gateway.Gateway`."""

    @property
    def is_up(self) -> bool:
        """Whether events can be published now."""

    @property
    def away_since_s(self) -> float | None:
        """Since when no event could be published, by the monotonic clock; None while it is up."""

    @property
    def refusal(self) -> ServiceRefusal | None:
        """What the service refuses, until it does it again; None while it refuses nothing."""

    @property
    def channels_count(self) -> int:
        """Channels in which the relay is."""

    @property
    def members_count(self) -> int:
        """Clients of this relay's sessions who have come in through channels."""

    @property
    def counters(self) -> ManagedCounters: ...


def managed_state(managed: ManagedView) -> str:
    """``refused`` while the service refuses something until somebody changes it, ``away`` while it
    can't be reached, else ``up``."""
    if managed.refusal is not None:
        return "refused"
    return "up" if managed.is_up else "away"


def watch_managed(
    conditions: Conditions, managed: ManagedView, seconds: Callable[[], float]
) -> None:
    """Have ``conditions`` watch the service.

    The relay goes on without it, and the other relays miss it as well: it degrades each of them,
    and no client would be better off elsewhere.
    """

    def away() -> str | None:
        since_s = managed.away_since_s
        if since_s is None or managed.refusal is not None:
            # A service that refuses the connection is one warning, not two.
            return None
        gone_s = max(0.0, seconds() - since_s)
        if gone_s < AWAY_S:
            return None
        return (
            f"The managed service has been away for {show_duration(gone_s)}: its clients hear "
            "nothing until it is back; the relay's own clients, and bundles, go on"
        )

    def refused() -> str | None:
        refusal = managed.refusal
        if refusal is None:
            return None
        return f"The managed service does not do its part ({refusal.code}): {refusal.text}"

    conditions.watch("managed", away, degrades=True, is_everywhere=True)
    conditions.watch("managed_refusal", refused, degrades=True, is_everywhere=True)


def managed_row(managed: ManagedView, now_s: float) -> dict[str, object]:
    """The service as JSON shows it to an operator."""
    since_s, refusal, counters = managed.away_since_s, managed.refusal, managed.counters
    return {
        **managed_health(managed),
        "away_s": None if since_s is None else round(max(0.0, now_s - since_s), 1),
        "refusal": None if refusal is None else refusal._asdict(),
        "connections": counters.connections,
        "round_trip_ms": _in_ms(counters.round_trip_s),
        "published": counters.published.total(),
        "deliveries": counters.deliveries,
        "bytes": counters.bytes,
        "dropped": counters.dropped.total(),
        "refused": counters.refused.total(),
        "reconnects": counters.reconnects,
    }


def managed_health(managed: ManagedView) -> dict[str, object]:
    """The service as ``/health`` shows it to everybody."""
    return {
        "state": managed_state(managed),
        "channels": managed.channels_count,
        "members": managed.members_count,
    }


def managed_words(managed: ManagedView) -> str:
    """The service in words, for the minute line."""
    return (
        f"{show_count(managed.members_count, 'client')} in "
        f"{show_count(managed.channels_count, 'channel')} of the managed service, "
        f"{managed_state(managed)}"
    )


def _in_ms(time_s: float | None) -> float | None:
    return None if time_s is None else round(time_s * 1000, 1)
