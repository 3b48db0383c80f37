"""`apptuner_relay.operator.managed_counters`."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.managed_counters import (
    DROP_REASONS,
    MOST_CODES,
    PUBLISH_WAYS,
    ManagedCounters,
)


class ManagedCountersTest(SynchronousTestCase):
    def test_deliveries_are_those_to_others(self) -> None:
        counters = ManagedCounters()
        counters.count_published("http", 120, member_count=4)
        counters.count_published("client_event", 30, member_count=1)
        counters.count_published("client_event", 5, member_count=0)
        self.assertEqual(counters.deliveries, 3)
        self.assertEqual(counters.bytes, 155)
        self.assertEqual(counters.published, {"http": 1, "client_event": 2})

    def test_every_label_is_there_from_the_start(self) -> None:
        counters = ManagedCounters()
        self.assertEqual(set(counters.published), set(PUBLISH_WAYS))
        self.assertEqual(set(counters.dropped), set(DROP_REASONS))
        self.assertIsNone(counters.round_trip_s)

    def test_refusals_are_by_code(self) -> None:
        counters = ManagedCounters()
        for code in (4301, 4301, 413):
            counters.count_refused(code)
        counters.count_dropped("large")
        self.assertEqual(counters.refused, {4301: 2, 413: 1})
        self.assertEqual(counters.dropped["large"], 1)

    def test_codes_that_a_service_makes_up_fill_no_memory(self) -> None:
        counters = ManagedCounters()
        for code in range(1, 1000):
            counters.count_refused(code)
        self.assertEqual(len(counters.refused), MOST_CODES + 1)
        self.assertEqual(counters.refused.total(), 999)
