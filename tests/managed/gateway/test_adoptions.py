"""`managed.gateway.adoptions`: users of a channel whose session moves to another relay."""

from typing import Any

from apptuner_relay.managed.gateway.gateway import Gateway
from apptuner_relay.managed.gateway.virtual_connection import ADOPTED_S
from apptuner_relay.session.session import Role
from tests.cluster.harness import KEY, ClusterCase, ClusterClient, ClusterRelay
from tests.managed.fake_channels import FakeChannels, FakeChannelService, FakeUser
from tests.managed.gateway.gateway_case import OPTIONS, admitted


class AdoptionCase(ClusterCase):
    """Two relays, each with a gateway to the same service. ``a`` has the session first."""

    def setUp(self) -> None:
        super().setUp()
        self.channels = FakeChannels(self.cluster.clock)
        self.gateways: dict[str, Gateway] = {}
        self.services: dict[str, FakeChannelService] = {}
        self.a, self.b = self.relays("ab")
        for relay in (self.a, self.b):
            self.start_gateway(relay)
        self.turn()

    def start_gateway(self, relay: ClusterRelay) -> None:
        """Give a relay a gateway."""
        service = self.services[relay.name] = self.channels.service(relay.name)
        gateway = Gateway(relay.service, OPTIONS, service)
        gateway.startService()
        self.gateways[relay.name] = gateway
        self.addCleanup(lambda: gateway.running and gateway.stopService())

    def come(self, role: Role = Role.MOBILE, tag: str = "c", **info: Any) -> FakeUser:
        """A user comes into the channel, where ``a`` speaks for the session."""
        user = FakeUser(self.channels, KEY, role, tag, **info)
        self.gateways["a"].ready(KEY)
        user.come()
        self.turn()
        self.assertIn("connected", user.types())
        return user

    def members(self, name: str) -> int:
        """How many clients a relay has by way of channels."""
        return self.gateways[name].members_count

    def heard_of(self, client: ClusterClient) -> list[int]:
        """The numbers that a client has got since the last call, and nothing else. Whose session
        moves may be sent a device list."""
        got = client.received()
        self.assertEqual({message["type"] for message in got} - {"talk", "device_list"}, set())
        return [message["n"] for message in got if message["type"] == "talk"]

    def told(self, user: FakeUser) -> list[int]:
        """The numbers that a user has got since the last call, and nothing else."""
        got = user.received()
        self.assertEqual({message["type"] for message in got} - {"talk", "device_list"}, set())
        return [message["n"] for message in got if message["type"] == "talk"]


class Moving(AdoptionCase):
    def test_the_new_owner_speaks_and_nobody_notices(self) -> None:
        cli = self.connect(self.b, "cli")
        self.assertEqual(self.owner, "b")
        phone = FakeUser(self.channels, KEY, Role.MOBILE, "c")
        self.gateways["a"].expect(phone.user_id, admitted())
        self.gateways["a"].ready(KEY)
        phone.come()
        self.turn(1)
        # It came to the relay that has the session not: that one adopts it.
        self.assertEqual((self.members("a"), self.members("b")), (0, 1))
        cli.received()
        phone.received()
        phone.send({"type": "talk", "n": 1})
        self.talk(cli, 2)
        self.turn()
        self.assertEqual((self.heard_of(cli), self.told(phone)), ([1], [2]))

    def test_a_session_that_moves(self) -> None:
        self.connect(self.a, "dashboard")
        phone = self.come()
        self.assertEqual(self.owner, "a")
        cli = self.connect(self.b, "cli")
        cli.received(), phone.received()
        stopping = self.a.stop()
        said = 0
        for _ in range(30):
            said += 1
            phone.send({"type": "talk", "n": said})
            self.talk(cli, said)
            self.cluster.turn(0.1)
            self.answer_closes(*self.cluster.clients[:1])
        self.turn(1)
        self.successResultOf(stopping)
        self.assertEqual(self.owner, "b")
        self.assertEqual((self.members("a"), self.members("b")), (0, 1))
        self.assertEqual(self.heard(cli), list(range(1, said + 1)))
        self.assertEqual(sorted(self.told(phone)), list(range(1, said + 1)))
        self.successResultOf(self.gateways["a"].stopService())
        self.turn()
        phone.send({"type": "talk", "n": 99})
        self.talk(cli, 100)
        self.turn()
        self.assertEqual((self.heard_of(cli), self.told(phone)), ([99], [100]))

    def test_a_cli_of_the_channel_moves_as_well(self) -> None:
        cli = self.come(Role.CLI)
        phone = self.connect(self.b, "mobile?deviceId=d1")
        cli.received()
        stopping = self.a.stop()
        for n in range(20):
            cli.send({"type": "talk", "n": n})
            phone.send(type="talk", n=n)
            self.turn()
        self.successResultOf(stopping)
        self.assertEqual((self.members("a"), self.members("b")), (0, 1))
        self.assertEqual(self.heard_of(phone), list(range(20)))
        self.assertEqual(sorted(self.told(cli)), list(range(20)))

    def test_without_another_gateway_the_user_is_told(self) -> None:
        self.gateways["b"].stopService()
        phone = self.come()
        cli = self.connect(self.b, "cli")
        phone.received(), cli.received()
        stopping = self.a.stop()
        self.turn(ADOPTED_S + 2)
        self.successResultOf(stopping)
        told = phone.received()
        self.assertEqual([(one["type"], one["code"]) for one in told], [("closed", 1012)])

    def test_a_user_that_leaves_while_it_is_adopted(self) -> None:
        phone = self.come()
        cli = self.connect(self.b, "cli")
        stopping = self.a.stop()
        self.turn(0.05)
        phone.leave()
        self.turn(2)
        self.successResultOf(stopping)
        self.assertEqual((self.members("a"), self.members("b")), (0, 0))
        self.assertEqual(cli.types()[-2:], ["mobile_disconnected", "device_list"])


class Owners(AdoptionCase):
    def test_only_the_owner_speaks(self) -> None:
        self.connect(self.a, "cli")
        phone = self.come()
        self.turn(130)
        self.assertEqual((self.members("a"), self.members("b")), (1, 0))
        self.assertEqual(self.services["b"].listeners, {})
        self.assertEqual(phone.received(), [])

    def test_after_an_owner_has_died_another_relay_meets_its_users(self) -> None:
        phone = self.come()
        self.services["a"].go_away()
        self.cluster.kill(self.a)
        self.turn(70)
        self.assertEqual(self.owner, "b")
        self.assertEqual(self.members("b"), 1)
        self.assertIn("connected", phone.types())
        cli = self.connect(self.b, "cli")
        phone.received()
        self.talk(cli, 1)
        phone.send({"type": "talk", "n": 2})
        self.turn()
        self.assertEqual((self.heard(cli), self.told(phone)), ([2], [1]))

    def test_an_owner_dies_that_has_adopted_a_user_of_another_relay(self) -> None:
        self.connect(self.a, "desktop")
        phone = FakeUser(self.channels, KEY, Role.MOBILE, "c")
        self.gateways["b"].expect(phone.user_id, admitted())
        self.gateways["b"].ready(KEY)
        phone.come()
        self.turn(2)
        self.assertEqual((self.owner, self.members("a"), self.members("b")), ("a", 1, 0))
        self.services["a"].go_away()
        self.cluster.kill(self.a)
        # The relay that had let it in is still in the channel.
        cli = self.connect(self.b, "cli")
        self.turn(20)
        self.assertEqual((self.owner, self.members("b")), ("b", 1))
        self.assertEqual(cli.types().count("mobile_connected"), 1)
        phone.received(), cli.received()
        self.talk(cli, 1)
        phone.send({"type": "talk", "n": 2})
        self.turn()
        self.assertEqual((self.heard(cli), self.told(phone)), ([2], [1]))

    def test_an_owner_dies_whose_session_goes_on_at_once(self) -> None:
        self.connect(self.a, "desktop")
        phone = self.come()
        self.turn(61)
        self.services["a"].go_away()
        self.cluster.kill(self.a)
        cli = self.connect(self.b, "cli")
        # It does not wait for the look each minute.
        self.turn(30)
        self.assertEqual((self.owner, self.members("b")), ("b", 1))
        self.assertEqual(cli.types().count("mobile_connected"), 1)
        self.assertIn("connected", phone.types())

    def test_two_that_look_at_once_do_not_both_speak(self) -> None:
        phone = FakeUser(self.channels, KEY, Role.MOBILE)
        phone.come()
        self.turn(70)
        self.assertEqual(self.members("a") + self.members("b"), 1)
        self.assertEqual(phone.types(), ["connected"])


class Obstacles(AdoptionCase):
    """What may go wrong between the two relays."""

    def begin(self) -> tuple[FakeUser, ClusterClient]:
        """The session is about to move from a to b."""
        phone = self.come()
        cli = self.connect(self.b, "cli")
        phone.received(), cli.received()
        return phone, cli

    def adopt(self, phone: FakeUser, cli: ClusterClient, seconds: float = 2) -> None:
        """It moves, and what is said meanwhile arrives once."""
        stopping = self.a.stop()
        count = int(seconds / 0.1)
        for n in range(count):
            phone.send({"type": "talk", "n": n})
            self.turn()
        self.successResultOf(stopping)
        self.assertEqual((self.members("a"), self.members("b")), (0, 1))
        self.assertEqual(self.heard_of(cli), list(range(count)))
        self.assertEqual(phone.types(), [])

    def test_the_service_loses_what_the_relays_say_to_each_other(self) -> None:
        phone, cli = self.begin()
        lost: list[str] = []

        def lose(data: str) -> bool:
            kind = next((one for one in ("adopt", "released") if f'"{one}"' in data), None)
            if kind is None or kind in lost:
                return False
            lost.append(kind)
            return True

        self.channels.loses = lose
        self.adopt(phone, cli, 3)
        self.assertEqual(lost, ["adopt", "released"])

    def test_the_bridge_is_slow_to_halt(self) -> None:
        phone, cli = self.begin()
        self.network.delay_s = 0.3
        self.adopt(phone, cli, 5)
