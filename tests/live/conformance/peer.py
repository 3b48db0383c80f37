"""A WebSocket client on a raw socket, which can send what no library would."""

import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from apptuner_relay.wire.frames import CLOSE, CLOSE_NO_STATUS, COMPRESSED, CONTINUATION, PING, PONG
from tests.live.processes import PATIENCE_S
from tests.memory import HANDSHAKE, inflated, masked

_RECEIVE_BYTES = 256 * 1024


class Trouble(AssertionError):
    """What the relay did is not what RFC 6455 lets it do, or nothing came of it at all."""


class Message(NamedTuple):
    """A whole message: its opcode, with `COMPRESSED` where it was, and what was in it, inflated."""

    opcode: int
    payload: bytes


@dataclass
class Seen:
    """What has come from the relay."""

    messages: list[Message] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    close: int | None = None
    reason: str = ""
    over: bool = False
    """Whether the connection has ended."""
    was_reset: bool = False
    """Whether TCP was reset at that."""


class Peer:
    """One connection, whose handshake is done when it is there.

    :param offer: the value of ``Sec-WebSocket-Extensions``.
    :param on_message: is given each message, with its payload as it came.
    :param receive_buffer: bytes that the kernel is to hold for it.
    """

    def __init__(
        self,
        port: int,
        target: str,
        offer: str | None = None,
        on_message: Callable[["Peer", int, bytes], None] | None = None,
        receive_buffer: int | None = None,
    ) -> None:
        self.seen = Seen()
        self.arrived_bytes = 0
        self._on_message = on_message
        self._out: deque[memoryview] = deque()
        self._received = bytearray()
        self._opcode = CONTINUATION
        self._parts: list[bytes] = []
        self._closing = False
        self.answers_close = True
        self.answers_pings = True
        """To be false while it has sent part of a frame: nothing goes into a frame."""
        """Whether the relay's Close is answered with one; else by ending this side of TCP."""
        self.socket = socket.socket()
        try:
            if receive_buffer is not None:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.socket.settimeout(PATIENCE_S)
            self.socket.connect(("127.0.0.1", port))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            extra = f"Sec-WebSocket-Extensions: {offer}\r\n" if offer is not None else ""
            self.socket.sendall(HANDSHAKE.format(target=target, extra=extra).encode())
            self.head = self._read_head()
        except BaseException:
            self.socket.close()
            raise
        self.socket.setblocking(False)
        self._parse()

    @property
    def extensions(self) -> str | None:
        """What was negotiated."""
        for line in self.head.split("\r\n"):
            name, _, value = line.partition(": ")
            if name.lower() == "sec-websocket-extensions":
                return value
        return None

    def send(self, *segments: bytes) -> None:
        """Queue bytes, each argument for a segment of its own."""
        self._out.extend(memoryview(segment) for segment in segments if segment)

    def close(self, code: int = 1000) -> None:
        """Begin the closing handshake."""
        if not self._closing:
            self._closing = True
            self.send(masked(CLOSE, code.to_bytes(2, "big")))

    @property
    def wants_to_write(self) -> bool:
        return bool(self._out) and not self.seen.over

    def write(self) -> None:
        """Send one segment, or as much of it as goes."""
        segment = self._out[0]
        try:
            sent = self.socket.send(segment)
        except BlockingIOError:
            return
        except (ConnectionResetError, BrokenPipeError):
            # What the relay said before is still there to be read.
            self._out.clear()
            return
        self._out.popleft()
        if sent < len(segment):
            self._out.appendleft(segment[sent:])

    def read(self) -> None:
        """Take in what has come."""
        try:
            data = self.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except ConnectionResetError:
            self.seen.was_reset = True
            data = b""
        if not data:
            self.seen.over = True
            return
        self.arrived_bytes += len(data)
        self._received += data
        self._parse()

    def reset(self) -> None:
        """The connection is reset, as when a machine dies and comes back."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
        self.seen.over = True

    def _read_head(self) -> str:
        while b"\r\n\r\n" not in self._received:
            data = self.socket.recv(_RECEIVE_BYTES)
            if not data:
                break
            self._received += data
        head, _, rest = bytes(self._received).partition(b"\r\n\r\n")
        self._received = bytearray(rest)
        if not head.startswith(b"HTTP/1.1 101 "):
            raise Trouble(f"the handshake was answered with {head!r}")
        return head.decode("ascii")

    def _parse(self) -> None:
        at, have = 0, self._received
        while len(have) - at >= 2:
            first, length = have[at], have[at + 1]
            if length & 0x80:
                raise Trouble("the relay masked a frame")
            begin = at + 2
            if length >= 126:
                begin += 2 if length == 126 else 8
                if len(have) < begin:
                    break
                length = int.from_bytes(have[at + 2 : begin], "big")
            if len(have) < begin + length:
                break
            payload = bytes(have[begin : begin + length])
            at = begin + length
            self._frame(first & 0x7F, bool(first & 0x80), payload)
        del have[:at]

    def _frame(self, opcode: int, end: bool, payload: bytes) -> None:
        if self.seen.close is not None:
            raise Trouble("a frame came after the relay's Close")
        if opcode & 0x30:
            raise Trouble("a frame with a reserved bit came")
        if opcode & CLOSE:
            if not end or len(payload) > 125:
                raise Trouble("a control frame came that may not be")
            self._control(opcode, payload)
            return
        if (opcode == CONTINUATION) != bool(self._parts):
            raise Trouble("messages came that are not one after the other")
        if opcode != CONTINUATION:
            self._opcode = opcode
        self._parts.append(payload)
        if not end:
            return
        whole = b"".join(self._parts)
        self._parts = []
        opcode = self._opcode
        self.seen.messages.append(
            Message(opcode, inflated(whole) if opcode & COMPRESSED else whole)
        )
        if self._on_message is not None:
            self._on_message(self, opcode, whole)

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            if self.answers_pings:
                self.send(masked(PONG, payload))
        elif opcode == PONG:
            self.seen.pongs.append(payload)
        elif opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big") if payload else CLOSE_NO_STATUS
            self.seen.close, self.seen.reason = code, payload[2:].decode()
            if self.answers_close:
                self.close(code if payload else 1000)
            else:
                self._out.clear()
                self.socket.shutdown(socket.SHUT_WR)
        else:
            raise Trouble(f"a frame with opcode {opcode} came")


def turn_until(peers: Iterable[Peer], done: Callable[[], bool], what: str) -> None:
    """Send and receive on all of ``peers`` until ``done``.

    :raises Trouble: nothing of that kind happens for very long.
    """
    give_up_s = time.monotonic() + PATIENCE_S
    while not done():
        live = [peer for peer in peers if not peer.seen.over]
        left_s = give_up_s - time.monotonic()
        if not live or left_s <= 0:
            raise Trouble(f"{what}: waited in vain")
        by_socket = {peer.socket: peer for peer in live}
        writers = [peer.socket for peer in live if peer.wants_to_write]
        readable, writable, _ = select.select(list(by_socket), writers, [], left_s)
        for each in readable:
            by_socket[each].read()
        for each in writable:
            if by_socket[each].wants_to_write:
                by_socket[each].write()
