"""`managed.gateway.gateway`."""

from apptuner_relay.managed.gateway.expected_users import EXPECTED_S, MOST_EXPECTED
from apptuner_relay.managed.gateway.gateway import ADOPT_S, LOOK_S, READY_S, UP_LOOK_S, Gateway
from apptuner_relay.managed.protocol.user_ids import parse_user_id
from apptuner_relay.session.session import Role, session_hash
from tests.log_capture import capture_log
from tests.managed.fake_channels import FakeUser
from tests.managed.gateway.gateway_case import (
    KEY,
    OPTIONS,
    PUBLIC_URL,
    SESSION,
    GatewayCase,
    admitted,
)


class Expecting(GatewayCase):
    def test_who_is_expected_comes_as_it_was_admitted(self) -> None:
        user = self.user()
        self.gateway.expect(user.user_id, admitted())
        self.gateway.ready(KEY)
        user.come()
        self.turn()
        (member,) = self.relay.service.sessions[KEY].members
        admission = member.admission
        self.assertEqual((admission.address, admission.client), ("192.0.2.7", "a" * 12))
        self.assertEqual(admission.channel_user, user.user_id)
        self.assertEqual(admission.bundles_url, PUBLIC_URL + "/bundles/{session}")

    def test_it_says_who_is_expected(self) -> None:
        self.gateway.expect(self.user().user_id, admitted())
        self.assertEqual([one.address for one in self.gateway.expected(KEY)], ["192.0.2.7"])
        self.assertEqual(self.gateway.expected(session_hash("ZZZ999")), [])
        self.turn(EXPECTED_S + 1)
        self.assertEqual(self.gateway.expected(KEY), [])

    def test_who_comes_late_is_known_by_what_was_signed(self) -> None:
        user = self.user()
        self.gateway.expect(user.user_id, admitted())
        self.turn(EXPECTED_S + 1)
        self.gateway.ready(KEY)
        user.come()
        self.turn()
        (member,) = self.relay.service.sessions[KEY].members
        self.assertIsNone(member.admission.address)

    def test_it_remembers_so_many_and_no_more(self) -> None:
        users = [f"mobile:{number:012x}:d" for number in range(MOST_EXPECTED + 5)]
        for user_id in users:
            self.gateway.expect(user_id, admitted())
        clients = [one.client for one in self.gateway.expected(KEY)]
        self.assertEqual(clients, [parse_user_id(one).tag for one in users[5:]])


class Readiness(GatewayCase):
    def test_it_is_ready_when_it_is_in_the_channel(self) -> None:
        ready = self.gateway.ready(KEY)
        self.assertNoResult(ready)
        self.turn()
        self.assertIsNone(self.successResultOf(ready))
        self.assertIsNone(self.successResultOf(self.gateway.ready(KEY)))

    def test_nobody_waits_for_a_service_that_is_away(self) -> None:
        self.service.go_away()
        ready = self.gateway.ready(KEY)
        self.turn(READY_S - 0.5)
        self.assertNoResult(ready)
        self.turn(1)
        self.assertIsNone(self.successResultOf(ready))

    def test_a_channel_to_which_nobody_comes_is_left(self) -> None:
        self.gateway.ready(KEY)
        self.turn(EXPECTED_S + 2 * LOOK_S)
        self.assertEqual((self.gateway.channels_count, self.service.listeners), (0, {}))


class Adopting(GatewayCase):
    def test_a_relay_that_starts_meets_who_is_there(self) -> None:
        phone = self.user(name="Pixel 9")
        phone.come()
        self.turn(UP_LOOK_S + 1)
        self.assertEqual(phone.types(), ["connected"])
        (member,) = self.relay.service.sessions[KEY].members
        assert member.device is not None
        self.assertEqual((member.device.name, member.device.announce), ("Pixel 9", True))

    def test_it_looks_again_now_and_then(self) -> None:
        self.turn(LOOK_S + 1)
        other = FakeUser(self.channels, session_hash("ZZZ999"), Role.MOBILE)
        other.come()
        self.turn(ADOPT_S)
        self.assertEqual(other.types(), ["connected"])

    def test_channels_of_others_are_nothing_to_it(self) -> None:
        phone = self.user()
        phone.channel = "presence-apptuner.lobby"
        phone.come()
        self.turn(LOOK_S + 1)
        self.assertEqual((phone.events, self.service.listeners), ([], {}))

    def test_a_service_that_refuses_to_list_them_is_asked_again(self) -> None:
        self.service.answers_lists = False
        phone = self.user()
        phone.come()
        self.turn(LOOK_S + 1)
        self.service.answers_lists = True
        self.turn(ADOPT_S)
        self.assertEqual(phone.types(), ["connected"])

    def test_a_refusal_that_lasts_is_logged_once(self) -> None:
        lines = capture_log(self)
        self.service.answers_lists = False
        self.turn(10 * ADOPT_S)
        self.assertEqual(len([line for line in lines if "does not say" in line]), 1)
        self.service.answers_lists = True
        self.turn(ADOPT_S)
        self.service.answers_lists = False
        self.turn(2 * ADOPT_S)
        self.assertEqual(len([line for line in lines if "does not say" in line]), 2)

    def test_a_session_without_users_has_nothing_here(self) -> None:
        self.relay.connect(f"/cli/{SESSION}")
        self.relay.connect(f"/mobile/{SESSION}?deviceId=d1")
        self.turn(ADOPT_S + 1)
        self.assertEqual((self.gateway.channels_count, self.service.listeners), (0, {}))


class LocalService(GatewayCase):
    def test_users_of_the_relays_own_server(self) -> None:
        local = self.channels.service("local", is_local=True)
        cli = self.relay.connect(f"/cli/{SESSION}")
        phone = self.user()
        self.gateway.occupied(local, phone.channel)
        phone.come()
        self.turn(0.5)
        self.assertEqual(phone.types(), ["connected"])
        self.assertEqual(cli.types(), ["mobile_connected", "device_list"])
        self.assertEqual(self.service.listeners, {})

    def test_a_channel_that_is_no_sessions(self) -> None:
        local = self.channels.service("local", is_local=True)
        self.gateway.occupied(local, "presence-apptuner.lobby")
        self.assertEqual(self.gateway.channels_count, 0)


class Watching(GatewayCase):
    def test_what_the_operator_is_shown(self) -> None:
        self.relay.service.meters.watch_managed(self.gateway)
        self.come()
        gateway = self.gateway
        self.assertEqual((gateway.members_count, gateway.channels_count), (1, 1))
        self.assertEqual((gateway.is_up, gateway.away_since_s, gateway.refusal), (True, None, None))
        self.service.go_away()
        self.assertEqual(gateway.away_since_s, self.relay.clock.seconds())
        self.assertIs(gateway.is_up, False)
        self.assertIs(gateway.counters, self.service.counters)

    def test_without_a_provider_it_is_up(self) -> None:
        alone = Gateway(self.relay.service, OPTIONS, None)
        self.assertEqual((alone.is_up, alone.away_since_s, alone.refusal), (True, None, None))
        self.assertEqual(alone.counters.published.total(), 0)
