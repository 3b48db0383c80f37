"""`apptuner_relay.operator.health`: the state of a relay, its reasons, and its fewest sessions."""

from types import SimpleNamespace

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.health import DRAINS, Health
from apptuner_relay.operator.process import ProcessUse
from tests.operator.meters_case import MetersCase


class HealthTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sessions = 0
        self.drains = self.is_drained = False
        self.health = Health(
            ProcessUse(None, self.clock.seconds),
            lambda: self.sessions,
            SimpleNamespace(
                is_draining=lambda: self.drains or self.is_drained,
                is_stopping=lambda: self.drains,
            ),
            self.clock,
            self.clock.seconds,
        )

    def test_only_conditions_that_degrade_are_reasons(self) -> None:
        wrong: dict[str, str | None] = {"hint": "Plan for more", "load": None}
        self.health.conditions.watch("hint", lambda: wrong["hint"])
        self.health.conditions.watch("load", lambda: wrong["load"], degrades=True)
        self.health.check()
        self.assertEqual((self.health.state, self.health.reasons), ("ok", []))
        wrong["load"] = "The event loop is late"
        self.health.check()
        self.assertEqual(self.health.state, "degraded")
        self.assertEqual(self.health.reasons, ["The event loop is late"])
        wrong["load"] = None
        self.health.check()
        self.assertEqual(self.health.state, "ok")

    def test_an_operator_may_want_it_to_drain(self) -> None:
        self.is_drained = True
        self.assertTrue(self.health.diverts)
        self.assertEqual((self.health.state, self.health.reasons), ("draining", [DRAINS]))
        self.drains = True
        self.assertEqual(self.health.reasons, ["The relay restarts"])

    def test_what_degrades_every_relay_sends_no_client_elsewhere(self) -> None:
        wrong: dict[str, str | None] = {"service": "It is away", "load": None}
        conditions = self.health.conditions
        conditions.watch("service", lambda: wrong["service"], degrades=True, is_everywhere=True)
        conditions.watch("load", lambda: wrong["load"], degrades=True)
        self.health.check()
        self.assertEqual((self.health.state, self.health.reasons), ("degraded", ["It is away"]))
        self.assertFalse(self.health.diverts)
        wrong["load"] = "late"
        self.health.check()
        self.assertTrue(self.health.diverts)
        wrong["load"] = None
        self.health.check()
        self.drains = True
        self.assertTrue(self.health.diverts)

    def test_a_shutdown_comes_first(self) -> None:
        self.health.conditions.watch("load", lambda: "late", degrades=True)
        self.health.check()
        self.drains = True
        self.assertEqual(self.health.state, "draining")
        self.assertEqual(self.health.reasons, ["The relay restarts", "late"])

    def test_the_fewest_sessions_since_the_last_check(self) -> None:
        self.sessions = 5
        self.health.check()
        self.assertEqual(self.health.fewest_sessions, 5)
        self.sessions = 3
        self.health.note_sessions()
        self.sessions = 8
        self.assertEqual(self.health.fewest_sessions, 3)
        self.health.check()
        self.assertEqual(self.health.fewest_sessions, 8)


class RelayTest(MetersCase):
    def test_draining(self) -> None:
        self.session()
        self.relay.service.stopService()
        self.assertEqual(self.status()["state"], "draining")
        self.assertEqual(self.status()["reasons"], ["The relay restarts"])
