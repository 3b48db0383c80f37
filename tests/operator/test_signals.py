"""`apptuner_relay.operator.signals` and `service_maker`: signals that would end a process, and
don't."""

import os
import signal
from collections.abc import Callable

from twisted.logger import globalLogPublisher
from twisted.python.reflect import ObjectNotFound
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.signals import SIGNALS, SignalCalls, ignore_signals
from apptuner_relay.service_maker import RelayMaker


class Reactor:
    """Runs what it is given when it is told to, as one that is only about to start."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], None]] = []

    def callFromThread(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def run(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


class SignalCase(SynchronousTestCase):
    def setUp(self) -> None:
        for number in SIGNALS:
            self.addCleanup(signal.signal, number, signal.getsignal(number))
            signal.signal(number, signal.SIG_DFL)

    def send_all(self) -> None:
        """This process would not survive it, were it not ignored."""
        for number in SIGNALS:
            os.kill(os.getpid(), number)


class EarlyTest(SignalCase):
    def test_ignored(self) -> None:
        ignore_signals()
        self.send_all()

    def test_before_anything_is_imported(self) -> None:
        maker = RelayMaker("Relay", "no.such.module", "", "relay")
        options = maker.options()
        options["check"] = True  # which needs all libraries, as this process does
        self.assertRaises(ObjectNotFound, maker.makeService, options)
        self.send_all()

    def test_programs_inherit_nothing(self) -> None:
        ignore_signals()
        self.assertNotIn(signal.SIG_IGN, [signal.getsignal(number) for number in SIGNALS])


class CallsTest(SignalCase):
    def setUp(self) -> None:
        super().setUp()
        self.reactor = Reactor()
        self.calls = SignalCalls(self.reactor)
        self.done: list[str] = []
        self.lines: list[str] = []

        def observe(event: dict[str, object]) -> None:
            self.lines.append(str(event["log_format"]).format(**event))

        globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def test_a_reload(self) -> None:
        self.calls.reload("the hat", lambda: self.done.append("hat"))
        self.calls.reload("the coat", lambda: self.done.append("coat"))
        self.calls.install()
        self.send_all()
        self.assertEqual(self.done, [])
        self.reactor.run()
        self.assertEqual(self.done, ["hat", "coat"])
        self.assertEqual(self.lines, ["SIGHUP: reloading the hat, the coat"])

    def test_nothing_to_reload(self) -> None:
        self.calls.install()
        self.send_all()
        self.reactor.run()
        self.assertEqual(self.lines, ["SIGHUP: there is nothing to reload"])

    def test_one_that_fails_keeps_no_other_from_it(self) -> None:
        def fail() -> None:
            raise ValueError("no hat")

        self.calls.reload("the hat", fail)
        self.calls.reload("the coat", lambda: self.done.append("coat"))
        self.calls.install()
        os.kill(os.getpid(), signal.SIGHUP)
        self.reactor.run()
        self.assertEqual(self.done, ["coat"])
        self.assertIn("reloading the hat has failed", self.lines)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_rotation(self) -> None:
        self.calls.install()
        self.calls.rotate(lambda: self.done.append("rotated"))
        os.kill(os.getpid(), signal.SIGUSR1)
        self.reactor.run()
        self.assertEqual(self.done, ["rotated"])
