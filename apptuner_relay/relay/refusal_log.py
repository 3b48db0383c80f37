"""Counts and logs the handshakes that are refused. The log is throttled, so that refused
clients can't fill the disk, and it never shows the path, which may hold a session id.
"""

from collections.abc import Callable

from twisted.logger import Logger

from apptuner_relay.support.client_address import UNKNOWN
from apptuner_relay.support.log_throttle import LogThrottle


class RefusalLog:
    """The refusals of one relay.

    :param count: called with the HTTP status of each refusal.
    :param seconds: the monotonic clock.
    """

    log = Logger()

    def __init__(self, count: Callable[[int], None], seconds: Callable[[], float]) -> None:
        self._count = count
        self._throttle = LogThrottle(seconds)

    def add(self, status: int, address: str | None) -> None:
        """A handshake was refused with an HTTP status."""
        self._count(status)
        count = self._throttle.count()
        if count is not None:
            self.log.info(
                "a handshake from {address} was refused with {status} ({count} refused since the "
                "last such line)",
                address=address or UNKNOWN,
                status=status,
                count=count,
            )
