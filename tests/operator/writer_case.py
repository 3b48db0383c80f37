"""A `LogWriter` on a clock, for tests of the writer and of what it writes to."""

import re
import threading

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.log_writer import LogTarget, LogWriter

NOTICE = re.compile(rb"(\d+) dropped\n")


def notice(count: int) -> str:
    """The line about lines that were dropped."""
    return f"{count} dropped\n"


class WriterClock:
    """Stands still unless a test moves it."""

    now_s = 0.0

    def seconds(self) -> float:
        return self.now_s


class WriterCase(SynchronousTestCase):
    timeout = 60

    def setUp(self) -> None:
        self.clock = WriterClock()

    def writer(self, target: LogTarget, most_bytes: int = 10_000) -> LogWriter:
        return LogWriter(target, notice, most_bytes=most_bytes, seconds=self.clock.seconds)

    def settle(self, writer: LogWriter) -> None:
        """Until all of what was written so far has been dealt with."""
        done = threading.Event()
        writer.call(done.set)
        done.wait()
