"""How a client finds its place: whom it asks, how often, and what it is told when there is none."""

from typing import Any

from twisted.internet.defer import Deferred

from apptuner_relay.cluster.bridge.hosts import NotHere
from apptuner_relay.relay.interfaces import no_claim
from apptuner_relay.session.session import BadRequest, Role
from tests.cluster.harness import KEY, LEASE_S, SESSION, ClusterCase, ClusterRelay


class FinderCase(ClusterCase):
    """Relay a has the session; clients come in at b."""

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.relays("ab", max_mobiles=1)
        self.cli = self.connect(self.a, "cli")

    def find(self, relay: ClusterRelay, for_s: float = 5.0) -> "Deferred[Any]":
        """Look for the place of a phone."""
        admission = relay.service.admit(Role.MOBILE, SESSION, "")
        until_s = self.cluster.clock.seconds() + for_s
        finder = relay.placement._finder
        finding = Deferred.fromCoroutine(finder.find(admission, until_s))
        self.turn()
        return finding

    def receive(self, relay: ClusterRelay) -> "Deferred[Any]":
        """Look for the place of a phone that is connected to another relay."""
        admission = self.b.service.admit(Role.MOBILE, SESSION, "")
        receiving = relay.placement.receive(admission)
        self.turn()
        return receiving

    def tearDown(self) -> None:
        """However it ended, nobody is expected any more."""
        self.turn(20)
        for relay in (self.a, self.b):
            self.assertNotIn(KEY, relay.placement.pending)
            self.assertNotIn(KEY, relay.placement.entering)


class Finding(FinderCase):
    def test_here(self) -> None:
        place = self.successResultOf(self.find(self.a))
        self.assertTrue(place.is_here)
        self.assertIn(KEY, self.a.placement.entering)
        place.abandon()

    def test_there(self) -> None:
        place = self.successResultOf(self.find(self.b))
        self.assertFalse(place.is_here)
        self.assertIn(KEY, self.b.placement.pending)
        self.assertEqual(len(self.a.service.sessions[KEY].mobiles), 1)
        place.abandon()
        self.turn()
        self.assertEqual(self.a.service.sessions[KEY].mobiles, ())

    def test_an_owner_is_tried_again_until_it_is_too_late(self) -> None:
        self.network.refused.add(("b", "a"))
        finding = self.find(self.b, 5)
        self.turn(4)
        self.assertNoResult(finding)
        self.turn(3)
        refusal = self.failureResultOf(finding, BadRequest).value
        self.assertEqual(refusal.status, 503)

    def test_an_owner_that_is_back_in_time(self) -> None:
        self.network.refused.add(("b", "a"))
        finding = self.find(self.b, 5)
        self.turn(3)
        self.network.refused.clear()
        self.turn(1.5)
        self.successResultOf(finding).abandon()

    def test_another_owner_in_time(self) -> None:
        self.cluster.kill(self.a, at_once=False)
        finding = self.find(self.b, LEASE_S + 3)
        self.turn(LEASE_S + 2)
        place = self.successResultOf(finding)
        self.assertTrue(place.is_here)
        place.abandon()

    def test_it_is_not_tried_so_often_that_it_would_be_a_load(self) -> None:
        self.network.refused.add(("b", "a"))
        tried: list[float] = []
        refused = self.network.refused

        class Counted(set[tuple[str, str]]):
            def __contains__(self, pair: object) -> bool:
                tried.append(1)
                return pair in refused

        self.network.refused = Counted()
        finding = self.find(self.b, 10)
        self.turn(12)
        self.failureResultOf(finding, BadRequest)
        self.assertGreater(len(tried), 8)
        # Half of them see whether the process has ended.
        self.assertLess(len(tried), 40)

    def test_a_relay_that_ends_does_not_go_on(self) -> None:
        self.network.refused.add(("b", "a"))
        finding = self.find(self.b, 60)
        self.b.end()
        self.turn(3)
        self.failureResultOf(finding, BadRequest)

    def test_a_full_session(self) -> None:
        self.connect(self.a, "mobile?deviceId=d1")
        for relay in (self.a, self.b):
            finding = self.find(relay)
            self.turn(3)
            # Its phone, which answers no ping, has made room at last.
            outcome: list[Any] = []
            finding.addBoth(outcome.append)
            [found] = outcome
            if hasattr(found, "abandon"):
                found.abandon()
            else:
                self.assertEqual(found.value.status, 403)

    def test_while_its_session_is_about_to_leave_it_waits(self) -> None:
        admission = self.a.service.admit(Role.MOBILE, SESSION, "")
        place = self.successResultOf(self.a.placement.find(admission, no_claim))
        self.a.stop()
        self.turn(0.2)
        # Who has a place is waited for, and who comes behind it waits for the session to be gone.
        behind = self.b.service.admit(Role.MOBILE, SESSION, "")
        finding = Deferred.fromCoroutine(
            self.a.placement._finder.find(behind, self.cluster.clock.seconds() + 5)
        )
        self.turn(0.5)
        self.assertNoResult(finding)
        place.abandon()
        self.turn(1)
        found = self.successResultOf(finding)
        self.assertFalse(found.is_here)
        found.abandon()


class Receiving(FinderCase):
    def test_the_owner_takes_it(self) -> None:
        place = self.successResultOf(self.receive(self.a))
        self.assertTrue(place.is_here)
        place.abandon()

    def test_another_one_does_not_and_takes_no_lease(self) -> None:
        self.failureResultOf(self.receive(self.b), NotHere)
        self.assertEqual(self.owner, "a")

    def test_nobodys_session_is_this_relays_from_then_on(self) -> None:
        """Whoever is brought a client of it first has it."""
        self.cli.lose()
        self.turn(1)
        self.assertIsNone(self.owner)
        place = self.successResultOf(self.receive(self.a))
        self.assertEqual(self.owner, "a")
        place.abandon()
        self.turn()
        self.assertIsNone(self.owner)

    def test_while_it_is_about_to_leave(self) -> None:
        admission = self.a.service.admit(Role.MOBILE, SESSION, "")
        place = self.successResultOf(self.a.placement.find(admission, no_claim))
        self.a.stop()
        self.turn(0.2)
        self.failureResultOf(self.receive(self.a), NotHere)
        place.abandon()

    def test_after_the_end(self) -> None:
        self.a.placement.stopService()
        self.failureResultOf(self.receive(self.a), NotHere)
