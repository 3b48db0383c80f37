"""`apptuner_relay.series`: which chunks have come, and how far into a bundle a phone is."""

import json
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.series import (
    MOST_CHUNKS,
    TRANSITIONS,
    Event,
    Listener,
    Reception,
    Series,
    State,
    chunk_index,
    chunks_announced,
)


class Heads(SynchronousTestCase):
    def test_numbers_wherever_they_stand(self) -> None:
        head = json.dumps({"type": "bundle_chunk", "index": 7, "totalChunks": 12, "data": "x"})
        for text in (head, head.replace(" ", "")):
            self.assertEqual(chunks_announced(text.encode()), 12)
            self.assertEqual(chunk_index(text.encode()), 7)

    def test_what_cannot_be_a_number_of_chunks(self) -> None:
        for value in ("0", "-1", "1.5", "1e3", '"3"', "null", str(MOST_CHUNKS + 1), "9" * 20):
            self.assertEqual(chunks_announced(b'{"totalChunks":%b}' % value.encode()), 0)

    def test_not_what_stands_in_the_code(self) -> None:
        head = json.dumps({"type": "bundle_chunk", "data": '{"index":3,"totalChunks":4}'})
        self.assertIsNone(chunk_index(head.encode()))
        self.assertEqual(chunks_announced(head.encode()), 0)


class Completeness(SynchronousTestCase):
    @given(st.integers(1, 40), st.randoms())
    def test_every_chunk_once_in_any_order(self, chunks: int, random: "st.random.Random") -> None:
        series = Series(chunks)
        order = list(range(chunks))
        random.shuffle(order)
        for index in order:
            self.assertFalse(series.complete)
            series.count(index)
        self.assertTrue(series.complete)

    @given(st.integers(1, 40), st.lists(st.integers(-3, 45)))
    def test_what_comes_twice_or_cannot_be_completes_nothing(
        self, chunks: int, came: list[int]
    ) -> None:
        series = Series(chunks)
        for index in came:
            series.count(index)
        self.assertEqual(series.complete, set(range(chunks)) <= set(came))

    def test_chunks_without_numbers_count_one_after_the_other(self) -> None:
        series = Series(2)
        series.count(None)
        self.assertFalse(series.complete)
        series.count(None)
        self.assertTrue(series.complete)

    def test_one_message_is_complete_at_once(self) -> None:
        self.assertTrue(Series(None).complete)

    def test_one_of_unknown_length_learns_it_from_its_chunks(self) -> None:
        series = Series(0)
        self.assertTrue(series.endless)
        series.count(None)
        self.assertFalse(series.complete)
        series = Series(0)
        series.announce(1)
        series.announce(9)
        series.count(0)
        self.assertTrue(series.complete)


class Transitions(SynchronousTestCase):
    def test_every_state_has_an_answer_to_every_event(self) -> None:
        self.assertEqual(set(TRANSITIONS), {(state, event) for state in State for event in Event})

    def test_only_who_has_part_of_a_bundle_is_cut(self) -> None:
        cut = {state for (state, event), after in TRANSITIONS.items() if after is State.CUT}
        self.assertEqual(cut, {State.INSIDE, State.SKIPPING, State.CUT})
        for state in State:
            after = TRANSITIONS[state, Event.LOST]
            self.assertIs(after, State.WHOLE if state is State.WHOLE else State.CUT)

    def test_nothing_brings_a_cut_one_back(self) -> None:
        for event in Event:
            self.assertIs(TRANSITIONS[State.CUT, event], State.CUT)


class OnePhone(SynchronousTestCase):
    def setUp(self) -> None:
        self.phone = Reception()

    def begin(self, key: object) -> None:
        self.phone.promise(key)
        self.phone.begun(key)

    def test_takes_chunks_of_what_it_saw_begin(self) -> None:
        self.assertFalse(self.phone.takes("a"))
        self.phone.promise("a")
        self.assertFalse(self.phone.takes("a"))
        self.phone.begun("a")
        self.assertTrue(self.phone.takes("a"))
        self.phone.ended("a")
        self.assertFalse(self.phone.takes("a"))

    def test_a_newer_one_takes_the_place_of_the_older(self) -> None:
        self.begin("a")
        self.begin("b")
        self.assertFalse(self.phone.takes("a"))
        self.phone.ended("a")
        self.assertFalse(self.phone.lost("a"))
        self.assertTrue(self.phone.takes("b"))

    def test_is_cut_where_it_has_part_of_one(self) -> None:
        self.phone.promise("a")
        self.assertFalse(self.phone.lost("a"))
        self.begin("b")
        self.assertTrue(self.phone.lost("b"))

    def test_is_cut_where_what_was_to_take_the_place_of_part_never_comes(self) -> None:
        self.begin("a")
        self.phone.promise("b")
        self.assertTrue(self.phone.lost("b"))

    def test_goes_on_under_another_key(self) -> None:
        self.begin("a")
        self.phone.change_over("a", "file")
        self.phone.change_over("a", "other")
        self.assertFalse(self.phone.takes("a"))
        self.assertTrue(self.phone.awaits("file"))
        self.assertTrue(self.phone.lost("file"))

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
                self.assertIn(phone.state, (State.WHOLE, State.CUT))
            self.assertLessEqual(sum(phone.takes(one) for one in "abc"), 1)


class SomebodyElsesDecision(SynchronousTestCase):
    def test_is_inside_from_the_start_to_the_last_chunk(self) -> None:
        listener = Listener()
        start = b'{"type":"bundle_start","totalChunks":2}'
        chunk = b'{"type":"bundle_chunk","index":%d,"totalChunks":2,"data":""}'
        told = []
        for kind, head in (
            ("bundle_chunk", chunk % 1),
            ("bundle_start", start),
            ("bundle_chunk", chunk % 0),
            ("reload", b"{}"),
            ("bundle_chunk", chunk % 1),
            ("bundle_start", start),
            ("bundle_update", b"{}"),
        ):
            listener.passed(kind, head)
            told.append(listener.inside)
        self.assertEqual(told, [False, True, True, True, False, True, False])
