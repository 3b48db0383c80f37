"""`apptuner_relay.edge.prefix_states`: every pair of state and event."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.edge.prefix_states import TRANSITIONS, PrefixEvent, PrefixState

EXPECTED = {
    # What each event leads to: HEADER_READ, HAND_ON, REJECT.
    "PROXY_HEADER": "FIRST_BYTE - REJECTED",
    "FIRST_BYTE": "- HANDED_ON REJECTED",
    "HANDED_ON": "- - -",
    "REJECTED": "- - -",
}


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        self.assertEqual(list(EXPECTED), [state.name for state in PrefixState])
        for name, row in EXPECTED.items():
            for event, target in zip(PrefixEvent, row.split(), strict=True):
                state = TRANSITIONS.get((PrefixState[name], event))
                self.assertEqual("-" if state is None else state.name, target, (name, event))

    def test_nothing_is_handed_on_before_a_header_that_is_due(self) -> None:
        self.assertNotIn((PrefixState.PROXY_HEADER, PrefixEvent.HAND_ON), TRANSITIONS)
