"""`apptuner_relay.operator.bundle_record_states`: every pair of a state and an event."""

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.bundle_record_states import TRANSITIONS, RecordEvent, RecordState

ARRIVING, WHOLE, CUT, WHOLE_SETTLED, CUT_SETTLED = RecordState
EXPECTED = {
    RecordEvent.CAME: (WHOLE, None, None, None, None),
    RecordEvent.CUT_SHORT: (CUT, None, None, None, None),
    RecordEvent.SETTLED: (None, WHOLE_SETTLED, CUT_SETTLED, None, None),
}
"""By event, where each state goes, in the order of `RecordState`."""


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        self.assertEqual(set(EXPECTED), set(RecordEvent))
        for event, (number, before) in product(RecordEvent, enumerate(RecordState)):
            with self.subTest(before=before, event=event):
                self.assertIs(TRANSITIONS.get((before, event)), EXPECTED[event][number])

    def test_how_rows_show_them(self) -> None:
        shown = [(state.shown, state.is_settled, state.is_whole) for state in RecordState]
        expected = [
            ("arriving", False, False),
            ("whole", False, True),
            ("cut", False, False),
            ("whole", True, True),
            ("cut", True, False),
        ]
        self.assertEqual(shown, expected)
