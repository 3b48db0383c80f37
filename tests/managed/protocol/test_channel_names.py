"""`managed.protocol.channel_names`: which session a channel is of."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.protocol.channel_names import (
    channel_of,
    is_channel_name,
    session_hash_of,
    start_of_channels,
)

HASH = "e0bf8ed4" * 8


class ChannelNames(SynchronousTestCase):
    def test_a_channel_is_its_sessions(self) -> None:
        channel = channel_of("apptuner", HASH)
        self.assertEqual(channel, f"presence-apptuner.{HASH}")
        self.assertTrue(is_channel_name(channel))
        self.assertTrue(channel.startswith(start_of_channels("apptuner")))
        self.assertEqual(session_hash_of("apptuner", channel), HASH)

    def test_the_longest_prefix_fits(self) -> None:
        self.assertTrue(is_channel_name(channel_of("x" * 64, HASH)))

    def test_a_channel_of_something_else(self) -> None:
        for channel in (
            "",
            HASH,
            f"presence-apptuner{HASH}",
            f"presence-apptune.{HASH}",
            f"presence-apptuner.x.{HASH}",
            f"private-apptuner.{HASH}",
            f"presence-apptuner.{HASH[1:]}",
            f"presence-apptuner.{HASH}0",
            f"presence-apptuner.{HASH.upper()}",
            f"presence-apptuner.{HASH}\n",
        ):
            self.assertIsNone(session_hash_of("apptuner", channel), channel)

    def test_characters_and_length(self) -> None:
        self.assertTrue(is_channel_name("aZ09_-=@,.;"))
        self.assertTrue(is_channel_name("x" * 164))
        for name in ("", "x" * 165, "a b", "a:b", "#a", "a/b", "é", "a\n"):
            self.assertFalse(is_channel_name(name), name)

    @given(st.text(max_size=80))
    def test_anything_may_be_asked_about(self, text: str) -> None:
        self.assertIsNone(session_hash_of("apptuner", text))
