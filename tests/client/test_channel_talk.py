"""`apptuner_relay.client.channel_talk`: what a client makes of a channel's events."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.channel_talk import ChannelMemory, ChannelTalk

ME = "mobile:00000000000a:ann"
RELAY = "relay:0123456789ab:a"
OTHER_RELAY = "relay:0123456789ac:b"
SHA256 = "a" * 64


def event(n: int, *messages: dict[str, Any], to: Any = "phones", epoch: str = "0a0b0c0d") -> str:
    return json.dumps({"epoch": epoch, "n": n, "to": to, "messages": messages})


class TalkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.memory = ChannelMemory()
        self.talk = ChannelTalk("ABC234", ME, self.memory)

    def hear(self, n: int, *messages: dict[str, Any], sender: str | None = RELAY,
             **more: Any) -> list[str]:  # fmt: skip
        return [one["type"] for one in self.talk.hear(sender, event(n, *messages, **more))]

    def test_it_hears_what_is_for_it(self) -> None:
        for to, heard in (
            ("phones", ["x"]), ([ME], ["x"]), (["someone", ME], ["x"]), ("desktop", []),
            (["someone"], []), (None, []),
        ):  # fmt: skip
            talk = ChannelTalk("ABC234", ME, self.memory)
            said = talk.hear(RELAY, event(1, {"type": "x"}, to=to))
            self.assertEqual([one["type"] for one in said], heard, to)

    def test_only_a_relay_is_believed(self) -> None:
        self.assertEqual(self.hear(1, {"type": "x"}, sender="cli:00000000000b:"), [])
        self.assertEqual(self.hear(1, {"type": "x"}, sender=None), ["x"])

    def test_rubbish_is_passed_over(self) -> None:
        for data in (
            "",
            "null",
            "[]",
            "{}",
            '{"epoch":"0a0b0c0d","n":1}',
            event(0),
            event(1, epoch="x"),
        ):
            self.assertEqual(self.talk.hear(RELAY, data), [])
        self.assertEqual(self.hear(1, {"no": "type"}, {"type": 5}, {"type": "x"}), ["x"])

    def test_what_is_lost_has_it_ask_for_the_state(self) -> None:
        self.hear(7, {"type": "x"})
        self.hear(8, to="desktop")
        self.assertFalse(self.talk.wants_state)
        self.assertEqual(self.hear(10, {"type": "y"}), ["y"])
        self.assertTrue(self.talk.wants_state)
        asked = json.loads(self.talk.ask_for_state())
        self.assertEqual([one["type"] for one in asked["messages"]], ["state_wanted"])
        self.assertFalse(self.talk.wants_state)

    def test_a_relay_that_begins_anew_may_have_said_more(self) -> None:
        self.hear(1)
        self.hear(1, epoch="0a0b0c0e")
        self.assertTrue(self.talk.wants_state)

    def test_another_relay_may_have_said_more(self) -> None:
        self.hear(1)
        self.hear(1, sender=OTHER_RELAY)
        self.assertTrue(self.talk.wants_state)

    def test_what_comes_again_is_heard_once(self) -> None:
        self.assertEqual(self.hear(2, {"type": "x"}), ["x"])
        self.assertEqual(self.hear(2, {"type": "x"}), [])
        self.assertEqual(self.hear(1, {"type": "x"}), [])

    def test_a_bundle_is_at_the_relays_own_address_whatever_the_service_says(self) -> None:
        for n, url in enumerate(("/bundles/{session}/x", "https://evil.example/{session}", 5), 1):
            bundle = {"type": "bundle_available", "sha256": SHA256, "url": url}
            [heard] = self.talk.hear(RELAY, event(n, bundle))
            self.assertEqual(heard["url"], f"/bundles/ABC234/{SHA256}")

    def test_a_bundle_without_a_sha256_is_nowhere(self) -> None:
        for n, sha256 in enumerate(("../../x", "aa", None, 5), 1):
            bundle = {"type": "bundle_available", "sha256": sha256, "url": "/bundles/x"}
            [heard] = self.talk.hear(RELAY, event(n, bundle))
            self.assertNotIn("url", heard)

    def test_a_state_says_what_is_new(self) -> None:
        bundle = {"sha256": SHA256, "url": f"/bundles/{{session}}/{SHA256}", "size": 1}
        state = {"type": "state", "devices": [], "bundle": bundle}
        said = self.talk.hear(RELAY, event(1, state))
        self.assertEqual([one["type"] for one in said], ["device_list", "bundle_available"])
        self.assertEqual(said[1]["url"], f"/bundles/ABC234/{SHA256}")
        # Over another connection, too.
        self.talk = ChannelTalk("ABC234", ME, self.memory)
        self.assertEqual(self.hear(2, state), ["device_list"])
        state["bundle"] = {**bundle, "sha256": "b" * 64}
        self.assertEqual(self.hear(3, state), ["device_list", "bundle_available"])
        self.assertEqual(self.hear(4, {"type": "state", "bundle": None, "devices": 5}), [])

    def test_it_numbers_what_it_says(self) -> None:
        first, second = (json.loads(self.talk.say("x", {"a": n})) for n in (1, 2))
        self.assertEqual((first["n"], second["n"]), (1, 2))
        self.assertEqual(first["epoch"], second["epoch"])
        self.assertEqual(second["messages"], [{"type": "x", "a": 2}])
        self.assertNotIn("to", first)

    def test_it_tells_its_last_acknowledgement(self) -> None:
        def told() -> object:
            return json.loads(self.talk.tell_state())["messages"][0]["ack"]

        self.assertIsNone(told())
        self.talk.say("bundle_ack", {"success": False})
        self.talk.say("bundle_ack", {"success": True})
        self.talk = ChannelTalk("ABC234", ME, self.memory)
        self.assertEqual(told(), {"type": "bundle_ack", "success": True})
