"""`apptuner_relay.relay.bundle_receipt_states`: every pair of a state and an event."""

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay.bundle_receipt_states import (
    OUTCOMES,
    TRANSITIONS,
    ReceiptEvent,
    ReceiptState,
)

SENDING, WRITING, KEPT, SUPERSEDED, NOT_KEPT = ReceiptState
EXPECTED = {
    ReceiptEvent.COMPLETED: (WRITING, WRITING, KEPT, SUPERSEDED, NOT_KEPT),
    ReceiptEvent.WRITTEN: (SENDING, KEPT, KEPT, SUPERSEDED, NOT_KEPT),
    ReceiptEvent.OVERTAKEN: (SUPERSEDED, SUPERSEDED, KEPT, SUPERSEDED, NOT_KEPT),
    ReceiptEvent.GIVEN_UP: (SENDING, NOT_KEPT, KEPT, SUPERSEDED, NOT_KEPT),
}
"""By event, where each state goes, in the order of `ReceiptState`."""


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        self.assertEqual(set(EXPECTED), set(ReceiptEvent))
        for event, (number, before) in product(ReceiptEvent, enumerate(ReceiptState)):
            with self.subTest(before=before, event=event):
                after = TRANSITIONS.get((before, event), before)
                self.assertIs(after, EXPECTED[event][number])

    def test_what_nothing_changes_is_an_outcome(self) -> None:
        changed = {before for before, _ in TRANSITIONS}
        self.assertEqual(set(OUTCOMES), set(ReceiptState) - changed)
