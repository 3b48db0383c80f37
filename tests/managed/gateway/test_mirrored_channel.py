"""`managed.gateway.mirrored_channel`: users of a channel as clients of the relay."""

from twisted.internet.defer import fail

from apptuner_relay.managed.gateway.mirrored_channel import AWAY_S
from apptuner_relay.session.session import Role
from apptuner_relay.wire.frames import PONG
from tests.managed.gateway.gateway_case import KEY, SESSION, GatewayCase
from tests.memory import masked


class Meeting(GatewayCase):
    def test_a_phone_of_the_channel_meets_a_cli_of_the_relay(self) -> None:
        cli = self.relay.connect(f"/cli/{SESSION}")
        phone = self.come(name="Pixel 9", platform="android")
        told = {message["type"]: message for message in cli.received()}
        self.assertEqual(told["mobile_connected"]["deviceName"], "Pixel 9")
        self.assertEqual(told["device_list"]["devices"][0]["deviceId"], "device-a")
        cli.send(type="reload", n=1)
        self.turn()
        self.assertEqual(phone.received(), [{"type": "reload", "n": 1}])
        phone.send({"type": "bundle_ack", "success": True}, {"type": "hot", "n": 2})
        self.turn()
        self.assertEqual(cli.types(), ["bundle_ack", "hot"])

    def test_a_cli_of_the_channel_meets_a_phone_of_the_relay(self) -> None:
        phone = self.relay.connect(f"/mobile/{SESSION}?deviceId=d1")
        cli = self.come(Role.CLI)
        cli.send({"type": "reload", "n": 1})
        self.turn()
        self.assertEqual(phone.received(), [{"type": "reload", "n": 1}])
        phone.send(type="bundle_ack", success=True)
        self.turn()
        self.assertEqual(cli.received(), [{"type": "bundle_ack", "success": True}])

    def test_users_of_the_channel_meet_by_way_of_the_relay(self) -> None:
        cli, phone = self.come(Role.CLI, "c"), self.come()
        self.assertEqual(cli.types()[-1], "device_list")
        cli.send({"type": "reload"})
        phone.send({"type": "hello"})
        self.turn()
        self.assertEqual((cli.types(), phone.types()), (["hello"], ["reload"]))

    def test_who_leaves_the_channel_is_disconnected(self) -> None:
        cli = self.relay.connect(f"/cli/{SESSION}")
        phone = self.come()
        cli.received()
        phone.leave()
        self.turn()
        self.assertEqual(cli.types(), ["mobile_disconnected", "device_list"])
        self.assertEqual(self.gateway.members_count, 0)
        self.assertEqual(len(self.relay.service.clients), 1)

    def test_two_phones_get_one_event(self) -> None:
        cli = self.relay.connect(f"/cli/{SESSION}")
        phones = [self.come(tag=tag) for tag in "ab"]
        before = len(self.service.published)
        cli.send(type="reload")
        self.turn()
        self.assertEqual([phone.types() for phone in phones], [["reload"]] * 2)
        self.assertEqual(len(self.service.published), before + 1)
        self.assertIn('"to":"phones"', self.service.published[-1][1])

    def test_logs_go_together(self) -> None:
        dashboard = self.come(Role.DASHBOARD, "d")
        phone = self.relay.connect(f"/mobile/{SESSION}?deviceId=d1")
        self.turn(0.5)
        dashboard.received()
        before = len(self.service.published)
        for n in range(5):
            phone.send(type="console_log", payload={"level": "log", "args": [n]})
            self.turn()
        self.assertEqual(dashboard.received(), [])
        self.turn(0.2)
        self.assertEqual(
            [m["payload"]["args"] for m in dashboard.received()], [[n] for n in range(5)]
        )
        self.assertEqual(len(self.service.published), before + 1)

    def test_nothing_is_published_where_nobody_is(self) -> None:
        self.gateway.ready(KEY)
        cli = self.relay.connect(f"/cli/{SESSION}")
        cli.send(type="reload")
        self.turn(1)
        self.assertEqual(self.service.published, [])

    def test_a_long_message_reaches_the_session(self) -> None:
        cli = self.relay.connect(f"/cli/{SESSION}")
        phone = self.come()
        cli.received()
        text = "x" * 8000
        phone.send({"type": "console_log", "payload": {"args": [text]}}, {"type": "hot"})
        self.turn()
        log, hot = cli.received()
        self.assertEqual((log["payload"]["args"], hot["type"]), ([text], "hot"))

    def test_of_a_very_long_log_there_is_a_mark(self) -> None:
        dashboard = self.come(Role.DASHBOARD, "d")
        phone = self.relay.connect(f"/mobile/{SESSION}?deviceId=d1")
        self.turn(0.5)
        dashboard.received()
        size = len(
            phone.send(type="console_log", payload={"level": "log", "args": ["x" * 200_000]})
        )
        self.turn(0.5)
        (log,) = dashboard.received()
        self.assertEqual(log["payload"]["args"], [f"… [cut: {size} bytes]"])

    def test_a_phone_beyond_the_limit_is_told_so(self) -> None:
        for tag in "abcde":
            self.come(tag=tag)
        sixth = self.user(tag="f")
        sixth.come()
        self.turn(0.5)
        told = sixth.received()
        self.assertEqual([(one["type"], one["code"]) for one in told], [("closed", 1008)])
        self.assertIn("5 phones", told[0]["reason"])
        self.assertEqual(self.gateway.members_count, 5)


class Failing(GatewayCase):
    def test_a_user_whom_the_relay_fails_to_let_in_is_told_so(self) -> None:
        self.come(tag="b")
        self.patch(self.relay.service, "find_place", lambda *args: fail(RuntimeError("broken")))
        phone = self.user()
        phone.come()
        self.turn(0.5)
        self.assertEqual(
            [(one["type"], one["code"]) for one in phone.received()], [("closed", 1011)]
        )
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(self.gateway.members_count, 1)


class Distrust(GatewayCase):
    def test_events_of_nobody_count_for_nothing(self) -> None:
        cli = self.relay.connect(f"/cli/{SESSION}")
        phone = self.come()
        cli.received()
        stranger = self.user(tag="e")
        stranger.send({"type": "evil"})
        phone.publish("{")
        phone.publish('{"epoch":"00000abc","n":1,"messages":["text"]}')
        phone.publish('{"epoch":"00000abc","n":2,"messages":[{"type":"x"}]}', "client-other")
        self.turn()
        self.assertEqual(cli.received(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_members_whom_no_relay_has_let_in_are_no_clients(self) -> None:
        self.come()
        for name in ("someone", "mobile:aaaaaaaaaaaa:", "cli:zz:"):
            self.channels.add(self.user().channel, name, {}, self.user(tag="e"))
        bad = self.user(tag="f")
        bad.info["since"] = "yesterday"
        bad.come()
        self.turn()
        self.assertEqual(self.gateway.members_count, 1)

    def test_a_user_that_was_closed_is_not_let_in_again(self) -> None:
        phone = self.come()
        (member,) = self.relay.service.sessions[KEY].members
        self.relay.service.registry.retire(member, 1000, "enough of it")
        self.turn(0.5)
        self.assertEqual(
            phone.received(), [{"type": "closed", "code": 1000, "reason": "enough of it"}]
        )
        phone.send({"type": "hello"})
        self.service.go_away()
        self.service.come_back()
        self.turn(0.5)
        self.assertEqual(self.gateway.members_count, 0)

    def test_nor_by_the_signature_that_it_still_has(self) -> None:
        self.relay.connect(f"/cli/{SESSION}")
        phone, other = self.come(), self.come(tag="b")
        for member in tuple(self.relay.service.sessions[KEY].members):
            if member.admission.client == "a" * 12:
                self.relay.service.registry.retire(member, 1008, "not any more")
        self.turn(0.5)
        phone.leave()
        self.turn()
        phone.received()
        phone.come()
        self.turn()
        self.assertEqual(self.gateway.members_count, 1)
        closed = {"type": "closed", "code": 1008, "reason": "not any more"}
        self.assertEqual(phone.received(), [closed])
        other.leave()
        phone.leave()
        self.turn(70)
        self.assertEqual(self.gateway.channels_count, 0)

    def test_who_was_closed_while_the_service_was_away_for_long_is_told_at_its_return(self) -> None:
        phone = self.come()
        (member,) = self.relay.service.sessions[KEY].members
        self.service.go_away()
        self.relay.service.registry.retire(member, 1008, "not any more")
        self.turn(AWAY_S + 1)
        self.gateway.ready(KEY)
        self.service.come_back()
        self.turn(0.5)
        self.assertEqual(phone.types(), ["closed"])
        self.assertEqual(self.gateway.members_count, 0)


class Away(GatewayCase):
    def setUp(self) -> None:
        super().setUp()
        self.cli = self.relay.connect(f"/cli/{SESSION}")
        self.phone = self.come()
        self.cli.received()

    def pass_away_time(self, more_s: float) -> None:
        """Let `AWAY_S` pass, and ``more_s``; the CLI answers the relay's pings meanwhile."""
        self.turn(AWAY_S / 2)
        self.cli.send_raw(masked(PONG, b""))
        self.turn(AWAY_S / 2 + more_s)

    def test_users_stay_clients_for_a_while(self) -> None:
        self.service.go_away()
        self.pass_away_time(-1)
        self.cli.send(type="reload")
        self.turn()
        self.service.come_back()
        self.turn(0.5)
        self.assertEqual(self.cli.received(), [])
        self.assertEqual(self.phone.types(), ["state_wanted", "reload"])

    def test_users_are_disconnected_when_that_takes_long(self) -> None:
        self.service.go_away()
        self.pass_away_time(1)
        self.assertEqual(self.cli.types(), ["mobile_disconnected", "device_list"])
        self.service.come_back()
        self.turn(0.5)
        self.assertEqual(self.cli.types(), ["mobile_connected", "device_list"])
        self.assertEqual(self.phone.types(), ["connected"])

    def test_who_left_meanwhile_is_disconnected_at_the_return(self) -> None:
        self.service.go_away()
        self.phone.leave()
        self.turn(1)
        self.assertEqual(self.cli.received(), [])
        self.service.come_back()
        self.turn(0.5)
        self.assertEqual(self.cli.types(), ["mobile_disconnected", "device_list"])

    def test_who_came_meanwhile_is_met_at_the_return(self) -> None:
        self.service.go_away()
        other = self.user(tag="b")
        other.come()
        self.turn(1)
        self.service.come_back()
        self.turn(0.5)
        self.assertEqual(self.cli.types(), ["mobile_connected", "device_list"])
        self.assertEqual(other.types(), ["connected"])


class States(GatewayCase):
    def test_a_user_that_asks_is_told_who_is_there(self) -> None:
        phone = self.come(name="Pixel 9")
        phone.send({"type": "state_wanted"})
        self.turn(0.5)
        (told,) = phone.received()
        self.assertEqual((told["type"], told["bundle"]), ("state", None))
        self.assertEqual([row["name"] for row in told["devices"]], ["Pixel 9"])

    def test_a_user_that_asks_all_the_time_is_told_once_a_second(self) -> None:
        phone = self.come()
        for _ in range(10):
            phone.send({"type": "state_wanted"})
            self.turn(0.25)
        self.assertEqual(phone.types(), ["state"] * 3)

    def test_a_user_of_whom_an_event_is_missing_is_asked(self) -> None:
        cli = self.relay.connect(f"/cli/{SESSION}")
        phone = self.come()
        phone.send({"type": "one"})
        phone.send({"type": "two"}, lost=True)
        phone.send({"type": "three"})
        self.turn(0.5)
        self.assertEqual(phone.types(), ["state_wanted"])
        self.assertEqual(cli.types()[-2:], ["one", "three"])

    def test_an_acknowledgement_in_a_state_is_passed_on_once(self) -> None:
        cli = self.relay.connect(f"/cli/{SESSION}")
        phone = self.come()
        cli.received()
        first = {"type": "bundle_ack", "success": True, "timestamp": 1}
        second = {"type": "bundle_ack", "success": True, "timestamp": 2}
        phone.send(first)
        for ack in (first, second, second, None):
            phone.send({"type": "state", "ack": ack})
        self.turn()
        self.assertEqual(cli.received(), [first, second])


class Ends(GatewayCase):
    def test_the_relay_tells_its_users_that_it_restarts(self) -> None:
        phone = self.come()
        stopping = self.relay.service.stopService()
        self.turn(0.5)
        self.successResultOf(stopping)
        self.successResultOf(self.gateway.stopService())
        self.turn()
        told = phone.received()
        self.assertEqual([(one["type"], one["code"]) for one in told], [("closed", 1012)])
        self.assertEqual((self.service.listeners, phone.people), ({}, set()))

    def test_a_channel_that_nobody_needs_is_left(self) -> None:
        phone = self.come()
        self.turn(70)
        self.assertEqual(self.gateway.channels_count, 1)
        phone.leave()
        self.turn(6)
        self.assertEqual((self.gateway.channels_count, self.service.listeners), (0, {}))
