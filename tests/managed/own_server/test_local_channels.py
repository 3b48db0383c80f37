"""`managed.own_server.local_channels`: who is in a channel, and hears what."""

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.own_server.local_channels import (
    MOST_MEMBERS,
    ChannelFull,
    LocalChannels,
    LocalMember,
)
from apptuner_relay.managed.protocol.channel_service import ChannelService
from tests.managed.service.fake_listener import FakeListener

CHANNEL = "presence-apptuner.x"
ANNA, BERT = LocalMember("anna", {"name": "Anna"}), LocalMember("bert", {})


class Reader:
    """A client's connection."""

    def __init__(self) -> None:
        self._frames: list[bytes] = []

    def deliver(self, frame: bytes) -> None:
        self._frames.append(frame)

    def take(self) -> list[Any]:
        """Each message since the last call, as ``(event without prefix, data, user_id)``."""
        frames, self._frames = self._frames, []
        taken = []
        for frame in map(json.loads, frames):
            data = frame["data"]
            name = frame["event"].removeprefix("pusher_internal:")
            if name != frame["event"]:
                data = json.loads(data)
            taken.append((name, data, frame.get("user_id")))
        return taken

    def events(self) -> list[str]:
        """The names alone."""
        return [name for name, _, _ in self.take()]


class LocalCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.occupied: list[str] = []

        def note(service: ChannelService, channel: str) -> None:
            self.assertIs(service, self.channels)
            self.occupied.append(channel)

        self.channels = LocalChannels(self.clock, "node-1", note)
        self.listener = FakeListener()

    def enter(self, member: LocalMember | None, channel: str = CHANNEL) -> Reader:
        reader = Reader()
        self.channels.enter(channel, reader, member)
        return reader

    def listen(self) -> None:
        self.channels.subscribe(CHANNEL, self.listener)
        self.clock.advance(0)


class Members(LocalCase):
    def test_who_comes_hears_who_is_there(self) -> None:
        anna, bert = self.enter(ANNA), self.enter(BERT)
        self.assertEqual(anna.events(), ["subscription_succeeded", "member_added"])
        [(_, data, _)] = bert.take()
        self.assertEqual(
            data["presence"],
            {"ids": ["anna", "bert"], "hash": {"anna": {"name": "Anna"}, "bert": {}}, "count": 2},
        )

    def test_who_stays_hears_who_leaves(self) -> None:
        anna, bert = self.enter(ANNA), self.enter(BERT)
        bert.take()
        self.channels.leave(CHANNEL, anna)
        self.channels.leave(CHANNEL, anna)
        self.assertEqual(bert.take(), [("member_removed", {"user_id": "anna"}, None)])

    def test_one_user_of_two_connections(self) -> None:
        bert = self.enter(BERT)
        first, second = self.enter(ANNA), self.enter(ANNA)
        self.assertEqual(bert.events(), ["subscription_succeeded", "member_added"])
        self.channels.leave(CHANNEL, first)
        self.assertEqual(bert.events(), [])
        self.channels.leave(CHANNEL, second)
        self.assertEqual(bert.events(), ["member_removed"])

    def test_a_connection_that_comes_twice(self) -> None:
        bert, anna = self.enter(BERT), self.enter(ANNA)
        bert.take(), anna.take()
        self.channels.enter(CHANNEL, anna, ANNA)
        self.assertEqual((anna.events(), bert.events()), (["subscription_succeeded"], []))
        self.channels.enter(CHANNEL, anna, LocalMember("anna-2", {}))
        self.assertEqual(bert.events(), ["member_removed", "member_added"])

    def test_a_channel_is_full(self) -> None:
        readers = [self.enter(LocalMember(f"u{number}", {})) for number in range(MOST_MEMBERS)]
        self.assertRaises(ChannelFull, self.enter, ANNA)
        self.enter(LocalMember("u1", {}))
        self.channels.leave(CHANNEL, readers[0])
        self.enter(ANNA)

    def test_a_private_channel_shows_nobody(self) -> None:
        one, other = self.enter(None, "private-x"), self.enter(None, "private-x")
        self.assertEqual(one.take(), [("subscription_succeeded", {}, None)])
        self.channels.leave("private-x", other)
        self.assertEqual(one.take(), [])
        self.assertEqual(self.occupied, [])

    def test_nothing_is_left_of_an_empty_channel(self) -> None:
        self.listen()
        anna = self.enter(ANNA)
        self.channels.leave(CHANNEL, anna)
        self.assertEqual(self.channels.count, 1)
        self.channels.unsubscribe(CHANNEL)
        self.assertEqual(self.channels.count, 0)


class Events(LocalCase):
    def test_to_everybody_else(self) -> None:
        anna, bert = self.enter(ANNA), self.enter(BERT)
        other = self.enter(ANNA, f"{CHANNEL}y")
        anna.take(), bert.take(), other.take()
        self.channels.pass_on(CHANNEL, anna, "client-x", '{"a": 1e400}', '{"a": 1e400}')
        self.assertEqual(anna.take() + other.take(), [])
        self.assertEqual(bert.take(), [("client-x", {"a": float("inf")}, "anna")])

    def test_of_a_private_channel_nobody_vouches_for_the_sender(self) -> None:
        one, other = self.enter(None, "private-x"), self.enter(None, "private-x")
        one.take(), other.take()
        self.channels.pass_on("private-x", one, "client-x", '"text"', "text")
        self.assertEqual(other.take(), [("client-x", "text", None)])

    def test_who_is_not_there_says_nothing(self) -> None:
        anna = self.enter(ANNA)
        anna.take()
        self.channels.pass_on(CHANNEL, Reader(), "client-x", "1", "1")
        self.assertEqual(anna.take(), [])


class TheGateway(LocalCase):
    """The relay itself is in the channel."""

    def test_it_is_told_that_somebody_comes(self) -> None:
        self.enter(ANNA)
        self.assertEqual(self.occupied, [CHANNEL])
        self.listen()
        self.enter(BERT)
        self.assertEqual(self.occupied, [CHANNEL])

    def test_it_is_told_that_somebody_is_about_to_come(self) -> None:
        self.channels.expect(CHANNEL)
        self.assertEqual(self.occupied, [CHANNEL])
        self.listen()
        self.channels.expect(CHANNEL)
        self.enter(ANNA)
        self.assertEqual(self.occupied, [CHANNEL])

    def test_it_is_a_member_like_others(self) -> None:
        anna = self.enter(ANNA)
        anna.take()
        self.listen()
        [(name, data, _)] = anna.take()
        self.assertEqual(name, "member_added")
        self.assertRegex(data["user_id"], r"\Arelay:[0-9a-f]{12}:node-1\Z")
        [(_, members)] = self.listener.take()
        self.assertEqual(members, {data["user_id"]: {}, "anna": {"name": "Anna"}})
        bert = self.enter(BERT)
        [(_, seen, _)] = bert.take()
        self.assertEqual(seen["presence"]["ids"], [data["user_id"], "anna", "bert"])
        self.channels.unsubscribe(CHANNEL)
        self.assertEqual(bert.take(), [("member_removed", {"user_id": data["user_id"]}, None)])

    def test_it_hears_of_all(self) -> None:
        self.listen()
        self.listener.take()
        anna = self.enter(ANNA)
        self.channels.pass_on(CHANNEL, anna, "client-x", '"{\\"a\\":1}"', '{"a":1}')
        self.channels.leave(CHANNEL, anna)
        self.assertEqual(
            self.listener.take(),
            [
                ("added", "anna", {"name": "Anna"}),
                ("event", "client-x", '{"a":1}', "anna"),
                ("removed", "anna"),
            ],
        )

    def test_it_is_told_in_the_next_turn(self) -> None:
        self.channels.subscribe(CHANNEL, self.listener)
        anna = self.enter(ANNA)
        self.channels.pass_on(CHANNEL, anna, "client-x", "{}", "{}")
        self.assertFalse(self.channels.publish(CHANNEL, "client-x", "{}"))
        self.assertEqual(self.listener.take(), [])
        self.clock.advance(0)
        [(name, members)] = self.listener.take()
        self.assertEqual((name, "anna" in members), ("subscribed", True))  # type: ignore[operator]

    def test_it_leaves_before_that(self) -> None:
        self.channels.subscribe(CHANNEL, self.listener)
        self.channels.unsubscribe(CHANNEL)
        self.channels.unsubscribe(CHANNEL)
        self.clock.advance(0)
        self.assertEqual((self.listener.take(), self.channels.count), ([], 0))

    def test_what_it_publishes(self) -> None:
        self.assertFalse(self.channels.publish(CHANNEL, "client-x", "{}"))
        self.listen()
        anna, bert = self.enter(ANNA), self.enter(BERT)
        anna.take(), bert.take(), self.listener.take()
        self.assertTrue(self.channels.publish(CHANNEL, "client-x", '{"a":1}'))
        for reader in (anna, bert):
            [(name, data, user_id)] = reader.take()
            self.assertEqual((name, data), ("client-x", {"a": 1}))
            self.assertTrue(user_id.startswith("relay:"))
        self.assertEqual(self.listener.take(), [])

    def test_which_channels_are_occupied(self) -> None:
        self.listen()
        self.enter(ANNA, f"{CHANNEL}y")
        self.enter(None, "private-x")
        found = self.successResultOf(self.channels.occupied("presence-"))
        self.assertEqual(found, [f"{CHANNEL}y"])
