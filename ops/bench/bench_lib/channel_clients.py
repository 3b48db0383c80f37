"""Clients with plain, blocking sockets: of channels, which speak the Pusher protocol, and of the
relay's own WebSocket. They do as little as they can, as they run beside what is measured."""

import hashlib
import http.client
import json
import os
import selectors
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from urllib.parse import urlencode

from .processes import Failed

HOST = "127.0.0.1"
EVENT = "client-apptuner"
TIMEOUT_S = 30
_OPCODE = 0x0F
_TEXT = 1


class WebSocketClient:
    """A connection whose handshake is done."""

    def __init__(self, port: int, path: str) -> None:
        self.socket = socket.create_connection((HOST, port), timeout=TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIGJlbmNoJ3Mga2V5IQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._received:
            self._receive()
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise Failed(f"{path.split('/')[1]} was refused: {head[:200]!r}")

    def send(self, value: object) -> None:
        """Send a JSON text, with a mask that changes nothing."""
        text = json.dumps(value, separators=(",", ":")).encode()
        size = len(text)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        self.socket.sendall(b"\x81" + length + bytes(4) + text)

    def texts(self) -> list[bytes]:
        """The messages that have come. If there are none, it waits for some bytes."""
        found = self._read()
        if not found:
            self._receive()
            found = self._read()
        return found

    def wait_for(self, is_it: Callable[[dict], bool]) -> dict:
        """Wait for a message, and drop those before it."""
        while True:
            for text in self.texts():
                message = json.loads(text)
                if is_it(message):
                    return message

    def close(self) -> None:
        """End it without a word."""
        self.socket.close()

    def _receive(self) -> None:
        block = self.socket.recv(1 << 16)
        if not block:
            raise Failed("a connection was closed")
        self._received += block

    def _read(self) -> list[bytes]:
        found = []
        while (one := self._next()) is not None:
            opcode, payload = one
            if opcode == _TEXT:
                found.append(payload)
        return found

    def _next(self) -> tuple[int, bytes] | None:
        data = self._received
        if len(data) < 2:
            return None
        begin = {126: 4, 127: 10}.get(data[1], 2)
        if len(data) < begin:
            return None
        size = data[1] if begin == 2 else int.from_bytes(data[2:begin], "big")
        if len(data) < begin + size:
            return None
        self._received = data[begin + size :]
        return data[0] & _OPCODE, data[begin : begin + size]


class ChannelClient(WebSocketClient):
    """A client of a service, in the channel of a session.

    :param relay: a connection to the relay, which lets it in.
    """

    def __init__(
        self, port: int, key: str, relay: http.client.HTTPConnection, session: str, role: str
    ) -> None:
        super().__init__(port, f"/app/{key}?protocol=7&client=bench&version=1")
        welcome = self.wait_for(lambda one: one["event"] == "pusher:connection_established")
        self.channel = f"presence-apptuner.{hashlib.sha256(session.encode()).hexdigest()}"
        fields = {
            "socket_id": json.loads(welcome["data"])["socket_id"],
            "channel_name": self.channel,
            "session": session,
            "role": role,
            "deviceId": "bench",
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        relay.request("POST", "/pusher/auth", urlencode(fields), headers)
        answer = relay.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise Failed(f"the relay lets nobody in: {answer.status} {body[:200]!r}")
        data = {"channel": self.channel, **json.loads(body)}
        self.send({"event": "pusher:subscribe", "data": data})
        self.wait_for(lambda one: one["event"] == "pusher_internal:subscription_succeeded")
        self._epoch, self._n = os.urandom(4).hex(), 0

    def say(self, messages: Iterable[object]) -> None:
        """Send messages to the relay, in one event."""
        self._n += 1
        data = {"epoch": self._epoch, "n": self._n, "messages": list(messages)}
        # As JSON.stringify writes it. What begins otherwise takes the relay a closer look.
        text = json.dumps(data, separators=(",", ":"))
        self.send({"event": EVENT, "channel": self.channel, "data": text})


def messages_of(text: bytes) -> list[dict]:
    """The messages of a relay's event; none of anything else."""
    envelope = json.loads(text)
    if envelope.get("event") != EVENT:
        return []
    data = envelope["data"]
    messages: list[dict] = (json.loads(data) if isinstance(data, str) else data)["messages"]
    return messages


class Readers:
    """Reads what comes to many clients, as soon as it has come."""

    def __init__(self, clients: Iterable[WebSocketClient]) -> None:
        self._selector = selectors.DefaultSelector()
        for one in clients:
            self._selector.register(one.socket, selectors.EVENT_READ, one)

    def read(self, wait_s: float, take: Callable[[bytes], None]) -> None:
        """Call ``take`` with each message that comes within some time."""
        for key, _ in self._selector.select(wait_s):
            with suppress(BlockingIOError):
                for text in key.data.texts():
                    take(text)
