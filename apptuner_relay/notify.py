"""Tells systemd how this process is: sd_notify(3), spoken over its datagram socket.

Everything is sent from the event loop, so that one that is stuck sends nothing: systemd's watchdog
then ends the process. Without ``NOTIFY_SOCKET`` nothing is sent at all.
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
"""What is asked for each time, while the relay drains, beyond the unit's TimeoutStopSec."""
_MICROSECONDS = 1_000_000


class Notifier(Service):
    """To be stopped last of all services.

    :param environment: systemd's variables are taken out of it, as they are not for children.
    :param status: a line for people.
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
        """How long this process may be silent; None where nobody watches."""
        if is_ours and limit_us.isdecimal() and int(limit_us):
            self.watchdog_s = int(limit_us) / _MICROSECONDS
        self._status = status
        self._socket: socket.socket | None = None
        self._lines = ["READY=1"]
        """What systemd has not been told yet."""
        self._can_not: str | None = None
        self._call = LoopingCall(self._tell)
        self._call.clock = clock

    def startService(self) -> None:
        """Have systemd told from the event loop, as soon as that runs: all services are up then."""
        super().startService()
        if not self._address:
            return
        if self._address[0] not in "/@":
            self.log.warn("NOTIFY_SOCKET is no UNIX socket: systemd is told nothing")
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        clock = self._call.clock
        clock.callLater(0, self._repeat, min(_STATUS_INTERVAL_S, self._half_s))

    def begin_stop(self) -> None:
        """The relay stops now, and may take longer than systemd would wait."""
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
            lambda failure: self.log.failure("telling systemd has failed", failure)
        )

    def _tell(self) -> None:
        lines = [*self._lines, f"STATUS={self._status()}"]
        if self.watchdog_s is not None:
            lines.append("WATCHDOG=1")
        address = self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address
        try:
            assert self._socket is not None
            self._socket.sendto("\n".join(lines).encode(), address)
        except OSError as wrong:
            # The next one may get through.
            if wrong.strerror != self._can_not:
                self._can_not = wrong.strerror
                self.log.warn("systemd can't be told: {why}", why=wrong.strerror)
            return
        # What asks for more time does so each time.
        self._lines = [line for line in self._lines if line.startswith("EXTEND_")]
