"""`apptuner_relay.edge.keepalive`: whom to ping, and whom to give up."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.edge.keepalive import LATELY_S, Keepalive, KeepaliveAction
from apptuner_relay.wire.frames import PONG
from tests.memory import Client, Relay, masked

INTERVAL_S, TIMEOUT_S, LOOK_S = 20.0, 30.0, 10.0
NOTHING, PING, DROP = tuple(KeepaliveAction)
ALIVE, SILENT, HELD = (True, False), (False, False), (False, True)

looks = st.lists(st.tuples(st.floats(0, 40), st.booleans(), st.booleans()), max_size=50)


class Peer:
    """A peer that has been silent since second 0."""

    def __init__(self) -> None:
        self.keepalive = Keepalive(INTERVAL_S, TIMEOUT_S, 0)
        self.keepalive.look(0, 0, False)
        self.drains = 0

    def look(self, now_s: float, is_alive: bool, is_held: bool) -> KeepaliveAction:
        """Look at the peer; ``is_alive`` is whether it has sent a Pong since the last look."""
        if is_alive:
            self.keepalive.heard(now_s)
            self.keepalive.answered()
        return self.keepalive.look(now_s, self.drains, is_held)


class Looks(SynchronousTestCase):
    def calls(self, *seen: tuple[bool, bool]) -> list[KeepaliveAction]:
        """What is to be done at looks 10 s apart, by what each finds."""
        peer = Peer()
        return [peer.look(LOOK_S * (n + 1), *one) for n, one in enumerate(seen)]

    def test_silence(self) -> None:
        self.assertEqual(
            self.calls(*[SILENT] * 5),
            [NOTHING, PING, NOTHING, NOTHING, DROP],
            "asked, and given up",
        )

    def test_an_answer(self) -> None:
        self.assertEqual(
            self.calls(SILENT, SILENT, ALIVE, SILENT, SILENT),
            [NOTHING, PING, NOTHING, NOTHING, PING],
        )

    def test_held_for_long(self) -> None:
        self.assertEqual(self.calls(*[HELD] * 8), [NOTHING, PING] * 4)

    def test_held_when_its_answer_is_due(self) -> None:
        self.assertEqual(
            self.calls(SILENT, SILENT, HELD, HELD, HELD), [NOTHING, PING, NOTHING, PING, NOTHING]
        )

    def test_one_that_died_while_it_was_held(self) -> None:
        self.assertEqual(
            self.calls(HELD, HELD, SILENT, SILENT, SILENT, SILENT, SILENT),
            [NOTHING, PING, NOTHING, PING, NOTHING, NOTHING, DROP],
            "it has all the time that any other has",
        )

    @given(looks)
    def test_whatever_happens(self, looks: list[tuple[float, bool, bool]]) -> None:
        peer = Peer()
        now_s = sign_s = quiet_s = 0.0
        asked_s: float | None = None
        for past_s, is_alive, is_held in looks:
            now_s += past_s
            call = peer.look(now_s, is_alive, is_held)
            if is_alive:
                sign_s = quiet_s = now_s
            if is_alive or is_held:
                asked_s = None
            if call is DROP:
                assert asked_s is not None
                self.assertGreaterEqual(now_s - asked_s, TIMEOUT_S)
                self.assertGreaterEqual(now_s - sign_s, INTERVAL_S + TIMEOUT_S)
                return
            if call is PING:
                self.assertGreaterEqual(now_s - quiet_s, INTERVAL_S)
                quiet_s = now_s
                asked_s = None if is_held else now_s
            elif asked_s is None:
                self.assertLess(now_s - quiet_s, INTERVAL_S, "nobody is left without a ping")


class Signs(SynchronousTestCase):
    """What else than messages says that a peer is there, and pings out of turn."""

    def setUp(self) -> None:
        self.peer = Peer()
        self.keepalive = self.peer.keepalive

    def test_a_peer_that_reads_is_alive(self) -> None:
        self.assertIs(self.peer.look(20, False, False), PING)
        self.peer.drains += 1
        self.assertIs(self.peer.look(60, False, False), NOTHING)
        self.assertIs(self.peer.look(70, False, False), NOTHING)

    def test_what_a_held_peer_has_sent_is_yet_to_be_received(self) -> None:
        self.assertIs(self.peer.look(20, False, False), PING)
        self.keepalive.read_again()
        self.assertIs(self.peer.look(60, False, False), NOTHING)

    def test_pings_out_of_turn(self) -> None:
        self.assertTrue(self.keepalive.ask(5, 0))
        self.assertFalse(self.keepalive.ask(6, 0), "the answer is due already")
        self.assertIs(self.peer.look(5 + TIMEOUT_S - 1, False, False), NOTHING)
        self.assertIs(self.peer.look(5 + TIMEOUT_S, False, False), DROP)

    def test_a_peer_that_has_answered_may_be_asked_again(self) -> None:
        self.keepalive.ask(5, 0)
        self.keepalive.heard(6)
        self.assertTrue(self.keepalive.ask(7, 0))

    def test_heard_lately(self) -> None:
        self.keepalive.heard(5)
        self.assertTrue(self.keepalive.was_heard_lately(5 + LATELY_S / 2))
        self.assertFalse(self.keepalive.was_heard_lately(5 + LATELY_S))

    def test_the_last_sign(self) -> None:
        self.keepalive.heard(5)
        self.assertEqual(self.keepalive.last_sign_s(9, 0, False), 5)
        self.assertEqual(self.keepalive.last_sign_s(9, 0, True), 9, "it is held, and can't be seen")
        self.keepalive.ask(8, 0)
        self.assertEqual(self.keepalive.last_sign_s(9, 0, False), 5, "a ping is no sign")
        self.assertEqual(self.keepalive.last_sign_s(9, 1, False), 9, "it reads since it was asked")


class HeldTest(SynchronousTestCase):
    """Clients that are not read from, on real connections' code; see `test_websocket`."""

    def setUp(self) -> None:
        self.relay = Relay(ping_interval=20, ping_timeout=20, slow_time=3600, message_rate=10)
        self.cli = self.relay.connect("/cli/ABC234")
        self.phone = self.relay.connect("/mobile/ABC234")
        self.cli.received()

    def wait(self, seconds: float) -> None:
        """Time passes, in which the phone talks."""
        for _ in range(int(seconds / 10)):
            self.relay.wait(10)
            self.phone.send(type="ping")

    def assertPinged(self, client: Client, seconds: float) -> None:
        """It gets a ping each half minute, at least, and isn't dropped."""
        for _ in range(int(seconds / 30)):
            before = client.pings
            self.wait(30)
            client.read()
            self.assertGreater(client.pings, before)
            self.assertFalse(client.transport.disconnected)

    def test_for_a_slow_phones_sake(self) -> None:
        self.phone.transport.producer.pauseProducing()
        self.cli.send(type="bundle_update", code="x" * 300_000)
        self.assertEqual(self.cli.transport.producerState, "paused")
        self.assertPinged(self.cli, 180)
        self.phone.transport.producer.resumeProducing()
        self.assertIn("bundle_update", self.phone.types())

    def test_one_that_is_gone_when_it_is_read_again(self) -> None:
        self.test_for_a_slow_phones_sake()
        before = self.cli.pings
        self.wait(20)
        self.assertFalse(self.cli.transport.disconnected, "not at once")
        self.wait(50)
        self.assertTrue(self.cli.transport.disconnected)
        self.cli.read()
        self.assertEqual(self.cli.pings, before + 1)

    def test_for_whatever_else(self) -> None:
        """As while its session moves, or when it has used up its message rate."""
        mover = object()
        end = self.cli.protocol.frame_handler
        end.source.hold(mover)
        self.assertPinged(self.cli, 180)
        self.cli.send_raw(masked(PONG, b"") * 6)
        end.source.let_go(mover)
        self.assertPinged(self.cli, 30)

    def test_pings_do_not_pile_up_for_one_that_reads_nothing(self) -> None:
        self.cli.protocol.frame_handler.source.hold(self)
        self.cli.transport.producer.pauseProducing()
        self.wait(600)
        self.cli.transport.producer.resumeProducing()
        self.cli.read()
        self.assertEqual(self.cli.pings, 1)


class Rhythm(SynchronousTestCase):
    """A peer that speaks of itself every 25 s, where the relay pings after 20 s."""

    def pings(self, every_s: float, answers: bool = True, until_s: float = 400) -> list[float]:
        """When it is pinged, at looks 5 s apart."""
        keepalive, pinged, now_s = Keepalive(INTERVAL_S, TIMEOUT_S, 0), list[float](), 0.0
        while now_s < until_s:
            now_s += 0.5
            if every_s and now_s % every_s == 0:
                keepalive.heard(now_s)
            if now_s % 5 == 2 and keepalive.look(now_s, 0, False) is PING:
                pinged.append(now_s)
                if answers:
                    keepalive.heard(now_s + 0.1)
                    keepalive.answered()
        return pinged

    def test_it_is_not_pinged_once_that_is_known(self) -> None:
        self.assertEqual(self.pings(25), [22.0])
        self.assertEqual(self.pings(30), [22.0])

    def test_one_that_speaks_more_often_never_is(self) -> None:
        self.assertEqual(self.pings(15), [])

    def test_one_that_speaks_more_rarely_is(self) -> None:
        self.assertEqual(len(self.pings(40, until_s=401)), 10)

    def test_answers_alone_are_no_rhythm(self) -> None:
        gaps = {later - one for one, later in pairwise(self.pings(0))}
        self.assertEqual(gaps, {25.0})

    def test_one_that_falls_silent_is_pinged_and_given_up(self) -> None:
        keepalive = Keepalive(INTERVAL_S, TIMEOUT_S, 0)
        for spoke_s in (25, 50, 75):
            keepalive.heard(spoke_s)
            self.assertIs(keepalive.look(spoke_s + 2, 0, False), NOTHING)
        looks = [(now_s, keepalive.look(now_s, 0, False)) for now_s in range(82, 140, 5)]
        told = [look for look in looks if look[1] is not NOTHING]
        self.assertEqual(told[:2], [(102, PING), (132, DROP)])
