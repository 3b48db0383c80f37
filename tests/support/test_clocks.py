"""What somebody does who sets the clock: nothing to what goes by intervals, all to what people
read. See also `access.test_journal`, and `live.test_clock` for whole relays."""

import time

from twisted.internet.base import ReactorBase
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.tokens import sign_token
from apptuner_relay.operator.views import Views
from apptuner_relay.session.session import session_hash
from apptuner_relay.support.clocks import in_ms, use_monotonic_clock
from tests.memory import Client, Relay, WallClock
from tests.memory_store import MemoryStore

STEPS_S = (-3600.0, -31.0, 1800.0, 86400.0)
SECRET = "0123456789abcdefSECRET"


class NoSockets(ReactorBase):
    """Twisted's timers alone."""

    def installWaker(self) -> None: ...


class ReactorTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.wall = WallClock(self.clock)
        self.wall.step(1_800_000_000)
        self.patch(time, "monotonic", self.clock.seconds)
        self.reactor = NoSockets()
        self.reactor.seconds = self.wall
        self.ran: list[str] = []

    def after(self, delay_s: float, name: str) -> None:
        self.reactor.callLater(delay_s, lambda: self.ran.append(name))

    def wait(self, seconds: float) -> list[str]:
        self.clock.advance(seconds)
        self.reactor.runUntilCurrent()
        ran, self.ran = self.ran, []
        return ran

    def test_timers_go_on_whatever_is_done_to_the_wall_clock(self) -> None:
        use_monotonic_clock(self.reactor)
        for step_s in STEPS_S:
            self.after(10, "due")
            self.after(20, "later")
            self.wall.step(step_s)
            self.assertEqual(self.wait(9), [])
            self.assertEqual(self.wait(1), ["due"])
            self.assertEqual(self.wait(10), ["later"])

    def test_what_was_scheduled_before_keeps_its_time(self) -> None:
        self.after(10, "first")
        self.reactor.runUntilCurrent()
        self.after(20, "second")
        delayed = self.reactor.callLater(5, lambda: self.ran.append("delayed"))
        delayed.reset(15)
        use_monotonic_clock(self.reactor)
        self.wall.step(-3600)
        self.assertEqual(self.wait(9), [])
        self.assertEqual(self.wait(1), ["first"])
        self.assertEqual(self.wait(5), ["delayed"])
        self.assertEqual(self.wait(5), ["second"])

    def test_twice_is_as_once(self) -> None:
        self.after(10, "first")
        use_monotonic_clock(self.reactor)
        use_monotonic_clock(self.reactor)
        self.assertEqual(self.wait(9), [])
        self.assertEqual(self.wait(1), ["first"])


class RelayTest(SynchronousTestCase):
    def test_no_session_times_out_before_its_time(self) -> None:
        for step_s in STEPS_S:
            relay = Relay(session_timeout=1800, ping_interval=7200)
            cli = relay.connect("/cli/ABC234")
            relay.wait(10, 5)
            relay.wall.step(step_s)
            relay.wait(1700, 10)
            cli.read()
            self.assertIsNone(cli.closed, step_s)
            relay.wait(120, 10)
            cli.read()
            self.assertEqual(cli.closed, (1000, "Session timeout"), step_s)

    def test_a_dead_phone_goes_in_its_time(self) -> None:
        for step_s in STEPS_S:
            relay = Relay(ping_interval=25, ping_timeout=30)
            cli = relay.connect("/cli/ABC234")
            phone = relay.connect("/mobile/ABC234")
            relay.wall.step(step_s)
            for _ in range(9):
                relay.wait(10)
                cli.send(type="ping")
            self.assertTrue(phone.transport.disconnected, step_s)
            self.assertFalse(cli.transport.disconnected, step_s)

    def test_a_kept_bundle_stays(self) -> None:
        relay = Relay(MemoryStore, bundle_ttl=1800)
        cli = relay.connect("/cli/ABC234")
        cli.send(type="bundle_update", payload={"code": "1"})
        cli.lose()
        relay.wall.step(7200)
        relay.wait(60)
        phone = relay.connect("/mobile/ABC234")
        self.assertEqual(phone.types(), ["bundle_update"])
        relay.wall.step(-7200)
        phone.lose()
        relay.wait(1900, 10)
        self.assertEqual(relay.connect("/mobile/ABC234").types(), [])

    def test_a_claim_stays_and_ends_in_its_time(self) -> None:
        relay = Relay(claim_ttl=600)
        Client(relay.service, f"/cli/ABC234?key={SECRET}").lose()
        relay.wall.step(86400)
        relay.wait(300, 10)
        self.assertEqual(Client(relay.service, "/cli/ABC234").status, 401)
        relay.wall.step(-2 * 86400)
        relay.wait(310, 10)
        self.assertEqual(Client(relay.service, "/cli/ABC234").status, 101)

    def test_clients_are_told_the_time_of_day(self) -> None:
        relay = Relay()
        relay.wall.step(1_800_000_000)
        cli = relay.connect("/cli/ABC234")
        relay.wall.step(-3600)
        cli.send(type="ping")
        (pong,) = cli.received()
        self.assertEqual(pong["timestamp"], in_ms(relay.wall()))

    def test_join_tokens_go_by_the_time_of_day(self) -> None:
        relay = Relay()
        relay.wall.step(1_800_000_000)
        Client(relay.service, f"/cli/ABC234?key={SECRET}&tokens=1")
        token = sign_token(SECRET, session_hash("ABC234"), relay.wall() + 600)
        self.assertEqual(Client(relay.service, f"/mobile/ABC234?token={token}").status, 101)
        relay.wall.step(601)
        self.assertEqual(Client(relay.service, f"/mobile/ABC234?token={token}").status, 401)

    def test_figures(self) -> None:
        relay = Relay()
        meters = relay.service.meters
        wrong: str | None = "away"
        meters.health.conditions.watch("test", lambda: wrong)
        meters.health.check()
        relay.wall.step(-3600)
        relay.wait(30)
        status = Views(meters).status()
        self.assertEqual(status["uptime_s"], 30)
        self.assertEqual(status["now_ms"], in_ms(relay.wall()))
        wrong = None
        (change,) = meters.health.check()
        self.assertEqual(change.lasted_s, 30)

    def test_the_hour_of_a_chart_goes_on_from_a_clock_put_back(self) -> None:
        relay = Relay()
        relay.wall.step(1_800_000_000)
        meters = relay.service.meters
        for step_s in (0, 0, 0, -15, 0):
            relay.wall.step(step_s)
            relay.wait(10)
            meters.sample()
        hour = [row[0] for row in Views(meters).status()["hour"]]  # type: ignore[attr-defined]
        self.assertEqual(hour, sorted(set(hour)))
        self.assertEqual(hour[-1], in_ms(relay.wall()))
