"""Names and connections: asks the resolver, and connects to each address."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from threading import Thread
from typing import Any

from twisted.internet.defer import (
    CancelledError,
    Deferred,
    FirstError,
    TimeoutError,
    gatherResults,
)
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    connectProtocol,
    wrapClientTLS,
)
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionRefusedError,
    NoRouteError,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import optionsForClientTLS

from apptuner_relay.client.doctor.judge_way import (
    Dialled,
    DialProblem,
    IpAddress,
    LookedUp,
    LookupProblem,
)
from apptuner_relay.client.doctor.time_limit import OutOfTimeError, TimeLimit
from apptuner_relay.support.socket_errors import describe

MAX_ADDRESSES = 8
"""Of a name; more are not tried."""

Resolver = Callable[..., Sequence[Any]]
"""`socket.getaddrinfo`, or what stands for it."""

_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_PROBLEMS = {
    socket.EAI_NONAME: LookupProblem.UNKNOWN,
    getattr(socket, "EAI_NODATA", socket.EAI_NONAME): LookupProblem.UNKNOWN,
    socket.EAI_AGAIN: LookupProblem.AWAY,
}


@dataclass(frozen=True)
class Door:
    """One address of a relay, which is connected to again and again."""

    host: str
    """The name for which a certificate has to be."""
    address: IpAddress
    port: int
    secure: bool

    def endpoint(self, reactor: Any, seconds: float) -> IStreamClientEndpoint:
        """How to connect; with TLS and a verified certificate, if it is secure."""
        plain = self.plain_endpoint(reactor, seconds)
        if not self.secure:
            return plain
        encrypted: IStreamClientEndpoint = wrapClientTLS(optionsForClientTLS(self.host), plain)
        return encrypted

    def plain_endpoint(self, reactor: Any, seconds: float) -> IStreamClientEndpoint:
        """How to connect, without TLS."""
        kind = TCP6ClientEndpoint if self.address.is_v6 else TCP4ClientEndpoint
        endpoint: IStreamClientEndpoint = kind(
            reactor, self.address.text, self.port, timeout=seconds
        )
        return endpoint


def literal(host: str) -> IpAddress | None:
    """The address that `host` is, if it is one."""
    try:
        return IpAddress(host, ip_address(host.partition("%")[0]).version == 6)
    except ValueError:
        return None


async def look_up(
    reactor: Any,
    limit: TimeLimit,
    host: str,
    port: int,
    seconds: float,
    resolver: Resolver | None = None,
) -> LookedUp:
    """The addresses of `host`, in the order in which clients try them."""
    address = literal(host)
    if address is not None:
        return LookedUp(host, [address], is_literal=True)
    began_s = reactor.seconds()
    try:
        found = await limit.within(seconds, _ask_resolver(reactor, host, port, resolver))
    except TimeoutError:
        took_s = reactor.seconds() - began_s
        return LookedUp(host, (), took_s, problem=LookupProblem.SLOW)
    except socket.gaierror as error:
        problem = _PROBLEMS.get(error.errno or 0, LookupProblem.OTHER)
        took_s = reactor.seconds() - began_s
        return LookedUp(host, (), took_s, problem=problem, words=error.strerror or str(error))
    except (OSError, UnicodeError) as error:
        return LookedUp(host, (), problem=LookupProblem.OTHER, words=str(error))
    return LookedUp(host, _addresses(found), reactor.seconds() - began_s)


def _ask_resolver(
    reactor: Any, host: str, port: int, resolver: Resolver | None
) -> Deferred[Sequence[Any]]:
    """Ask in a thread of its own: one that hangs may not hold up the program's end."""
    answered: Deferred[Sequence[Any]] = Deferred()
    ask = resolver or socket.getaddrinfo

    def tell(result: Any, *, is_error: bool) -> None:
        if not answered.called:
            (answered.errback if is_error else answered.callback)(result)

    def work() -> None:
        try:
            found = ask(host, port, type=socket.SOCK_STREAM)
        except Exception as error:
            reactor.callFromThread(tell, error, is_error=True)
        else:
            reactor.callFromThread(tell, found, is_error=False)

    Thread(target=work, name="doctor-lookup", daemon=True).start()
    return answered


def _addresses(found: Sequence[Any]) -> list[IpAddress]:
    addresses: list[IpAddress] = []
    for family, _, _, _, sockaddr in found:
        if family in (socket.AF_INET, socket.AF_INET6):
            address = IpAddress(str(sockaddr[0]), family == socket.AF_INET6)
            if address not in addresses:
                addresses.append(address)
    return addresses[:MAX_ADDRESSES]


async def dial(
    reactor: Any, limit: TimeLimit, addresses: Sequence[IpAddress], port: int, seconds: float
) -> list[Dialled]:
    """Connect to all of them at the same time, and leave again at once.

    :raises OutOfTimeError: no time is left to do so.
    """
    if not limit.left_s:
        raise OutOfTimeError
    seconds = min(seconds, limit.left_s)
    dials = [
        Deferred.fromCoroutine(_dial_one(reactor, Door("", one, port, False), seconds))
        for one in addresses
    ]
    try:
        return await gatherResults(dials, consumeErrors=True)
    except FirstError as first:
        # Problems are results: this one was cancelled, or is a bug.
        first.subFailure.raiseException()


async def _dial_one(reactor: Any, door: Door, seconds: float) -> Dialled:
    began_s = reactor.seconds()
    try:
        connected = await connectProtocol(door.plain_endpoint(reactor, seconds), Protocol())
    except ConnectingCancelledError:
        raise CancelledError from None
    except Exception as error:
        problem = _problem_of(error)
        if problem is None:
            raise
        return Dialled(door.address, reactor.seconds() - began_s, problem, describe(error))
    took_s = reactor.seconds() - began_s
    connected.transport.abortConnection()
    return Dialled(door.address, took_s)


def _problem_of(error: Exception) -> DialProblem | None:
    match error:
        case ConnectionRefusedError():
            return DialProblem.REFUSED
        case NoRouteError():
            return DialProblem.NO_ROUTE
        case ConnectError() if error.osError in _NO_WAY:
            return DialProblem.NO_ROUTE
        case TimeoutError():
            return DialProblem.SILENT
        case ConnectError():
            # Twisted's own error of a time-out says so by its name only.
            is_late = "timeout" in type(error).__name__.lower()
            is_late = is_late or error.osError == errno.ETIMEDOUT
            return DialProblem.SILENT if is_late else DialProblem.OTHER
        case OSError() if error.errno in _NO_WAY:
            return DialProblem.NO_ROUTE
        case OSError():
            return DialProblem.OTHER
    return None
