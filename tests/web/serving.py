"""What the tests of bundles stand on: `BundlesCase`, which serves a `BundleCache` on a free
loopback port, and clients of plain HTTP on sockets of their own, which read only when they are told
to."""

import socket
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from apptuner_relay.config.settings import ListeningSettings
from apptuner_relay.edge.transport import tune
from apptuner_relay.operator.download_counter import DownloadCounter
from apptuner_relay.spool.bundle import BundleCache
from apptuner_relay.web.bundle_resource import BundlesResource
from apptuner_relay.web.json_body import JsonResource
from apptuner_relay.web.site import RelaySite
from tests.live.processes import PATIENCE_S, exchange, within_patience

KIB = 1024
MIB = 1024 * KIB
SESSION = "ABC234"
SEND_BUFFER_BYTES = 128 * KIB
RECEIVE_BUFFER_BYTES = 256 * KIB
KERNEL_BYTES = 2 * (SEND_BUFFER_BYTES + RECEIVE_BUFFER_BYTES)
"""The most of a response that the kernel holds, as Linux doubles what is set."""


class ClockedReactor(Clock):
    """The reactor's threads, and time that is turned by hand."""

    def getThreadPool(self) -> Any:
        return reactor.getThreadPool()  # type: ignore[attr-defined]

    def callFromThread(self, function: Any, *args: Any) -> None:
        reactor.callFromThread(function, *args)  # type: ignore[attr-defined]


class WatchedSite(RelaySite):
    """A site that knows when its connections are over."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connections: list[Deferred[None]] = []
        self.transports: list[Any] = []

    def buildProtocol(self, addr: IAddress | None) -> Any:
        protocol: Any = super().buildProtocol(addr)
        over: Deferred[None] = Deferred()
        make, lose = protocol.makeConnection, protocol.connectionLost

        def connected(transport: Any) -> None:
            self.transports.append(transport)
            make(transport)

        def lost(reason: Failure) -> None:
            lose(reason)
            over.callback(None)

        protocol.makeConnection, protocol.connectionLost = connected, lost
        self.connections.append(over)
        return protocol


@dataclass
class Reply:
    """A response: its status line and fields as they came, names in lower case."""

    version: str
    status: int
    fields: dict[str, str]
    body: bytes = b""

    @classmethod
    def parse(cls, head: bytes, body: bytes = b"") -> "Reply":
        first, *lines = head.decode("ascii").split("\r\n")
        version, status, _ = first.split(" ", 2)
        pairs = [line.split(": ", 1) for line in lines]
        fields = {name.lower(): value for name, value in pairs}
        assert len(fields) == len(pairs), head
        return cls(version, int(status), fields, body)


class SlowClient:
    """A connection that receives what it is told to, and no more."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(("127.0.0.1", port))
        self.received = 0

    def ask(self, path: str, version: str = "1.1", **fields: str) -> None:
        self.socket.sendall(request(path, version=version, fields=fields))

    async def head(self) -> Reply:
        """The status line and the fields of the next response."""
        return Reply.parse(await deferToThread(self._head))

    def _head(self) -> bytes:
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            byte = self.socket.recv(1)
            assert byte, f"closed within {data!r}"
            data += byte
        return data.removesuffix(b"\r\n\r\n")

    async def read(self, size: int) -> bytes:
        """Exactly that much, or less where the connection ends."""
        data = await deferToThread(self._read, size)
        self.received += len(data)
        return data

    def _read(self, size: int) -> bytes:
        with self.socket.makefile("rb", buffering=0) as file:
            blocks = []
            while size and (block := file.read(min(size, 64 * KIB))):
                blocks.append(block)
                size -= len(block)
            return b"".join(blocks)

    def end_sending(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Leave in a way that can't be taken for `end_sending`."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()


def request(
    path: str, method: str = "GET", version: str = "1.1", fields: Mapping[str, str] | None = None
) -> bytes:
    """A request as its bytes; ``_`` in the names of fields is ``-``."""
    lines = [f"{method} {path} HTTP/{version}", "Host: relay"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in (fields or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class BundlesCase(TestCase):
    """A test with a directory for files, and `BundlesResource` on a port."""

    timeout = 120
    with_dictionaries: bool | None = None
    """See `BundlesResource`."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory(prefix="apptuner-test-")
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.downloads = DownloadCounter()

    def serve(
        self, bundle_cache: BundleCache, site_clock: Any = reactor, download_reactor: Any = reactor
    ) -> WatchedSite:
        """A site on `self.port` that has this cache at ``/bundles``, on a transport as in
        production but for the size of its send buffer."""
        root = JsonResource()
        bundles = BundlesResource(
            bundle_cache,
            download_reactor,
            with_dictionaries=self.with_dictionaries,
            downloads=self.downloads,
        )
        root.putChild(b"bundles", bundles)
        site = WatchedSite(root, site_clock, ListeningSettings(handshake_timeout=10))
        port = reactor.listenTCP(0, site, interface="127.0.0.1")  # type: ignore[attr-defined]
        tune(port)
        port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.port: int = port.getHost().port
        self.addCleanup(self._close, port, site)
        return site

    async def _close(self, port: Any, site: WatchedSite) -> None:
        await port.stopListening()
        for transport in site.transports:
            transport.abortConnection()
        await within_patience(gatherResults(site.connections), lambda: "a connection stays")

    def client(self) -> SlowClient:
        client = SlowClient(self.port)
        self.addCleanup(client.close)
        return client

    async def fetch(self, path: str, method: str = "GET", **fields: str) -> Reply:
        """A request on a connection of its own; ``_`` in the names of fields is ``-``."""
        asked = request(path, method, fields={"Connection": "close", **fields})
        raw = await exchange(f"tcp:127.0.0.1:{self.port}", asked.decode("latin-1"))
        head, _, body = raw.partition(b"\r\n\r\n")
        return Reply.parse(head, body)

    def assertError(self, reply: Reply, status: int, says: str) -> None:
        self.assertEqual(reply.status, status, reply)
        self.assertEqual(reply.fields["content-type"], "application/json")
        self.assertEqual(reply.fields["cache-control"], "no-store")
        self.assertEqual(reply.fields["x-content-type-options"], "nosniff")
        self.assertEqual(reply.fields["content-length"], str(len(reply.body)))
        for name in ("etag", "content-location", "content-encoding", "accept-ranges"):
            self.assertNotIn(name, reply.fields)
        self.assertRegex(reply.body.decode(), rf'^{{"error":"[^"]*{says}[^"]*"}}$')
        self.assertNotIn(SESSION, reply.body.decode())
