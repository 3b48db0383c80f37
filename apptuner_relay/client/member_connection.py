"""One connection of a member of a session, whatever it speaks: Autobahn's client protocol, made to
fit.

It adds what Autobahn does not have: the reason that is given where a handshake is refused, timers
on an injected clock, and a beat that finds out that the other side has died. What is spoken is for
subclasses: `connection` speaks to a relay, and `channel_connection` to a managed service. What a
connection is for, and what follows when it ends, is not decided here: a `ConnectionListener` hears
of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from autobahn.twisted.websocket import WebSocketClientFactory
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from apptuner_relay.client.address import Relay
from apptuner_relay.client.policy import MAX_REFUSAL_BYTES, Ending, How, read_refusal
from apptuner_relay.support.private_names.of_autobahn import ClientFramesProtocol
from apptuner_relay.support.socket_errors import describe, is_untrusted
from apptuner_relay.wire.closing import may_be_sent

WELCOME_SECONDS = 20.0
"""From the TCP connection to the relay's welcome."""

CLOSE_SECONDS = 5.0
"""For the other side's part of a close handshake."""

_CLOSE_NORMAL = 1000


class ConnectionListener(Protocol):
    """Who hears what comes over a connection."""

    def made(self, connection: MemberConnection) -> None:
        """The socket is there; the handshake is still to come."""

    def welcomed(self) -> None:
        """The relay said its welcome: the connection is good."""

    def received(self, message: dict[str, Any]) -> None:
        """A message came, the welcome among them, a pong not. It has a `type` that is text."""

    def ended(self, ending: Ending) -> None:
        """The connection is gone. Called once, and last."""


@dataclass(frozen=True)
class ClientPings:
    """How a client of some role keeps its connection alive."""

    interval_seconds: float
    patience_seconds: float | None = None
    """How long an answer may take; None where the role's real client does not look."""


@dataclass(frozen=True)
class Target:
    """What to be, in which session of which relay."""

    relay: Relay
    role: str
    session: str
    query: Mapping[str, str] | None = None
    """What is said of oneself."""
    credential: str | None = None
    """A secret or a join token to show."""
    claims: bool = False
    """Whether the session is to be claimed with it."""


class MemberFactory(WebSocketClientFactory):
    """Makes the connections of one member, each with its own listener."""

    noisy = False

    def __init__(self, reactor: Any, target: Target, endpoint: IStreamClientEndpoint) -> None:
        super().__init__(reactor=reactor)
        self.target = target
        self.endpoint = endpoint
        """Where to connect to."""
        self.clock: IReactorTime = reactor
        self.listener: ConnectionListener | None = None
        # Autobahn's own timers run on the global reactor; the connection has its own.
        self.setProtocolOptions(
            openHandshakeTimeout=0, closeHandshakeTimeout=0, serverConnectionDropTimeout=0
        )

    def make(self, listener: ConnectionListener) -> MemberConnection:
        """A new connection."""
        raise NotImplementedError

    def buildProtocol(self, addr: object) -> MemberConnection:  # type: ignore[override]
        assert self.listener is not None, "a connection needs someone who listens"
        connection = self.make(self.listener)
        connection.factory = self
        return connection


class MemberConnection(ClientFramesProtocol):
    """A member's connection. Made by a `MemberFactory`."""

    factory: MemberFactory
    transport: Any
    peer = "the relay"
    """What it is called that is at the other end."""

    def __init__(
        self, listener: ConnectionListener, heartbeat: ClientPings, clock: IReactorTime
    ) -> None:
        super().__init__()
        self.listener = listener
        self.heartbeat = heartbeat
        self.clock = clock
        self.is_welcomed = False
        self._ending: Ending | None = None
        self._lost_because: BaseException | None = None
        self._last_heard = 0.0
        self._timer: IDelayedCall | None = None
        self._beat: IDelayedCall | None = None

    # For subclasses.

    def send(self, kind: str, body: Mapping[str, object]) -> None:
        """Send a small message to the relay."""
        raise NotImplementedError

    def text_received(self, text: bytes) -> None:
        """A text message came, over a connection that is up."""
        raise NotImplementedError

    def send_ping(self) -> None:
        """Send what has to be answered."""
        raise NotImplementedError

    @property
    def is_in_message(self) -> bool:
        """Whether a message is being sent that has no end yet."""
        return False

    def closed_by_peer(self, code: int | None, reason: str) -> Ending:
        """What it means that the other side has closed."""
        return Ending(How.CLOSED, reason, code)

    def end(self, ending: Ending) -> None:
        """Drop the connection, for that reason if there is no earlier one."""
        self._ending = self._ending or ending
        if self.transport is not None:
            self.transport.abortConnection()

    def welcome(self) -> None:
        """The relay has said its welcome."""
        self.is_welcomed = True
        self._cancel_timers()
        self._schedule_beat()
        self.listener.welcomed()

    # What the program does with it.

    def leave(self) -> None:
        """Close: with the handshake, or at once in mid-message, when none is possible."""
        if not self.is_up or self.is_in_message:
            self.abort("left in mid-message" if self.is_in_message else "left")
            return
        self.sendClose(_CLOSE_NORMAL)
        self.limit_close()

    def limit_close(self) -> None:
        """Drop the connection unless its close comes to an end in time."""
        self._set_timer(CLOSE_SECONDS, f"{self.peer} did not answer the close")

    def abort(self, reason: str) -> None:
        """Drop the connection without a word."""
        self.end(Ending(How.LOST, reason))

    # What Autobahn calls.

    def connectionMade(self) -> None:
        self._last_heard = self.clock.seconds()
        self._set_timer(WELCOME_SECONDS, "the relay said no welcome in time")
        self.listener.made(self)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        self._last_heard = self.clock.seconds()
        super().dataReceived(data)

    def response_received(self) -> None:
        """Look at the HTTP answer before Autobahn does, which drops a refusal's reason."""
        if self.response.startswith(b"HTTP/1.1 101") and len(self.response) <= MAX_REFUSAL_BYTES:
            try:
                self.read_response()
            except ValueError:
                self.abort(f"{self.peer}'s handshake can't be read")
            return
        if len(self.response) >= len(b"HTTP/1.1 101"):
            refusal = read_refusal(self.response, at_end=len(self.response) > MAX_REFUSAL_BYTES)
            if refusal is not None:
                self._ending = refusal
                self.transport.abortConnection()

    def handshake_failed(self, reason: str) -> None:
        self.abort(reason)

    def holds_frame(self, opcode: int, payload: bytes) -> bool:
        """See `ClientFramesProtocol`."""
        return False

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if not isBinary and self.is_up:
            self.text_received(payload)

    def close_received(self, code: int | None, reason: bytes | None) -> bool | None:
        # The other side closes while it is being streamed to: there is no room for our answer.
        if self.is_in_message:
            self._ending = self.closed_by_peer(code, (reason or b"").decode(errors="replace"))
            self.transport.abortConnection()
            return True
        failed = self.answer_close(code, reason, code is not None and may_be_sent(code))
        self._set_timer(CLOSE_SECONDS, f"{self.peer} did not drop the connection")
        return failed

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost_because = reason.value
        super().connectionLost(reason)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self._cancel_timers()
        self.listener.ended(self._how_it_ended(wasClean))

    def _how_it_ended(self, clean: bool) -> Ending:
        error = self._lost_because
        if self.peer_close is not None or clean:
            return self.closed_by_peer(*(self.peer_close or (None, "")))
        if self._ending is not None:
            return self._ending
        if error is not None and is_untrusted(error):
            return Ending(How.UNTRUSTED, describe(error))
        if not self.is_welcomed and self.response.startswith(b"HTTP/"):
            refusal = read_refusal(self.response, at_end=True)
            if refusal is not None:
                return refusal
        if self.own_failure is not None:
            return Ending(How.LOST, self.own_failure)
        return Ending(How.LOST, "" if error is None else describe(error))

    # Timers. There is one at a time: for the welcome, then for pongs, then for the close.

    def _set_timer(self, seconds: float, reason: str) -> None:
        self._cancel_timers()
        self._timer = self.clock.callLater(seconds, self.abort, reason)

    def _cancel_timers(self) -> None:
        for call in (self._timer, self._beat):
            if call is not None and call.active():
                call.cancel()
        self._timer = self._beat = None

    def _schedule_beat(self) -> None:
        self._beat = self.clock.callLater(self.heartbeat.interval_seconds, self._ping)

    def _ping(self) -> None:
        self.send_ping()
        if self.heartbeat.patience_seconds is None:
            self._schedule_beat()
        else:
            self._beat = self.clock.callLater(
                self.heartbeat.patience_seconds, self._look_for_pong, self.clock.seconds()
            )

    def _look_for_pong(self, pinged_at: float) -> None:
        # Anything that came proves life: a pong may wait behind a bundle that is still arriving.
        if self._last_heard < pinged_at:
            self.abort("no answer to a ping")
            return
        waited = self.clock.seconds() - pinged_at
        rest = max(self.heartbeat.interval_seconds - waited, 0)
        self._beat = self.clock.callLater(rest, self._ping)
