"""Notifies systemd of the state of this process: the protocol of sd_notify(3), over its datagram
socket.

Everything is sent from the event loop. One that is stuck sends nothing, so that systemd's watchdog
ends the process. Without ``NOTIFY_SOCKET`` nothing is sent.
"""

import os
import socket
from collections.abc import Callable, MutableMapping

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

_STATUS_INTERVAL_S = 10.0
_STOPPING_INTERVAL_S = 1.0
_MORE_TIME_S = 15.0
"""How much time beyond the unit's TimeoutStopSec is requested each time while the relay drains."""
_MICROSECONDS = 1_000_000


class SystemdNotifier(Service):
    """Sends notifications. To be stopped last of all services.

    :param environment: systemd's variables are removed from it, so that children don't get them.
    :param status: returns the line that ``systemctl status`` shows.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        environment: MutableMapping[str, str],
        status: Callable[[], str],
    ) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        limit_us = environment.pop("WATCHDOG_USEC", "")
        is_ours = environment.pop("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self.watchdog_s: float | None = None
        """How long this process may be silent before systemd ends it; None for no watchdog."""
        if is_ours and limit_us.isdecimal() and int(limit_us):
            self.watchdog_s = int(limit_us) / _MICROSECONDS
        self._status = status
        self._socket: socket.socket | None = None
        self._lines = ["READY=1"]
        """What has not been sent yet."""
        self._fault: str | None = None
        self._call = LoopingCall(self._notify)
        self._call.clock = clock

    def startService(self) -> None:
        """Notify systemd as soon as the event loop runs: all services have started by then."""
        super().startService()
        if not self._address:
            return
        if self._address[0] not in "/@":
            self.log.warn("NOTIFY_SOCKET is not a UNIX socket: systemd will not be notified")
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        clock = self._call.clock
        clock.callLater(0, self._repeat, min(_STATUS_INTERVAL_S, self._half_s))

    def begin_stop(self) -> None:
        """The relay shuts down, which may take longer than systemd would wait."""
        if self._socket is not None:
            more_us = int(_MORE_TIME_S * _MICROSECONDS)
            self._lines = ["STOPPING=1", f"EXTEND_TIMEOUT_USEC={more_us}"]
            self._repeat(min(_STOPPING_INTERVAL_S, self._half_s))

    def stopService(self) -> None:
        super().stopService()
        if self._call.running:
            self._call.stop()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @property
    def _half_s(self) -> float:
        return _STATUS_INTERVAL_S if self.watchdog_s is None else self.watchdog_s / 2

    def _repeat(self, interval_s: float) -> None:
        if self._socket is None:
            return
        if self._call.running:
            self._call.stop()
        self._call.start(interval_s).addErrback(
            lambda failure: self.log.failure("notifying systemd has failed", failure)
        )

    def _notify(self) -> None:
        lines = [*self._lines, f"STATUS={self._status()}"]
        if self.watchdog_s is not None:
            lines.append("WATCHDOG=1")
        address = self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address
        try:
            assert self._socket is not None
            self._socket.sendto("\n".join(lines).encode(), address)
        except OSError as wrong:
            # The next notification may get through.
            if wrong.strerror != self._fault:
                self._fault = wrong.strerror
                self.log.warn("systemd can't be notified: {why}", why=wrong.strerror)
            return
        # A request for more time is repeated.
        self._lines = [line for line in self._lines if line.startswith("EXTEND_")]
