"""`apptuner_relay.access.lru_table`: what stays in a table of bounded size."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.lru_table import LRUTable

steps = st.lists(
    st.tuples(st.floats(-5, 50, allow_nan=False), st.integers(1, 20)), min_size=1, max_size=60
)


class Tables(SynchronousTestCase):
    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 12))), st.integers(1, 8))
    def test_the_latest_used_stay(self, uses: list[tuple[bool, int]], most: int) -> None:
        table: LRUTable[int, int] = LRUTable(most)
        order: list[int] = []
        for puts, key in uses:
            if puts:
                table.put(key, key)
            elif table.get(key) is None:
                continue
            order = [*(one for one in order if one != key), key][-most:]
            self.assertEqual(len(table), len(order))
            self.assertTrue(all(one in table for one in order))
