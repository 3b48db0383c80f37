"""`apptuner_relay.operator.twisted_noise`: what is left out of the log, and what never is."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.protocol import Factory
from twisted.logger import Logger, LogLevel, capturedLogs
from twisted.python import log as legacy
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.twisted_noise import is_noise

levels = st.sampled_from([LogLevel.warn, LogLevel.error, LogLevel.critical])


class Noise(SynchronousTestCase):
    def test_factories(self) -> None:
        with capturedLogs() as events:
            factory = Factory()
            factory.doStart()
            factory.doStop()
        self.assertEqual([is_noise(one) for one in events], [True, True])

    def test_ports(self) -> None:
        with capturedLogs() as events:
            legacy.msg("RelaySite starting on 3000")
            legacy.msg("RelaySite (TLS) starting on '/run/relay.sock'")
            legacy.msg("(TCP Port 3000 Closed)")
            legacy.msg("(UNIX Port '/run/relay.sock' Closed)")
            legacy.msg("(Port 3000 Closed)")
            legacy.msg("Log opened.")
            legacy.msg("somebody says that RelaySite is starting on 3000")
        self.assertEqual(
            [is_noise(one) for one in events], [True, False, True, True, True, True, False]
        )

    def test_what_ends_a_relay_stays(self) -> None:
        with capturedLogs() as events:
            Logger().info("Received SIGTERM, shutting down.")
            Logger().info("Server Shut Down.")
            Logger().info("session {session}: cli connected", session="Starting factory")
        self.assertEqual([is_noise(one) for one in events], [False] * 3)

    def test_errors_stay(self) -> None:
        with capturedLogs() as events:
            legacy.err(Failure(ValueError("Log opened.")), "Log opened.")
            Logger().failure("Main loop terminated.", Failure(ValueError()))
        self.flushLoggedErrors(ValueError)
        self.assertEqual([is_noise(one) for one in events], [False, False])

    @given(levels, st.sampled_from(["Main loop terminated.", "Stopping factory {factory!r}"]))
    def test_warnings_stay(self, level: object, text: str) -> None:
        self.assertFalse(is_noise({"log_level": level, "log_format": text}))
        self.assertTrue(is_noise({"log_level": LogLevel.info, "log_format": text}))

    @given(st.dictionaries(st.sampled_from(["log_format", "log_text", "isError"]), st.text()))
    def test_any_event(self, event: dict[str, object]) -> None:
        is_noise(event)
