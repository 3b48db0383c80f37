"""`apptuner_relay.wire.messages`: what is read of a message, and what the relay says."""

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire import messages
from apptuner_relay.wire.messages import HEAD_BYTES, Envelope, NotAnObject, log_level, sniff

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(
    st.sampled_from(["type", "targetDeviceId", "payload", "a", 'x"y', "é"]), json_values
)


def sniff_whole(text: bytes) -> Envelope:
    return sniff(text[:HEAD_BYTES], len(text) <= HEAD_BYTES)


class Sniffing(SynchronousTestCase):
    def test_what_real_clients_send(self) -> None:
        self.assertEqual(sniff_whole(b'{"type":"ping","timestamp":1}'), Envelope("ping", None))
        bundle = b'{"type":"bundle_update","payload":{"code":"' + b"x" * 1000 + b'"}}'
        self.assertEqual(sniff_whole(bundle), Envelope("bundle_update", None))

    def test_type_in_another_place(self) -> None:
        self.assertEqual(sniff_whole(b' { "timestamp" : 1 , "type" : "ping" }').type, "ping")
        self.assertEqual(sniff_whole(b'{"a":{"type":"inner"},"type":"outer"}').type, "outer")
        self.assertEqual(sniff_whole(b'{"payload":{"type":"ping"}}').type, None)
        self.assertEqual(sniff_whole(b'{"a":["type","ping"],"b":"type"}').type, None)

    def test_escapes(self) -> None:
        self.assertEqual(sniff_whole(b'{"type":"p\\u0069ng"}').type, "ping")
        self.assertEqual(sniff_whole(b'{"a":"\\",\\"type\\":\\"x","type":"y"}').type, "y")

    def test_target(self) -> None:
        self.assertEqual(
            sniff_whole(b'{"type":"reload","targetDeviceId":"a:1"}'), Envelope("reload", "a:1")
        )
        late = b'{"type":"x","pad":"' + b"." * HEAD_BYTES + b'","targetDeviceId":"d"}'
        self.assertEqual(sniff_whole(late), Envelope("x", None))
        inner = b'{"type":"x","payload":{"targetDeviceId":"d"}}'
        self.assertEqual(sniff_whole(inner), Envelope("x", None))

    def test_target_at_the_end_of_the_head(self) -> None:
        text = b'{"type":"x","targetDeviceId":"dev-1","pad":"' + b"." * 600 + b'"}'
        self.assertEqual(sniff_whole(text), Envelope("x", "dev-1"))
        for cut in range(len(text[:60])):
            self.assertIn(sniff(text[:cut] or b"{", False).target, (None, "dev-1"))

    def test_not_an_object(self) -> None:
        for text in (b"{nope", b"", b"[1]", b'"type"', b"null", b'{"a":1', b"{}{}", b"[" * 400):
            with self.assertRaises(NotAnObject):
                sniff_whole(text)
        with self.assertRaises(NotAnObject):
            sniff(b"<html>" * 80, False)

    def test_what_python_takes_for_json_and_javascript_does_not(self) -> None:
        for text in (
            b'\xef\xbb\xbf{"type":"x"}',
            b'\x0b{"type":"x"}',
            b'{"type" : NaN}',
            b'{"a":[Infinity]}',
            b'{"a":-Infinity}',
            '{"type":"x"}'.encode("utf-16-le"),
            '{"type":"x"}'.encode("utf-32-le"),
            '{"type":"x"}'.encode("utf-16-be"),
        ):
            for padded in (text, text + b" " * HEAD_BYTES):
                with self.assertRaises(NotAnObject, msg=padded):
                    sniff_whole(padded)

    @given(objects, st.integers(0, 60))
    def test_no_beginning_of_json_is_refused(self, value: dict[str, object], cut: int) -> None:
        text = json.dumps({"n": [-1.5e-7, None, True], **value}).encode()[: HEAD_BYTES - cut]
        for end in range(1, len(text)):
            sniff(text[:end], False)

    def test_a_string_that_is_cut_off_has_no_words(self) -> None:
        text = b'{"a":"NaN \\"type\\": \\"ping\\", {\\"type\\":1, Infinity'
        self.assertEqual(sniff(text, False), Envelope(None, None))

    def test_object_without_a_type(self) -> None:
        self.assertEqual(sniff_whole(b"{}"), Envelope(None, None))
        self.assertEqual(sniff_whole(b'{"type":5}'), Envelope(None, None))

    @given(objects, st.sampled_from([(",", ":"), (", ", ": ")]))
    def test_agrees_with_a_parser(
        self, value: dict[str, object], separators: tuple[str, str]
    ) -> None:
        text = json.dumps(value, separators=separators).encode()
        if len(text) > HEAD_BYTES:
            return
        expected = {
            key: value[key] if isinstance(value.get(key), str) else None
            for key in ("type", "targetDeviceId")
        }
        self.assertEqual(sniff_whole(text), Envelope(expected["type"], expected["targetDeviceId"]))

    @given(st.binary(max_size=600))
    def test_anything_is_sniffed_or_refused(self, text: bytes) -> None:
        try:
            sniff_whole(text)
        except NotAnObject as refusal:
            self.assertTrue(str(refusal))


class Levels(SynchronousTestCase):
    def test_usual_and_unusual_ones(self) -> None:
        for text, level in (
            (b'{"type":"console_log","payload":{"level":"error","args":["x"]}}', "error"),
            (b'{ "payload": {"args": ["level", {"level": "log"}], "level": "warn" } }', "warn"),
            (b'{"type":"console_log","timestamp":1,"payload":{"level":"w\\u0061rn"', "warn"),
            (b'{"type":"console_log","payload":{"args":["\\"level\\":\\"error\\""]}}', None),
            (b'{"type":"console_log","payload":[{"level":"error"}]}', None),
            (b'{"type":"console_log","level":"error","payload":{"level":5}}', None),
            (b'{"type":"console_log","payload":"level"}', None),
            (b'{"type":"console_log","payload":{"n":NaN,"level":"error"}}', None),
            (b"", None),
        ):
            self.assertEqual(log_level(text), level, text)

    @given(st.binary(max_size=600) | st.text(alphabet='{}[]:,"\\ a').map(str.encode))
    def test_of_anything(self, text: bytes) -> None:
        self.assertIsInstance(log_level(text), (str, type(None)))


class Building(SynchronousTestCase):
    def test_shapes(self) -> None:
        device = {"deviceId": "d1", "deviceName": None, "platform": "ios"}
        row = {"deviceId": "d1", "name": "é", "platform": None, "connectedAt": 5}
        for built, expected in [
            (
                messages.connected("ab12", "cli", 7),
                {"type": "connected", "sessionId": "ab12", "clientType": "cli", "timestamp": 7},
            ),
            (messages.pong(7), {"type": "pong", "timestamp": 7}),
            (messages.error('é"', 7), {"type": "error", "error": 'é"', "timestamp": 7}),
            (
                messages.event("cli_disconnected", 7),
                {"type": "cli_disconnected", "timestamp": 7},
            ),
            (
                messages.mobile_connected(device, 7),
                {"type": "mobile_connected", **device, "timestamp": 7},
            ),
            (
                messages.mobile_disconnected(device, 7),
                {"type": "mobile_disconnected", **device, "timestamp": 7},
            ),
            (messages.device_list([row]), {"type": "device_list", "devices": [row]}),
        ]:
            self.assertEqual(json.loads(built), expected)
            self.assertTrue(built.startswith(b'{"type":"'))


class Pings(SynchronousTestCase):
    def test_which_are_answered_by_a_shorter_way(self) -> None:
        for text, expected in (
            (b'{"type":"ping"}', True),
            (b'{"type":"ping","timestamp":1}', True),
            (b'{"type":"pingpong"}', False),
            (b'{"type":"ping","targetDeviceId":"d1"}', False),
            (b'{ "type": "ping" }', False),
        ):
            self.assertIs(messages.is_ping(text), expected, text)
