"""Cutting up bundles, building their messages, and joining them again."""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client import bundles
from apptuner_relay.client.bundles import (
    CHUNK_UNITS,
    MAX_MESSAGE_BYTES,
    BundleError,
    Form,
    Joiner,
    ReadBundle,
    encode,
    split,
    utf16_units,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
ASTRAL = st.text(st.sampled_from("a\u00e9\ud7ff\uffff\U00010000\U0001f600\U0010ffff"), max_size=60)


def received(message: bytes) -> dict[str, Any]:
    """The message as a phone sees it."""
    return dict(json.loads(message))


def as_javascript_chunks(text: str, limit: int) -> list[str]:
    """Chunks as JavaScript's `slice` makes them: pairs may be cut in half."""
    units = text.encode("utf-16-le")
    step = 2 * limit
    return [
        units[at : at + step].decode("utf-16-le", "surrogatepass")
        for at in range(0, len(units), step)
    ]


def chunk_messages(pieces: list[str], units: int) -> list[dict[str, Any]]:
    """A chunked bundle after a trip over the wire, lone surrogates as JSON escapes."""
    start = {"type": "bundle_start", "totalChunks": len(pieces), "totalSize": units}
    chunks = [
        {"type": "bundle_chunk", "index": i, "totalChunks": len(pieces), "data": piece}
        for i, piece in enumerate(pieces)
    ]
    return [json.loads(json.dumps(message)) for message in [start, *chunks]]


def joined(messages: list[dict[str, Any]]) -> bytes | None:
    joiner = Joiner()
    results = [joiner.feed(message) for message in messages]
    assert all(result is None for result in results[:-1])
    return results[-1]


class SplitTests(SynchronousTestCase):
    @given(st.one_of(TEXT, ASTRAL), st.integers(2, 9))
    def test_pieces_are_small_whole_and_complete(self, text: str, limit: int) -> None:
        pieces = list(split(text, limit))
        self.assertEqual("".join(pieces), text)
        for piece in pieces:
            self.assertTrue(1 <= utf16_units(piece) <= limit)
            piece.encode()  # has no half of a pair
        for piece, following in itertools.pairwise(pieces):
            # Only a pair that would have been cut makes a piece shorter.
            if utf16_units(piece) < limit:
                self.assertEqual(utf16_units(piece), limit - 1)
                self.assertGreater(following[0], "\uffff")

    def test_a_pair_on_the_border_goes_to_the_next_piece(self) -> None:
        self.assertEqual(list(split("abc😀d", 4)), ["abc", "😀d"])
        self.assertEqual(list(split("ab😀cd", 4)), ["ab😀", "cd"])

    def test_there_is_nothing_to_cut_in_nothing(self) -> None:
        self.assertEqual(list(split("")), [])

    def test_a_limit_without_room_for_a_pair(self) -> None:
        self.assertRaises(ValueError, list, split("a", 1))

    @given(st.one_of(TEXT, ASTRAL))
    def test_units_are_what_javascript_counts(self, text: str) -> None:
        self.assertEqual(utf16_units(text), sum(2 if c > "\uffff" else 1 for c in text))


class MessageTests(SynchronousTestCase):
    def test_up_to_512_ki_characters_go_in_one_message(self) -> None:
        bundle = ReadBundle.of("x" * CHUNK_UNITS)
        self.assertIs(bundle.form, Form.SINGLE)
        [message] = bundle.messages(7)
        self.assertEqual(
            message,
            b'{"type":"bundle_update","payload":{"code":"%s"},"timestamp":7}'
            % (b"x" * CHUNK_UNITS),
        )

    def test_one_character_more_goes_in_chunks(self) -> None:
        bundle = ReadBundle.of("x" * CHUNK_UNITS + "y")
        self.assertIs(bundle.form, Form.CHUNKS)
        start, first, second = bundle.messages(7)
        self.assertEqual(
            start,
            b'{"type":"bundle_start","totalChunks":2,"totalSize":524289,"timestamp":7}',
        )
        self.assertEqual(
            received(first),
            {"type": "bundle_chunk", "index": 0, "totalChunks": 2, "data": "x" * CHUNK_UNITS},
        )
        self.assertEqual(second, b'{"type":"bundle_chunk","index":1,"totalChunks":2,"data":"y"}')

    def test_emoji_count_two(self) -> None:
        self.assertIs(ReadBundle.of("😀" * (CHUNK_UNITS // 2)).form, Form.SINGLE)
        bundle = ReadBundle.of("a" + "😀" * (CHUNK_UNITS // 2))
        self.assertIs(bundle.form, Form.CHUNKS)
        start, first, second = map(received, bundle.messages(7))
        self.assertEqual(start["totalSize"], CHUNK_UNITS + 1)
        self.assertEqual(utf16_units(first["data"]), CHUNK_UNITS - 1)
        self.assertEqual(second["data"], "😀")

    def test_the_form_can_be_forced(self) -> None:
        self.assertEqual(
            len(ReadBundle.of("x" * (CHUNK_UNITS + 1), form=Form.SINGLE).messages(7)), 1
        )
        start, chunk = map(received, ReadBundle.of("x", form=Form.CHUNKS).messages(7))
        self.assertEqual((start["totalChunks"], chunk["data"]), (1, "x"))

    def test_an_empty_bundle_in_chunks_has_one(self) -> None:
        messages = [received(m) for m in ReadBundle.of("", form=Form.CHUNKS).messages(7)]
        self.assertEqual(joined(messages), b"")

    def test_the_target_follows_the_type(self) -> None:
        for form in Form:
            for message in ReadBundle.of("x", form=form).messages(7, "phone-1"):
                kind = received(message)["type"]
                head = f'{{"type":"{kind}","targetDeviceId":"phone-1",'.encode()
                self.assertTrue(message.startswith(head))

    def test_a_source_map_goes_with_a_single_message(self) -> None:
        [message] = ReadBundle.of("x", "{map}").messages(7)
        self.assertEqual(received(message)["payload"], {"code": "x", "sourceMap": "{map}"})

    def test_a_source_map_does_not_go_with_chunks(self) -> None:
        forced = self.assertRaises(BundleError, ReadBundle.of, "x", "map", Form.CHUNKS)
        self.assertIn("leave out --chunks", str(forced))
        large = self.assertRaises(BundleError, ReadBundle.of, "x" * (CHUNK_UNITS + 1), "map")
        self.assertIn("add --single", str(large))

    def test_a_message_is_printed_as_javascript_prints_it(self) -> None:
        self.assertEqual(
            encode("bundle_update", {"code": 'é😀"\\\n\x01\u2028'}),
            '{"type":"bundle_update","code":"é😀\\"\\\\\\n\\u0001\u2028"}'.encode(),
        )

    def test_a_message_no_relay_would_take(self) -> None:
        overhead = len(ReadBundle("").messages(7)[0])
        [largest] = ReadBundle("x" * (MAX_MESSAGE_BYTES - overhead)).messages(7)
        self.assertEqual(len(largest), MAX_MESSAGE_BYTES)
        error = self.assertRaises(
            BundleError, ReadBundle("x" * (MAX_MESSAGE_BYTES - overhead + 1)).messages, 7
        )
        self.assertIn("52,428,801", str(error))
        self.assertIn("--chunks", str(error))


class JoinTests(SynchronousTestCase):
    @given(st.one_of(TEXT, ASTRAL), st.sampled_from(Form))
    def test_what_is_sent_is_what_arrives(self, text: str, form: Form) -> None:
        messages = [received(m) for m in ReadBundle.of(text, form=form).messages(7)]
        self.assertEqual(joined(messages), text.encode())

    @given(st.one_of(TEXT, ASTRAL).filter(bool), st.integers(1, 9))
    def test_pairs_that_were_cut_are_healed(self, text: str, limit: int) -> None:
        pieces = as_javascript_chunks(text, limit)
        self.assertEqual(joined(chunk_messages(pieces, utf16_units(text))), text.encode())

    @given(st.text(st.characters(), max_size=20), st.integers(1, 9))
    def test_any_text_at_all_is_joined_or_refused(self, text: str, limit: int) -> None:
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        units = whole.encode("utf-16-le", "surrogatepass")
        pieces = [
            units[at : at + 2 * limit].decode("utf-16-le", "surrogatepass")
            for at in range(0, len(units), 2 * limit)
        ] or [""]
        messages = chunk_messages(pieces, len(units) // 2)
        try:
            expected = whole.encode()
        except UnicodeEncodeError:
            joiner = Joiner()
            with self.assertRaises(BundleError):
                for message in messages:
                    joiner.feed(message)
        else:
            self.assertEqual(joined(messages), expected)

    def test_empty_chunks_between_the_halves_of_a_pair(self) -> None:
        self.assertEqual(joined(chunk_messages(["a\ud83d", "", "\ude00"], 3)), "a😀".encode())

    def test_a_lone_surrogate_can_not_be_kept(self) -> None:
        joiner = Joiner()
        update = {"type": "bundle_update", "payload": {"code": "a\ud83d!"}}
        error = self.assertRaises(BundleError, joiner.feed, update)
        self.assertIn("U+D83D", str(error))
        start, chunk = chunk_messages(["a\ud83d"], 2)
        joiner.feed(start)
        self.assertRaises(BundleError, joiner.feed, chunk)

    def test_a_new_start_discards_an_unfinished_bundle(self) -> None:
        joiner = Joiner()
        for message in chunk_messages(["old", "old"], 6)[:2]:
            joiner.feed(message)
        self.assertTrue(joiner.unfinished)
        results = [joiner.feed(message) for message in chunk_messages(["new"], 3)]
        self.assertEqual(results, [None, b"new"])
        self.assertFalse(joiner.unfinished)

    def test_a_whole_bundle_discards_an_unfinished_one(self) -> None:
        joiner = Joiner()
        start, chunk = chunk_messages(["old"], 3)
        joiner.feed(start)
        self.assertEqual(joiner.feed({"type": "bundle_update", "payload": {"code": "n"}}), b"n")
        self.assertRaises(BundleError, joiner.feed, chunk)

    def test_discard(self) -> None:
        joiner = Joiner()
        joiner.feed(chunk_messages(["a", "b"], 2)[0])
        joiner.discard()
        self.assertFalse(joiner.unfinished)

    def test_other_messages_are_nothing_to_it(self) -> None:
        joiner = Joiner()
        start, chunk = chunk_messages(["x"], 1)
        joiner.feed(start)
        self.assertIsNone(joiner.feed({"type": "reload"}))
        self.assertEqual(joiner.feed(chunk), b"x")

    def test_chunks_that_do_not_fit(self) -> None:
        start, first, second = chunk_messages(["aa", "bb"], 4)
        cases = {
            "out of order": [start, second],
            "twice": [start, first, first],
            "of another number": [start, first | {"totalChunks": 3}],
            "too long": [start, first | {"data": "aaaaa"}],
            "too short": [start, first, second | {"data": "b"}],
            "without data": [start, {"type": "bundle_chunk", "index": 0}],
            "without an index": [start, {"type": "bundle_chunk", "data": "aa"}],
            "with a truth for an index": [start, first | {"index": False}],
            "of text that is none": [start, first | {"data": 5}],
            "without a start": [first],
            "of a start without numbers": [{"type": "bundle_start"}],
            "of a negative size": [start | {"totalSize": -1}],
            "of no chunks": [start | {"totalChunks": 0}],
            "of too much": [start | {"totalSize": bundles.MAX_JOINED_UNITS + 1}],
        }
        for name, messages in cases.items():
            joiner = Joiner()
            for message in messages[:-1]:
                self.assertIsNone(joiner.feed(message), name)
            self.assertRaises(BundleError, joiner.feed, messages[-1])
            # It says so once; what still comes of that bundle is passed over ...
            self.assertIsNone(joiner.feed(first), name)
            self.assertIsNone(joiner.feed(second), name)
            # ... and the next one is welcome.
            self.assertEqual([joiner.feed(m) for m in (start, first, second)][-1], b"aabb", name)

    def test_a_single_bundle_without_code(self) -> None:
        for payload in ({}, None, [], {"code": 5}, {"code": None}):
            message = {"type": "bundle_update", "payload": payload}
            self.assertRaises(BundleError, Joiner().feed, message)

    @settings(max_examples=300)
    @given(
        st.lists(
            st.dictionaries(
                st.sampled_from(["totalChunks", "totalSize", "index", "data", "payload", "code"]),
                st.one_of(st.none(), st.booleans(), st.integers(-1, 3), TEXT, st.floats()),
            ),
            max_size=6,
        ),
        st.lists(st.sampled_from(["bundle_update", "bundle_start", "bundle_chunk"]), min_size=6),
    )
    def test_rubbish_is_refused_and_never_crashes(
        self, bodies: list[dict[str, Any]], kinds: list[str]
    ) -> None:
        joiner = Joiner()
        for kind, body in zip(kinds, bodies, strict=False):
            try:
                joiner.feed({"type": kind, **body})
            except BundleError:
                continue
