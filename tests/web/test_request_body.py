"""`apptuner_relay.web.request_body`: the body of a request that is passed on."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import UNKNOWN_LENGTH

from apptuner_relay.web.request_body import RequestBody

STEPS = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=20), st.sampled_from(["start", "pause", "resume", "look"])
    )
)


class Bodies(SynchronousTestCase):
    def make(self, length: int | None = None, limit: int = 1000) -> None:
        self.client, self.upstream = StringTransport(), StringTransport()
        self.moves = self.excesses = 0
        self.intake = RequestBody(self.client, length, limit, self.moved, self.exceeded)

    def moved(self) -> None:
        self.moves += 1

    def exceeded(self) -> None:
        self.excesses += 1

    def test_lengths(self) -> None:
        self.make(17)
        self.assertEqual(self.intake.length, 17)
        self.make()
        self.assertEqual(self.intake.length, UNKNOWN_LENGTH)

    @given(STEPS)
    def test_all_of_it_goes_on(self, steps: list[bytes | str]) -> None:
        self.make(limit=100_000)
        sent, done = b"", None
        for step in steps:
            if isinstance(step, bytes):
                self.intake.take(step)
                sent += step
            elif step == "start" and done is None:
                done = self.intake.startProducing(self.upstream)
            elif step == "pause" and done is not None:
                self.intake.pauseProducing()
            elif step == "resume" and done is not None:
                self.intake.resumeProducing()
            if done is not None:
                self.assertEqual(self.upstream.value(), sent)
            held = self.client.producerState == "paused"
            self.assertEqual(held, self.intake.is_held)
            if sent and done is None:
                self.assertTrue(held)
        if done is not None:
            self.assertNoResult(done)
        self.intake.end()
        if done is None:
            done = self.intake.startProducing(self.upstream)
        self.successResultOf(done)
        self.assertEqual(self.upstream.value(), sent)
        self.assertEqual(self.client.producerState, "producing")

    def test_too_much(self) -> None:
        self.make(limit=10)
        self.intake.take(bytes(10))
        self.assertEqual(self.excesses, 0)
        self.intake.take(b"1")
        self.intake.take(b"2")
        self.assertEqual(self.excesses, 1)
        # What still comes is read, to be dropped.
        self.assertEqual(self.client.producerState, "producing")

    def test_nobody_wants_it_any_more(self) -> None:
        self.make()
        self.intake.take(b"early")
        done = self.intake.startProducing(self.upstream)
        self.intake.stopProducing()
        self.intake.take(b"late")
        self.intake.end()
        self.assertEqual(self.upstream.value(), b"early")
        self.assertNoResult(done)
