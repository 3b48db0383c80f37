"""A relay that stops: who is closed when, and what still arrives. In memory, on a clock."""

from itertools import pairwise
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay.client_registry import ClientRegistry
from apptuner_relay.relay.interfaces import DecideClaim, Place
from apptuner_relay.relay.service import LocalPlace
from apptuner_relay.relay.shutdown_states import ShutdownState
from apptuner_relay.session.session import Admission
from apptuner_relay.wire.frames import CLOSE, CONTINUATION, TEXT
from tests.memory import Client, Relay, masked

RESTART = b"\x03\xf4"
BUNDLE = b'{"type":"bundle_update","payload":{"code":"' + b"x" * 5000 + b'"}}'


class DrainCase(SynchronousTestCase):
    def start(self, **settings: Any) -> Relay:
        self.relay = Relay(**settings)
        return self.relay

    def session(self, name: str = "ABC234", *roles: str) -> list[Client]:
        clients = [self.relay.connect(f"/{role}/{name}") for role in roles or ("cli", "mobile")]
        for client in clients:
            client.received()
        return clients

    def stop(self) -> Deferred[None]:
        return self.relay.service.stopService()

    def pass_time(self, seconds: float = 0.1) -> None:
        self.relay.wait(seconds, 0.02)

    def code(self, client: Client) -> int | None:
        """With which it was closed."""
        client.read()
        return client.closed and client.closed[0]

    def answer(self, client: Client) -> None:
        """Answer the relay's Close, and see the connection end."""
        client.send_raw(masked(CLOSE, RESTART))
        client.lose()


class Idle(DrainCase):
    def test_nobody_is_there(self) -> None:
        self.start()
        self.successResultOf(self.stop())

    def test_the_desktop_side_goes_first(self) -> None:
        self.start()
        cli, dashboard, phone = self.session("ABC234", "cli", "dashboard", "mobile")
        stopping = self.stop()
        self.assertEqual([self.code(one) for one in (cli, dashboard, phone)], [1012, 1012, None])
        self.answer(cli)
        self.pass_time()
        self.assertIsNone(self.code(phone))
        self.answer(dashboard)
        self.pass_time()
        self.assertEqual(self.code(phone), 1012)
        self.assertNoResult(stopping)
        self.answer(phone)
        self.pass_time()
        self.successResultOf(stopping)
        self.assertEqual(self.relay.service.sessions, {})

    def test_a_few_sessions_take_no_time_to_speak_of(self) -> None:
        self.start(drain_spread=60)
        clis = [self.session(f"S{n}", "cli")[0] for n in range(5)]
        self.stop()
        self.pass_time(0.1)
        self.assertEqual({self.code(cli) for cli in clis}, {1012})

    def test_many_sessions_are_spread(self) -> None:
        self.start(drain_spread=1)
        clis = [self.session(f"S{n}", "cli")[0] for n in range(200)]
        self.stop()
        closed = []
        for _ in range(10):
            closed.append(sum(self.code(cli) == 1012 for cli in clis))
            self.pass_time(0.1)
        self.assertEqual(closed[0], 1)
        self.assertTrue(all(10 <= b - a <= 30 for a, b in pairwise(closed)), closed)
        self.pass_time(0.1)
        self.assertEqual(sum(self.code(cli) == 1012 for cli in clis), 200)

    def test_who_does_not_answer_is_dropped(self) -> None:
        self.start(close_timeout=5)
        cli, phone = self.session()
        stopping = self.stop()
        self.pass_time(4.9)
        self.assertFalse(cli.transport.disconnecting or cli.transport.disconnected)
        self.pass_time(0.2)
        self.assertTrue(cli.transport.disconnected)
        cli.lose()
        self.pass_time()
        self.assertEqual(self.code(phone), 1012)
        phone.lose()
        self.pass_time()
        self.successResultOf(stopping)

    def test_nothing_is_told_to_who_was_closed(self) -> None:
        self.start()
        cli, phone = self.session()
        self.stop()
        phone.send(type="console_log")
        cli.read()
        self.assertEqual([opcode for opcode, _, _ in cli.frames][-1], CLOSE)
        self.assertEqual(cli.types(), [])


class Refusing(DrainCase):
    def test_new_sessions_are_told_when_to_come_back(self) -> None:
        self.start()
        (cli,) = self.session("BUSY", "cli")
        cli.send_raw(masked(TEXT, BUNDLE, fin=False))
        self.stop()
        refused = self.relay.connect("/cli/NEW", welcome=False)
        self.assertEqual(refused.status, 503)
        self.assertIn(b"Retry-After: 5", refused.head)
        self.assertIn(b"restarts", refused.body)

    def test_an_existing_session_takes_its_clients_until_it_is_closed(self) -> None:
        self.start()
        (cli,) = self.session("BUSY", "cli")
        cli.send_raw(masked(TEXT, BUNDLE, fin=False))
        self.stop()
        phone = self.relay.connect("/mobile/BUSY")
        self.assertIn("mobile_connected", cli.types())
        cli.send_raw(masked(CONTINUATION, b""))
        self.pass_time()
        self.assertEqual(self.code(cli), 1012)
        self.assertEqual(self.relay.connect("/mobile/BUSY", welcome=False).status, 503)
        self.answer(cli)
        self.pass_time()
        self.assertEqual(self.code(phone), 1012)

    def test_afterwards(self) -> None:
        self.start()
        self.successResultOf(self.stop())
        self.assertEqual(self.relay.connect("/cli/NEW", welcome=False).status, 503)

    def test_who_got_through_before_a_successor_took_over_is_let_in_and_closed(self) -> None:
        self.start(shares_sockets=True)
        (cli,) = self.session("BUSY", "cli")
        stopping = self.stop()
        late = self.relay.connect("/cli/NEW")
        self.pass_time()
        self.assertEqual(self.code(late), 1012)
        for client in (cli, late):
            self.answer(client)
        self.pass_time()
        self.successResultOf(stopping)

    def test_who_has_not_asked_yet_is_waited_for_a_little(self) -> None:
        self.start(shares_sockets=True)
        silent = 1
        self.relay.hooks.subscribe_silent_connections(lambda: silent)
        stopping = self.stop()
        self.pass_time(0.5)
        self.assertNoResult(stopping)
        silent = 0
        late = self.relay.connect("/cli/NEW")
        self.pass_time()
        self.assertEqual(self.code(late), 1012)
        self.answer(late)
        self.pass_time()
        self.successResultOf(stopping)

    def test_who_never_asks_is_not_waited_for(self) -> None:
        self.start(shares_sockets=True)
        self.relay.hooks.subscribe_silent_connections(lambda: 1)
        stopping = self.stop()
        self.pass_time(1.1)
        self.successResultOf(stopping)

    def test_where_nobody_takes_over_such_are_left(self) -> None:
        self.start()
        self.relay.hooks.subscribe_silent_connections(lambda: 1)
        self.successResultOf(self.stop())


class InFlight(DrainCase):
    def test_a_bundle_on_its_way_is_waited_for_by_all(self) -> None:
        self.start(drain_timeout=30)
        cli, phone = self.session()
        idle, _ = self.session("IDLE")
        cli.send_raw(masked(TEXT, BUNDLE[:1000], fin=False))
        self.stop()
        self.pass_time(20)
        self.assertEqual([self.code(one) for one in (cli, phone, idle)], [None] * 3)
        cli.send_raw(masked(CONTINUATION, BUNDLE[1000:]))
        self.pass_time()
        self.assertEqual([self.code(one) for one in (cli, phone, idle)], [1012, None, 1012])
        phone.read()
        self.assertEqual(phone.messages, [BUNDLE])

    def test_bundles_that_begin_later_keep_only_their_own_session(self) -> None:
        self.start(drain_timeout=30)
        first, _ = self.session("S1")
        second, _ = self.session("S2")
        first.send_raw(masked(TEXT, BUNDLE[:1000], fin=False))
        self.stop()
        second.send_raw(masked(TEXT, BUNDLE[:1000], fin=False))
        first.send_raw(masked(CONTINUATION, BUNDLE[1000:]))
        self.pass_time()
        self.assertEqual([self.code(one) for one in (first, second)], [1012, None])
        second.send_raw(masked(CONTINUATION, BUNDLE[1000:]))
        self.pass_time()
        self.assertEqual(self.code(second), 1012)

    def test_what_was_sent_before_the_close_was_seen_arrives(self) -> None:
        # The CLI believes it sent; its Close comes behind it.
        self.start()
        cli, phone = self.session()
        stopping = self.stop()
        self.assertEqual(self.code(cli), 1012)
        cli.send_raw(masked(TEXT, BUNDLE[:1000], fin=False))
        self.pass_time(4)
        cli.send_raw(masked(CONTINUATION, BUNDLE[1000:]) + masked(TEXT, BUNDLE))
        self.answer(cli)
        self.pass_time()
        phone.read()
        self.assertEqual(phone.messages, [BUNDLE, BUNDLE])
        self.assertEqual(self.code(phone), 1012)
        self.answer(phone)
        self.pass_time()
        self.successResultOf(stopping)

    def test_who_goes_on_sending_after_the_close_is_not_dropped(self) -> None:
        self.start(close_timeout=5, drain_timeout=30)
        cli, phone = self.session()
        self.stop()
        cli.send_raw(masked(TEXT, BUNDLE[:1000], fin=False))
        for _ in range(4):
            self.pass_time(4)
            cli.send_raw(masked(CONTINUATION, b"x" * 100, fin=False))
        self.assertFalse(cli.transport.disconnected)
        cli.send_raw(masked(CONTINUATION, b"end"))
        self.answer(cli)
        phone.read()
        self.assertEqual(len(phone.messages), 1)

    def test_a_phone_that_reads_slowly_gets_all_of_it(self) -> None:
        self.start()
        cli, phone = self.session()
        sink = next(iter(m for m in self.relay.service.clients if m.device is not None)).sink
        sink.pauseProducing()
        cli.send_raw(masked(TEXT, BUNDLE))
        self.stop()
        self.pass_time(5)
        self.assertEqual([self.code(one) for one in (cli, phone)], [None, None])
        sink.resumeProducing()
        self.pass_time()
        self.assertEqual(self.code(cli), 1012)
        self.answer(cli)
        self.pass_time()
        self.assertEqual(phone.messages, [])
        self.assertEqual(self.code(phone), 1012)
        self.assertEqual(phone.messages, [BUNDLE])

    def test_nobody_waits_for_a_message_rate(self) -> None:
        self.start(message_rate=10)
        cli, phone = self.session()
        texts = [b'{"type":"talk","n":%d}' % n for n in range(1000)]
        flood = b"".join(masked(TEXT, text) for text in texts)
        cli.send_raw(flood + masked(TEXT, BUNDLE))
        phone.read()
        self.assertLess(len(phone.messages), 500)
        stopping = self.stop()
        self.pass_time()
        # It is over its rate again.
        cli.send_raw(flood + masked(CLOSE, RESTART))
        self.pass_time(1.1)
        cli.lose()
        self.pass_time()
        self.assertEqual(self.code(phone), 1012)
        self.assertEqual(phone.messages, [*texts, BUNDLE, *texts])
        self.answer(phone)
        self.pass_time()
        self.successResultOf(stopping)

    def test_who_comes_while_it_drains_waits_for_no_message_rate_either(self) -> None:
        self.start(message_rate=10, shares_sockets=True)
        (dashboard,) = self.session("ABC234", "dashboard")
        dashboard.send_raw(masked(TEXT, BUNDLE[:1000], fin=False))
        self.stop()
        cli, phone = self.session()
        texts = [b'{"type":"talk","n":%d}' % n for n in range(1000)]
        cli.send_raw(b"".join(masked(TEXT, text) for text in texts))
        self.pass_time(1.1)
        phone.read()
        self.assertEqual(phone.messages[-1000:], texts)

    def test_what_waits_to_be_taken_in_at_the_deadline_is_said_to_be_cut(self) -> None:
        self.start(drain_timeout=30)
        (cli,) = self.session("ABC234", "cli")
        (member,) = self.relay.service.clients
        with capturedLogs() as events:
            self.stop()
            member.source.hold(self)
            cli.send_raw(masked(TEXT, b"{}") + masked(CLOSE, RESTART))
            self.pass_time(31)
        self.assertIn(
            "draining: after 30 s, what is still on its way is cut", map(formatEvent, events)
        )

    def test_who_still_sends_at_the_deadline_is_said_to_be_cut(self) -> None:
        for sends in (True, False):
            self.start(drain_timeout=3, close_timeout=5)
            (cli,) = self.session("ABC234", "cli")
            with capturedLogs() as events:
                self.stop()
                self.pass_time(1)
                if sends:
                    cli.send(type="talk")
                self.pass_time(3)
            said = "draining: after 3 s, what is still on its way is cut"
            self.assertEqual(said in map(formatEvent, events), sends)

    def test_at_the_deadline_it_is_cut(self) -> None:
        self.start(drain_timeout=30, close_timeout=5)
        cli, phone = self.session()
        cli.send_raw(masked(TEXT, BUNDLE[:1000], fin=False))
        stopping = self.stop()
        # It is slow, but it doesn't stall.
        for _ in range(29):
            self.pass_time(1)
            cli.send_raw(masked(CONTINUATION, b"x", fin=False))
        self.assertIsNone(self.code(cli))
        self.pass_time(1.2)
        self.assertEqual([self.code(one) for one in (cli, phone)], [1012, 1011])
        for client in (cli, phone):
            client.lose()
        self.pass_time()
        self.successResultOf(stopping)

    def test_at_the_deadline_those_who_go_on_sending_are_cut(self) -> None:
        self.start(drain_timeout=30, close_timeout=5)
        cli, phone = self.session()
        self.stop()
        cli.send_raw(masked(TEXT, BUNDLE[:1000], fin=False))
        for _ in range(37):
            self.pass_time(1)
            cli.send_raw(masked(CONTINUATION, b"x", fin=False))
        self.assertEqual(self.code(phone), 1011)
        self.assertTrue(cli.transport.disconnected)

    def test_a_download_is_waited_for(self) -> None:
        self.start(drain_timeout=30)
        downloads = 1
        self.relay.hooks.subscribe_downloads(lambda: downloads)
        stopping = self.stop()
        self.pass_time(10)
        self.assertNoResult(stopping)
        downloads = 0
        self.pass_time()
        self.successResultOf(stopping)

    def test_a_download_is_not_waited_for_for_ever(self) -> None:
        self.start(drain_timeout=30)
        self.relay.hooks.subscribe_downloads(lambda: 1)
        stopping = self.stop()
        self.pass_time(30.1)
        self.successResultOf(stopping)


class Elsewhere:
    """A `Placement` whose sessions leave when the test says so."""

    def __init__(self) -> None:
        self.until_s = 0.0
        self.handed_over: Deferred[None] = Deferred()

    def find(self, admission: Admission, claim: DecideClaim) -> Deferred[Place]:
        place: Place = LocalPlace(self.registry, admission)
        return succeed(place)

    registry: ClientRegistry

    def left(self, session_hash: str) -> None: ...

    def drain(self, until_s: float) -> Deferred[None]:
        self.until_s = until_s
        return self.handed_over


class HandingOver(DrainCase):
    def start(self, **settings: Any) -> Relay:
        relay = super().start(**settings)
        self.elsewhere = Elsewhere()
        self.elsewhere.registry = relay.service.registry
        relay.hooks.subscribe_placement(self.elsewhere)
        return relay

    def stop(self) -> Deferred[None]:
        stopping = super().stop()
        assert self.relay.service.shutdown is not None
        self.shutdown = self.relay.service.shutdown
        return stopping

    def test_clients_go_on_meanwhile(self) -> None:
        self.start(drain_timeout=30)
        cli, phone = self.session()
        self.stop()
        self.pass_time(20)
        self.assertEqual([self.code(one) for one in (cli, phone)], [None, None])
        self.assertEqual(self.shutdown.status, "handing sessions over, 2 clients left")
        cli.send_raw(masked(TEXT, BUNDLE))
        phone.read()
        self.assertEqual(phone.messages, [BUNDLE])

    def test_nobody_new_is_let_in(self) -> None:
        self.start()
        self.session()
        self.stop()
        self.assertEqual(self.relay.connect("/mobile/ABC234", welcome=False).status, 503)

    def test_those_that_stay_are_closed(self) -> None:
        self.start()
        cli, phone = self.session()
        stopping = self.stop()
        self.elsewhere.handed_over.callback(None)
        self.assertEqual(self.code(cli), 1012)
        self.answer(cli)
        self.pass_time()
        self.assertEqual(self.code(phone), 1012)
        self.answer(phone)
        self.pass_time()
        self.successResultOf(stopping)

    def test_with_nobody_left_it_is_over_at_once(self) -> None:
        self.start()
        stopping = self.stop()
        self.assertNoResult(stopping)
        self.elsewhere.handed_over.callback(None)
        self.successResultOf(stopping)

    def test_the_deadline_is_the_one_of_all_of_the_stop(self) -> None:
        self.start(drain_timeout=30, close_timeout=5)
        cli, phone = self.session()
        cli.send_raw(masked(TEXT, BUNDLE[:1000], fin=False))
        begun_s = self.relay.clock.seconds()
        self.stop()
        self.assertEqual(self.elsewhere.until_s, begun_s + 30)
        self.pass_time(20)
        self.elsewhere.handed_over.callback(None)
        self.assertIs(self.shutdown.state, ShutdownState.WAIT)
        for _ in range(9):
            self.pass_time(1)
            cli.send_raw(masked(CONTINUATION, b"x", fin=False))
        self.assertIs(self.shutdown.state, ShutdownState.WAIT)
        self.pass_time(1.2)
        self.assertIs(self.shutdown.state, ShutdownState.CUT)
        self.assertEqual([self.code(one) for one in (cli, phone)], [1012, 1011])

    def test_at_the_deadline_those_are_cut_whom_nobody_took(self) -> None:
        self.start(drain_timeout=30)
        cli, phone = self.session()
        stopping = self.stop()
        self.pass_time(30.1)
        self.assertEqual([self.code(one) for one in (cli, phone)], [1012, 1012])
        for client in (cli, phone):
            client.lose()
        self.pass_time()
        self.successResultOf(stopping)
        # It comes too late to matter.
        self.elsewhere.handed_over.callback(None)
        self.assertIs(self.shutdown.state, ShutdownState.OVER)

    def test_hurried(self) -> None:
        self.start()
        cli, phone = self.session()
        stopping = self.stop()
        self.shutdown.hurry()
        self.successResultOf(stopping)
        self.assertEqual([self.code(one) for one in (cli, phone)], [1012, 1012])

    def test_messages_of_clients_that_have_gone_are_waited_for(self) -> None:
        self.start()
        undelivered = {"session"}
        self.relay.hooks.subscribe_undelivered(lambda: undelivered)
        stopping = self.stop()
        self.elsewhere.handed_over.callback(None)
        self.pass_time(5)
        self.assertNoResult(stopping)
        undelivered.clear()
        self.pass_time()
        self.successResultOf(stopping)


class AtOnce(DrainCase):
    def test_without_a_timeout(self) -> None:
        self.start(drain_timeout=0, drain_spread=60)
        clis = [self.session(f"S{n}", "cli")[0] for n in range(50)]
        cli, phone = self.session()
        cli.send_raw(masked(TEXT, BUNDLE[:1000], fin=False))
        # What there is of it has gone to the phone.
        self.pass_time(0.02)
        stopping = self.stop()
        self.assertEqual({self.code(one) for one in clis}, {1012})
        self.assertEqual([self.code(one) for one in (cli, phone)], [1012, 1011])
        for client in (*clis, cli, phone):
            client.lose()
        self.pass_time()
        self.successResultOf(stopping)

    def test_hurried(self) -> None:
        self.start()
        cli, phone = self.session()
        cli.send_raw(masked(TEXT, BUNDLE[:1000], fin=False))
        # What there is of it has gone to the phone.
        self.pass_time(0.02)
        stopping = self.stop()
        shutdown = self.relay.service.shutdown
        assert shutdown is not None
        self.assertIs(shutdown.state, ShutdownState.WAIT)
        self.assertIn("1 sessions", shutdown.status)
        shutdown.hurry()
        self.successResultOf(stopping)
        self.assertEqual([self.code(one) for one in (cli, phone)], [1012, 1011])
        shutdown.hurry()

    def test_hurried_while_it_waits_for_answers(self) -> None:
        self.start()
        cli, phone = self.session()
        stopping = self.stop()
        shutdown = self.relay.service.shutdown
        assert shutdown is not None
        shutdown.hurry()
        self.successResultOf(stopping)
        self.assertEqual([self.code(one) for one in (cli, phone)], [1012, 1012])

    def test_one_that_fails_ends_all_the_same(self) -> None:
        self.start()
        self.session()
        broken = property(lambda registry: [][0])
        self.patch(ClientRegistry, "outbound", broken)
        with capturedLogs() as events:
            stopping = self.stop()
        self.assertEqual(
            list(map(formatEvent, events))[-3:],
            [
                "draining has failed: all clients are closed",
                "drained in 0.0 s",
                "closing the clients has failed: they lose their connections",
            ],
        )
        self.assertTrue(self.flushLoggedErrors(IndexError))
        self.successResultOf(stopping)
