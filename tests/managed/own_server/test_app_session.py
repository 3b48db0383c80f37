"""`managed.own_server.app_session`: what a client says on the relay's own endpoint, and what it
is answered."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.own_server.app_session import (
    CLOSE_OVER_CAPACITY,
    ERROR_MALFORMED,
    ERROR_REJECTED,
    EVENTS_PER_S,
    MESSAGES_BURST_S,
    MESSAGES_PER_S,
    MOST_CHANNELS,
    MOST_DATA_BYTES,
    AppSession,
)
from apptuner_relay.managed.own_server.local_channels import (
    MOST_MEMBERS,
    LocalChannels,
    LocalMember,
)
from apptuner_relay.managed.protocol.signatures import Signer
from tests.managed.service.fake_listener import FakeListener

CHANNEL = f"presence-apptuner.{'ab' * 32}"
PRIVATE = "private-apptuner.x"


class Person:
    """A client, and its connection: an `app_session.AppOutlet`."""

    def __init__(self, socket_id: str, channels: LocalChannels, clock: Clock) -> None:
        self.signer = Signer("app-key", "app-secret")
        self.closed: tuple[int, str] | None = None
        self._frames: list[bytes] = []
        self.session = AppSession(socket_id, self, channels, self.signer, "apptuner", clock.seconds)

    def send(self, frame: bytes) -> None:
        self._frames.append(frame)

    def close(self, code: int, reason: str) -> None:
        self.closed = code, reason

    def say(self, event: str, **fields: object) -> None:
        self.session.take(json.dumps({"event": event, **fields}).encode())

    def subscribe(self, channel: str = CHANNEL, user_id: str = "anna", **fields: object) -> None:
        data: dict[str, Any] = {"channel": channel}
        if channel.startswith("presence-"):
            data["channel_data"] = json.dumps({"user_id": user_id, "user_info": {"name": "A"}})
        data["auth"] = self.signer.sign_channel(
            self.session.socket_id, channel, data.get("channel_data")
        )
        self.say("pusher:subscribe", data=data | fields)

    def take(self) -> list[tuple[str, Any]]:
        """The events since the last call, with their data."""
        frames, self._frames = self._frames, []
        taken = []
        for frame in map(json.loads, frames):
            data = frame["data"]
            if frame["event"].startswith("pusher") and isinstance(data, str):
                data = json.loads(data)
            taken.append((frame["event"].partition(":")[2] or frame["event"], data))
        return taken

    def names(self) -> list[str]:
        return [name for name, _ in self.take()]


class SessionCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.channels = LocalChannels(self.clock, "node", lambda service, channel: None)
        self.anna, self.bert = (
            Person(socket_id, self.channels, self.clock) for socket_id in ("1.1", "2.2")
        )

    def assertComplains(self, person: Person, code: int, text: str = "") -> None:
        [(name, data)] = person.take()
        self.assertEqual((name, data["code"]), ("error", code), data)
        self.assertIn(text, data["message"])
        self.assertIsNone(person.closed)

    def assertRefused(self, person: Person, status: int, text: str = "") -> None:
        [(name, data)] = person.take()
        self.assertEqual((name, data["status"]), ("subscription_error", status), data)
        self.assertIn(text, data["error"])
        self.assertIsNone(person.closed)


class Protocol(SessionCase):
    def test_the_welcome(self) -> None:
        self.anna.session.begin()
        self.assertEqual(
            self.anna.take(),
            [("connection_established", {"socket_id": "1.1", "activity_timeout": 30})],
        )

    def test_pings(self) -> None:
        self.anna.say("pusher:ping")
        self.assertEqual(self.anna.take(), [("pong", {})])
        self.anna.say("pusher:pong", data={})
        self.assertEqual(self.anna.take(), [])

    def test_what_is_malformed(self) -> None:
        for message in (b"", b"x", b"[]", b"\xff", b"{}", b'{"event":1}', b"[" * 5000):
            self.anna.session.take(message)
            self.assertComplains(self.anna, ERROR_MALFORMED)
        for event in ("pusher:subscribe", "pusher:unsubscribe", "pusher:what", "what"):
            self.anna.say(event)
            self.assertComplains(self.anna, ERROR_MALFORMED)
        self.anna.say("pusher:signin", data={})
        self.assertComplains(self.anna, ERROR_MALFORMED, "no signing in")

    def test_what_is_binary(self) -> None:
        self.anna.session.take_binary()
        self.assertComplains(self.anna, ERROR_MALFORMED, "binary")

    def test_too_many_messages(self) -> None:
        for _ in range(MESSAGES_PER_S * MESSAGES_BURST_S):
            self.anna.say("pusher:ping")
        self.assertIsNone(self.anna.closed)
        self.anna.say("pusher:ping")
        assert self.anna.closed is not None
        self.assertEqual(self.anna.closed[0], CLOSE_OVER_CAPACITY)
        self.clock.advance(1)
        self.bert.say("pusher:ping")
        self.assertIsNone(self.bert.closed)

    @given(st.binary(max_size=200))
    def test_any_bytes(self, message: bytes) -> None:
        person = Person("3.3", self.channels, self.clock)
        person.session.take(message)
        self.assertLessEqual(len(person.take()), 1)
        self.assertIsNone(person.closed)

    @given(
        st.sampled_from(["pusher:subscribe", "pusher:unsubscribe", "client-x", "pusher:x"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=20),
            lambda one: (
                st.lists(one, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["channel", "auth", "channel_data", "x"]), one, max_size=4
                )
            ),
            max_leaves=8,
        ),
        st.none() | st.just(PRIVATE) | st.text(max_size=20),
    )
    def test_any_message(self, event: str, data: object, channel: object) -> None:
        person = Person("3.3", self.channels, self.clock)
        person.subscribe(PRIVATE)
        person.take()
        text = json.dumps({"event": event, "data": data, "channel": channel})
        person.session.take(text.encode("utf-8", "surrogatepass"))
        person.session.end()
        self.assertIsNone(person.closed)
        self.assertLessEqual(len(person.take()), 1)
        self.assertEqual(self.channels.count, 0)


class Subscriptions(SessionCase):
    def test_to_the_channel_of_a_session(self) -> None:
        self.anna.subscribe()
        [(name, data)] = self.anna.take()
        self.assertEqual(name, "subscription_succeeded")
        self.assertEqual(data["presence"]["hash"], {"anna": {"name": "A"}})
        self.bert.subscribe(user_id="bert")
        self.assertEqual(self.anna.names(), ["member_added"])

    def test_to_a_private_channel(self) -> None:
        self.anna.subscribe(PRIVATE)
        self.assertEqual(self.anna.take(), [("subscription_succeeded", {})])

    def test_signatures_of_something_else(self) -> None:
        for other in (
            {"auth": ""},
            {"auth": None},
            {"auth": "app-key:" + "0" * 64},
            {"auth": self.bert.signer.sign_channel("2.2", CHANNEL, '{"user_id":"anna"}')},
            {"channel_data": '{"user_id":"bert"}'},
            {"channel_data": None},
            {"auth": self.anna.signer.sign_channel("1.1", PRIVATE)},
        ):
            self.anna.subscribe(**other)
            self.assertRefused(self.anna, 401, "signature")
        self.assertEqual(self.channels.count, 0)

    def test_channels_that_are_not_there(self) -> None:
        for channel in (
            "public",
            "presence-apptuner.x",
            "presence-other." + "ab" * 32,
            "private-x",
        ):
            self.anna.subscribe(channel)
            self.assertRefused(self.anna, 403, "presence-apptuner.SHA256")
        self.anna.subscribe("private-encrypted-apptuner.x")
        self.assertRefused(self.anna, 403, "encrypted")

    def test_signed_nonsense(self) -> None:
        for data in ("[]", "x", "{}", '{"user_id":""}', '{"user_id":{}}'):
            auth = self.anna.signer.sign_channel("1.1", CHANNEL, data)
            self.anna.subscribe(auth=auth, channel_data=data)
            self.assertRefused(self.anna, 401, "channel_data")

    def test_too_many_channels(self) -> None:
        for number in range(MOST_CHANNELS):
            self.anna.subscribe(f"{PRIVATE}{number}")
        self.anna.take()
        self.anna.subscribe(PRIVATE)
        self.assertRefused(self.anna, CLOSE_OVER_CAPACITY, "100 channels")
        self.anna.say("pusher:unsubscribe", data={"channel": f"{PRIVATE}0"})
        self.anna.subscribe(PRIVATE)
        self.assertEqual(self.anna.names(), ["subscription_succeeded"])

    def test_a_full_channel(self) -> None:
        for number in range(MOST_MEMBERS):
            other = Person("3.3", self.channels, self.clock)
            self.channels.enter(CHANNEL, other.session, LocalMember(str(number), {}))
        self.anna.subscribe()
        self.assertRefused(self.anna, CLOSE_OVER_CAPACITY, "full")
        self.anna.say("client-x", channel=CHANNEL, data={})
        self.assertComplains(self.anna, ERROR_REJECTED)

    def test_leaving(self) -> None:
        self.anna.subscribe()
        self.bert.subscribe(user_id="bert")
        self.anna.take(), self.bert.take()
        self.anna.say("pusher:unsubscribe", data={"channel": CHANNEL})
        self.assertEqual((self.anna.take(), self.bert.names()), ([], ["member_removed"]))
        self.anna.say("pusher:unsubscribe", data={"channel": CHANNEL})
        self.bert.session.end()
        self.bert.session.end()
        self.assertEqual((self.anna.take(), self.channels.count), ([], 0))


class Events(SessionCase):
    def setUp(self) -> None:
        super().setUp()
        self.listener = FakeListener()
        self.channels.subscribe(CHANNEL, self.listener)
        self.anna.subscribe()
        self.bert.subscribe(user_id="bert")
        self.clock.advance(0)
        self.anna.take(), self.bert.take(), self.listener.take()

    def test_to_the_others_and_to_the_gateway(self) -> None:
        self.anna.say("client-x", channel=CHANNEL, data={"a": 1})
        self.anna.say("client-x", channel=CHANNEL, data='{"a":2}')
        self.assertEqual(self.bert.take(), [("client-x", {"a": 1}), ("client-x", '{"a":2}')])
        self.assertEqual(
            self.listener.take(),
            [
                ("event", "client-x", '{"a": 1}', "anna"),
                ("event", "client-x", '{"a":2}', "anna"),
            ],
        )
        self.assertEqual(self.anna.take(), [])

    def test_from_outside(self) -> None:
        stranger = Person("3.3", self.channels, self.clock)
        for channel in (CHANNEL, PRIVATE):
            stranger.say("client-x", channel=channel, data={})
            self.assertComplains(stranger, ERROR_REJECTED, "not in that channel")
        stranger.say("client-x", data={})
        self.assertComplains(stranger, ERROR_REJECTED)
        self.assertEqual(self.listener.take(), [])

    def test_too_long(self) -> None:
        most = "x" * (MOST_DATA_BYTES - 2)
        self.anna.say("client-x", channel=CHANNEL, data=most)
        self.assertEqual(self.bert.take(), [("client-x", most)])
        self.anna.say("client-x", channel=CHANNEL, data=most + "x")
        self.assertComplains(self.anna, ERROR_REJECTED, "10240 bytes")

    def test_too_many(self) -> None:
        for _ in range(EVENTS_PER_S):
            self.anna.say("client-x", channel=CHANNEL, data={})
        self.assertEqual(self.anna.take(), [])
        self.anna.say("client-x", channel=CHANNEL, data={})
        self.assertComplains(self.anna, ERROR_REJECTED, "10 a second")
        self.bert.say("client-x", channel=CHANNEL, data={})
        self.clock.advance(0.1)
        self.anna.say("client-x", channel=CHANNEL, data={})
        self.assertEqual(len(self.listener.take()), EVENTS_PER_S + 2)
