"""Servers that a doctor may meet in place of a relay: those that say nothing, those that answer to
everything with the same, ports that take no connections, and proxies that cut what is idle."""

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import PrivateCertificate
from twisted.protocols.portforward import ProxyClient, ProxyClientFactory, ProxyFactory, ProxyServer
from twisted.python.failure import Failure

from tests.certificates import Pair

reactor: Any = global_reactor
HOST = "127.0.0.1"


class OddServer:
    """Answers each request by `answer`, which gets it whole, from its first line to the empty one.
    None says nothing. With a certificate it speaks TLS."""

    def __init__(self, answer: Callable[[bytes], bytes | None], pair: Pair | None = None) -> None:
        self.requests: list[bytes] = []
        self._answer = answer
        factory = Factory.forProtocol(_Answering)
        factory.noisy = False
        factory.server = self  # type: ignore[attr-defined]
        if pair is None:
            self._port = reactor.listenTCP(0, factory, interface=HOST)
        else:
            context = PrivateCertificate.loadPEM(pair.chain + pair.key).options()
            self._port = reactor.listenSSL(0, factory, context, interface=HOST)

    @property
    def port(self) -> int:
        return int(self._port.getHost().port)

    def reply(self, request: bytes) -> bytes | None:
        self.requests.append(request)
        return self._answer(request)

    async def stop(self) -> None:
        await self._port.stopListening()


class _Answering(Protocol):
    transport: Any

    def __init__(self) -> None:
        self._data = b""

    def dataReceived(self, data: bytes) -> None:
        self._data += data
        while b"\r\n\r\n" in self._data:
            request, _, self._data = self._data.partition(b"\r\n\r\n")
            answer = self.factory.server.reply(request)  # type: ignore[union-attr]
            if answer is not None:
                self.transport.write(answer)
                self.transport.loseConnection()


class BlackHole:
    """A port of this machine to which connections are never made: its queue is full."""

    def __init__(self) -> None:
        self._listening = socket.create_server((HOST, 0), backlog=0)
        self.port: int = self._listening.getsockname()[1]
        self._waiting = []
        for _ in range(4):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex((HOST, self.port))
            self._waiting.append(waiting)

    def close(self) -> None:
        for one in [self._listening, *self._waiting]:
            one.close()


class _TcpProxy(ProxyFactory):  # type: ignore[misc]
    """A TCP proxy in front of a relay."""

    noisy = False

    def __init__(self, port: int) -> None:
        super().__init__(HOST, port)
        self._listening = reactor.listenTCP(0, self, interface=HOST)

    @property
    def listening_port(self) -> int:
        return int(self._listening.getHost().port)

    async def stop(self) -> None:
        await self._listening.stopListening()


class IdleProxy(_TcpProxy):
    """One that cuts a connection on which nothing passed either way for so long."""

    def __init__(self, port: int, idle_s: float) -> None:
        self.protocol = _Idle
        self.idle_s = idle_s
        super().__init__(port)


class _IdleClient(ProxyClient):  # type: ignore[misc]
    def dataReceived(self, data: bytes) -> None:
        self.peer.moved()
        super().dataReceived(data)


class _IdleClientFactory(ProxyClientFactory):  # type: ignore[misc]
    protocol = _IdleClient
    noisy = False


class _Idle(ProxyServer):  # type: ignore[misc]
    clientProtocolFactory = _IdleClientFactory
    _cut: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self._cut = reactor.callLater(self.factory.idle_s, self.transport.abortConnection)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        self.moved()
        super().dataReceived(data)

    def moved(self) -> None:
        if self._cut is not None and self._cut.active():
            self._cut.reset(self.factory.idle_s)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._cut is not None and self._cut.active():
            self._cut.cancel()
        super().connectionLost(reason)


class PathHider(_TcpProxy):
    """One that answers to a path as relays do that don't know it."""

    def __init__(self, port: int, path: bytes) -> None:
        self.protocol = _Hiding
        self.path = path
        super().__init__(port)


class _Hiding(ProxyServer):  # type: ignore[misc]
    def dataReceived(self, data: bytes) -> None:
        if data.split(b" ")[1:2] and data.split(b" ")[1].startswith(self.factory.path):
            data = data.replace(self.factory.path, b"/unknown/", 1)
        super().dataReceived(data)
