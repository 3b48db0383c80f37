"""`apptuner_relay.operator.condition_states`: every pair of a state and an event."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.condition_states import TRANSITIONS, ConditionEvent, ConditionState

CLEAR, PENDING, ACTIVE = ConditionState
EXPECTED = {
    ConditionEvent.FOUND: (PENDING, PENDING, ACTIVE),
    ConditionEvent.LASTED: (CLEAR, ACTIVE, ACTIVE),
    ConditionEvent.GONE: (CLEAR, CLEAR, CLEAR),
}
"""By event, where each state goes, in the order of `ConditionState`."""


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        for event, states in EXPECTED.items():
            for before, after in zip(ConditionState, states, strict=True):
                with self.subTest(before=before, event=event):
                    self.assertIs(TRANSITIONS.get((before, event), before), after)

    def test_every_event_is_tested(self) -> None:
        self.assertEqual(set(EXPECTED), set(ConditionEvent))
