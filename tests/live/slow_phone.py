"""A phone that reads slowly: a WebSocket client of few words, which takes a little at a time."""

import hashlib
import json
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from apptuner_relay.wire.frames import CLOSE
from apptuner_relay.wire.server_frames import ServerFrames
from tests.live.clients import Code
from tests.live.processes import RelayProcess, within_patience

reactor: Any = global_reactor

_SIP_BYTES = 4 * 1024
_SIP_EVERY_S = 0.1
_KERNEL_BYTES = 32 * 1024


class SlowPhone(Protocol):
    """Reads 4 KiB ten times a second until `hurry` is called. Bundles only."""

    def __init__(self, relay: RelayProcess, session: str, query: str) -> None:
        self.bundles: list[Code] = []
        self.types: list[str] = []
        self.close: tuple[int, str] | None = None
        self._request = (
            f"GET /mobile/{session}?{query} HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        self._head: bytes | None = b""
        self._frames = ServerFrames()
        self._message = bytearray()
        self._chunks: list[str] = []
        self._hurries = False
        self._sip_call: IDelayedCall | None = None
        self._waits: list[tuple[int, Deferred[None]]] = []

    @classmethod
    async def join(cls, relay: RelayProcess, session: str, query: str = "") -> "SlowPhone":
        endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{relay.port}")
        phone = cls(relay, session, query)
        await connectProtocol(endpoint, phone)
        return phone

    def connectionMade(self) -> None:
        # What the kernel takes for it is not read yet, but the relay can't tell.
        self.transport.socket.setsockopt(1, 8, _KERNEL_BYTES)  # type: ignore[union-attr]
        self.transport.bufferSize = _SIP_BYTES  # type: ignore[union-attr]
        self.transport.write(self._request.encode())  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        if not self._hurries:
            self.transport.pauseProducing()  # type: ignore[union-attr]
            self._sip_call = reactor.callLater(_SIP_EVERY_S, self._sip)
        if self._head is not None:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            self._head = None
        if data[:1] == bytes([0x80 | CLOSE]):
            self.close = int.from_bytes(data[2:4], "big"), data[4:].decode()
            return
        for _, end, payload in self._frames.feed(data):
            self._message += payload
            if end:
                self._take(bytes(self._message))
                self._message.clear()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._stop_sipping()
        waits, self._waits = self._waits, []
        for _, waiting in waits:
            waiting.errback(AssertionError(f"the connection was closed: {self.close}"))

    def hurry(self) -> None:
        """From now on read what comes."""
        self._hurries = True
        self._stop_sipping()
        self.transport.socket.setsockopt(1, 8, 1 << 20)  # type: ignore[union-attr]
        self.transport.bufferSize = 1 << 20  # type: ignore[union-attr]
        self._sip()

    async def bundle(self, number: int) -> Code:
        """The bundle of that number, counted from 0, when it is there."""
        if len(self.bundles) <= number:
            waiting: Deferred[None] = Deferred()
            self._waits.append((number, waiting))
            await within_patience(
                waiting, lambda: f"{len(self.bundles)} bundles, {self.types[-5:]}"
            )
        return self.bundles[number]

    def leave(self) -> None:
        self._stop_sipping()
        self.transport.abortConnection()  # type: ignore[union-attr]

    def _stop_sipping(self) -> None:
        if self._sip_call is not None and self._sip_call.active():
            self._sip_call.cancel()

    def _sip(self) -> None:
        if self.connected:
            self.transport.resumeProducing()  # type: ignore[union-attr]

    def _take(self, text: bytes) -> None:
        message = json.loads(text)
        self.types.append(message["type"])
        if message["type"] == "bundle_update":
            self._got(message["payload"]["code"])
        elif message["type"] == "bundle_start":
            self._chunks = []
        elif message["type"] == "bundle_chunk":
            self._chunks.append(message["data"])
            if message["index"] + 1 == message["totalChunks"]:
                self._got("".join(self._chunks))

    def _got(self, code: str) -> None:
        content = code.encode("utf-16", "surrogatepass").decode("utf-16").encode()
        chars = len(code.encode("utf-16-le", "surrogatepass")) // 2
        self.bundles.append(Code(chars, hashlib.sha256(content).hexdigest()))
        for number, waiting in [wait for wait in self._waits if wait[0] < len(self.bundles)]:
            self._waits.remove((number, waiting))
            waiting.callback(None)
