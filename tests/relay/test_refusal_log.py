"""`apptuner_relay.relay.refusal_log`: refused handshakes are counted, and logged now and then."""

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay.refusal_log import RefusalLog


class Refusals(SynchronousTestCase):
    def test_a_flood_is_a_few_lines(self) -> None:
        clock, counted = Clock(), list[int]()
        log = RefusalLog(counted.append, clock.seconds)
        with capturedLogs() as events:
            for _ in range(5):
                log.add(403, "203.0.113.9")
            clock.advance(60)
            log.add(503, None)
        self.assertEqual(counted, [403] * 5 + [503])
        self.assertEqual(
            list(map(formatEvent, events)),
            [
                "a handshake from 203.0.113.9 was refused with 403 (1 refused since the last such "
                "line)",
                "a handshake from an unknown address was refused with 503 (5 refused since the "
                "last such line)",
            ],
        )
