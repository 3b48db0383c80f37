"""`apptuner_relay.relay.hooks`: what a relay asks of parts above it."""

from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay.hooks import RelayHooks
from apptuner_relay.relay.interfaces import Placement
from apptuner_relay.relay.member import Member


class Hooks(SynchronousTestCase):
    def setUp(self) -> None:
        self.hooks = RelayHooks()

    def test_a_relay_that_is_alone_has_nothing_to_wait_for(self) -> None:
        self.assertIsNone(self.hooks.placement)
        self.assertEqual((self.hooks.downloads, self.hooks.silent_connections), (0, 0))
        self.assertEqual(self.hooks.undelivered, frozenset())

    def test_counts_are_added_up_when_they_are_asked_for(self) -> None:
        counts = [1, 2]
        self.hooks.subscribe_downloads(lambda: counts[0])
        self.hooks.subscribe_downloads(lambda: counts[1])
        self.hooks.subscribe_silent_connections(lambda: counts[1])
        self.assertEqual((self.hooks.downloads, self.hooks.silent_connections), (3, 2))
        counts[:] = [0, 5]
        self.assertEqual((self.hooks.downloads, self.hooks.silent_connections), (5, 5))

    def test_sessions_are_put_together(self) -> None:
        self.hooks.subscribe_undelivered(lambda: {"a", "b"})
        self.hooks.subscribe_undelivered(lambda: {"b", "c"})
        self.assertEqual(self.hooks.undelivered, {"a", "b", "c"})

    def test_there_is_one_placement(self) -> None:
        placement = cast(Placement, object())
        self.hooks.subscribe_placement(placement)
        self.assertIs(self.hooks.placement, placement)
        self.assertRaises(ValueError, self.hooks.subscribe_placement, placement)
        self.assertIs(self.hooks.placement, placement)

    def test_who_asks_hears_of_users_of_channels(self) -> None:
        joined: list[Member] = []
        member = cast(Member, object())
        self.hooks.channel_user_joined(member)
        self.hooks.subscribe_channel_users(joined.append)
        self.hooks.channel_user_joined(member)
        self.assertEqual(joined, [member])
