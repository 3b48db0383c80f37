"""Places that were found for clients: taken by a client that has just connected, by one that waited
for it, or not at all."""

from typing import Any

from twisted.internet.defer import Deferred

from apptuner_relay.cluster.bridge.placement_states import PlacementState
from apptuner_relay.session.session import Arrival, BadRequest, Role
from tests.cluster.harness import KEY, SESSION, ClusterCase, ClusterRelay


class PlacesCase(ClusterCase):
    """A session of relay a's, and clients of b's that wait for a place in it."""

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.relays("ab")
        self.cli = self.connect(self.a, "cli")
        self.phone = self.connect(self.b, "mobile?deviceId=d1")
        [self.remote] = self.b.placement.remotes.in_session(KEY)

    def place(self, relay: ClusterRelay, query: str = "deviceId=d1") -> Any:
        """A place for one phone more, as a relay has found it."""
        admission = relay.service.admit(Role.MOBILE, SESSION, query)
        until_s = self.cluster.clock.seconds() + 5
        finding: list[Any] = []
        Deferred.fromCoroutine(relay.placement._finder.find(admission, until_s)).addCallback(
            finding.append
        )
        self.turn()
        [found] = finding
        return found

    def lose_link(self) -> None:
        """The phone waits for a place, and isn't given one by b itself."""
        self.patch(self.b.placement._relocations, "start", lambda remote: None)
        self.remote._on_lost = lambda remote: None
        self.remote.drop_link()
        self.assertIs(self.remote.state, PlacementState.LOST)

    def assertNobodyExpected(self) -> None:
        for relay in (self.a, self.b):
            self.assertNotIn(KEY, relay.placement.pending)
            self.assertNotIn(KEY, relay.placement.entering)


class Owned(PlacesCase):
    """In a session of this relay."""

    def test_nobody_takes_it(self) -> None:
        place = self.place(self.a)
        place.abandon()
        self.assertNobodyExpected()

    def test_it_is_checked_once_more_before_it_is_taken(self) -> None:
        place = self.place(self.a, "deviceId=new")
        place.check()
        for n in range(4):
            self.connect(self.a, f"mobile?deviceId=x{n}")
        self.assertRaises(BadRequest, place.check)
        place.abandon()
        self.assertNobodyExpected()

    def test_a_client_that_waited_becomes_a_member(self) -> None:
        self.cli.lose()
        self.turn()
        self.lose_link()
        self.turn(1)
        self.assertIsNone(self.owner)
        place = self.place(self.b)
        place.resume(self.remote)
        self.assertIs(self.remote.state, PlacementState.LOCAL)
        self.assertEqual((self.owner, self.b.placement.bridged_count), ("b", 0))
        self.assertNobodyExpected()
        cli = self.connect(self.b, "cli")
        self.assertMeet(cli, self.phone)


class Peer(PlacesCase):
    """In another relay's session."""

    def test_nobody_takes_it(self) -> None:
        place = self.place(self.b)
        self.assertIn(KEY, self.b.placement.pending)
        place.check()
        place.abandon()
        self.turn()
        self.assertNobodyExpected()
        self.assertEqual(len(self.a.service.sessions[KEY].mobiles), 0)

    def test_a_client_that_waited_goes_on(self) -> None:
        self.lose_link()
        self.turn()
        place = self.place(self.b)
        place.resume(self.remote)
        self.assertIs(self.remote.state, PlacementState.REMOTE)
        self.assertNobodyExpected()
        self.turn()
        self.cli.received()
        self.assertMeet(self.cli, self.phone)

    def test_its_link_was_lost_before_it_was_taken(self) -> None:
        self.lose_link()
        self.turn()
        place = self.place(self.b)
        self.network.reset("a", "b")
        self.turn()
        place.resume(self.remote)
        # It needs another one.
        self.assertIs(self.remote.state, PlacementState.LOST)
        self.assertIs(self.remote.admission.arrival, Arrival.RECOVERED)
        self.assertNobodyExpected()
