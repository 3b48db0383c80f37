"""`apptuner_relay.relay.client_registry`: how clients come into a session, move, and leave."""

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay.interfaces import ConnectedClient, DecideClaim, Place
from apptuner_relay.relay.member import Member
from apptuner_relay.session.session import Admission, Arrival, Role, session_hash
from tests.memory import Client, Relay

SECRET = "0123456789abcdef-secret"
HASH = session_hash("ABC234")


class Bridged:
    """A client whose session is another relay's, in the place of a member."""

    session = None
    through = None
    in_message = False
    settled = True

    def __init__(self, member: Member) -> None:
        self.admission = member.admission
        self.role, self.device, self.label = member.role, member.device, member.label
        self.connection = member.connection
        self.source, self.sink, self.reader = member.source, member.sink, member.reader
        self.bytes_in = 0
        self.taken: list[Any] = []

    def take_texts(self, texts: list[Any]) -> None:
        self.taken += map(bytes, texts)

    def take_alone(self, text: bytearray, now_s: float) -> bool:
        return False

    def flush(self) -> None: ...

    def gone(self, why: str) -> bool:
        return False


class Elsewhere:
    """A `Placement` that notes which sessions have ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    def find(self, admission: Admission, claim: DecideClaim) -> Deferred[Place]:
        raise NotImplementedError

    def left(self, session_hash: str) -> None:
        self.ended.append(session_hash)

    def drain(self, until_s: float) -> Deferred[None]:
        raise NotImplementedError


class RegistryCase(SynchronousTestCase):
    def start(self, **settings: Any) -> None:
        self.relay = Relay(**settings)
        self.registry = self.relay.service.registry

    def member(self, role: Role) -> Member:
        (member,) = (one for one in self.registry.clients if one.role is role)
        assert isinstance(member, Member)
        return member

    def code(self, client: Client) -> int | None:
        client.read()
        return client.closed and client.closed[0]


class Leaving(RegistryCase):
    def test_one_that_was_closed_counts_until_its_connection_is_gone(self) -> None:
        self.start()
        cli = self.relay.connect("/cli/ABC234")
        self.registry.retire(self.member(Role.CLI), 1008, "as it happens")
        self.assertEqual(self.registry.sessions, {})
        self.assertEqual(len(self.registry.clients), 1)
        cli.lose()
        self.assertEqual(self.registry.clients, set())

    def test_the_placement_hears_of_a_session_that_has_ended(self) -> None:
        self.start()
        clients = [self.relay.connect(f"/{role}/ABC234") for role in ("cli", "mobile")]
        elsewhere = Elsewhere()
        self.relay.hooks.subscribe_placement(elsewhere)
        clients[0].lose()
        self.assertEqual(elsewhere.ended, [])
        clients[1].lose()
        self.assertEqual(elsewhere.ended, [HASH])

    def test_a_session_is_closed_whole(self) -> None:
        self.start()
        clients = [self.relay.connect(f"/{role}/ABC234") for role in ("cli", "mobile")]
        other = self.relay.connect("/cli/OTHER")
        self.registry.close_session(self.registry.sessions[HASH], "The operator closed it")
        self.assertEqual([self.code(one) for one in (*clients, other)], [1000, 1000, None])
        self.assertEqual(list(self.registry.sessions), [session_hash("OTHER")])

    def test_a_claim_that_does_not_count_sends_away_those_that_used_it(self) -> None:
        self.start(claims=True)
        cli = self.relay.connect(f"/cli/ABC234?key={SECRET}")
        phone = self.relay.connect("/mobile/ABC234")
        other = self.relay.connect(f"/cli/OTHER?key={SECRET}")
        self.relay.service.access.lose_claim(HASH)
        self.assertEqual([self.code(one) for one in (cli, phone, other)], [1008, None, None])


class Moving(RegistryCase):
    def move_away(self) -> Bridged:
        """The CLI's session is elsewhere from now on."""
        member = self.member(Role.CLI)
        bridged = Bridged(member)
        session = member.session
        self.registry.replace(member, cast(ConnectedClient, bridged))
        self.registry.give_up(session)
        return bridged

    def test_away(self) -> None:
        self.start()
        cli = self.relay.connect("/cli/ABC234")
        cli.send(type="ping")
        before = self.member(Role.CLI).bytes_in
        bridged = self.move_away()
        self.assertEqual(self.registry.outbound, [bridged])
        self.assertEqual(self.registry.sessions, {})
        self.assertEqual(bridged.bytes_in, before)
        text = cli.send(type="reload")
        self.assertEqual(bridged.taken, [text])
        self.assertIsNone(self.code(cli))
        # It is counted as what it is: one client.
        self.assertEqual(self.relay.service.meters.counters.connections[Role.CLI], 1)

    def test_here(self) -> None:
        self.start()
        cli = self.relay.connect("/cli/ABC234")
        bridged = self.move_away()
        phone = self.relay.connect("/mobile/ABC234")
        bridged.bytes_in = 1000
        member = self.registry.adopt(cast(ConnectedClient, bridged), bridged.admission)
        self.assertEqual((self.registry.outbound, member.bytes_in), ([], 1000))
        cli.received()
        cli.send(type="reload")
        self.assertIn("reload", phone.types())
        self.assertEqual(self.relay.service.meters.counters.connections[Role.CLI], 1)

    def test_who_moved_here_is_not_welcomed_again(self) -> None:
        self.start()
        cli = self.relay.connect("/cli/ABC234")
        bridged = self.move_away()
        moved = Admission(Role.CLI, HASH, None, "", arrival=Arrival.MOVED)
        self.registry.adopt(cast(ConnectedClient, bridged), moved)
        self.assertEqual(cli.types(), [])

    def test_a_client_that_is_connected_in_another_way(self) -> None:
        self.start()
        cli = self.relay.connect("/cli/ABC234")
        phone = self.relay.connect("/mobile/ABC234?deviceId=d1")
        cli.received()
        before = self.member(Role.MOBILE)
        other = self.relay.connect("/mobile/ZZZ999")
        connection = other.protocol
        after = self.registry.reconnect(before, before.admission, connection)
        connection.serve(after)
        before.connection.close(1000, "connected in another way")
        self.assertEqual(self.registry.sessions[HASH].mobiles, (after,))
        cli.send(type="reload")
        self.assertEqual(other.types(), ["reload"])
        self.assertEqual((phone.types(), self.code(phone)), ([], 1000))
        phone.lose()
        self.assertEqual(cli.types(), [])

    def test_a_session_that_is_elsewhere_leaves_a_newer_one_alone(self) -> None:
        self.start()
        self.relay.connect("/cli/ABC234")
        before = self.member(Role.CLI).session
        self.move_away()
        self.relay.connect("/mobile/ABC234")
        self.registry.give_up(before)
        self.assertIn(HASH, self.registry.sessions)
