"""One connection to a relay: Autobahn's client protocol, made to fit.

It adds what Autobahn does not have: a message streamed as one unfragmented frame at the pace of
the socket, the reason a relay gives when it refuses a handshake, timers on an injected clock, and
the keep-alive that AppTuner's clients speak in JSON. What a connection is for, and what follows
when it ends, is not decided here: a `Listener` hears of it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import time as wall_s
from typing import Any, Protocol

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.types import ConnectingRequest
from autobahn.websocket.xormasker import create_xor_masker  # type: ignore[attr-defined]
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from apptuner_relay import __version__
from apptuner_relay.client.address import Relay
from apptuner_relay.client.bundles import MAX_MESSAGE_BYTES, encode
from apptuner_relay.client.credentials import authorization
from apptuner_relay.client.failures import describe, is_untrusted
from apptuner_relay.client.policy import MAX_REFUSAL_BYTES, Ending, How, read_refusal
from apptuner_relay.client.upload import Upload
from apptuner_relay.clocks import in_ms
from apptuner_relay.wire.closing import may_be_sent
from apptuner_relay.wire.text import parse_json

WELCOME_SECONDS = 20.0
"""From the TCP connection to the relay's welcome."""

CLOSE_SECONDS = 5.0
"""For the other side's part of a close handshake."""

_TEXT_FRAME_ALONE = 0x81
_MASKED = 0x80
_CLOSE_NORMAL = 1000


class Listener(Protocol):
    """Who hears what comes over a connection."""

    def made(self, connection: RelayConnection) -> None:
        """The socket is there; the handshake is still to come."""

    def welcomed(self) -> None:
        """The relay said its welcome: the connection is good."""

    def received(self, message: dict[str, Any]) -> None:
        """A message came, the welcome among them, a pong not. It has a `type` that is text."""

    def ended(self, ending: Ending) -> None:
        """The connection is gone. Called once, and last."""


@dataclass(frozen=True)
class Heartbeat:
    """How a client of some role keeps its connection alive."""

    interval_seconds: float
    patience_seconds: float | None = None
    """How long an answer may take; None where the role's real client does not look."""


class RelayConnection(WebSocketClientProtocol):
    """A client's connection. Made by a `ConnectionFactory`."""

    factory: ConnectionFactory
    transport: Any

    def __init__(self, listener: Listener, heartbeat: Heartbeat, clock: IReactorTime) -> None:
        super().__init__()
        self._listener = listener
        self._heartbeat = heartbeat
        self._clock = clock
        self._welcomed = False
        self._ending: Ending | None = None
        self._lost_because: BaseException | None = None
        self._last_heard = 0.0
        self._timer: IDelayedCall | None = None
        self._beat: IDelayedCall | None = None
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

    def leave(self) -> None:
        """Close: with the handshake, or at once in mid-message, when none is possible."""
        if not self.is_up or self._frame_left:
            self.abort("left in mid-message" if self._frame_left else "left")
            return
        self.sendClose(_CLOSE_NORMAL)
        self._set_timer(CLOSE_SECONDS, "the relay did not answer the close")

    def abort(self, reason: str) -> None:
        """Drop the connection without a word."""
        self._ending = self._ending or Ending(How.LOST, reason)
        if self.transport is not None:
            self.transport.abortConnection()

    @property
    def is_up(self) -> bool:
        """Whether messages can be sent."""
        return bool(self.state == self.STATE_OPEN)

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
        self._masker = create_xor_masker(mask, length)
        self._frame_left = length
        self.sendData(bytes([_TEXT_FRAME_ALONE]) + size + mask)

    def send_piece(self, data: bytes) -> None:
        """Send more of the message that was begun."""
        self._frame_left -= len(data)
        self.sendData(self._masker.process(data))
        if not self._frame_left:
            held, self._held = self._held, []
            for opcode, payload in held:
                self.sendFrame(opcode=opcode, payload=payload)

    def sendFrame(
        self,
        opcode: int,
        payload: bytes = b"",
        fin: bool = True,
        rsv: int = 0,
        mask: bytes | None = None,
        payload_len: int | None = None,
        chopsize: int | None = None,
        sync: bool = False,
    ) -> None:
        """Hold back every other frame while one is being streamed: nothing may come between."""
        if self._frame_left:
            # Nothing in this program sends any but plain and whole frames.
            self._held.append((opcode, payload))
            return
        super().sendFrame(opcode, payload, fin, rsv, mask, payload_len, chopsize, sync)

    # What Autobahn calls.

    def onConnecting(self, transport_details: Any) -> ConnectingRequest:
        target = self.factory.target
        return ConnectingRequest(
            host=target.relay.host_header,
            port=target.relay.port,
            resource=target.resource,
            useragent=f"apptuner-relay/{__version__}",
            headers=authorization(target.credential),
        )

    def connectionMade(self) -> None:
        self._last_heard = self._clock.seconds()
        self._set_timer(WELCOME_SECONDS, "the relay said no welcome in time")
        self._listener.made(self)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        self._last_heard = self._clock.seconds()
        super().dataReceived(data)

    def processHandshake(self) -> None:
        """Look at the HTTP answer before Autobahn does, which drops a refusal's reason."""
        if self.data.startswith(b"HTTP/1.1 101") and len(self.data) <= MAX_REFUSAL_BYTES:
            try:
                super().processHandshake()
            except ValueError:
                self.abort("the relay's handshake can't be read")
            return
        if len(self.data) >= len(b"HTTP/1.1 101"):
            refusal = read_refusal(self.data, at_end=len(self.data) > MAX_REFUSAL_BYTES)
            if refusal is not None:
                self._ending = refusal
                self.transport.abortConnection()

    def failHandshake(self, reason: str) -> None:
        self.abort(reason)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        message = None if isBinary or not self.is_up else _parse(payload)
        if message is None or message["type"] == "pong":
            return
        if message["type"] == "connected" and not self._welcomed:
            self._welcomed = True
            self._cancel_timers()
            self._schedule_beat()
            self._listener.welcomed()
        self._listener.received(message)

    def onCloseFrame(self, code: Any, reasonRaw: Any) -> bool | None:
        # A relay closes while it is being streamed to: there is no room for our answer.
        if self._frame_left:
            self._ending = Ending(How.CLOSED, (reasonRaw or b"").decode(errors="replace"), code)
            self.transport.abortConnection()
            return True
        # Autobahn's list of codes ends at 1013.
        good = code is not None and may_be_sent(code)
        failed = super().onCloseFrame(_CLOSE_NORMAL if good else code, reasonRaw)
        if good:
            self.remoteCloseCode = code
        self._set_timer(CLOSE_SECONDS, "the relay did not drop the connection")
        return failed

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost_because = reason.value
        super().connectionLost(reason)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self._cancel_timers()
        self._listener.ended(self._how_it_ended(wasClean))

    def _how_it_ended(self, clean: bool) -> Ending:
        error = self._lost_because
        if self.remoteCloseCode is not None or clean:
            return Ending(How.CLOSED, self.remoteCloseReason or "", self.remoteCloseCode)
        if self._ending is not None:
            return self._ending
        if error is not None and is_untrusted(error):
            return Ending(How.UNTRUSTED, describe(error))
        if not self._welcomed and self.data.startswith(b"HTTP/"):
            refusal = read_refusal(self.data, at_end=True)
            if refusal is not None:
                return refusal
        if self.wasNotCleanReason and self.failedByMe:
            return Ending(How.LOST, str(self.wasNotCleanReason))
        return Ending(How.LOST, "" if error is None else describe(error))

    # Timers. There is one at a time: for the welcome, then for pongs, then for the close.

    def _set_timer(self, seconds: float, reason: str) -> None:
        self._cancel_timers()
        self._timer = self._clock.callLater(seconds, self.abort, reason)

    def _cancel_timers(self) -> None:
        for call in (self._timer, self._beat):
            if call is not None and call.active():
                call.cancel()
        self._timer = self._beat = None

    def _schedule_beat(self) -> None:
        self._beat = self._clock.callLater(self._heartbeat.interval_seconds, self._ping)

    def _ping(self) -> None:
        self.send("ping", {"timestamp": in_ms(wall_s())})
        if self._heartbeat.patience_seconds is None:
            self._schedule_beat()
        else:
            self._beat = self._clock.callLater(
                self._heartbeat.patience_seconds, self._look_for_pong, self._clock.seconds()
            )

    def _look_for_pong(self, pinged_at: float) -> None:
        # Anything that came proves life: a pong may wait behind a bundle that is still arriving.
        if self._last_heard < pinged_at:
            self.abort("no answer to a ping")
            return
        waited = self._clock.seconds() - pinged_at
        rest = max(self._heartbeat.interval_seconds - waited, 0)
        self._beat = self._clock.callLater(rest, self._ping)


@dataclass(frozen=True)
class Target:
    """What to ask of which relay."""

    relay: Relay
    resource: str
    credential: str | None = None
    """A secret or a join token to show."""
    claims: bool = False
    """Whether the session is to be claimed with it."""


class ConnectionFactory(WebSocketClientFactory):
    """Makes the connections of one member, each with its own listener."""

    noisy = False

    def __init__(self, reactor: Any, target: Target, heartbeat: Heartbeat) -> None:
        super().__init__(reactor=reactor)
        self.target = target
        self._heartbeat = heartbeat
        self._clock: IReactorTime = reactor
        self.listener: Listener | None = None
        # Autobahn's own timers run on the global reactor; the connection has its own.
        self.setProtocolOptions(
            openHandshakeTimeout=0,
            closeHandshakeTimeout=0,
            serverConnectionDropTimeout=0,
            maxMessagePayloadSize=MAX_MESSAGE_BYTES,
        )

    def buildProtocol(self, addr: object) -> RelayConnection:  # type: ignore[override]
        assert self.listener is not None, "a connection needs someone who listens"
        connection = RelayConnection(self.listener, self._heartbeat, self._clock)
        connection.factory = self
        return connection


def _parse(payload: bytes) -> dict[str, Any] | None:
    try:
        message = parse_json(payload)
    except ValueError:
        return None
    if isinstance(message, dict) and isinstance(message.get("type"), str):
        return message
    return None
