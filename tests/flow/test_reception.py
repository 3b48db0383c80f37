"""`apptuner_relay.flow.reception`: how far into a bundle a phone is, and when it is closed."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.reception import Reception
from apptuner_relay.flow.reception_states import TRANSITIONS, ReceptionEvent, ReceptionState


class Transitions(SynchronousTestCase):
    def test_every_state_has_an_answer_to_every_event(self) -> None:
        pairs = {(state, event) for state in ReceptionState for event in ReceptionEvent}
        self.assertEqual(set(TRANSITIONS), pairs)

    def test_only_who_has_part_of_a_bundle_is_cut(self) -> None:
        cut = {state for (state, _), after in TRANSITIONS.items() if after is ReceptionState.CUT}
        self.assertEqual(cut, {ReceptionState.INSIDE, ReceptionState.SKIPPING, ReceptionState.CUT})
        for state in ReceptionState:
            after = TRANSITIONS[state, ReceptionEvent.LOST]
            self.assertIs(
                after, ReceptionState.WHOLE if state is ReceptionState.WHOLE else ReceptionState.CUT
            )

    def test_nothing_brings_a_cut_one_back(self) -> None:
        for event in ReceptionEvent:
            self.assertIs(TRANSITIONS[ReceptionState.CUT, event], ReceptionState.CUT)


class OnePhone(SynchronousTestCase):
    def setUp(self) -> None:
        self.phone = Reception()

    def begin(self, key: object) -> None:
        self.phone.promise(key)
        self.phone.begun(key)

    def test_a_newer_one_takes_the_place_of_the_older(self) -> None:
        self.begin("a")
        self.begin("b")
        self.phone.ended("a")
        self.assertFalse(self.phone.lost("a"))
        self.assertIs(self.phone.state, ReceptionState.INSIDE)
        self.phone.ended("b")
        self.assertIs(self.phone.state, ReceptionState.WHOLE)

    def test_is_cut_where_it_has_part_of_one(self) -> None:
        self.phone.promise("a")
        self.assertFalse(self.phone.lost("a"))
        self.begin("b")
        self.assertTrue(self.phone.lost("b"))

    def test_is_cut_where_what_was_to_take_the_place_of_part_never_comes(self) -> None:
        self.begin("a")
        self.phone.promise("b")
        self.assertTrue(self.phone.lost("b"))

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["promise", "begun", "ended", "lost"]), st.sampled_from("abc")
            )
        )
    )
    def test_never_has_part_of_one_without_waiting_for_something(
        self, events: list[tuple[str, str]]
    ) -> None:
        phone = Reception()
        for name, key in events:
            call: Callable[[object], object] = getattr(phone, name)
            call(key)
            waits = any(phone.awaits(one) for one in "abc")
            if not waits:
                self.assertIn(phone.state, (ReceptionState.WHOLE, ReceptionState.CUT))
