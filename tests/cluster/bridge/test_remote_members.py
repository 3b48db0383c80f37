"""The clients of a relay whose sessions are elsewhere, and their states as sessions move."""

from apptuner_relay.cluster.bridge.placement_states import PlacementState
from apptuner_relay.cluster.bridge.remote_member import RemoteMember
from apptuner_relay.session.session import Arrival, session_hash
from tests.cluster.harness import KEY, SESSION, ClusterCase, ClusterRelay


class RemoteMembersTest(ClusterCase):
    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.relays("ab")
        self.cli = self.connect(self.a, "cli")
        self.phone = self.connect(self.b, "mobile?deviceId=d1")

    def remote(self, relay: ClusterRelay) -> RemoteMember:
        (one,) = relay.placement.remotes
        return one

    def test_which_there_are(self) -> None:
        remotes = self.b.placement.remotes
        self.assertEqual((len(remotes), list(remotes.sessions)), (1, [KEY]))
        self.assertEqual(remotes.in_session(KEY), (self.remote(self.b),))
        self.assertEqual(remotes.in_session("0" * 64), ())
        self.assertNotIn("0" * 64, remotes)
        self.assertEqual(len(self.a.placement.remotes), 0)

    def test_one_that_disconnects(self) -> None:
        remote = self.remote(self.b)
        self.assertIs(remote.state, PlacementState.REMOTE)
        self.phone.lose()
        self.turn()
        self.assertIs(remote.state, PlacementState.GONE)
        self.assertEqual(len(self.b.placement.remotes), 0)
        self.assertNotIn(KEY, self.b.placement.remotes)

    def test_its_session_moves_to_its_own_relay(self) -> None:
        remote = self.remote(self.b)
        self.a.stop()
        self.turn(0.5)
        self.assertEqual(self.owner, "b")
        self.assertIs(remote.state, PlacementState.LOCAL)
        self.assertEqual(len(self.b.placement.remotes), 0)
        # The CLI, a member until then, has become one.
        self.assertIn(self.remote(self.a).state, (PlacementState.REMOTE, PlacementState.HALTED))

    def test_its_session_moves_while_its_new_owner_is_out_of_reach(self) -> None:
        c = self.cluster.relay("c")
        late = self.connect(c, "mobile?deviceId=d2")
        self.network.refused |= {("c", "b"), ("a", "c")}
        self.a.stop()
        self.turn(0.5)
        self.assertIs(self.remote(c).state, PlacementState.MOVING)
        self.network.refused.clear()
        self.turn(2)
        self.assertIs(self.remote(c).state, PlacementState.REMOTE)
        self.assertIsNone(self.closed(late))

    def test_its_owner_fails(self) -> None:
        remote = self.remote(self.b)
        self.cluster.kill(self.a, at_once=False)
        self.turn(0.1)
        self.assertIs(remote.state, PlacementState.LOST)
        self.turn(10)
        self.assertEqual(self.owner, "b")
        self.assertIs(remote.state, PlacementState.LOCAL)

    def test_its_session_closes_it(self) -> None:
        """The link stays until the other relay has got all that the client has sent."""
        remote = self.remote(self.b)
        kicking = self.a.placement.directory.kick(KEY, "mobile", "be gone")
        self.turn()
        self.successResultOf(kicking)
        self.assertEqual(self.closed(self.phone), 1000)
        self.assertIn(remote.state, (PlacementState.CLOSING, PlacementState.GONE))
        self.phone.answer_close()
        self.turn()
        self.assertIs(remote.state, PlacementState.GONE)
        self.assertEqual(len(self.b.placement.remotes), 0)

    def test_what_it_has_sent_is_delivered_before_the_relay_ends(self) -> None:
        (wire,) = self.network.between("a", "b")
        wire.is_stuck = True
        self.talk(self.phone, 1)
        self.phone.lose()
        self.turn()
        self.assertEqual(self.b.placement.remotes.undelivered_sessions(), {KEY})
        wire.is_stuck = False
        self.turn()
        self.assertEqual(self.heard(self.cli), [1])
        self.turn(1)
        self.assertEqual(self.b.placement.remotes.undelivered_sessions(), set())


OTHER = session_hash("OTHER1")


class MembersCase(ClusterCase):
    """Relay a has two sessions, of which b has clients."""

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.relays("ab")
        self.remotes = self.b.placement.remotes
        for session in (SESSION, "OTHER1"):
            self.cluster.connect(self.a, f"/cli/{session}")
        self.phones = [
            self.cluster.connect(self.b, f"/mobile/{session}?deviceId=d{n}")
            for n, session in enumerate((SESSION, SESSION, "OTHER1"))
        ]


class Listing(MembersCase):
    def test_by_session(self) -> None:
        self.assertEqual(len(self.remotes), 3)
        self.assertEqual(self.remotes.sessions, {KEY, OTHER})
        self.assertEqual(len(self.remotes.in_session(KEY)), 2)
        self.assertEqual(
            set(self.remotes), {*self.remotes.in_session(KEY), *self.remotes.in_session(OTHER)}
        )
        self.assertEqual(self.remotes.in_session("0" * 64), ())
        # To ask for one makes none.
        self.assertNotIn("0" * 64, self.remotes)

    def test_the_last_of_a_session(self) -> None:
        self.phones[0].lose()
        self.assertIn(KEY, self.remotes)
        self.phones[1].lose()
        self.assertNotIn(KEY, self.remotes)
        self.assertEqual(len(self.remotes), 1)

    def test_they_count_as_connections_of_this_relay(self) -> None:
        self.assertEqual(self.b.service.connections, 3)
        self.assertEqual(self.a.service.connections, 2)


class Delivering(MembersCase):
    """Clients that have gone, and not all that they have sent has."""

    def test_until_it_has_arrived(self) -> None:
        for wire in self.cluster.wires:
            wire.is_stuck = True
        self.talk(self.phones[0], 1)
        self.phones[0].lose()
        self.assertEqual(self.remotes.undelivered_sessions(), {KEY})
        for wire in self.cluster.wires:
            wire.is_stuck = False
        self.turn(1)
        self.assertEqual(self.remotes.undelivered_sessions(), set())

    def test_or_can_not(self) -> None:
        for wire in self.cluster.wires:
            wire.is_stuck = True
        self.talk(self.phones[2], 1)
        self.phones[2].lose()
        self.network.reset("a", "b")
        self.turn()
        self.assertEqual(self.remotes.undelivered_sessions(), set())


class Replacing(MembersCase):
    """A member of a session that leaves becomes a remote member."""

    def test_with_the_connection_it_has(self) -> None:
        for arrival, state in (
            (Arrival.MOVED, PlacementState.MOVING),
            (Arrival.RECOVERED, PlacementState.LOST),
        ):
            phone = self.cluster.connect(self.a, f"/mobile/{SESSION}?deviceId={arrival.value}")
            member = self.a.service.sessions[KEY].mobiles[-1]
            member.halt()
            remote = self.a.placement.remotes.replace(member, arrival)
            self.assertIs(remote.state, state)
            self.assertIs(remote.connection, member.connection)
            self.assertIs(remote.admission.arrival, arrival)
            self.assertNotIn(member, self.a.service.sessions[KEY].members)
            self.assertIn(KEY, self.a.placement.remotes)
            self.talk(phone, 1)
            self.turn()
            # It waits for its place.
            self.assertEqual(phone.transport.producerState, "paused")
            phone.lose()
            self.assertNotIn(KEY, self.a.placement.remotes)
