"""`apptuner_relay.client.service_projection`: what a managed service counts, and where its limits
end."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.projection import Figures
from apptuner_relay.client.service_projection import (
    ServiceLimits,
    ServiceReach,
    project_service,
    reach,
)

USERS = st.integers(1, 10**7)
POSITIVE = st.fractions(Fraction(1, 1000), 1000, max_denominator=1000)
LIMITS = st.builds(ServiceLimits, st.integers(1, 10**9), st.integers(1, 10**6))
UNLIMITED = ServiceLimits()


@st.composite
def figures(draw: Any) -> Figures:
    return Figures(
        sessions_per_user=draw(POSITIVE),
        peak_share=draw(st.fractions(Fraction(1, 100), 1, max_denominator=100)),
        service_connections=draw(POSITIVE),
        hours_per_day=draw(st.fractions(0, 24, max_denominator=100)),
        log_lines_per_day=draw(POSITIVE),
        notices_per_day=draw(POSITIVE),
        service_counts=draw(POSITIVE),
        lines_per_event=draw(st.fractions(1, 1000, max_denominator=10)),
    )


class ExampleTest(SynchronousTestCase):
    """5,000 developers, 4 hours on each of 22 days, a CLI and one phone each; 2,000 log lines and
    100 saves a day."""

    def test_amounts(self) -> None:
        found = project_service(5000, Figures(), UNLIMITED)
        self.assertEqual(found.connections, 10_000)
        self.assertEqual(found.connection_minutes_month, 52_800_000)
        self.assertEqual(found.messages_day, 22_000_000)
        self.assertEqual(found.messages_month, 484_000_000)
        self.assertEqual(found.joined_messages_day, 4_000_000)
        self.assertEqual(found.joined_messages_month, 88_000_000)

    def test_only_the_phones_are_on_the_service(self) -> None:
        phones = Figures(service_connections=Fraction(1))
        found = project_service(5000, phones, UNLIMITED)
        self.assertEqual(found.connections, 5000)
        self.assertEqual(found.connection_minutes_month, 26_400_000)
        self.assertEqual(found.messages_month, 484_000_000)

    def test_when_to_switch(self) -> None:
        limits = ServiceLimits(messages_per_day=20_000_000, max_connections=10_000)
        self.assertEqual(reach(Figures(), limits), ServiceReach(5001, 4546, 25_001))


class ServiceProjectionTest(SynchronousTestCase):
    def test_without_limits_nothing_is_exceeded(self) -> None:
        found = project_service(10**9, Figures(), UNLIMITED)
        self.assertFalse(
            found.exceeds_connections or found.exceeds_messages or found.joined_exceeds_messages
        )
        self.assertEqual(reach(Figures(), UNLIMITED), ServiceReach(None, None, None))

    def test_who_says_nothing_exceeds_nothing(self) -> None:
        silent = Figures(log_lines_per_day=Fraction(0), notices_per_day=Fraction(0))
        found = reach(silent, ServiceLimits(1, 10**6))
        self.assertIsNone(found.messages)
        self.assertIsNone(found.joined_messages)

    @given(figures(), LIMITS)
    def test_a_limit_is_exceeded_from_the_users_on_that_are_named(
        self, put_in: Figures, limits: ServiceLimits
    ) -> None:
        begins = reach(put_in, limits)
        for users, name in (
            (begins.connections, "exceeds_connections"),
            (begins.messages, "exceeds_messages"),
            (begins.joined_messages, "joined_exceeds_messages"),
        ):
            assert users is not None
            self.assertTrue(getattr(project_service(users, put_in, limits), name), name)
            below = project_service(users - 1, put_in, limits)
            self.assertFalse(getattr(below, name), name)

    @given(USERS, figures())
    def test_joining_logs_never_costs(self, users: int, put_in: Figures) -> None:
        found = project_service(users, put_in, UNLIMITED)
        self.assertLessEqual(found.joined_messages_day, found.messages_day)
        one_by_one = replace(put_in, lines_per_event=Fraction(1))
        found = project_service(users, one_by_one, UNLIMITED)
        self.assertEqual(found.joined_messages_month, found.messages_month)

    @given(USERS, USERS, figures(), LIMITS)
    def test_more_users_never_need_less(
        self, one: int, other: int, put_in: Figures, limits: ServiceLimits
    ) -> None:
        few, many = (project_service(n, put_in, limits) for n in sorted((one, other)))
        for name in ("connections", "connection_minutes_month", "messages_day", "messages_month",
                     "joined_messages_day", "joined_messages_month", "exceeds_connections",
                     "exceeds_messages", "joined_exceeds_messages"):  # fmt: skip
            self.assertLessEqual(getattr(few, name), getattr(many, name), name)
