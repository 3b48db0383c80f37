"""`managed.protocol.close_codes`: what a client does after each code."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.protocol.close_codes import (
    OVER_CONNECTION_QUOTA,
    CloseAdvice,
    Reaction,
    advise,
    explain_error,
)


class Codes(SynchronousTestCase):
    def test_what_to_do(self) -> None:
        for codes, reaction in (
            ([None, 1000, 1001, 1005, 1006, 1011, 1012, 3000], Reaction.RECONNECT),
            ([1002, 1003, 1004], Reaction.BACK_OFF),
            ([4000], Reaction.USE_TLS),
            ([4001, 4003, OVER_CONNECTION_QUOTA, 4005, 4006, 4007, 4008, 4009], Reaction.SLOWLY),
            ([4002, 4010, 4099], Reaction.SLOWLY),
            ([4100, 4101, 4199], Reaction.BACK_OFF),
            ([4200, 4201, 4202, 4203, 4299], Reaction.RECONNECT),
            ([4300, 4301, 4302, 4399, 4400, 4999, 5000, -1], Reaction.BACK_OFF),
        ):
            for code in codes:
                advice = advise(code)
                self.assertIs(advice.reaction, reaction, code)
                self.assertEqual(
                    advice.is_permanent, reaction in (Reaction.SLOWLY, Reaction.USE_TLS)
                )

    def test_the_operator_is_told_what_to_look_at(self) -> None:
        self.assertIn("KEY", advise(4001).text)
        self.assertIn("--managed-secret", advise(4009).text)
        self.assertIn("TLS", advise(4000).text)
        self.assertIn("plan", advise(OVER_CONNECTION_QUOTA).text)

    @given(st.integers())
    def test_every_code_says_something(self, code: int) -> None:
        advice = advise(code)
        self.assertIsInstance(advice, CloseAdvice)
        self.assertTrue(advice.text)


class Errors(SynchronousTestCase):
    def test_what_it_says_and_what_that_means(self) -> None:
        for code, text, explained in (
            (4301, "Not on", "4301 Not on (the service refuses our events: client events are off"),
            (401, "No", "401 No (the signature is wrong: look at --managed-secret)"),
            (None, "No", "No"),
            (4998, "", "4998"),
            (None, "", "an error without a text"),
        ):
            self.assertTrue(explain_error(code, text).startswith(explained))
