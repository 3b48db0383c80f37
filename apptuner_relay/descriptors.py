"""Keeps file descriptors back for the relay itself: for its way to Redis and to other relays, the
spool's files, the process that reads bundles, what it keeps of its state, and who asks how it is.
Without, clients would take the last one, and a relay that had lost its Redis could not get back.

Of those kept back, the first half is for whoever can still be answered: clients are refused with
503, and ``/health`` and ``/metrics`` go on. Where only the second half is left, a connection is
closed as soon as it is accepted.
"""

import os
from collections.abc import Callable
from errno import EMFILE, ENFILE
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IListeningPort, IProtocol, IProtocolFactory
from twisted.internet.protocol import ServerFactory

from apptuner_relay.forwarded import host_of
from apptuner_relay.meters.process import descriptors_limit

FULL = "The relay has no file descriptors left for more clients"

_LEAST, _MOST = 32, 1024
_SHARE = 16
_LARGEST_SHARE = 4
_NEARLY = 8
_NONE_LEFT = (EMFILE, ENFILE)


def lowest_free() -> int | None:
    """The number that the next descriptor would get, which POSIX has to be the lowest that is free:
    so many are in use at least. None where there is none left."""
    try:
        fd = os.eventfd(0, os.EFD_CLOEXEC)
    except OSError as wrong:
        if wrong.errno in _NONE_LEFT:
            return None
        raise
    os.close(fd)
    return fd


class Descriptors:
    """How many descriptors are left for clients. Asking costs two system calls, however many
    descriptors there are.

    :param limit: how many the process may have.
    :param lowest_free: see `lowest_free`.
    """

    def __init__(
        self,
        limit: Callable[[], int] = descriptors_limit,
        lowest_free: Callable[[], int | None] = lowest_free,
    ) -> None:
        self._limit = limit
        self._lowest_free = lowest_free

    @property
    def limit(self) -> int:
        """How many the process may have."""
        return self._limit()

    @property
    def kept(self) -> int:
        """How many are kept back: a sixteenth, but from 32 to 1,024, and never more than a
        quarter."""
        limit = self._limit()
        return min(max(limit // _SHARE, _LEAST), _MOST, limit // _LARGEST_SHARE)

    @property
    def are_short(self) -> bool:
        """Whether there is none for another client."""
        return self._reaches(self.kept)

    @property
    def are_used_up(self) -> bool:
        """Whether clients are refused, or nearly so: one that is refused takes one while it is."""
        return self._reaches(self.kept + self.kept // _NEARLY)

    @property
    def are_gone(self) -> bool:
        """Whether there is none for another connection, whatever it asks for."""
        return self._reaches(self.kept // 2)

    def _reaches(self, kept: int) -> bool:
        lowest = self._lowest_free()
        return lowest is None or lowest >= self._limit() - kept


class Gate(ServerFactory):
    """Stands before whatever a port makes of its connections, and closes them where descriptors are
    gone.

    :param turn_away: is told of whom it has closed: a host, None for a UNIX socket.
    """

    noisy = False

    def __init__(
        self,
        factory: IProtocolFactory,
        descriptors: Descriptors,
        turn_away: Callable[[str | None], None],
    ) -> None:
        self._factory = factory
        self._descriptors = descriptors
        self._turn_away = turn_away

    def doStart(self) -> None:
        """See `IProtocolFactory`."""
        self._factory.doStart()

    def doStop(self) -> None:
        """See `IProtocolFactory`."""
        self._factory.doStop()

    def buildProtocol(self, addr: Any) -> IProtocol | None:  # type: ignore[override]
        """See `IProtocolFactory`."""
        if self._descriptors.are_gone:
            self._turn_away(host_of(addr))
            return None
        return self._factory.buildProtocol(addr)


def guard(
    port: IListeningPort, descriptors: Descriptors, turn_away: Callable[[str | None], None]
) -> None:
    """Put a `Gate` before all that comes through ``port``. Twisted's own endpoints of TLS put
    their factory before ours, and don't expect that one to refuse."""
    if isinstance(port, tcp.Port):
        inner: Any = port.factory
        port.factory = Gate(inner, descriptors, turn_away)
