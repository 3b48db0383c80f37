"""What so many users come to on a managed WebSocket service, and how many users its limits are
enough for. Pure arithmetic, exact, and in amounts: prices change, and differ between services.

A service counts a message when it comes in, and once more for each connection that it goes out to.
It counts connections at the peak, and often the minutes that they last. Bundles don't pass it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from apptuner_relay.client.projection import Figures, first_users_with_more, peak_sessions

_MINUTES_PER_HOUR = 60


@dataclass(frozen=True)
class ServiceLimits:
    """What a service carries; None for what it sets no limit to."""

    messages_per_day: int | None = None
    max_connections: int | None = None


@dataclass(frozen=True)
class ServiceProjection:
    """What comes out. A day is one on which users work, and a month has `days_per_month` of them.
    `joined`: with console logs joined, so that several lines are one message."""

    connections: int
    """At the peak, beside the relays' own."""
    connection_minutes_month: int
    messages_day: int
    messages_month: int
    joined_messages_day: int
    joined_messages_month: int
    exceeds_connections: bool
    exceeds_messages: bool
    joined_exceeds_messages: bool


@dataclass(frozen=True)
class ServiceReach:
    """The fewest users that exceed each limit; None where there is no limit, or where no number of
    users does."""

    connections: int | None
    messages: int | None
    joined_messages: int | None


def project_service(users: int, figures: Figures, limits: ServiceLimits) -> ServiceProjection:
    """What `users` users come to on a managed service."""
    connections = math.ceil(peak_sessions(users, figures) * figures.service_connections)
    minutes_day = (
        users
        * figures.sessions_per_user
        * figures.service_connections
        * figures.hours_per_day
        * _MINUTES_PER_HOUR
    )
    messages_day = users * _messages_per_user(figures, Fraction(1))
    joined_day = users * _messages_per_user(figures, figures.lines_per_event)
    return ServiceProjection(
        connections,
        round(minutes_day * figures.days_per_month),
        round(messages_day),
        round(messages_day * figures.days_per_month),
        round(joined_day),
        round(joined_day * figures.days_per_month),
        _is_above(connections, limits.max_connections),
        _is_above(messages_day, limits.messages_per_day),
        _is_above(joined_day, limits.messages_per_day),
    )


def reach(figures: Figures, limits: ServiceLimits) -> ServiceReach:
    """From how many users on a service's limits are exceeded."""
    connections = None
    if limits.max_connections is not None:
        # Of sessions, and thereby of users: connections are rounded up from them as in projections.
        sessions = math.floor(limits.max_connections / figures.service_connections)
        connections = first_users_with_more(sessions, figures)

    def by_messages(lines_per_event: Fraction) -> int | None:
        each = _messages_per_user(figures, lines_per_event)
        if limits.messages_per_day is None or not each:
            return None
        return math.floor(limits.messages_per_day / each) + 1

    return ServiceReach(connections, by_messages(Fraction(1)), by_messages(figures.lines_per_event))


def _messages_per_user(figures: Figures, lines_per_event: Fraction) -> Fraction:
    """A day's, as a service counts them."""
    events = figures.log_lines_per_day / lines_per_event + figures.notices_per_day
    return events * figures.service_counts


def _is_above(value: Fraction | int, limit: int | None) -> bool:
    return limit is not None and value > limit
