"""`apptuner_relay.client.newcomers`: who has to be sent what is there."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.newcomers import GRACE_SECONDS, LONG_GRACE_SECONDS, Newcomers


class NewcomersTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.due = 0
        self.newcomers = Newcomers(self.clock, self.fell_due)

    def fell_due(self) -> None:
        self.due += 1

    def served(self) -> list[str | None]:
        """Everybody who is to be sent it now."""
        found = []
        while (one := self.newcomers.next()) is not None:
            found.append(one[0])
        return found

    def test_who_comes_is_sent_it(self) -> None:
        self.newcomers.came("ann")
        self.assertEqual(self.served(), [])
        self.clock.advance(GRACE_SECONDS)
        self.assertEqual((self.due, self.served()), (1, ["ann"]))
        self.newcomers.look("ann")
        self.clock.advance(LONG_GRACE_SECONDS)
        self.assertEqual(self.served(), [])

    def test_who_comes_again_may_have_lost_it(self) -> None:
        self.newcomers.sent_to({"ann"})
        self.newcomers.answered("ann")
        self.newcomers.look("ann")
        self.clock.advance(GRACE_SECONDS)
        self.assertEqual(self.served(), [])
        self.newcomers.came("ann")
        self.clock.advance(GRACE_SECONDS)
        self.assertEqual(self.served(), ["ann"])

    def test_who_has_it_from_the_relay(self) -> None:
        self.newcomers.came("ann")
        self.newcomers.answered("ann")
        self.clock.advance(GRACE_SECONDS)
        self.newcomers.came("ann")
        self.clock.advance(GRACE_SECONDS)
        self.assertEqual(self.served(), [])
        self.clock.advance(LONG_GRACE_SECONDS - GRACE_SECONDS)
        self.assertEqual(self.served(), ["ann"])

    def test_who_goes_needs_nothing(self) -> None:
        for phone in ("ann", "bob"):
            self.newcomers.came(phone)
        self.newcomers.went("ann")
        self.clock.advance(GRACE_SECONDS)
        self.newcomers.went("bob")
        self.assertEqual(self.served(), [])
        self.newcomers.went("nobody")

    def test_a_new_bundle_is_for_all_who_are_here(self) -> None:
        for phone in ("ann", "bob"):
            self.newcomers.came(phone)
        self.clock.advance(GRACE_SECONDS)
        self.newcomers.came("cid")
        self.newcomers.sent_to({"ann", "bob", "cid"})
        self.assertEqual((self.served(), self.clock.getDelayedCalls()), ([], []))

    def test_what_was_sent_before_the_connection_was_lost_may_not_have_arrived(self) -> None:
        self.newcomers.sent_to({"ann", "bob"})
        self.newcomers.answered("ann")
        self.newcomers.connection_lost()
        for phone in ("ann", "bob"):
            self.newcomers.look(phone)
        self.clock.advance(GRACE_SECONDS)
        self.assertEqual(self.served(), ["bob"])

    def test_phones_without_names(self) -> None:
        self.newcomers.came(None)
        self.newcomers.came(None)
        self.clock.advance(GRACE_SECONDS)
        self.assertEqual(self.served(), [None])
        self.newcomers.came(None)
        self.clock.advance(GRACE_SECONDS)
        self.assertEqual(self.served(), [None])
