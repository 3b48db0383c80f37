"""`apptuner_relay.relay.halting_states`: every pair of a state and an event."""

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay.halting_states import TRANSITIONS, HaltingEvent, HaltingState

READING, HALTING, HALTED = HaltingState
EXPECTED = {
    HaltingEvent.HALT: (HALTING, HALTING, HALTED),
    HaltingEvent.BETWEEN_BUNDLES: (READING, HALTED, HALTED),
}
"""By event, where each state goes, in the order of `HaltingState`."""


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        self.assertEqual(set(EXPECTED), set(HaltingEvent))
        for event, (number, before) in product(HaltingEvent, enumerate(HaltingState)):
            with self.subTest(before=before, event=event):
                after = TRANSITIONS.get((before, event), before)
                self.assertIs(after, EXPECTED[event][number])
