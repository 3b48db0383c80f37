"""`apptuner_relay.operator.log_threshold`: which lines are logged, and until when."""

from twisted.internet.task import Clock
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.log_threshold import LEVELS, TOGGLE_S, LogThreshold

debug, info, warn, error = LogLevel.debug, LogLevel.info, LogLevel.warn, LogLevel.error


class ThresholdTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.log = LogThreshold("info", self.clock)

    def passing(self) -> list[object]:
        return [one for one in (debug, info, warn, error) if self.log.passes({"log_level": one})]

    def test_levels(self) -> None:
        for level, passing in zip(
            LEVELS, ([debug, info, warn, error], [info, warn, error], [warn, error]), strict=True
        ):
            self.log.set(level)
            self.assertEqual(self.passing(), passing, level)

    def test_a_line_without_a_level_is_info(self) -> None:
        self.assertTrue(self.log.passes({}))
        self.log.set("warn")
        self.assertFalse(self.log.passes({}))

    def test_it_goes_back(self) -> None:
        self.log.set("debug", 60.0)
        self.clock.advance(59)
        self.assertEqual((self.log.level, self.log.left_s), ("debug", 1.0))
        self.clock.advance(1)
        self.assertEqual((self.log.level, self.log.left_s), ("info", None))

    def test_the_last_word_counts(self) -> None:
        self.log.set("debug", 60.0)
        self.log.set("warn")
        self.clock.advance(61)
        self.assertEqual(self.log.level, "warn")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_new_options_wait_for_what_was_set_for_a_time(self) -> None:
        self.log.set("debug", 60.0)
        self.log.set_usual("warn")
        self.assertEqual((self.log.level, self.log.usual), ("debug", "warn"))
        self.clock.advance(60)
        self.assertEqual(self.log.level, "warn")
        self.log.set_usual("info")
        self.assertEqual(self.log.level, "info")

    def test_toggled(self) -> None:
        self.log.toggle()
        self.assertEqual((self.log.level, self.log.left_s), ("debug", TOGGLE_S))
        self.log.toggle()
        self.assertEqual((self.log.level, self.log.left_s), ("info", None))
