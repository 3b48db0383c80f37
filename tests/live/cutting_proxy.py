"""A TCP proxy in front of a relay that cuts one connection in the middle of what passes it."""

from typing import Any

from twisted.internet import reactor
from twisted.protocols.portforward import ProxyClient, ProxyClientFactory, ProxyFactory, ProxyServer

from tests.live.processes import RelayProcess


class CuttingProxy:
    """Passes on what clients and the relay say, until `cut_after` says otherwise."""

    def __init__(self, relay: RelayProcess) -> None:
        self._left: dict[str, int | None] = {"up": None, "down": None}
        self.cuts = 0
        factory = ProxyFactory("127.0.0.1", relay.port)
        factory.protocol = _Server
        factory.proxy = self
        self._port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]

    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port.getHost().port}"

    def cut_after(self, size: int, direction: str) -> None:
        """Cut the connection on which so many more bytes have passed, ``up`` to the relay or
        ``down`` to clients. Those after it are left alone."""
        self._left[direction] = size

    def is_cut_by(self, data: bytes, direction: str) -> bool:
        """Whether the connection ends with these bytes, which came on it."""
        left = self._left[direction]
        if left is None:
            return False
        left -= len(data)
        self._left[direction] = left if left > 0 else None
        self.cuts += left <= 0
        return left <= 0

    async def stop(self) -> None:
        await self._port.stopListening()


class _Client(ProxyClient):
    """The connection to the relay."""

    def dataReceived(self, data: bytes) -> None:
        if self.peer.factory.proxy.is_cut_by(data, "down"):
            self.peer.transport.abortConnection()
        else:
            super().dataReceived(data)


class _ClientFactory(ProxyClientFactory):
    protocol = _Client


class _Server(ProxyServer):
    """The connection of a client."""

    clientProtocolFactory = _ClientFactory

    def dataReceived(self, data: bytes) -> None:
        if self.factory.proxy.is_cut_by(data, "up"):
            self.transport.abortConnection()
        else:
            super().dataReceived(data)
