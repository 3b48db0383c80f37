"""A client of ``/app/KEY`` on a transport in memory."""

import json
from typing import Any
from urllib.parse import urlencode

from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from apptuner_relay.wire.frames import CLOSE, TEXT
from tests.memory import HANDSHAKE, masked, server_frames
from tests.web.http import LOCAL, Answer, parse

TARGET = "/app/app-key?protocol=7&client=js&version=8.6.0&flash=false"


class AppClient:
    """One client."""

    def __init__(self, site: Any, target: str = TARGET) -> None:
        self._site = site
        self.transport: Any = StringTransport()
        channel = site.buildProtocol(None)
        channel.makeConnection(self.transport)
        self.transport.protocol = channel
        channel.dataReceived(HANDSHAKE.format(target=target, extra="").encode())
        self.head, _, rest = self.transport.value().partition(b"\r\n\r\n")
        self.transport.clear()
        self._raw = rest
        self.closed: tuple[int, str] | None = None
        self.socket_id = ""

    @property
    def status(self) -> int:
        """That of the handshake's answer."""
        return int(self.head.split()[1])

    def take(self) -> list[tuple[str, Any]]:
        """The events since the last call, with their data."""
        raw, self._raw = self._raw + self.transport.value(), b""
        self.transport.clear()
        taken = []
        for opcode, _, payload in server_frames(raw):
            if opcode == CLOSE:
                self.closed = int.from_bytes(payload[:2], "big"), payload[2:].decode()
            elif opcode == TEXT:
                frame = json.loads(payload)
                data = frame["data"]
                if frame["event"].startswith("pusher") and isinstance(data, str):
                    data = json.loads(data)
                taken.append((frame["event"], data))
                if frame["event"] == "pusher:connection_established":
                    self.socket_id = data["socket_id"]
        return taken

    def names(self) -> list[str]:
        """The names of the events since the last call."""
        return [name.partition(":")[2] or name for name, _ in self.take()]

    def messages(self) -> list[dict[str, Any]]:
        """The relay's messages in the events since the last call."""
        told = [data for name, data in self.take() if name == "client-apptuner"]
        return [message for data in told for message in data["messages"]]

    def send(self, opcode: int, payload: bytes) -> None:
        """Send a frame."""
        self.transport.protocol.dataReceived(masked(opcode, payload))

    def say(self, event: str, **fields: object) -> None:
        """Send a message of the protocol."""
        self.send(TEXT, json.dumps({"event": event, **fields}).encode())

    def begin_to_authorize(self, channel: str, **fields: str) -> StringTransport:
        """Ask the relay to be let into a channel, over a connection of its own."""
        body = urlencode({"socket_id": self.socket_id, "channel_name": channel} | fields).encode()
        transport = StringTransport(peerAddress=LOCAL)
        http: Any = self._site.buildProtocol(LOCAL)
        http.makeConnection(transport)
        head = (
            f"POST /pusher/auth HTTP/1.1\r\nHost: relay\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        )
        http.dataReceived(head.encode() + body)
        return transport

    def authorize(self, channel: str, **fields: str) -> Answer:
        """Likewise, where the answer comes at once."""
        return parse(self.begin_to_authorize(channel, **fields).value())

    def subscribe(self, channel: str, entry: dict[str, str]) -> None:
        """Come into a channel with what the relay has answered."""
        self.say("pusher:subscribe", data={"channel": channel, **entry})

    def lose(self) -> None:
        """The connection is gone."""
        self.transport.protocol.connectionLost(Failure(ConnectionDone()))
