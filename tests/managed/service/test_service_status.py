"""`managed.service.service_status`: what is logged, and what is wrong."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.service.service_problem import ServiceProblem
from apptuner_relay.managed.service.service_status import ServiceStatus
from tests.log_capture import capture_log

LOST = ServiceProblem(None, "the connection was lost")
QUOTA = ServiceProblem(4004, "more connections than its plan allows", "it closed with 4004")
SECRET = ServiceProblem(401, "it refuses our signature", "Invalid signature")


class StatusTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines = capture_log(self)
        self.clock = Clock()
        self.status = ServiceStatus("Soketi", self.clock)
        self.status.start()

    def logged(self) -> list[str]:
        """The lines since the last call, without the name of the service."""
        lines = [line.removeprefix("managed service Soketi: ") for line in self.lines]
        self.lines.clear()
        return lines

    def test_a_service_that_comes_late(self) -> None:
        for _ in range(3):
            self.status.down(LOST, has_others=False)
            self.clock.advance(10)
        self.assertEqual(self.status.down_since_s, 0)
        self.status.up(has_down=False)
        self.assertEqual(
            self.logged(), ["away, trying again soon: the connection was lost", "connected"]
        )
        self.assertIsNone(self.status.down_since_s)
        self.assertEqual(self.status.problems, [])

    def test_away_and_back(self) -> None:
        self.status.up(has_down=False)
        self.clock.advance(100)
        self.status.down(LOST, has_others=False)
        self.assertEqual(self.status.problem, "Soketi: the connection was lost")
        self.assertIsNone(self.status.refusal)
        self.clock.advance(5)
        self.status.up(has_down=False)
        self.assertEqual(self.logged()[2:], ["connected again after 5.0 s"])

    def test_away_and_then_refused(self) -> None:
        self.status.up(has_down=False)
        self.logged()
        self.status.down(LOST, has_others=False)
        self.status.down(QUOTA, has_others=False)
        self.status.down(QUOTA, has_others=False)
        self.assertEqual(
            self.logged(),
            [
                "away, trying again soon: the connection was lost",
                "away, trying again in minutes: more connections than its plan allows "
                "(it closed with 4004)",
            ],
        )
        refusal = self.status.refusal
        self.assertEqual(refusal and tuple(refusal), (4004, QUOTA.text))

    def test_one_connection_of_several(self) -> None:
        self.status.up(has_down=False)
        self.logged()
        self.status.down(LOST, has_others=True)
        self.assertEqual((self.logged(), self.status.problem), ([], None))
        self.status.down(QUOTA, has_others=True)
        self.assertEqual(len(self.logged()), 1)
        self.assertIsNone(self.status.down_since_s)
        self.status.up(has_down=True)
        self.assertIn("more connections", str(self.status.problem))
        self.status.up(has_down=False)
        self.assertIsNone(self.status.problem)

    def test_what_a_check_finds_is_said_once(self) -> None:
        self.status.checked([SECRET])
        self.status.checked([SECRET])
        self.status.checked([])
        self.assertEqual(
            self.logged(),
            ["it refuses our signature (Invalid signature)", "nothing is wrong any more"],
        )

    def test_what_an_operator_has_to_change_is_in_front(self) -> None:
        self.status.down(LOST, has_others=False)
        self.status.checked([SECRET])
        self.assertEqual(self.status.problems, [SECRET, LOST])
