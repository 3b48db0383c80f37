"""An event loop that watches over itself as the relay's does, and gets stuck when it is told to: it
then waits for a line from stdin, and goes on with the next. Run by test_systemd.
"""

import os
import signal
import sys

from twisted.internet import reactor

from apptuner_relay.operator.systemd import SystemdNotifier


def stick() -> None:
    """Block the loop."""
    print("stuck", flush=True)
    sys.stdin.readline()
    print("goes on", flush=True)


notifier = SystemdNotifier(reactor, os.environ, lambda: "watched")
notifier.startService()
signal.signal(signal.SIGUSR1, lambda number, frame: reactor.callFromThread(stick))
reactor.run()
