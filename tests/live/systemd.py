"""Stands for systemd in tests: holds a listening socket, and listens for what a relay says."""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import DatagramProtocol

from tests.live.processes import within_patience

ADOPTED = ("--listen", "systemd:domain=INET:name=relay")
BACKLOG = 4096


def listening_socket() -> socket.socket:
    """One on a free port of 127.0.0.1."""
    held = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    held.setblocking(False)
    return held


class NotifySocket(DatagramProtocol):
    """Takes what comes for ``NOTIFY_SOCKET``."""

    def __init__(self) -> None:
        # The path of a UNIX socket may have some 100 characters, and that of a test has more.
        self._folder = tempfile.mkdtemp()
        self.path = os.path.join(self._folder, "notify")
        self.messages: list[list[str]] = []
        self._watches: list[tuple[str, Deferred[None]]] = []
        self._port = reactor.listenUNIXDatagram(self.path, self)  # type: ignore[attr-defined]

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        lines = datagram.decode().split("\n")
        self.messages.append(lines)
        # Who is told may wait for the next one at once.
        watches, self._watches = self._watches, []
        for word, watch in watches:
            if word in lines:
                watch.callback(None)
            else:
                self._watches.append((word, watch))

    async def told(self, line: str) -> None:
        """Wait for a message to come that has this line."""
        watch: Deferred[None] = Deferred()
        self._watches.append((line, watch))
        explain: Callable[[], str] = lambda: f"no {line}: {self.messages}"  # noqa: E731
        await within_patience(watch, explain)

    async def close(self) -> None:
        await self._port.stopListening()
        shutil.rmtree(self._folder)
