"""`managed.service.service_connection`, with a service in memory."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.protocol.envelopes import ServiceError
from apptuner_relay.managed.protocol.signatures import Signer
from apptuner_relay.managed.service.paced_sender import SendRates
from apptuner_relay.managed.service.service_connection import (
    SLOW_RETRY_S,
    WELCOME_S,
    ServiceConnection,
    ServiceTarget,
)
from apptuner_relay.managed.service.service_pings import PONG_S
from apptuner_relay.managed.service.service_states import TRANSITIONS, ServiceEvent, ServiceState
from apptuner_relay.managed.service.service_websocket import ServiceEnding
from apptuner_relay.managed.service.subscription import ANSWER_S, FIRST_RETRY_S
from apptuner_relay.operator.managed_counters import ManagedCounters
from tests.log_capture import capture_log
from tests.managed.service.fake_service import (
    FakeApp,
    FakeNetwork,
    FakeService,
    ably_app,
    pusher_app,
)
from tests.managed.service.listening import MemberListener
from tests.tables import check_every_pair

CHANNEL = "presence-apptuner." + "ab" * 32
PHONE = "mobile:0123456789ab:pixel-9"


class Observer:
    """Notes how a connection is doing."""

    def __init__(self) -> None:
        self.ups = 0
        self.endings: list[ServiceEnding] = []
        self.errors: list[ServiceError] = []

    def connection_up(self, connection: ServiceConnection) -> None:
        self.ups += 1

    def connection_down(self, connection: ServiceConnection, ending: ServiceEnding) -> None:
        self.endings.append(ending)

    def event_refused(self, error: ServiceError) -> None:
        self.errors.append(error)


class ConnectionCase(SynchronousTestCase):
    """A connection and a service."""

    def setUp(self) -> None:
        self.begin(FakeApp())

    def begin(self, app: FakeApp, **changes: str) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.service = FakeService(self.clock, app)
        self.network = FakeNetwork(self.clock, self.service)
        self.observer, self.counters = Observer(), ManagedCounters()
        signer = Signer(changes.get("key", app.key), changes.get("secret", app.secret))
        url = f"ws://service.example:80/app/{signer.key}?protocol=7"
        rates = SendRates(app.client_events_per_s, app.messages_per_s)
        target = ServiceTarget(self.network, url, signer, "node-1", rates)
        self.connection = ServiceConnection(
            target, self.observer, self.counters, self.clock, lambda: 1.8e9
        )
        self.listener = MemberListener()

    def tearDown(self) -> None:
        self.assertEqual(self.service.malformed, [])
        stopped = self.connection.stop()
        self.wait(5)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.service.connections, [])
        self.assertEqual([str(call) for call in self.clock.getDelayedCalls()], [])

    def wait(self, seconds: float = 0.1) -> None:
        self.clock.pump([0.01] * 10)
        self.clock.pump([0.1] * int(seconds * 10))

    def start(self) -> None:
        self.connection.start()
        self.wait()

    def subscribe(self) -> str:
        """Begin, and be in the channel; returns the relay's ``user_id``."""
        self.start()
        self.connection.subscribe(CHANNEL, self.listener)
        self.wait()
        self.assertTrue(self.listener.is_subscribed)
        self.listener.take()
        (relay,) = set(self.listener.members) - {PHONE}
        return relay


class SubscribingTest(ConnectionCase):
    def test_the_relay_is_in_the_channel_as_itself(self) -> None:
        self.service.join(CHANNEL, PHONE, {"name": "Pixel"})
        relay = self.subscribe()
        self.assertEqual(self.listener.members[PHONE], {"name": "Pixel"})
        self.assertRegex(relay, r"^relay:[0-9a-f]{12}:node-1$")
        self.assertEqual(list(self.listener.members[relay]), ["name", "platform", "since"])

    def test_who_comes_and_leaves_is_told_once(self) -> None:
        self.subscribe()
        self.service.join(CHANNEL, PHONE, {"name": "Pixel"})
        self.service.announce(CHANNEL, PHONE, {"name": "Pixel"})
        self.service.part(CHANNEL, PHONE)
        self.wait()
        self.assertEqual(
            self.listener.take(), [("added", PHONE, {"name": "Pixel"}), ("removed", PHONE)]
        )

    def test_events_come_with_their_sender_whatever_form_their_data_has(self) -> None:
        self.subscribe()
        for data in ({"n": 1}, '{"n":1}', None):
            self.service.client_event(CHANNEL, PHONE, "client-x", data)
        self.service.deliver(CHANNEL, "client-x", '{"n":2}', None, None)
        self.wait()
        self.assertEqual(
            self.listener.take(),
            [
                ("event", "client-x", '{"n":1}', PHONE),
                ("event", "client-x", '{"n":1}', PHONE),
                ("event", "client-x", "null", PHONE),
                ("event", "client-x", '{"n":2}', None),
            ],
        )

    def test_a_channel_that_was_left_is_not_heard_any_more(self) -> None:
        self.subscribe()
        self.connection.unsubscribe(CHANNEL)
        self.connection.unsubscribe(CHANNEL)
        self.service.client_event(CHANNEL, PHONE, "client-x", {})
        self.wait()
        self.assertEqual(self.listener.take(), [])
        self.assertEqual(self.service.channels, {})

    def test_a_channel_that_is_left_before_it_is_asked_for(self) -> None:
        self.connection.subscribe(CHANNEL, self.listener)
        self.connection.unsubscribe(CHANNEL)
        self.start()
        self.assertEqual(self.service.events("pusher:subscribe"), [])

    def test_a_channel_that_is_left_and_entered_again(self) -> None:
        self.subscribe()
        again = MemberListener()
        self.connection.unsubscribe(CHANNEL)
        self.connection.subscribe(CHANNEL, again)
        self.wait()
        self.assertEqual([what for what, *_ in again.take()], ["subscribed"])
        self.assertEqual(self.listener.take(), [])

    def test_a_wrong_secret_is_tried_again_slowly(self) -> None:
        self.begin(FakeApp(), secret="wrong-secret")
        self.start()
        self.connection.subscribe(CHANNEL, self.listener)
        self.wait()
        ((said, why),) = self.listener.take()
        self.assertEqual(said, "unsubscribed")
        self.assertIn("401 The connection is unauthorized.", str(why))
        self.wait(60)
        self.assertEqual(len(self.service.events("pusher:subscribe")), 1)
        self.assertEqual(self.counters.refused, {401: 1})

    def test_a_full_channel_is_tried_again_soon(self) -> None:
        self.begin(FakeApp(most_members=1))
        self.service.join(CHANNEL, PHONE)
        self.start()
        self.connection.subscribe(CHANNEL, self.listener)
        self.wait()
        ((said, why),) = self.listener.take()
        self.assertEqual(said, "unsubscribed")
        self.assertIn("4100", str(why))
        self.service.part(CHANNEL, PHONE)
        self.wait(FIRST_RETRY_S)
        self.assertTrue(self.listener.is_subscribed)

    def test_a_service_that_does_not_answer(self) -> None:
        self.start()
        self.service.ignores_subscriptions = True
        self.connection.subscribe(CHANNEL, self.listener)
        self.wait(ANSWER_S)
        self.assertEqual(self.listener.take(), [("unsubscribed", "no answer within 10 s")])
        self.service.ignores_subscriptions = False
        self.wait(FIRST_RETRY_S)
        self.assertTrue(self.listener.is_subscribed)

    def test_a_private_channel(self) -> None:
        self.start()
        self.connection.subscribe("private-apptuner.check", self.listener)
        self.wait()
        self.assertEqual(self.listener.take(), [("subscribed", {})])

    def test_many_channels(self) -> None:
        self.start()
        listeners = [MemberListener() for _ in range(300)]
        for number, listener in enumerate(listeners):
            self.connection.subscribe(f"presence-apptuner.{number}", listener)
        self.wait()
        self.assertTrue(all(listener.is_subscribed for listener in listeners))

    def test_a_fault_of_a_listener_costs_no_connection(self) -> None:
        self.subscribe()
        self.listener.member_added = lambda user_id, info: 1 / 0  # type: ignore[assignment]
        self.service.join(CHANNEL, PHONE)
        self.wait()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.connection.is_up)

    def test_malformed_messages_are_ignored(self) -> None:
        lines = capture_log(self)
        self.subscribe()
        (one,) = self.service.connections
        for text in (b"", b"[]", b'{"event":1}', b'{"event":"pusher_internal:x"}'):
            one.sendMessage(text, isBinary=False)
        one.sendMessage(b'{"event":"client-x"}', isBinary=True)
        one.say({"event": "pusher_internal:member_added", "channel": CHANNEL, "data": "{"})
        one.say({"event": "pusher_internal:subscription_succeeded", "channel": CHANNEL})
        self.wait()
        self.assertEqual(self.listener.take(), [])
        self.assertEqual(len([line for line in lines if "malformed message" in line]), 1)


class LosingTest(ConnectionCase):
    def test_subscriptions_are_signed_anew_on_the_next_connection(self) -> None:
        before = self.subscribe()
        self.network.cut()
        self.wait()
        self.assertEqual(self.listener.take(), [("unsubscribed", "the connection was lost")])
        self.wait(3)
        ((said, members),) = self.listener.take()
        self.assertEqual(said, "subscribed")
        self.assertNotIn(before, members)
        self.assertEqual(self.counters.reconnects, 1)
        self.assertEqual(self.observer.ups, 2)

    def test_attempts_become_rarer_and_are_not_in_a_tight_loop(self) -> None:
        # Soketi closes every new connection while it stops.
        self.service.close_at_once = (4200, "Server closed.")
        self.start()
        self.wait(120)
        self.assertTrue(4 <= self.service.attempts <= 40, self.service.attempts)
        self.assertEqual(self.observer.endings[0].code, 4200)
        self.assertIn("Server closed.", self.observer.endings[0].text)
        self.service.close_at_once = None
        self.wait(40)
        self.assertTrue(self.connection.is_up)

    def test_refusals_that_an_operator_removes_are_tried_slowly(self) -> None:
        for code in (4001, 4003, 4004, 4009):
            with self.subTest(code=code):
                self.begin(FakeApp())
                self.service.close_at_once = (code, "no")
                self.start()
                self.assertIs(self.connection.state, ServiceState.REFUSED)
                self.wait(SLOW_RETRY_S - 20)
                self.assertEqual(self.service.attempts, 1)
                self.service.close_at_once = None
                self.wait(SLOW_RETRY_S)
                self.assertTrue(self.connection.is_up)
                self.assertEqual(self.counters.refused, {code: 1})

    def test_refused_handshakes(self) -> None:
        for status, state in (
            (403, ServiceState.REFUSED),
            (401, ServiceState.REFUSED),
            (404, ServiceState.REFUSED),
            (503, ServiceState.WAITING),
        ):
            with self.subTest(status=status):
                self.begin(FakeApp())
                self.service.handshake_status = status
                self.start()
                self.assertIs(self.connection.state, state)
                self.assertEqual(self.observer.endings[0].status, status)

    def test_nobody_listens(self) -> None:
        self.network.is_there = False
        self.start()
        self.assertIs(self.connection.state, ServiceState.WAITING)
        self.assertIn("refused", self.observer.endings[0].text)
        self.network.is_there = True
        self.wait(3)
        self.assertTrue(self.connection.is_up)

    def test_no_welcome(self) -> None:
        self.service.is_mute = True
        self.start()
        self.wait(WELCOME_S)
        self.assertEqual(self.observer.endings, [ServiceEnding("no welcome within 10 s")])

    def test_no_connection_in_time(self) -> None:
        self.network.is_stuck = True
        self.start()
        self.wait(WELCOME_S)
        self.assertEqual(self.observer.endings, [ServiceEnding("no connection within 10 s")])
        self.network.is_stuck = False

    def test_an_answer_to_the_handshake_that_is_none(self) -> None:
        for answer in (
            b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nX: \xff\xfe\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000,
        ):
            with self.subTest(answer=answer[:30]):
                self.begin(FakeApp())
                self.service.handshake_answer = answer
                self.start()
                self.assertIs(self.connection.state, ServiceState.WAITING)
                self.assertEqual(len(self.observer.endings), 1)

    def test_stopping_while_it_connects(self) -> None:
        self.network.is_stuck = True
        self.start()
        self.assertIsNone(self.successResultOf(self.connection.stop()))

    def test_stopping_leaves_the_service(self) -> None:
        self.subscribe()
        stopped = self.connection.stop()
        self.wait()
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.listener.take(), [("unsubscribed", "the relay stops")])
        self.assertEqual(self.observer.endings, [])

    def test_stopping_does_not_wait_for_a_service_that_hangs(self) -> None:
        self.subscribe()
        self.network.stick()
        stopped = self.connection.stop()
        self.wait(3)
        self.assertIsNone(self.successResultOf(stopped))
        self.network.stick(False)


class KeepAliveTest(ConnectionCase):
    def test_it_pings_and_measures_the_round_trip(self) -> None:
        self.network.network.delay_s = 0.5
        self.start()
        self.wait(35)
        self.assertEqual(len(self.service.events("pusher:ping")), 2)
        self.assertTrue(0.9 < (self.counters.round_trip_s or 0) < 1.5)

    def test_it_pings_as_often_as_the_service_asks_for(self) -> None:
        self.begin(FakeApp(activity_timeout=10))
        self.start()
        self.wait(11)
        self.assertEqual(len(self.service.events("pusher:ping")), 2)

    def test_a_service_that_hangs(self) -> None:
        self.subscribe()
        self.network.stick()
        self.wait(30 + PONG_S + 1)
        self.assertEqual(self.listener.take()[0][1], "it said nothing for 30 s after a ping")
        self.network.stick(False)

    def test_anything_that_comes_is_life(self) -> None:
        self.subscribe()
        self.service.answers_pings = False
        self.wait(45)
        self.service.client_event(CHANNEL, PHONE, "client-x", {})
        self.wait(40)
        self.assertEqual(self.observer.endings, [])
        self.wait(10)
        self.assertEqual(len(self.observer.endings), 1)

    def test_it_answers_pings(self) -> None:
        self.start()
        self.service.connections[0].say({"event": "pusher:ping"})
        self.wait()
        self.assertEqual(len(self.service.events("pusher:pong")), 1)


class SendingTest(ConnectionCase):
    def test_an_event_reaches_the_channel_and_is_counted(self) -> None:
        self.subscribe()
        self.service.join(CHANNEL, PHONE)
        self.wait()
        self.assertTrue(self.connection.send_event(CHANNEL, "client-apptuner", '{"n":1}'))
        self.wait()
        self.assertEqual(self.service.delivered, [(CHANNEL, "client-apptuner", {"n": 1})])
        self.assertEqual(self.counters.published["client_event"], 1)
        self.assertEqual((self.counters.bytes, self.counters.deliveries), (7, 1))

    def test_it_sends_nothing_where_it_is_not_in_the_channel(self) -> None:
        self.assertFalse(self.connection.send_event(CHANNEL, "client-x", "{}"))
        self.start()
        self.assertFalse(self.connection.send_event(CHANNEL, "client-x", "{}"))

    def test_it_keeps_to_the_rate_of_the_service(self) -> None:
        for app in (pusher_app(), ably_app()):
            with self.subTest(app=app.key):
                self.begin(app)
                self.subscribe()
                for number in range(100):
                    self.connection.send_event(CHANNEL, "client-x", f'{{"n":{number}}}')
                self.wait(15)
                self.assertEqual(
                    [data["n"] for _, _, data in self.service.delivered], list(range(100))
                )
                self.assertEqual(self.observer.errors, [])

    def test_a_connection_with_more_to_send_than_may_be_is_saturated(self) -> None:
        self.begin(pusher_app())
        self.subscribe()
        for _ in range(50):
            self.connection.send_event(CHANNEL, "client-x", "{}")
        self.wait(1.5)
        self.assertTrue(self.connection.is_saturated)
        self.wait(6)
        self.assertFalse(self.connection.is_saturated)

    def test_refused_events_are_counted_and_told(self) -> None:
        lines = capture_log(self)
        self.begin(FakeApp(has_client_events=False))
        self.subscribe()
        for _ in range(3):
            self.connection.send_event(CHANNEL, "client-x", "{}")
        self.wait()
        self.assertEqual([error.code for error in self.observer.errors], [4301] * 3)
        self.assertEqual(self.counters.refused, {4301: 3})
        self.assertTrue(self.connection.is_up)
        self.assertEqual(len([line for line in lines if "4301" in line]), 1)

    def test_what_waits_is_bounded_and_lost_with_the_connection(self) -> None:
        self.subscribe()
        self.network.stick()
        data = '{"x":"' + "x" * 9000 + '"}'
        taken = 0
        while self.connection.send_event(CHANNEL, "client-x", data):
            taken += 1
        self.assertTrue(100 < taken < 200, taken)
        self.network.stick(False)
        self.network.cut()
        self.wait()
        published = self.counters.published["client_event"]
        self.assertEqual(self.counters.dropped["away"] + published, taken)
        self.assertTrue(self.counters.dropped["away"] > 100)


class StatesTest(ConnectionCase):
    def test_every_pair(self) -> None:
        made: list[ServiceConnection] = []

        def make() -> ServiceConnection:
            self.begin(FakeApp())
            made.append(self.connection)
            return self.connection

        check_every_pair(self, TRANSITIONS, ServiceState, ServiceEvent, make)
        self.begin(FakeApp())
