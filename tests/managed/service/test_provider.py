"""`managed.service.provider`: what it carries, and what it says is wrong."""

from apptuner_relay.managed.protocol.channel_service import ServiceRefused
from apptuner_relay.managed.service.provider import RECHECK_S
from tests.managed.service.fake_service import FakeApp, ably_app, pusher_app
from tests.managed.service.listening import MemberListener
from tests.managed.service.provider_case import CHANNEL, PHONE, ProviderCase

ABLY = "pusher://aB3_dE.fG-7hI@ably"
PUSHER = "pusher://relay-key@pusher:eu/1"


class CarryingTest(ProviderCase):
    def test_by_client_events_at_a_server_of_ones_own(self) -> None:
        self.start()
        self.subscribe()
        self.assertTrue(self.provider.is_up)
        self.assertTrue(self.provider.publish(CHANNEL, "client-apptuner", '{"n":1}'))
        self.wait()
        self.assertIn((CHANNEL, "client-apptuner", {"n": 1}), self.service.delivered)
        self.assertEqual(self.service.api.batches, [])
        self.assertEqual(self.counters.deliveries, 1)

    def test_by_http_at_pusher(self) -> None:
        self.begin(pusher_app(), PUSHER)
        self.start()
        self.subscribe()
        for number in range(25):
            self.assertTrue(self.provider.publish(CHANNEL, "client-apptuner", f'{{"n":{number}}}'))
        self.wait()
        self.assertEqual([len(batch) for batch in self.service.api.batches], [10, 10, 5])
        self.assertEqual(self.service.events("client-apptuner"), [])
        self.assertEqual(self.counters.published["http"], 25)
        # What it has published itself would be one more delivery to pay for.
        self.assertEqual([what for what, *_ in self.listener.heard], ["subscribed"])

    def test_at_ably_on_as_many_connections_as_it_takes(self) -> None:
        self.begin(ably_app(), ABLY)
        self.start()
        listeners = [MemberListener() for _ in range(450)]
        for number, listener in enumerate(listeners):
            self.provider.subscribe(f"presence-apptuner.{number}", listener)
        self.wait(15)
        self.assertTrue(all(listener.is_subscribed for listener in listeners))
        self.assertEqual(len(self.service.connections), 3)
        self.assertEqual(self.counters.connections, 3)
        self.assertEqual(self.counters.refused, {})
        for number in range(450):
            self.provider.unsubscribe(f"presence-apptuner.{number}")
        self.wait(90)
        self.assertEqual(len(self.service.connections), 1)
        self.assertEqual(self.counters.connections, 1)

    def test_an_event_for_a_channel_that_the_relay_is_not_in(self) -> None:
        for url in ("", PUSHER):
            self.begin(FakeApp(), url)
            self.start()
            self.assertFalse(self.provider.publish(CHANNEL, "client-apptuner", "{}"))
            self.assertEqual(self.counters.dropped["away"], 0)

    def test_which_channels_are_occupied(self) -> None:
        self.start()
        self.service.join(CHANNEL, PHONE)
        self.service.join("presence-other.x", PHONE)
        found = self.provider.occupied("presence-apptuner.")
        self.wait()
        self.assertEqual(self.successResultOf(found), [CHANNEL])

    def test_a_refused_list_of_channels(self) -> None:
        self.begin(FakeApp(), secret="another secret")
        self.start()
        found = self.provider.occupied("presence-apptuner.")
        self.wait()
        self.assertEqual(self.failureResultOf(found, ServiceRefused).value.code, 401)

    def test_one_connection_carries_everything_where_there_is_no_limit(self) -> None:
        self.start()
        for number in range(500):
            self.provider.subscribe(f"presence-apptuner.{number}", MemberListener())
        # Until the check has left its channel.
        self.wait(5)
        self.assertEqual(len(self.service.connections), 1)
        self.assertEqual(len(self.service.channels), 500)


class TellingTest(ProviderCase):
    def test_nothing_is_wrong(self) -> None:
        for url in ("", "?events=http"):
            self.begin(FakeApp(), url)
            self.start()
            self.wait(20)
            self.assertIsNone(self.provider.problem)
            self.assertIsNone(self.provider.refusal)
            (line,) = self.log()
            self.assertTrue(line.endswith(": connected"), line)

    def test_one_line_for_each_change(self) -> None:
        self.start()
        self.wait(20)
        self.network.is_there = False
        self.network.cut()
        self.wait(60)
        self.assertFalse(self.provider.is_up)
        self.assertIn("the connection was lost", self.log()[1])
        self.assertIn("refused", str(self.provider.problem))
        since_s = self.provider.away_since_s
        self.assertTrue(58 < self.clock.seconds() - (since_s or 0) < 62)
        self.network.is_there = True
        self.wait(60)
        self.assertIsNone(self.provider.problem)
        self.assertIsNone(self.provider.away_since_s)
        self.assertEqual(len(self.log()), 3)
        self.assertIn("connected again after", self.log()[2])

    def check(self, problem: str, code: int) -> None:
        self.start()
        self.wait(20)
        self.assertIn(problem, str(self.provider.problem))
        self.assertEqual([problem in line for line in self.log()].count(True), 1, self.log())
        refusal = self.provider.refusal
        self.assertEqual(refusal and refusal.code, code)

    def test_a_wrong_key(self) -> None:
        self.begin(FakeApp(), "pusher://other-key@localhost:6001/1")
        self.check("look at the URL's KEY", 4001)

    def test_a_wrong_secret(self) -> None:
        for has_errors_in_bodies in (True, False):
            self.begin(FakeApp(has_errors_in_bodies=has_errors_in_bodies), secret="another secret")
            self.check("--managed-secret", 401)

    def test_a_wrong_application(self) -> None:
        self.begin(FakeApp(), "pusher://relay-key@localhost:6001/2")
        self.check("look at APP_ID", 404)

    def test_a_wrong_clock(self) -> None:
        self.begin(FakeApp(), ahead_s=700)
        self.check("the clock of this machine", 401)

    def test_a_disabled_application(self) -> None:
        self.begin(FakeApp(is_enabled=False))
        self.check("disabled", 4003)

    def test_over_the_quota_of_connections(self) -> None:
        self.begin(FakeApp(most_connections=0))
        self.service.app.most_connections = -1
        self.check("more connections than its plan", 4004)

    def test_client_events_are_off(self) -> None:
        self.begin(FakeApp(has_client_events=False))
        self.check("refuses client events", 4301)

    def test_client_events_needn_t_be_on_where_none_are_sent(self) -> None:
        self.begin(FakeApp(has_client_events=False), "?events=http")
        self.start()
        self.wait(20)
        self.assertIsNone(self.provider.problem)

    def test_what_was_wrong_is_looked_at_again(self) -> None:
        self.begin(FakeApp(has_client_events=False))
        self.check("refuses client events", 4301)
        self.service.app.has_client_events = True
        self.wait(RECHECK_S + 10)
        self.assertIsNone(self.provider.problem)
        self.assertIn("nothing is wrong any more", self.log()[-1])

    def test_client_events_that_are_switched_off(self) -> None:
        self.start()
        self.subscribe()
        self.wait(20)
        self.service.app.has_client_events = False
        self.provider.publish(CHANNEL, "client-apptuner", "{}")
        self.wait(20)
        self.assertIn("refuses client events", str(self.provider.problem))

    def test_the_api_is_not_there(self) -> None:
        self.api_network.is_there = False
        self.start()
        self.wait(20)
        self.assertIn("its HTTP API can't be reached", str(self.provider.problem))
        self.assertTrue(self.provider.is_up)

    def test_no_secret_is_in_the_log(self) -> None:
        self.begin(FakeApp(), secret="another secret")
        self.start()
        self.wait(20)
        self.assertFalse([line for line in self.lines if "another secret" in line])

    def test_over_the_quota_of_messages(self) -> None:
        self.begin(pusher_app(), PUSHER)
        self.start()
        self.subscribe()
        self.service.app.is_over_quota = True
        self.provider.publish(CHANNEL, "client-apptuner", "{}")
        self.wait()
        self.assertIn("quota", str(self.provider.problem))
        self.assertEqual(self.provider.refusal and self.provider.refusal.code, 403)
        self.assertFalse(self.provider.is_up)
        self.assertFalse(self.provider.publish(CHANNEL, "client-apptuner", "{}"))
        self.service.app.is_over_quota = False
        self.wait(61)
        self.assertTrue(self.provider.publish(CHANNEL, "client-apptuner", "{}"))
        self.wait()
        self.assertIsNone(self.provider.problem)
        self.assertTrue(self.provider.is_up)
        self.assertIn("events are published again", self.log()[-1])


class StoppingTest(ProviderCase):
    def test_while_it_is_checked(self) -> None:
        self.begin(FakeApp())
        self.service.api.is_held = True
        self.start()
        stopped = self.provider.stopService()
        self.wait()
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(len(self.log()), 1)
        self.service.api.release()

    def test_while_events_are_published(self) -> None:
        self.begin(pusher_app(), PUSHER)
        self.start()
        self.subscribe()
        self.service.api.is_held = True
        self.provider.publish(CHANNEL, "client-apptuner", "{}")
        self.wait()
        stopped = self.provider.stopService()
        self.wait()
        self.assertIsNone(self.successResultOf(stopped))
        self.service.api.release()
