"""A member's connection to a relay.

It adds to `member_connection` a message streamed as one unfragmented frame at the pace of the
socket, and the keep-alive that AppTuner's clients speak in JSON.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Mapping
from time import time as wall_s
from typing import Any

from autobahn.websocket.types import ConnectingRequest
from twisted.internet.interfaces import IReactorTime

from apptuner_relay import __version__
from apptuner_relay.client.bundles import MAX_MESSAGE_BYTES, encode, read_message
from apptuner_relay.client.credentials import authorization
from apptuner_relay.client.host_endpoint import endpoint_of
from apptuner_relay.client.member_connection import (
    ClientPings,
    ConnectionListener,
    MemberConnection,
    MemberFactory,
    Target,
)
from apptuner_relay.client.upload import Upload
from apptuner_relay.support.clocks import in_ms
from apptuner_relay.support.private_names.of_autobahn import make_masker

_TEXT_FRAME_ALONE = 0x81
_MASKED = 0x80


class RelayConnection(MemberConnection):
    """A client's connection. Made by a `ConnectionFactory`."""

    def __init__(
        self, listener: ConnectionListener, heartbeat: ClientPings, clock: IReactorTime
    ) -> None:
        super().__init__(listener, heartbeat, clock)
        self._masker: Any = None
        self._frame_left = 0
        self._held: list[tuple[int, bytes]] = []

    # What the program does with it.

    def send(self, kind: str, body: Mapping[str, object]) -> None:
        """Send a small message; it waits its turn when one is being streamed."""
        if self.is_up:
            self.sendMessage(encode(kind, body))

    def stream(self, messages: Iterable[bytes], progress: Callable[[int], None]) -> Upload:
        """Start sending messages at the pace of the socket, each as one frame.

        One stream at a time. `progress` is told the bytes sent so far, after every piece.
        """
        upload = Upload(self, iter(messages), progress)
        self.transport.registerProducer(upload, False)
        return upload

    # A message as one frame. Autobahn's frame API ends a message with an empty second frame.

    def begin_frame(self, length: int) -> None:
        """Start a text message of `length` bytes; `send_piece` has to follow until it is whole."""
        mask = os.urandom(4)
        if length <= 125:
            size = struct.pack("!B", _MASKED | length)
        elif length <= 0xFFFF:
            size = struct.pack("!BH", _MASKED | 126, length)
        else:
            size = struct.pack("!BQ", _MASKED | 127, length)
        self._masker = make_masker(mask, length)
        self._frame_left = length
        self.send_bytes(bytes([_TEXT_FRAME_ALONE]) + size + mask)

    def send_piece(self, data: bytes) -> None:
        """Send more of the message that was begun."""
        self._frame_left -= len(data)
        self.send_bytes(self._masker.process(data))
        if not self._frame_left:
            held, self._held = self._held, []
            for opcode, payload in held:
                self.send_frame(opcode, payload)

    def holds_frame(self, opcode: int, payload: bytes) -> bool:
        """Hold back every other frame while one is being streamed: nothing may come between."""
        if self._frame_left:
            # Nothing in this program sends any but plain and whole frames.
            self._held.append((opcode, payload))
        return bool(self._frame_left)

    @property
    def is_in_message(self) -> bool:
        """See `MemberConnection`."""
        return self._frame_left > 0

    # What Autobahn calls.

    def onConnecting(self, transport_details: Any) -> ConnectingRequest:
        target = self.factory.target
        return ConnectingRequest(
            host=target.relay.host_header,
            port=target.relay.port,
            resource=target.relay.resource(target.role, target.session, target.query),
            useragent=f"apptuner-relay/{__version__}",
            headers=authorization(target.credential),
        )

    def text_received(self, text: bytes) -> None:
        """See `MemberConnection`."""
        message = read_message(text)
        if message is None or message["type"] == "pong":
            return
        if message["type"] == "connected" and not self.is_welcomed:
            self.welcome()
        self.listener.received(message)

    def send_ping(self) -> None:
        """See `MemberConnection`."""
        self.send("ping", {"timestamp": in_ms(wall_s())})


class ConnectionFactory(MemberFactory):
    """Makes the connections of a member to its relay."""

    def __init__(self, reactor: Any, target: Target, heartbeat: ClientPings) -> None:
        relay = target.relay
        super().__init__(
            reactor, target, endpoint_of(reactor, relay.host, relay.port, relay.secure)
        )
        self._heartbeat = heartbeat
        self.setProtocolOptions(maxMessagePayloadSize=MAX_MESSAGE_BYTES)

    def make(self, listener: ConnectionListener) -> RelayConnection:
        """See `MemberFactory`."""
        return RelayConnection(listener, self._heartbeat, self.clock)
