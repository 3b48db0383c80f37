"""What systemd is told, over real datagram sockets, on a clock."""

import os
import shutil
import socket
import tempfile

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator.systemd import SystemdNotifier


class NotifyCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.status = "2 sessions"

    def listen(self, address: str | None = None) -> str:
        """A socket such as systemd's; what ``NOTIFY_SOCKET`` is then."""
        if address is None:
            # The path of a UNIX socket may have some 100 characters, and that of a test has more.
            folder = tempfile.mkdtemp()
            self.addCleanup(shutil.rmtree, folder)
            address = f"{folder}/notify"
        self.systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.systemd.close)
        self.systemd.setblocking(False)
        self.systemd.bind(address.replace("@", "\0"))
        return address

    def notifier(self, **environment: str) -> SystemdNotifier:
        self.environment = environment
        notifier = SystemdNotifier(self.clock, environment, lambda: self.status)
        notifier.startService()
        self.addCleanup(notifier.stopService)
        return notifier

    def told(self) -> list[list[str]]:
        """The datagrams since the last time, by line."""
        messages = []
        while True:
            try:
                messages.append(self.systemd.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return messages


class Notifying(NotifyCase):
    def test_readiness_comes_from_the_loop_and_once(self) -> None:
        self.notifier(NOTIFY_SOCKET=self.listen())
        self.assertEqual(self.told(), [])
        self.clock.advance(0)
        self.assertEqual(self.told(), [["READY=1", "STATUS=2 sessions"]])
        self.status = "3 sessions"
        self.clock.advance(10)
        self.assertEqual(self.told(), [["STATUS=3 sessions"]])

    def test_an_abstract_socket(self) -> None:
        self.notifier(NOTIFY_SOCKET=self.listen(f"@apptuner-relay-test-{os.getpid()}"))
        self.clock.advance(0)
        self.assertEqual(self.told(), [["READY=1", "STATUS=2 sessions"]])

    def test_the_watchdog_hears_at_half_of_its_time(self) -> None:
        self.notifier(
            NOTIFY_SOCKET=self.listen(), WATCHDOG_USEC="3000000", WATCHDOG_PID=str(os.getpid())
        )
        self.clock.advance(0)
        self.assertIn("WATCHDOG=1", self.told()[0])
        self.clock.pump([0.5] * 6)
        self.assertEqual(self.told(), [["STATUS=2 sessions", "WATCHDOG=1"]] * 2)

    def test_a_loop_that_is_stuck_says_nothing(self) -> None:
        self.notifier(NOTIFY_SOCKET=self.listen(), WATCHDOG_USEC="3000000")
        self.clock.advance(0)
        self.told()
        # It isn't made up for what was missed, either.
        self.clock.advance(60)
        self.assertEqual(len(self.told()), 1)

    def test_the_watchdog_of_another_process(self) -> None:
        self.notifier(NOTIFY_SOCKET=self.listen(), WATCHDOG_USEC="3000000", WATCHDOG_PID="1")
        self.clock.advance(0)
        self.assertEqual(self.told(), [["READY=1", "STATUS=2 sessions"]])

    def test_stopping_asks_for_time_again_and_again(self) -> None:
        notifier = self.notifier(NOTIFY_SOCKET=self.listen(), WATCHDOG_USEC="30000000")
        self.clock.advance(0)
        self.told()
        self.status = "draining"
        notifier.begin_stop()
        more = ["EXTEND_TIMEOUT_USEC=15000000", "STATUS=draining", "WATCHDOG=1"]
        self.assertEqual(self.told(), [["STOPPING=1", *more]])
        self.clock.advance(1)
        self.assertEqual(self.told(), [more])
        notifier.stopService()
        self.clock.advance(60)
        self.assertEqual(self.told(), [])

    def test_what_could_not_be_told_is_told_later(self) -> None:
        address = self.listen()
        self.systemd.close()
        os.unlink(address)
        self.notifier(NOTIFY_SOCKET=address)
        self.clock.advance(0)
        self.listen(address)
        self.clock.advance(10)
        self.assertEqual(self.told(), [["READY=1", "STATUS=2 sessions"]])

    def test_without_systemd(self) -> None:
        notifier = self.notifier()
        self.clock.advance(0)
        notifier.begin_stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_address_that_is_no_path(self) -> None:
        self.notifier(NOTIFY_SOCKET="vsock:2:1234")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_children_are_not_told(self) -> None:
        self.notifier(NOTIFY_SOCKET=self.listen(), WATCHDOG_USEC="1", WATCHDOG_PID="1", HOME="/")
        self.assertEqual(self.environment, {"HOME": "/"})
