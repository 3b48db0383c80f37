"""Clients without a network: the relay's protocol on transports in memory, and a clock to turn."""

import json
import os
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from apptuner_relay.config.settings import Settings, make_settings
from apptuner_relay.edge.client_side import DESKTOP_SIDE, PHONES, ClientSide
from apptuner_relay.edge.server import RelayFactory
from apptuner_relay.relay.hooks import RelayHooks
from apptuner_relay.relay.service import RelayService
from apptuner_relay.spool.store import Store
from apptuner_relay.wire.frames import CLOSE, COMPRESSED, CONTINUATION, PING, PONG, TEXT
from tests.workers import Inline

HANDSHAKE = (
    "GET {target} HTTP/1.1\r\nHost: relay.example\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n{extra}\r\n"
)
MASK = b"\x37\xfa\x21\x3d"


def masked(opcode: int, payload: bytes, fin: bool = True, mask: bytes = MASK) -> bytes:
    """A client's frame."""
    length = len(payload)
    if length < 126:
        size = bytes([0x80 | length])
    elif length < 65536:
        size = bytes([0x80 | 126]) + length.to_bytes(2, "big")
    else:
        size = bytes([0x80 | 127]) + length.to_bytes(8, "big")
    key = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
    body = (int.from_bytes(payload, "big") ^ key).to_bytes(length, "big")
    return bytes([(0x80 if fin else 0) | opcode]) + size + mask + body


OFFER_DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
DEFLATE_TAIL = b"\x00\x00\xff\xff"


def deflated(data: bytes, level: int = 6) -> bytes:
    """A message's payload as RFC 7692 §7.2.1 makes it, by zlib."""
    compress = zlib.compressobj(level, zlib.DEFLATED, -15)
    return (compress.compress(data) + compress.flush(zlib.Z_SYNC_FLUSH)).removesuffix(DEFLATE_TAIL)


def finished(*parts: bytes, level: int = 6) -> bytes:
    """A message's payload as RFC 7692 §7.2.3.4 makes it: each of ``parts`` is a DEFLATE stream of
    its own, which ends with a final block."""

    def stream(part: bytes) -> bytes:
        compress = zlib.compressobj(level, zlib.DEFLATED, -15)
        return compress.compress(part) + compress.flush()

    return b"".join(map(stream, parts)) + b"\x00"


def inflated(payload: bytes) -> bytes:
    """The message of such a payload."""
    rest, out = payload + DEFLATE_TAIL, b""
    while rest:
        stream = zlib.decompressobj(-15)
        out += stream.decompress(rest)
        rest = stream.unused_data
    return out


def server_frames(data: bytes) -> Iterator[tuple[int, bool, bytes]]:
    """``(opcode, fin, payload)`` of each frame of a server, the opcode with `COMPRESSED` where that
    is set; one that is cut off is an error."""
    at = 0
    while at < len(data):
        first, length = data[at], data[at + 1]
        at += 2
        if length >= 126:
            size = 2 if length == 126 else 8
            length = int.from_bytes(data[at : at + size], "big")
            at += size
        payload = data[at : at + length]
        assert len(payload) == length, "a frame is cut off"
        at += length
        yield first & 0x7F, bool(first & 0x80), payload


@implementer(IPushProducer)
class HttpChannel:
    """Stands for the channel that is a connection's producer until the handshake."""

    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def stopProducing(self) -> None: ...


class Client:
    """One client, whose connection exists in memory only.

    :param then: bytes that come in one segment with the request.
    :param extra: more headers of the request.
    """

    def __init__(
        self, relay: RelayService, target: str, then: bytes = b"", extra: str = ""
    ) -> None:
        roles = PHONES if target.startswith("/mobile") else DESKTOP_SIDE
        self.protocol = RelayFactory(ClientSide(relay, roles)).buildProtocol(None)
        self.transport = StringTransport()
        self.transport.registerProducer(HttpChannel(), True)
        self.protocol.makeConnection(self.transport)
        self.protocol.dataReceived(HANDSHAKE.format(target=target, extra=extra).encode() + then)
        self.head = self.body = b""
        self.messages: list[bytes] = []
        self.pings = 0
        self.pongs: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.frames: list[tuple[int, bool, bytes]] = []
        self._part: bytes | None = None
        self._compressed = 0
        self.read()

    @property
    def status(self) -> int:
        """The HTTP status of the handshake's answer; 0 while there is none."""
        return int(self.head.split()[1]) if self.head else 0

    def read(self) -> None:
        """Take in what the relay has sent."""
        data = self.transport.value()
        self.transport.clear()
        if not self.head:
            self.head, _, data = data.partition(b"\r\n\r\n")
            if self.status != 101:
                self.body, data = data, b""
        self._take(data)

    def received(self) -> list[dict[str, Any]]:
        """The messages that came since the last call."""
        self.read()
        taken = [json.loads(message) for message in self.messages]
        self.messages.clear()
        return taken

    def types(self) -> list[str]:
        """The types of `received`."""
        return [message.get("type", "") for message in self.received()]

    def send(self, **message: object) -> bytes:
        """Send a JSON message; returns its text."""
        text = json.dumps(message, separators=(",", ":")).encode()
        self.send_raw(masked(TEXT, text, mask=os.urandom(4)))
        return text

    def send_raw(self, data: bytes) -> None:
        self.protocol.dataReceived(data)

    def lose(self) -> None:
        """The connection is gone, without a Close."""
        self.protocol.connectionLost(Failure(ConnectionDone()))

    def _take(self, data: bytes) -> None:
        for opcode, fin, payload in server_frames(data):
            self.frames.append((opcode, fin, payload))
            if opcode == PING:
                self.pings += 1
            elif opcode == PONG:
                self.pongs.append(payload)
            elif opcode == CLOSE:
                self.closed = int.from_bytes(payload[:2], "big"), payload[2:].decode()
            else:
                assert (opcode == CONTINUATION) == (self._part is not None)
                if opcode != CONTINUATION:
                    self._compressed = opcode & COMPRESSED
                self._part = (self._part or b"") + payload
                if fin:
                    self.messages.append(inflated(self._part) if self._compressed else self._part)
                    self._part = None


class WallClock:
    """A time of day that goes on as ``clock`` does, until somebody sets it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return self._clock.seconds() + self.ahead_s

    def step(self, seconds: float) -> None:
        """Set it, forward or back."""
        self.ahead_s += seconds


class Relay:
    """A relay service on a clock of its own.

    :param store: makes its spool, where there is to be one.
    :param clock: one that it shares with others.
    :param workers: convert logs to other forms; at once, unless they are given.
    :param shares_sockets: see `RelayService`.
    """

    def __init__(
        self,
        store: Callable[[Clock, Settings], Store] | None = None,
        clock: Clock | None = None,
        workers: Inline | None = None,
        shares_sockets: bool = False,
        **settings: Any,
    ) -> None:
        if clock is None:
            clock = Clock()
            clock.advance(1000)
        self.clock = clock
        options = make_settings(**settings)
        self.store = store and store(self.clock, options)
        self.wall = WallClock(self.clock)
        self.hooks = RelayHooks()
        self.service = RelayService(
            options,
            self.clock,
            workers or Inline(),
            self.store,
            self.wall,
            self.hooks,
            shares_sockets=shares_sockets,
        )
        if self.store is not None:
            self.store.startService()
        self.service.startService()

    def connect(self, target: str, welcome: bool = True, deflate: bool = False) -> Client:
        """A client of ``target``, e.g. ``/cli/ABC234``; the welcome is taken off. ``deflate``
        offers compression."""
        client = Client(self.service, target, extra=OFFER_DEFLATE if deflate else "")
        if welcome:
            assert client.status == 101, client.head
            client.read()
            assert json.loads(client.messages.pop(0))["type"] == "connected"
        return client

    def wait(self, seconds: float, step: float = 0.5) -> None:
        self.clock.pump([step] * int(seconds / step))
