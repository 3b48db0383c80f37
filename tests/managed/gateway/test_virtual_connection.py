"""`managed.gateway.virtual_connection`: a client without a socket."""

from apptuner_relay.flow.receive_buffer import TURN_S
from apptuner_relay.managed.gateway.virtual_connection import MOST_WAITING_BYTES, VirtualConnection
from apptuner_relay.relay.member import Member
from apptuner_relay.session.session import Role
from apptuner_relay.wire.frames import Texts
from tests.managed.fake_channels import FakeUser
from tests.managed.gateway.gateway_case import KEY, SESSION, GatewayCase


class ConnectionCase(GatewayCase):
    def setUp(self) -> None:
        super().setUp()
        self.cli = self.relay.connect(f"/cli/{SESSION}")
        self.phone = self.come()
        self.cli.received()
        (self.member,) = self.relay.service.sessions[KEY].mobiles
        connection = self.member.connection
        assert isinstance(connection, VirtualConnection)
        self.connection = connection

    def heard(self) -> list[int]:
        """The numbers that the CLI has got since the last call."""
        return [message["n"] for message in self.cli.received() if message["type"] == "talk"]


class Reading(ConnectionCase):
    def test_messages_wait_while_the_source_is_held(self) -> None:
        self.member.source.hold(self)
        for n in range(3):
            self.phone.send({"type": "talk", "n": n})
        self.turn()
        self.assertEqual(self.heard(), [])
        self.member.source.let_go(self)
        self.turn()
        self.assertEqual(self.heard(), [0, 1, 2])

    def test_many_are_taken_in_in_several_turns(self) -> None:
        take_texts = Member.take_texts

        def slow(member: Member, texts: Texts) -> None:
            take_texts(member, texts)
            self.relay.clock.rightNow += TURN_S

        self.patch(Member, "take_texts", slow)
        self.member.reader.most_texts = 10
        turns: list[int] = []
        read = self.connection._read_on
        self.patch(self.connection, "_read_on", lambda: (turns.append(1), read()))
        self.connection.take_messages(b'{"type":"talk","n":%d}' % n for n in range(100))
        self.turn()
        self.assertEqual(self.heard(), list(range(100)))
        self.assertGreater(len(turns), 2)

    def test_too_many_are_lost_and_the_user_is_asked(self) -> None:
        self.member.source.hold(self)
        text = "x" * 8000
        for n in range(10):
            self.phone.send({"type": "talk", "n": n, "text": text})
        self.turn()
        self.member.source.let_go(self)
        self.turn(0.5)
        heard = self.heard()
        self.assertEqual(heard, list(range(len(heard))))
        self.assertEqual(len(heard), MOST_WAITING_BYTES // 8050)
        self.assertEqual(self.phone.types(), ["state_wanted"])

    def test_a_user_that_comes_and_speaks_at_once_is_heard(self) -> None:
        other = self.user(tag="b")
        other.come()
        other.send({"type": "talk", "n": 7})
        self.turn(0.5)
        self.assertEqual(self.heard(), [7])


class Closing(ConnectionCase):
    def test_who_is_closed_counts_no_more(self) -> None:
        self.relay.service.registry.retire(self.member, 1008, "claimed")
        self.phone.send({"type": "talk", "n": 1})
        self.assertEqual(self.relay.service.sessions[KEY].mobiles, ())
        self.turn()
        self.assertEqual(self.heard(), [])
        self.assertNotIn(self.member, self.relay.service.clients)
        self.assertEqual(
            self.phone.received(), [{"type": "closed", "code": 1008, "reason": "claimed"}]
        )

    def test_who_is_closed_gets_first_what_it_was_sent_before(self) -> None:
        self.cli.send(type="reload")
        self.relay.service.registry.retire(self.member, 1008, "claimed")
        self.turn()
        self.assertEqual(self.phone.types(), ["reload", "closed"])

    def test_who_is_dismissed_is_heard_to_the_end(self) -> None:
        self.member.source.hold(self)
        self.phone.send({"type": "talk", "n": 1})
        self.turn()
        self.connection.dismiss(1012, "The relay restarts")
        self.turn()
        self.assertEqual(self.phone.types(), ["closed"])
        self.assertIn(self.member, self.relay.service.clients)
        self.member.source.let_go(self)
        self.turn()
        self.assertEqual(self.heard(), [1])
        self.assertNotIn(self.member, self.relay.service.clients)

    def test_who_is_dismissed_and_held_for_long_is_ended(self) -> None:
        self.member.source.hold(self)
        self.phone.send({"type": "talk", "n": 1})
        self.turn()
        self.connection.dismiss(1012, "The relay restarts")
        self.turn(self.relay.service.settings.limits.close_timeout + 1)
        self.assertNotIn(self.member, self.relay.service.clients)

    def test_an_abort_ends_it(self) -> None:
        self.connection.abort()
        self.turn()
        self.assertNotIn(self.member, self.relay.service.clients)
        self.assertEqual(self.phone.types(), ["closed"])

    def test_a_phone_that_comes_back_takes_its_place(self) -> None:
        again = FakeUser(self.channels, KEY, Role.MOBILE, "b", device="device-a")
        again.come()
        self.turn(0.5)
        self.assertEqual([one["code"] for one in self.phone.received()], [1000])
        (member,) = self.relay.service.sessions[KEY].mobiles
        assert isinstance(member, Member)
        self.assertEqual(member.admission.channel_user, again.user_id)


class Living(ConnectionCase):
    def test_who_is_in_the_channel_lives(self) -> None:
        self.turn(100)
        self.assertEqual(self.connection.last_heard_s(), self.relay.clock.seconds())
        answered: list[bool] = []
        self.assertIsNone(self.connection.probe(lambda: answered.append(True)))
        self.assertEqual(answered, [True])

    def test_while_the_service_is_away_nobody_answers(self) -> None:
        away_s = self.relay.clock.seconds()
        self.service.go_away()
        self.turn(5)
        self.assertEqual(self.connection.last_heard_s(), away_s)
        self.assertEqual(self.connection.probe(), self.relay.clock.seconds())
