"""`apptuner_relay.web.upload_states`: every pair of a state and an event."""

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.web.upload_states import TRANSITIONS, UploadEvent, UploadState

CHECKING, SENDING, AWAITING, OVER = UploadState
EXPECTED = {
    UploadEvent.ADMITTED: (SENDING, SENDING, AWAITING, OVER),
    UploadEvent.PASSED_ON: (CHECKING, AWAITING, AWAITING, OVER),
    UploadEvent.RECEIPT: (CHECKING, SENDING, OVER, OVER),
    UploadEvent.REFUSED: (OVER, OVER, OVER, OVER),
    UploadEvent.LOST: (OVER, OVER, OVER, OVER),
}
"""By event, where each state goes, in the order of `UploadState`."""


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        self.assertEqual(set(EXPECTED), set(UploadEvent))
        for event, (number, before) in product(UploadEvent, enumerate(UploadState)):
            with self.subTest(before=before, event=event):
                after = TRANSITIONS.get((before, event), before)
                self.assertIs(after, EXPECTED[event][number])
