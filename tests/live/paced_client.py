"""A WebSocket client whose reading is the test's to say: at a pace, so many bytes, or nothing; and
one that counts: every frame, and the bytes that came up to each pong.

Node's ``ws`` (`clients`) is what real clients use. This one is for what that hides: frames, how
much has been read, text that is UTF-8 frame by frame, and ends without a Close.
"""

import errno
import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from zope.interface import implementer

from apptuner_relay.wire.frames import (
    BINARY,
    CLOSE,
    COMPRESSED,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    TEXT,
)
from tests.live.clients import Code, Place
from tests.live.processes import within_patience
from tests.memory import HANDSHAKE, OFFER_DEFLATE, inflated, masked

reactor: Any = global_reactor

T = TypeVar("T")

_TICK_S = 0.05
"""How often a client that reads at a pace takes some."""
_ATTEMPTS = 5
"""To connect; each that no host answers takes the kernel some 3 s."""
_READ_BYTES = 256 * 1024
_TEXT_SHOWN_BYTES = 8 * 1024


@dataclass
class Received:
    """A message: how it came, and what it says."""

    kind: str
    """Its `type`; empty where it has none."""
    binary: bool
    compressed: bool
    frames: list[int]
    """How many payload bytes each of its frames had."""
    whole_characters: bool
    """Whether each of its frames is UTF-8 by itself. Of plain text only."""
    sha256: str
    """Of the message, inflated."""
    text: str | None
    """The whole of it, if it's text of up to 8 KiB."""
    code: Code | None = None
    """Of what completes a bundle: its code."""

    @property
    def data(self) -> Any:
        assert self.text is not None, f"not shown: {self}"
        return json.loads(self.text)

    def __repr__(self) -> str:
        form = "compressed" if self.compressed else "plain"
        return f"{self.kind} ({form}, {sum(self.frames)} bytes in {len(self.frames)} frames)"


def _connected(address: tuple[str, int], receive_buffer: int | None) -> socket.socket:
    """A connection, also over a link that was made just now: its host may answer no ARP yet."""
    for left in reversed(range(_ATTEMPTS)):
        connection = socket.socket()
        if receive_buffer is not None:
            # Before it connects, as windows are agreed then.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            connection.connect(address)
        except OSError as wrong:
            connection.close()
            if wrong.errno != errno.EHOSTUNREACH or not left:
                raise
        else:
            return connection
    raise AssertionError("unreachable")


class PacedClient(Protocol):
    """Reads all that comes, until it is told otherwise.

    :param receive_buffer: bytes that the kernel takes before they are read, which it doubles;
        None for what it finds right.
    """

    def __init__(self, role: str) -> None:
        self.role = role
        self.messages: list[Received] = []
        self.bytes_read = 0
        """Payload, headers and all, from the end of the handshake on."""
        self._owed_pongs: list[bytes] | None = None
        """The payloads of pings that came while frames are sent in segments."""
        self.pongs: list[tuple[bytes, int]] = []
        """Payload of each, and `bytes_read` up to its end."""
        self.close: tuple[int, str] | None = None
        self.is_over = False
        """Whether TCP has ended."""
        self.extensions = ""
        self._head: bytes | None = b""
        self._buffer = bytearray()
        self._at = 0
        self._frames: list[int] = []
        self._opcode = CONTINUATION
        self._payload = bytearray()
        self._whole_characters = True
        self._read = 0
        self._chunks: list[str] = []
        self._chunk_count = 0
        self._allowance: int | None = None
        self._pace = LoopingCall(self._tick)
        self._per_tick = 0
        self._pace_until: int | None = None
        self._waiters: list[Deferred[None]] = []

    @classmethod
    async def join(
        cls,
        place: Place,
        role: str,
        session: str = "ABC234",
        query: str = "",
        deflate: bool = False,
        receive_buffer: int | None = None,
    ) -> "PacedClient":
        """Connect, and read the welcome."""
        client = cls(role)
        url = urlsplit(place.url(role, session, query))
        with _connected((str(url.hostname), int(url.port or 80)), receive_buffer) as connection:
            connection.setblocking(False)
            reactor.adoptStreamConnection(connection.fileno(), socket.AF_INET, _Only(client))
        target = f"{url.path}?{url.query}" if url.query else url.path
        extra = OFFER_DEFLATE if deflate else ""
        client.write(HANDSHAKE.format(target=target, extra=extra).encode())
        welcome = await client.next()
        assert welcome.kind == "connected", welcome
        return client

    # How it reads

    def hurry(self) -> None:
        """From now on read what comes."""
        self._reads(None)

    def stop(self) -> None:
        """From now on read nothing."""
        self._reads(0)

    def pace(self, rate: int, most: int | None = None) -> None:
        """From now on read so many bytes a second.

        :param most: after how many bytes it reads no more, as a busy machine gives it time for all;
            None for no end.
        """
        self._reads(0)
        self._per_tick = int(rate * _TICK_S)
        self._pace_until = None if most is None else self.bytes_read + most
        self._pace.start(_TICK_S)

    async def read_on(self, count: int) -> None:
        """Read so many bytes more, and then nothing."""
        until = self.bytes_read + count
        self._reads(count)
        await self.until(f"{count} bytes", lambda: self.bytes_read >= until or None)

    def _reads(self, allowance: int | None) -> None:
        if self._pace.running:
            self._pace.stop()
        self._allowance = allowance
        self._go()

    def _tick(self) -> None:
        # What it didn't find it doesn't make up for.
        self._allowance = self._per_tick
        if self._pace_until is not None:
            self._allowance = min(self._per_tick, max(0, self._pace_until - self.bytes_read))
        self._go()

    def _go(self) -> None:
        if self.is_over:
            return
        left = self._allowance
        self.transport.bufferSize = (  # type: ignore[union-attr]
            _READ_BYTES if left is None else max(1, min(left, _READ_BYTES))
        )
        if left is None or left > 0:
            self.transport.resumeProducing()  # type: ignore[union-attr]
        else:
            self.transport.pauseProducing()  # type: ignore[union-attr]

    # What it does

    def write(self, data: bytes) -> None:
        self.transport.write(data)  # type: ignore[union-attr]

    def send(self, **message: object) -> None:
        """Send a JSON message."""
        text = json.dumps(message, separators=(",", ":")).encode()
        self.write(masked(TEXT, text, mask=os.urandom(4)))

    def ping(self, payload: bytes = b"") -> None:
        """Send a ping frame."""
        self.write(masked(PING, payload, mask=os.urandom(4)))

    async def send_segments(self, data: bytes, length: int, pause_s: float = 0.0) -> None:
        """Send bytes, such as frames, so many in a TCP segment, with pauses: at least the time
        that the loop of this process takes to do what else there is. Returns when the kernel has
        taken all of it."""
        self.transport.setTcpNoDelay(True)  # type: ignore[union-attr]
        sending = _Segments(self, data, length, pause_s)
        self.transport.registerProducer(sending, False)  # type: ignore[union-attr]
        self._owed_pongs = []
        await sending.done
        owed, self._owed_pongs = self._owed_pongs, None
        for payload in owed:
            self._answer(payload)

    def _answer(self, payload: bytes) -> None:
        """Send a pong, but not inside a frame."""
        if self._owed_pongs is None:
            self.write(masked(PONG, payload, mask=os.urandom(4)))
        else:
            self._owed_pongs.append(payload)

    def leave(self) -> None:
        """The process is gone: TCP ends without a Close."""
        self.transport.abortConnection()  # type: ignore[union-attr]

    # What happens to it

    async def next(self) -> Received:
        """The next message."""

        def look() -> Received | None:
            if self._read == len(self.messages):
                return None
            self._read += 1
            return self.messages[self._read - 1]

        return await self.until("a message", look)

    async def expect(self, kind: str) -> Received:
        """The next message of this type; what comes before it is passed over."""
        while (message := await self.next()).kind != kind:
            pass
        return message

    async def bundle(self) -> Received:
        """The next message that completes a bundle."""
        while (message := await self.next()).code is None:
            pass
        return message

    async def settle(self) -> None:
        """Read up to the answer to a ping that is sent now."""
        self.send(type="ping", timestamp=0)
        await self.expect("pong")

    async def has(self, count: int) -> None:
        """Wait until it has so many bytes of a message that isn't whole: no more, and no less."""
        await self.until(f"{count} bytes of one", lambda: self.inside == count or None)

    async def pong(self, number: int) -> int:
        """Wait for the pong of that number, counted from 0. Returns `bytes_read` at its end."""
        await self.until("a pong", lambda: len(self.pongs) > number or None)
        return self.pongs[number][1]

    async def over(self) -> None:
        """Wait for the end of TCP."""
        await self.until("the end", lambda: self.is_over or None, also_over=True)

    async def until(self, what: str, look: Callable[[], T | None], also_over: bool = False) -> T:
        while (result := look()) is None:
            if self.is_over and not also_over:
                raise AssertionError(f"over instead of {what}: {self!r}")
            waiter: Deferred[None] = Deferred()
            self._waiters.append(waiter)
            await within_patience(waiter, lambda: f"Waited for {what}: {self!r}")
        return result

    @property
    def inside(self) -> int:
        """How much payload it has of a message that isn't whole, in whole frames."""
        return sum(self._frames)

    @property
    def is_inside_compressed(self) -> bool:
        """Whether the message that isn't whole is a compressed one."""
        return bool(self._frames) and bool(self._opcode & COMPRESSED)

    @property
    def codes(self) -> list[Code]:
        """Of the bundles that it got whole."""
        return [message.code for message in self.messages if message.code is not None]

    def dataReceived(self, data: bytes) -> None:
        if self._allowance is not None:
            self._allowance -= len(data)
            self._go()
        if self._head is not None:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            assert head.startswith(b"HTTP/1.1 101"), head
            for line in head.decode().split("\r\n"):
                name, _, value = line.partition(": ")
                if name.lower() == "sec-websocket-extensions":
                    self.extensions = value
            self._head = None
        self.bytes_read += len(data)
        self._buffer += data
        for opcode, fin, payload in self._whole_frames():
            self._frame(opcode, fin, payload)
        self._tell()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_over = True
        if self._pace.running:
            self._pace.stop()
        self._tell()

    def _tell(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.callback(None)

    def _whole_frames(self) -> Iterator[tuple[int, bool, bytes]]:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 2:
            first, length = buffer[at], buffer[at + 1]
            size = {126: 2, 127: 8}.get(length, 0)
            payload = at + 2 + size
            if size:
                length = int.from_bytes(buffer[at + 2 : payload], "big")
            if len(buffer) < payload + length or len(buffer) < payload:
                break
            at = payload + length
            self._at = self.bytes_read - (len(buffer) - at)
            yield first & ~FIN, bool(first & FIN), bytes(buffer[payload:at])
        del buffer[:at]

    def _frame(self, opcode: int, fin: bool, payload: bytes) -> None:
        if opcode == PING:
            self._answer(payload)
        elif opcode == PONG:
            self.pongs.append((payload, self._at))
        elif opcode == CLOSE:
            self.close = int.from_bytes(payload[:2], "big"), payload[2:].decode()
            self.write(masked(CLOSE, payload[:2], mask=os.urandom(4)))
        else:
            assert (opcode == CONTINUATION) == bool(self._frames), "messages are mixed"
            if opcode != CONTINUATION:
                self._opcode = opcode
                self._whole_characters = True
            self._frames.append(len(payload))
            self._payload += payload
            if self._opcode == TEXT and self._whole_characters:
                self._whole_characters = _is_text(payload)
            if fin:
                self._message()

    def _message(self) -> None:
        compressed = bool(self._opcode & COMPRESSED)
        data = inflated(bytes(self._payload)) if compressed else bytes(self._payload)
        binary = self._opcode & 0x0F == BINARY
        message = Received(
            kind="",
            binary=binary,
            compressed=compressed,
            frames=self._frames,
            whole_characters=self._whole_characters,
            sha256=hashlib.sha256(data).hexdigest(),
            text=data.decode() if not binary and len(data) <= _TEXT_SHOWN_BYTES else None,
        )
        if not binary:
            self._look(message, json.loads(data))
        self.messages.append(message)
        self._frames = []
        self._payload.clear()

    def _look(self, message: Received, said: dict[str, Any]) -> None:
        """Tell a bundle, and join its chunks as released phones do."""
        message.kind = said.get("type", "")
        if message.kind == "bundle_update":
            message.code = _code(said["payload"]["code"])
        elif message.kind == "bundle_start":
            self._chunks = []
            self._chunk_count = said["totalChunks"]
        elif message.kind == "bundle_chunk":
            assert said["index"] == len(self._chunks), "a chunk of another bundle, or one is lost"
            self._chunks.append(said["data"])
            if len(self._chunks) == said["totalChunks"]:
                message.code = _code("".join(self._chunks))

    def __repr__(self) -> str:
        messages = "\n  ".join(map(repr, self.messages)) or "nothing"
        inside = f", {self.inside} bytes of another" if self._frames else ""
        return (
            f"{self.role}: {self.bytes_read} bytes{inside}, close {self.close}, "
            f"over {self.is_over}, received\n  {messages}"
        )


class _Only(Factory):
    """Makes the one protocol that is there already."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: object) -> Protocol:
        return self._protocol


@implementer(IPullProducer)
class _Segments:
    """Hands the transport the next segment when it is rid of the one before."""

    def __init__(self, client: PacedClient, data: bytes, length: int, pause_s: float) -> None:
        self._client = client
        self._data = data
        self._at = 0
        self._length = length
        self._pause_s = pause_s
        self.done: Deferred[None] = Deferred()

    def resumeProducing(self) -> None:
        if self._pause_s and self._at:
            reactor.callLater(self._pause_s, self._next)
        else:
            self._next()

    def _next(self) -> None:
        if self._client.is_over:
            return
        if self._at >= len(self._data):
            self._client.transport.unregisterProducer()  # type: ignore[union-attr]
            self.done.callback(None)
            return
        segment = self._data[self._at : self._at + self._length]
        self._at += self._length
        self._client.write(segment)

    def stopProducing(self) -> None:
        if not self.done.called:
            self.done.errback(AssertionError(f"the sender was closed: {self._client!r}"))


def _is_text(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def _code(code: str) -> Code:
    units = code.encode("utf-16-le", "surrogatepass")
    # As JavaScript has it: chunks may end inside a pair.
    content = units.decode("utf-16-le").encode()
    return Code(len(units) // 2, hashlib.sha256(content).hexdigest())
