"""Listening sockets that were passed to this process at its start (sd_listen_fds(3)): by systemd,
or by any program that holds them while a relay restarts.

Each is adopted as what it is, whatever its endpoint says of its domain, and left as it was: its
mode, its queue and its options stay, it isn't shut down, and its file isn't removed. Only
``O_NONBLOCK`` is set, for every process that shares the socket, and stays set.
"""

import os
import socket
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from zope.interface import implementer

from apptuner_relay.support.private_names.of_twisted import SharedUNIXPort

ADOPTED = "systemd:"
"""The beginning of the endpoint strings of such sockets: ``systemd:name=relay``,
``systemd:index=0``."""

_FIRST = 3
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
_DOMAINS = ("INET", "INET6", "UNIX")
_PARAMETERS = ("domain", "index", "name")
_FAMILIES = {
    socket.AF_INET: "TCP over IPv4",
    socket.AF_INET6: "TCP over IPv6",
    socket.AF_UNIX: "a UNIX socket",
}
_PROTOCOLS = (0, socket.IPPROTO_TCP, 262)
"""``IPPROTO_MPTCP`` (262) is used as TCP is."""


class BadSocket(ValueError):
    """A socket can't be adopted; the text says why."""


class PassedSocket:
    """A socket that was passed to this process.

    :param name: its ``FileDescriptorName=``; None where names are missing.
    """

    def __init__(self, index: int, fd: int, name: str | None) -> None:
        self.index = index
        self.name = name
        self.fd = fd
        self.taken_by: str | None = None
        """The endpoint that listens on it."""

    def take(self, description: str) -> socket.socket:
        """The socket, for the endpoint of this description.

        :raises BadSocket: it can't be listened on, or another endpoint has taken it.
        """
        if self.taken_by is not None:
            raise BadSocket(f"{self} is what {self.taken_by!r} listens on already")
        try:
            held = socket.socket(fileno=self.fd)
        except OSError as wrong:
            raise BadSocket(f"{self} is no socket: {wrong.strerror}") from None
        try:
            _check(held)
        except BadSocket as wrong:
            held.detach()
            raise BadSocket(f"{self} is {wrong}") from None
        self.taken_by = description
        return held

    def __str__(self) -> str:
        called = "" if self.name is None else f" ({self.name})"
        return f"socket {self.index}{called}"

    def describe(self) -> str:
        """The socket's number, name and address, for people."""
        try:
            held = socket.socket(fileno=self.fd)
        except OSError:
            return str(self)
        try:
            return f"{self}, {show_name(held)}"
        finally:
            held.detach()


def show_name(held: socket.socket) -> str:
    """The address of a socket, for people: ``[::]:3000``, ``/run/relay.sock``."""
    with suppress(OSError):
        name = held.getsockname()
        if isinstance(name, tuple) and len(name) >= 2:
            return f"[{name[0]}]:{name[1]}" if ":" in str(name[0]) else f"{name[0]}:{name[1]}"
        if isinstance(name, bytes):
            return "@" + os.fsdecode(name[1:])
        return str(name) or "without a name"
    return "without an address"


def _check(held: socket.socket) -> None:
    """:raises BadSocket: clients can't connect to the socket; the text goes on after "is"."""
    if held.type != socket.SOCK_STREAM:
        kind = held.type.name if isinstance(held.type, socket.SocketKind) else held.type
        raise BadSocket(f"no stream socket ({kind}): ListenStream= makes one")
    if held.family not in _FAMILIES or held.proto not in _PROTOCOLS:
        raise BadSocket("neither TCP nor a UNIX socket")
    if not held.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        raise BadSocket("not listening (with Accept=yes it is one client's connection)")


class PassedSockets:
    """All sockets that were passed to this process.

    :param absent: why there are none, for people.
    """

    def __init__(
        self, fds: Sequence[int], names: Sequence[str], absent: str = "systemd has passed none on"
    ) -> None:
        self._absent = absent
        self._names = names
        alike = len(names) == len(fds)
        self._sockets = [
            PassedSocket(index, fd, names[index] if alike else None) for index, fd in enumerate(fds)
        ]

    def __iter__(self) -> Iterator[PassedSocket]:
        return iter(self._sockets)

    @classmethod
    def from_environment(
        cls, environment: MutableMapping[str, str], pid: int, initial: bytes = b""
    ) -> "PassedSockets":
        """Read systemd's variables, and remove them from the environment: neither they nor the
        sockets are for the processes that this one starts.

        :param initial: the environment with which this process was started, as /proc has it.
            Twisted removes the variables when it is imported, and loses them where names are
            missing.
        """
        before = dict(_read(initial)) | {
            name: environment[name] for name in _VARIABLES if name in environment
        }
        for name in _VARIABLES:
            environment.pop(name, None)
        count = before.get("LISTEN_FDS", "")
        if not count:
            return cls((), ())
        whose = before.get("LISTEN_PID", "")
        if whose != str(pid):
            why = f"the sockets are for process {whose} (LISTEN_PID), not for this one"
            return cls((), (), why if whose else "LISTEN_PID, which says for whom, is missing")
        if not (count.isascii() and count.isdigit()):
            return cls((), (), "LISTEN_FDS is no number")
        fds = range(_FIRST, _FIRST + int(count))
        for fd in fds:
            with suppress(OSError):
                os.set_inheritable(fd, False)
        names = before.get("LISTEN_FDNAMES", "")
        return cls(fds, names.split(":") if names else ())

    def find(self, description: str) -> list[PassedSocket]:
        """The sockets of an endpoint such as ``systemd:name=relay``: all of that name.

        :raises ValueError: the string is no such endpoint.
        :raises BadSocket: there are no such sockets.
        """
        index, name = _read_endpoint(description)
        if not self._sockets:
            raise BadSocket(
                f"there is no such socket: {self._absent} (is its .socket unit started?)"
            )
        if index is not None:
            found = [one for one in self._sockets if one.index == index]
        elif not self._names:
            raise BadSocket(
                f"no socket has a name, as LISTEN_FDNAMES is missing: say index=0 instead of "
                f"name={name}{self._list()}"
            )
        elif len(self._names) != len(self._sockets):
            raise BadSocket(
                f"LISTEN_FDNAMES has {len(self._names)} names for {len(self._sockets)} sockets: "
                f"say index=0 instead of name={name}{self._list()}"
            )
        else:
            found = [one for one in self._sockets if one.name == name]
        if not found:
            raise BadSocket(f"there is no such socket{self._list()}")
        return found

    @property
    def idle(self) -> list[PassedSocket]:
        """The sockets that no endpoint has taken."""
        return [one for one in self._sockets if one.taken_by is None]

    def _list(self) -> str:
        return "; passed on: " + "; ".join(one.describe() for one in self._sockets)


def passed_sockets() -> PassedSockets:
    """The sockets that were passed to this process. To be called once."""
    initial = b""
    with suppress(OSError):
        initial = Path("/proc/self/environ").read_bytes()
    return PassedSockets.from_environment(os.environ, os.getpid(), initial)


def _read(initial: bytes) -> Mapping[str, str]:
    pairs = (os.fsdecode(line).partition("=") for line in initial.split(b"\0"))
    return {name: value for name, _, value in pairs if name in _VARIABLES}


def _read_endpoint(description: str) -> tuple[int | None, str | None]:
    """The index or the name in ``systemd:domain=INET:index=0``; the domain may be missing.

    :raises ValueError: it has neither, or both, or anything else.
    """
    given: dict[str, str] = {}
    for place, word in enumerate(description.removeprefix(ADOPTED).split(":")):
        key, equals, value = word.partition("=")
        if not equals:
            key, value = _PARAMETERS[min(place, len(_PARAMETERS) - 1)], word
        if key not in _PARAMETERS or key in given or not value:
            raise ValueError("systemd: takes name=… or index=…, and may have domain= before")
        given[key] = value
    if given.get("domain", "INET") not in _DOMAINS:
        raise ValueError("domain is INET, INET6 or UNIX, or left out: the socket itself says it")
    if ("index" in given) == ("name" in given):
        raise ValueError("systemd: takes either name=… or index=…")
    index = given.get("index")
    if index is None:
        return None, given["name"]
    if not (index.isascii() and index.isdigit()):
        raise ValueError("index is a number, from 0 on")
    return int(index), None


@implementer(IStreamServerEndpoint)
class AdoptedEndpoint:
    """Listens on a socket that was passed to this process."""

    def __init__(self, reactor: Any, held: socket.socket) -> None:
        self._reactor = reactor
        self._held = held

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See `twisted.internet.interfaces.IStreamServerEndpoint`."""
        return execute(self._adopt, factory)

    def _adopt(self, factory: IProtocolFactory) -> IListeningPort:
        held = self._held
        held.setblocking(False)
        port: IListeningPort
        if held.family == socket.AF_UNIX:
            port = SharedUNIXPort(held, factory, self._reactor)
            port.startListening()
            return port
        port = self._reactor.adoptStreamPort(held.fileno(), held.family, factory)
        # The port has a duplicate of the descriptor.
        held.close()
        return port
