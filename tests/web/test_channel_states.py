"""`apptuner_relay.web.channel_states`: every pair of a state and an event."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.web.channel_states import TRANSITIONS, ChannelEvent, ChannelState

HEAD, BODY, FORWARDED_BODY, ANSWERING, IDLE, REFUSED, HANDED_OVER = ChannelState
EXPECTED = {
    ChannelEvent.DATA: (HEAD, BODY, FORWARDED_BODY, ANSWERING, HEAD, REFUSED, HANDED_OVER),
    ChannelEvent.BODY_DUE: (BODY, BODY, FORWARDED_BODY, ANSWERING, IDLE, REFUSED, HANDED_OVER),
    ChannelEvent.FORWARDED: (
        HEAD,
        FORWARDED_BODY,
        FORWARDED_BODY,
        ANSWERING,
        IDLE,
        REFUSED,
        HANDED_OVER,
    ),
    ChannelEvent.COMPLETE: (ANSWERING, ANSWERING, ANSWERING, ANSWERING, IDLE, REFUSED, HANDED_OVER),
    ChannelEvent.ANSWERED: (HEAD, BODY, FORWARDED_BODY, IDLE, IDLE, REFUSED, HANDED_OVER),
    ChannelEvent.PIPELINED: (HEAD, BODY, FORWARDED_BODY, HEAD, IDLE, REFUSED, HANDED_OVER),
    ChannelEvent.REFUSED: (REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, REFUSED, HANDED_OVER),
    ChannelEvent.HANDED_OVER: (HEAD, BODY, FORWARDED_BODY, HANDED_OVER, IDLE, REFUSED, HANDED_OVER),
}
"""By event, where each state goes, in the order of `ChannelState`."""


class Table(SynchronousTestCase):
    def test_every_pair(self) -> None:
        for event, states in EXPECTED.items():
            for before, after in zip(ChannelState, states, strict=True):
                with self.subTest(before=before, event=event):
                    self.assertIs(TRANSITIONS.get((before, event), before), after)

    def test_every_event_is_tested(self) -> None:
        self.assertEqual(set(EXPECTED), set(ChannelEvent))
