"""`managed.protocol.envelopes` and `service_frames`: what is built is read, in all the forms
that services have, and nothing that comes makes a relay fail."""

import contextlib
import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.protocol import envelopes, service_frames
from apptuner_relay.managed.protocol.envelopes import (
    BadEnvelope,
    Established,
    PusherEnvelope,
    ServiceError,
    SubscriptionWish,
    parse_envelope,
)

CHANNEL = "presence-apptuner.x"
CHANNEL_DATA = '{"user_id":"cli:9f2c00112233:","user_info":{}}'

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
READERS: tuple[Callable[[PusherEnvelope], object], ...] = (
    PusherEnvelope.text_data,
    PusherEnvelope.json_data,
    PusherEnvelope.fields,
    envelopes.read_established,
    envelopes.read_members,
    envelopes.read_member,
    envelopes.read_error,
    envelopes.read_subscribe,
    envelopes.read_unsubscribe,
)


def read(**fields: object) -> PusherEnvelope:
    """The envelope of a message with those fields."""
    return parse_envelope(json.dumps(fields).encode())


class Data(SynchronousTestCase):
    def test_a_string_with_json_an_object_or_nothing(self) -> None:
        for data, text in (('{"a":1}', '{"a":1}'), ({"a": 1}, '{"a": 1}')):
            one = read(event="x", data=data)
            self.assertEqual(one.text_data(), text)
            self.assertEqual(one.json_data(), {"a": 1})
            self.assertEqual(one.fields(), {"a": 1})
        for one in (read(event="x"), read(event="x", data=None), read(event="x", data="null")):
            self.assertEqual(one.text_data(), "null")
            self.assertIsNone(one.json_data())
            self.assertRaises(BadEnvelope, one.fields)

    def test_a_string_without_json(self) -> None:
        one = read(event="client-x", data="hello")
        self.assertEqual(one.text_data(), "hello")
        self.assertRaises(BadEnvelope, one.json_data)

    def test_an_object_is_as_it_was(self) -> None:
        one = parse_envelope(b'{"event":"client-x","data": { "n": 1e400,"s":"\\u00e9"} }')
        self.assertEqual(one.text_data(), '{ "n": 1e400,"s":"\\u00e9"}')

    def test_half_a_character_in_a_string(self) -> None:
        self.assertRaises(BadEnvelope, read(event="x", data='"\ud800"').json_data)


class Envelopes(SynchronousTestCase):
    def test_all_of_it(self) -> None:
        one = read(event="client-x", channel="presence-a", data="{}", user_id="u")
        self.assertEqual((one.event, one.channel, one.user_id), ("client-x", "presence-a", "u"))
        self.assertFalse(one.is_system)

    def test_the_protocols_own(self) -> None:
        self.assertTrue(read(event="pusher:ping").is_system)
        self.assertTrue(read(event="pusher_internal:member_added").is_system)

    def test_numeric_ids_of_others(self) -> None:
        self.assertEqual(read(event="x", user_id=10).user_id, "10")

    def test_malformed(self) -> None:
        for message in (
            b"",
            b"x",
            b"null",
            b"7",
            b"[]",
            b"{}",
            b'{"event":null}',
            b'{"event":""}',
            b'{"event":7}',
            b'{"event":"%b"}' % (b"x" * 201),
            b'{"event":"x","channel":7}',
            b'{"event":"x","channel":""}',
            b'{"event":"x","channel":"%b"}' % (b"x" * 201),
            b'{"event":"x","user_id":true}',
            b'{"event":"x","user_id":[]}',
            b'{"event":"x"',
            b'{"event":"\xff"}',
            b'\xef\xbb\xbf{"event":"x"}',
            b'{"event":"x","data":NaN}',
            b'{"event":"x","data":' + b"[" * 100_000,
            b'{"event":"x","user_id":%b}' % (b"9" * 5000),
        ):
            with self.assertRaises(BadEnvelope, msg=message[:40]):
                parse_envelope(message)

    @given(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
    def test_anything_is_an_envelope_or_an_error(self, message: bytes) -> None:
        with contextlib.suppress(BadEnvelope):
            parse_envelope(message)

    @given(
        JSON,
        st.dictionaries(
            st.sampled_from(
                [
                    *("channel", "auth", "channel_data", "user_id", "user_info", "presence"),
                    *("hash", "socket_id", "activity_timeout", "code", "message", "status"),
                    "error",
                ]
            ),
            JSON,
        ),
    )
    def test_every_reader_takes_any_data(self, value: Any, fields: dict[str, Any]) -> None:
        for data in (value, fields, json.dumps(fields), {"presence": fields}):
            try:
                one = read(event="x", data=data)
            except BadEnvelope:
                continue
            for reader in READERS:
                with contextlib.suppress(BadEnvelope):
                    reader(one)


class OfAClient(SynchronousTestCase):
    def test_subscribe(self) -> None:
        one = parse_envelope(service_frames.subscribe(CHANNEL, "k:1", CHANNEL_DATA))
        self.assertEqual(one.event, "pusher:subscribe")
        self.assertEqual(
            envelopes.read_subscribe(one), SubscriptionWish(CHANNEL, "k:1", CHANNEL_DATA)
        )
        public = parse_envelope(service_frames.subscribe("a"))
        self.assertEqual(envelopes.read_subscribe(public), SubscriptionWish("a", None, None))

    def test_unsubscribe(self) -> None:
        one = parse_envelope(service_frames.unsubscribe(CHANNEL))
        self.assertEqual(one.event, "pusher:unsubscribe")
        self.assertEqual(envelopes.read_unsubscribe(one), CHANNEL)

    def test_an_event_has_an_object(self) -> None:
        message = service_frames.client_event(CHANNEL, "client-x", '{"a": "é"}')
        self.assertEqual(
            message.decode(),
            '{"event":"client-x","channel":"presence-apptuner.x","data":{"a": "é"}}',
        )

    def test_pings(self) -> None:
        self.assertEqual(parse_envelope(service_frames.PING).event, "pusher:ping")
        self.assertEqual(parse_envelope(service_frames.PONG).event, "pusher:pong")

    def test_only_well_formed_ones_can_be_built(self) -> None:
        for build in (
            lambda: service_frames.subscribe(""),
            lambda: service_frames.subscribe("a:b"),
            lambda: service_frames.subscribe(CHANNEL),
            lambda: service_frames.subscribe(CHANNEL, "k:1"),
            lambda: service_frames.subscribe(CHANNEL, None, CHANNEL_DATA),
            lambda: service_frames.subscribe(CHANNEL, "k:1", "x"),
            lambda: service_frames.subscribe(CHANNEL, "k:1", "{}"),
            lambda: service_frames.subscribe(CHANNEL, "k:1", "[]"),
            lambda: service_frames.unsubscribe("a\n"),
            lambda: service_frames.client_event(CHANNEL, "x", "{}"),
            lambda: service_frames.client_event(CHANNEL, "client-" + "x" * 200, "{}"),
            lambda: service_frames.client_event("a b", "client-x", "{}"),
            lambda: service_frames.client_event(CHANNEL, "client-x", "{"),
            lambda: service_frames.client_event(CHANNEL, "client-x", '{},"channel":"b"'),
            lambda: service_frames.client_event(CHANNEL, "client-x", '"x"'),
            lambda: service_frames.client_event(CHANNEL, "client-x", '{"\ud800":1}'),
            lambda: service_frames.established("1", 30),
            lambda: service_frames.member_removed("", "u"),
        ):
            self.assertRaises(ValueError, build)


class OfAService(SynchronousTestCase):
    def test_established(self) -> None:
        message = service_frames.established("123.456", 120)
        self.assertEqual(
            json.loads(message),
            {
                "event": "pusher:connection_established",
                "data": '{"socket_id":"123.456","activity_timeout":120}',
            },
        )
        self.assertEqual(
            envelopes.read_established(parse_envelope(message)), Established("123.456", 120.0)
        )
        for wrong in (
            {"socket_id": "1"},
            {"socket_id": 1.2},
            {"activity_timeout": None},
            {"activity_timeout": True},
            {"activity_timeout": 0},
            {"activity_timeout": -1},
            {"activity_timeout": 1e9},
            {"activity_timeout": "30"},
        ):
            one = read(event="x", data={"socket_id": "1.2", "activity_timeout": 30, **wrong})
            self.assertRaises(BadEnvelope, envelopes.read_established, one)

    def test_who_is_there(self) -> None:
        members = {"a": {"name": "A"}, "b": {}}
        message = service_frames.subscription_succeeded(CHANNEL, members)
        one = parse_envelope(message)
        self.assertEqual(one.channel, CHANNEL)
        self.assertEqual(envelopes.read_members(one), members)
        self.assertEqual(
            one.json_data(), {"presence": {"ids": ["a", "b"], "hash": members, "count": 2}}
        )
        bare = read(event="x", data={"presence": {"ids": ["a"], "hash": {"a": None}, "count": 1}})
        self.assertEqual(envelopes.read_members(bare), {"a": {}})
        self.assertEqual(
            parse_envelope(service_frames.subscription_succeeded("a")).text_data(), "{}"
        )

    def test_who_comes_and_leaves(self) -> None:
        added = parse_envelope(service_frames.member_added(CHANNEL, "a", {"name": "A"}))
        self.assertEqual(envelopes.read_member(added), ("a", {"name": "A"}))
        removed = parse_envelope(service_frames.member_removed(CHANNEL, "a"))
        self.assertEqual(envelopes.read_member(removed), ("a", {}))
        self.assertEqual(envelopes.read_member(read(event="x", data={"user_id": 10})), ("10", {}))

    def test_an_event_of_somebody(self) -> None:
        one = parse_envelope(service_frames.passed_event(CHANNEL, "client-x", '{"a":1}', "u"))
        self.assertEqual((one.user_id, one.text_data()), ("u", '{"a":1}'))

    def test_errors_in_all_their_forms(self) -> None:
        ours = parse_envelope(service_frames.error(4009, "no"))
        self.assertEqual(envelopes.read_error(ours), ServiceError(4009, "no"))
        refused = parse_envelope(service_frames.subscription_error("?", "AuthError", "no", 401))
        self.assertEqual(envelopes.read_error(refused), ServiceError(401, "no"))
        for data, error in (
            ({"message": "no"}, ServiceError(None, "no")),
            ({"code": None, "message": 7}, ServiceError(None, "")),
            ({"code": 4301, "message": "a\nb\x1b[2J"}, ServiceError(4301, "a b [2J")),
            ({"message": "x" * 500}, ServiceError(None, "x" * 200)),
            ("gone", ServiceError(None, "")),
            (None, ServiceError(None, "")),
        ):
            self.assertEqual(envelopes.read_error(read(event="x", data=data)), error)
