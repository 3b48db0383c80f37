"""`apptuner_relay.flow.series`: which chunks have come, and whether that is all."""

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.series import (
    MOST_CHUNKS,
    Series,
    SeriesReader,
    chunk_index,
    chunks_announced,
)
from apptuner_relay.flow.series_states import TRANSITIONS, SeriesEvent, SeriesState
from tests.tables import check_every_pair


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
    def test_every_pair_of_state_and_event(self) -> None:
        check_every_pair(self, TRANSITIONS, SeriesState, SeriesEvent, lambda: Series(None))

    def test_states_it_begins_in(self) -> None:
        begins = {chunks: Series(chunks).state for chunks in (None, 0, 1)}
        self.assertEqual(
            begins,
            {
                None: SeriesState.SINGLE,
                0: SeriesState.UNANNOUNCED,
                1: SeriesState.INCOMPLETE,
            },
        )

    def test_what_is_complete_stays_so(self) -> None:
        series = Series(1)
        series.count(0)
        series.announce(7)
        series.count(1)
        self.assertEqual((series.state, series.chunks), (SeriesState.COMPLETE, 1))


class SomebodyElsesDecision(SynchronousTestCase):
    def test_is_inside_from_the_start_to_the_last_chunk(self) -> None:
        listener = SeriesReader()
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
