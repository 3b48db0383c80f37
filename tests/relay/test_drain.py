"""`apptuner_relay.relay.drain`: a relay that takes no new sessions, and takes them again."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay.drain import Drain
from apptuner_relay.relay.drain_states import DrainState
from apptuner_relay.relay.hooks import RelayHooks
from tests.memory import Relay

SERVING, DRAINING, DRAINED = DrainState


class FakePlacement:
    """Stands for other relays."""

    def __init__(self) -> None:
        self.moving: list[tuple[float, Deferred[None]]] = []
        self.ended = 0

    def drain(self, until_s: float) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self.moving.append((until_s, done))
        return done

    def end_drain(self) -> None:
        self.ended += 1


class Cluster(SynchronousTestCase):
    def setUp(self) -> None:
        self.others = FakePlacement()
        hooks = RelayHooks()
        hooks.subscribe_placement(self.others)  # type: ignore[arg-type]
        self.drain = Drain(hooks, Clock(), 30.0)

    def test_there_and_back(self) -> None:
        self.assertTrue(self.drain.set(True))
        self.assertFalse(self.drain.set(True))
        self.assertIs(self.drain.state, DRAINING)
        [(until_s, moved)] = self.others.moving
        self.assertEqual(until_s, 30.0)
        moved.callback(None)
        self.assertIs(self.drain.state, DRAINED)
        self.assertTrue(self.drain.is_on)
        self.assertTrue(self.drain.set(False))
        self.assertFalse(self.drain.set(False))
        self.assertEqual((self.drain.is_on, self.others.ended), (False, 1))

    def test_an_earlier_one_says_nothing_of_a_later_one(self) -> None:
        self.drain.set(True)
        self.drain.set(False)
        self.drain.set(True)
        (_, first), (_, second) = self.others.moving
        first.callback(None)
        self.assertIs(self.drain.state, DRAINING)
        second.callback(None)
        self.assertIs(self.drain.state, DRAINED)


class Alone(SynchronousTestCase):
    def test_no_new_sessions_but_those_that_there_are(self) -> None:
        relay = Relay()
        cli = relay.connect("/cli/ABC234")
        relay.service.drain.set(True)
        self.assertIs(relay.service.drain.state, DRAINED)
        stranger = relay.connect("/cli/DEF567", welcome=False)
        self.assertEqual(stranger.status, 503)
        self.assertIn(b"Retry-After: ", stranger.head)
        phone = relay.connect("/mobile/ABC234?deviceId=p")
        self.assertEqual(phone.status, 101)
        self.assertIsNone(cli.closed)
        self.assertEqual(relay.service.meters.health.state, "draining")
        relay.service.drain.set(False)
        self.assertEqual(relay.connect("/cli/DEF567").status, 101)
        self.assertEqual(relay.service.meters.health.state, "ok")

    def test_stopping_while_drained(self) -> None:
        relay = Relay()
        cli = relay.connect("/cli/ABC234")
        relay.service.drain.set(True)
        over = relay.service.stopService()
        relay.clock.pump([0.1] * 50)
        cli.read()
        self.assertEqual(cli.closed, (1012, "The relay restarts"))
        cli.lose()
        relay.clock.pump([0.1] * 50)
        self.successResultOf(over)
