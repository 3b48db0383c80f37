"""Reserves file descriptors for the relay itself: for its connections to Redis and to other relays,
the spool's files, the process that reads bundles, the state directory, and health checks. Without a
reserve, clients would take the last descriptor, and a relay that had lost its connection to Redis
could not connect again.

Once clients have reached the reserve, they are refused with 503, while ``/health`` and ``/metrics``
still answer from its first half. Once only its second half is left, every connection is closed as
soon as it is accepted.
"""

import os
from collections.abc import Callable
from errno import EMFILE, ENFILE
from typing import Any

from twisted.internet import tcp
from twisted.internet.interfaces import IListeningPort, IProtocol, IProtocolFactory
from twisted.internet.protocol import ServerFactory

from apptuner_relay.operator.process import descriptors_limit
from apptuner_relay.support.client_address import host_of

FULL = "The relay has no file descriptors left for more clients"

_LEAST, _MOST = 32, 1024
_SHARE = 16
_LARGEST_SHARE = 4
_NEARLY = 8
_NONE_LEFT = (EMFILE, ENFILE)
_SURE_BELOW = 256
"""No client takes as many descriptors: where so many are left for each, so many clients need not be
asked about."""
_MOST_SURE = 64


def lowest_free() -> int | None:
    """The number that the next descriptor would get; None where none is left.

    POSIX has that be the lowest that is free, so at least so many are in use.
    """
    try:
        fd = os.eventfd(0, os.EFD_CLOEXEC)
    except OSError as wrong:
        if wrong.errno in _NONE_LEFT:
            return None
        raise
    os.close(fd)
    return fd


class DescriptorReserve:
    """How many descriptors are left for clients. Asking costs two system calls, however many
    descriptors there are, and none while there are plenty.

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
        self._sure = 0
        """For how many questions the answer is known to be no."""

    @property
    def limit(self) -> int:
        """How many the process may have."""
        return self._limit()

    @property
    def kept(self) -> int:
        """How many are reserved: a sixteenth of the limit, but 32 to 1,024, and a quarter at
        most."""
        return _share(self._limit())

    @property
    def are_short(self) -> bool:
        """Whether none is left for another client."""
        return self._reaches(_share)

    @property
    def are_used_up(self) -> bool:
        """Whether clients are refused, or nearly so: a client takes a descriptor while it is
        refused."""
        return self._reaches(_kept_nearly)

    @property
    def are_gone(self) -> bool:
        """Whether none is left for another connection, whatever it is for."""
        return self._reaches(lambda limit: _share(limit) // 2)

    def _reaches(self, kept: Callable[[int], int]) -> bool:
        if self._sure:
            self._sure -= 1
            return False
        lowest, limit = self._lowest_free(), self._limit()
        if lowest is None:
            return True
        room = limit - _kept_nearly(limit) - lowest
        self._sure = max(0, min(room // _SURE_BELOW, _MOST_SURE))
        return lowest >= limit - kept(limit)


def _kept_nearly(limit: int) -> int:
    """How many are reserved, and a few more."""
    return _share(limit) + _share(limit) // _NEARLY


def _share(limit: int) -> int:
    """How many of ``limit`` are reserved."""
    return min(max(limit // _SHARE, _LEAST), _MOST, limit // _LARGEST_SHARE)


class DescriptorGate(ServerFactory):
    """Wraps the factory of a port, and closes its connections while descriptors are gone.

    :param turn_away: called with the host of a connection that was closed; None for a UNIX socket.
    """

    noisy = False

    def __init__(
        self,
        factory: IProtocolFactory,
        descriptors: DescriptorReserve,
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
    port: IListeningPort, descriptors: DescriptorReserve, turn_away: Callable[[str | None], None]
) -> None:
    """Put a `DescriptorGate` before the factory of ``port``: Twisted's TLS endpoints wrap ours in
    their own, which doesn't expect it to refuse a connection."""
    if isinstance(port, tcp.Port):
        inner: Any = port.factory
        port.factory = DescriptorGate(inner, descriptors, turn_away)
