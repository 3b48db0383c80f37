"""`managed.protocol.numbered_events`: messages pass unchanged, and what is missing is
noticed."""

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.protocol.numbered_events import (
    DESKTOP,
    MOST_N,
    PHONES,
    BadEvent,
    GapFinder,
    Heard,
    Hearing,
    NumberedEvent,
    Numbering,
    Recipients,
    encode_event,
    event_overhead,
    is_message,
    is_to,
    new_epoch,
    parse_event,
)

EPOCH = "0a1b2c3d"
TAG = "9f2c00112233"
PHONE = f"mobile:{TAG}:pixel-9"
CLI = f"cli:{TAG}:"

RECIPIENTS: st.SearchStrategy[Recipients | None] = st.one_of(
    st.none(),
    st.just(PHONES),
    st.just(DESKTOP),
    st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3).map(tuple),
)
MESSAGES = st.lists(
    st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers(), max_size=3).map(
        lambda value: json.dumps(value).encode()
    ),
    max_size=4,
).map(tuple)


class Texts(SynchronousTestCase):
    @given(st.integers(1, MOST_N), RECIPIENTS, MESSAGES)
    def test_what_is_written_is_read(
        self, n: int, to: Recipients | None, messages: tuple[bytes, ...]
    ) -> None:
        text = encode_event(EPOCH, n, to, messages)
        self.assertEqual(parse_event(text), NumberedEvent(EPOCH, n, to, messages))
        most = event_overhead(to) + sum(map(len, messages)) + max(0, len(messages) - 1)
        self.assertLessEqual(len(text.encode()), most)

    def test_its_form(self) -> None:
        messages = (b'{"type":"a"}', b'{"type":"b"}')
        self.assertEqual(
            encode_event(EPOCH, 17, PHONES, messages),
            '{"epoch":"0a1b2c3d","n":17,"to":"phones","messages":[{"type":"a"},{"type":"b"}]}',
        )
        self.assertEqual(
            encode_event(EPOCH, 1, (PHONE,), ()),
            f'{{"epoch":"0a1b2c3d","n":1,"to":["{PHONE}"],"messages":[]}}',
        )
        self.assertEqual(
            encode_event(EPOCH, 1, None, ()), '{"epoch":"0a1b2c3d","n":1,"messages":[]}'
        )

    def test_messages_are_passed_on_as_they_are(self) -> None:
        message = '{ "type":"x", "n": 1e400, "s": "\\ud83d\\u00e9é" }'
        event = parse_event(f'{{"messages":[{message} ],"later":1,"n":2, "epoch":"{EPOCH}"}}')
        self.assertEqual(event.messages, (message.encode(),))

    def test_what_comes_from_none_of_ours(self) -> None:
        good = {"epoch": EPOCH, "n": 1, "messages": [{}]}
        self.assertEqual(parse_event(json.dumps(good)).n, 1)
        for wrong in (
            {"epoch": None},
            {"epoch": "0A1B2C3D"},
            {"epoch": "0a1b2c3"},
            {"epoch": 7},
            {"n": 0},
            {"n": True},
            {"n": 1.0},
            {"n": MOST_N + 1},
            {"n": "1"},
            {"to": "everybody"},
            {"to": []},
            {"to": [7]},
            {"to": {}},
            {"to": ["x"] * 1001},
            {"messages": None},
            {"messages": {}},
            {"messages": ["x"]},
            {"messages": [{}, []]},
        ):
            with self.assertRaises(BadEvent, msg=str(wrong)):
                parse_event(json.dumps({**good, **wrong}))
        for text in ("", "null", "[]", "{}", "x", json.dumps(good)[:-1], "\ud800"):
            with self.assertRaises(BadEvent, msg=text):
                parse_event(text)
        with self.assertRaises(BadEvent):
            parse_event(f'{{"epoch":"{EPOCH}","n":1,"messages":[{{"x":"\ud800"}}]}}')

    @given(st.text(alphabet='{}[]:,"epochnmsagt01\\ ', max_size=60))
    def test_anything_is_an_event_or_an_error(self, text: str) -> None:
        with self.assertRaises(BadEvent):
            parse_event(text)

    def test_what_may_be_a_message(self) -> None:
        for message in (b"{}", b' {"type":"x"}\n'):
            self.assertTrue(is_message(message))
        for message in (b"", b"[]", b"x", b'{"a":1', b'{"a":1},{"b":2}', b'{"a":NaN}', b'{"\xff"}'):
            self.assertFalse(is_message(message), message)


class Recipience(SynchronousTestCase):
    def test_sides_and_names(self) -> None:
        self.assertTrue(is_to(PHONES, PHONE))
        self.assertFalse(is_to(PHONES, CLI))
        self.assertTrue(is_to(DESKTOP, CLI))
        self.assertTrue(is_to(DESKTOP, f"dashboard:{TAG}:"))
        self.assertFalse(is_to(DESKTOP, PHONE))
        self.assertTrue(is_to((CLI, PHONE), PHONE))
        self.assertFalse(is_to((CLI,), PHONE))

    def test_nobody_else(self) -> None:
        for user_id in (f"relay:{TAG}:relay-1", "", "10"):
            self.assertFalse(is_to(PHONES, user_id))
            self.assertFalse(is_to(DESKTOP, user_id))
        self.assertFalse(is_to(None, PHONE))


class Numbers(SynchronousTestCase):
    def test_from_one_on(self) -> None:
        numbering = Numbering(new_epoch())
        numbers = []
        for _ in range(3):
            numbers.append(numbering.next_n)
            numbering.count()
        self.assertEqual(numbers, [1, 2, 3])

    def test_epochs_are_new_and_can_be_read(self) -> None:
        epochs = {new_epoch() for _ in range(20)}
        self.assertEqual(len(epochs), 20)
        for epoch in epochs:
            self.assertEqual(parse_event(encode_event(epoch, 1, None, ())).epoch, epoch)

    def test_nothing_is_missing(self) -> None:
        finder = GapFinder()
        self.assertEqual(finder.hear(EPOCH, 17), Hearing(Heard.NEW_EPOCH))
        self.assertEqual(finder.hear(EPOCH, 18), Hearing(Heard.NEXT))

    def test_a_gap(self) -> None:
        finder = GapFinder()
        finder.hear(EPOCH, 1)
        gap = finder.hear(EPOCH, 5)
        self.assertEqual(gap, Hearing(Heard.GAP, 3))
        self.assertTrue(gap.wants_state)
        # What comes late was taken for lost.
        self.assertEqual(finder.hear(EPOCH, 3), Hearing(Heard.REPEATED))
        self.assertEqual(finder.hear(EPOCH, 5), Hearing(Heard.REPEATED))
        self.assertEqual(finder.hear(EPOCH, 6), Hearing(Heard.NEXT))

    def test_a_sender_that_begins_anew(self) -> None:
        finder = GapFinder()
        finder.hear(EPOCH, 5)
        anew = finder.hear("00000000", 1)
        self.assertEqual(anew, Hearing(Heard.NEW_EPOCH))
        self.assertTrue(anew.wants_state)
        self.assertEqual(finder.hear("00000000", 2), Hearing(Heard.NEXT))

    @given(st.lists(st.booleans(), max_size=40))
    def test_every_loss_is_noticed_by_the_next_that_comes(self, arrives: list[bool]) -> None:
        finder, lost = GapFinder(), 0
        finder.hear(EPOCH, 1)
        for n, comes in enumerate(arrives, 2):
            if not comes:
                lost += 1
                continue
            hearing = finder.hear(EPOCH, n)
            self.assertEqual(hearing.lost, lost)
            self.assertEqual(hearing.wants_state, lost > 0)
            lost = 0
