"""`apptuner_relay.operator.bundle_phone_states`: every pair of a state and an event."""

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.bundle_phone_states import (
    AWAITED,
    TRANSITIONS,
    BundlePhoneEvent,
    BundlePhoneState,
)

(
    WAITING,
    GETTING,
    SENT,
    UNANSWERED,
    ACKNOWLEDGED,
    FAILED,
    CUT,
    LEFT,
    SUPERSEDED,
) = BundlePhoneState
EVENT = BundlePhoneEvent
_ = None
EXPECTED = {
    EVENT.BEGUN: (GETTING, _, _, _, _, _, _, _, _),
    EVENT.SENT: (SENT, SENT, _, _, _, _, _, _, _),
    EVENT.ACKNOWLEDGED: (
        *(_, ACKNOWLEDGED, ACKNOWLEDGED, ACKNOWLEDGED, _, ACKNOWLEDGED),
        *(_, ACKNOWLEDGED, _),
    ),
    EVENT.FAILED: (_, FAILED, FAILED, FAILED, FAILED, _, _, FAILED, _),
    EVENT.EXPIRED: (_, _, UNANSWERED, _, _, _, _, _, _),
    EVENT.CUT: (CUT, CUT, _, _, _, _, _, _, _),
    EVENT.LEFT: (LEFT, LEFT, LEFT, _, _, _, _, _, _),
    EVENT.SUPERSEDED: (SUPERSEDED, SUPERSEDED, SUPERSEDED, _, _, _, _, _, _),
    EVENT.WANTED_WHOLE: (_, _, WAITING, WAITING, _, WAITING, _, _, _),
}
"""By event, where each state goes, in the order of `BundlePhoneState`."""


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        self.assertEqual(set(EXPECTED), set(BundlePhoneEvent))
        for event, (number, before) in product(BundlePhoneEvent, enumerate(BundlePhoneState)):
            with self.subTest(before=before, event=event):
                self.assertIs(TRANSITIONS.get((before, event)), EXPECTED[event][number])

    def test_what_is_awaited(self) -> None:
        self.assertEqual(AWAITED, {WAITING, GETTING, SENT})
        # A phone that never says anything ends all the same.
        for state in AWAITED:
            self.assertIs(TRANSITIONS[state, EVENT.LEFT], LEFT)

    def test_how_rows_show_them(self) -> None:
        shown = {state.shown for state in BundlePhoneState}
        expected = "waiting getting sent acknowledged failed cut left superseded"
        self.assertEqual(shown, set(expected.split()))
        self.assertEqual(UNANSWERED.shown, "sent")
