"""A client of a relay that looks at how it is treated: the answer to its handshake, pings, the end.

It adds to the companion's own connection what a doctor wants to see, and is polite: it closes with
the handshake.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time as wall_s
from typing import Any

from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint

from apptuner_relay.client.bundles import MAX_MESSAGE_BYTES, read_message
from apptuner_relay.client.connection import RelayConnection
from apptuner_relay.client.doctor.http_answer import HttpAnswer, NoHttpError, read_answer
from apptuner_relay.client.doctor.judge_pace import Pong
from apptuner_relay.client.doctor.time_limit import TimeLimit
from apptuner_relay.client.member_connection import (
    ClientPings,
    ConnectionListener,
    MemberConnection,
    MemberFactory,
    Target,
)
from apptuner_relay.client.policy import Ending
from apptuner_relay.support.clocks import in_ms
from apptuner_relay.support.socket_errors import describe

_NO_PINGS = ClientPings(1e6)
_LEAVE_S = 1.0
"""For the other side's part of a close handshake."""


class NotLetInError(Exception):
    """No welcome came. The text says why, where anything can be said."""

    def __init__(self, answer: HttpAnswer | None, words: str, took_s: float) -> None:
        super().__init__(words)
        self.answer = answer
        """That to the handshake, if there was one that can be read."""
        self.words = words
        self.took_s = took_s


class WatchedConnection(RelayConnection):
    """The companion's connection, with an eye on what it keeps to itself."""

    head = b""
    """What was received of the handshake's answer."""
    pings_s: list[float]
    """When the relay's pings came, by the connection's clock."""
    on_pong: Callable[[dict[str, Any]], None] | None = None

    def connectionMade(self) -> None:
        self.pings_s = []
        super().connectionMade()

    def response_received(self) -> None:
        """See `ClientFramesProtocol`."""
        self.head = self.response
        super().response_received()

    def onPing(self, payload: bytes) -> None:
        self.pings_s.append(self.clock.seconds())
        super().onPing(payload)

    def text_received(self, text: bytes) -> None:
        """See `MemberConnection`."""
        message = read_message(text)
        if message is not None and message["type"] == "pong" and self.on_pong is not None:
            self.on_pong(message)
        super().text_received(text)


class _WatchedFactory(MemberFactory):
    """Makes a probe's one connection, which offers what Android phones and CLIs offer."""

    def __init__(self, reactor: Any, target: Target, endpoint: IStreamClientEndpoint) -> None:
        super().__init__(reactor, target, endpoint)
        self.setProtocolOptions(
            maxMessagePayloadSize=MAX_MESSAGE_BYTES,
            perMessageCompressionOffers=[PerMessageDeflateOffer()],
            perMessageCompressionAccept=_accept,
        )

    def make(self, listener: ConnectionListener) -> WatchedConnection:
        """See `MemberFactory`."""
        return WatchedConnection(listener, _NO_PINGS, self.clock)


def _accept(response: object) -> PerMessageDeflateResponseAccept | None:
    if isinstance(response, PerMessageDeflateResponse):
        return PerMessageDeflateResponseAccept(response)
    return None


class ProbeClient:
    """A client in a session, for a short while."""

    def __init__(
        self, reactor: Any, limit: TimeLimit, target: Target, endpoint: IStreamClientEndpoint
    ) -> None:
        self.answer: HttpAnswer | None = None
        """That to the handshake, once there is one."""
        self.took_s = 0.0
        """From the start to the handshake's answer and the welcome."""
        self.ending: Ending | None = None
        """How the connection ended, once it has."""
        self._reactor = reactor
        self._limit = limit
        self._factory = _WatchedFactory(reactor, target, endpoint)
        self._factory.listener = self
        self._connection: WatchedConnection | None = None
        self._is_welcomed = False
        self._messages: list[dict[str, Any]] = []
        self._waiting: list[Deferred[None]] = []

    # What a doctor does with it.

    async def join(self, seconds: float) -> None:
        """Connect, and wait for the welcome.

        :raises NotLetInError: there is none.
        """
        began_s = self._reactor.seconds()
        words = ""
        try:
            await self._limit.within(seconds, self._connect())
        except TimeoutError:
            pass
        except (ConnectError, OSError) as error:
            words = describe(error)
        self.took_s = self._reactor.seconds() - began_s
        self.answer = self._read_answer()
        if not self._is_welcomed or self.ending is not None:
            if self.ending is not None and not words:
                words = self.ending.reason if self.answer else str(self.ending)
            raise NotLetInError(self.answer, words, self.took_s)

    async def ping(self, seconds: float) -> Pong | None:
        """One round trip, by a ping of AppTuner's clients; None where no answer came in time."""
        connection = self._connection
        if connection is None or self.ending is not None:
            return None
        answered: Deferred[Pong] = Deferred()
        sent_s, began_s = wall_s(), self._reactor.seconds()

        def take(message: dict[str, Any]) -> None:
            connection.on_pong = None
            at_ms = message.get("timestamp")
            is_time = isinstance(at_ms, int | float) and not isinstance(at_ms, bool)
            relay_s = float(at_ms) / 1000 if is_time else None  # type: ignore[arg-type]
            answered.callback(Pong(self._reactor.seconds() - began_s, sent_s, relay_s))

        connection.on_pong = take
        connection.send("ping", {"timestamp": in_ms(sent_s)})
        try:
            return await self._limit.within(seconds, answered)
        except TimeoutError:
            connection.on_pong = None
            return None

    def stream(self, messages: list[bytes]) -> None:
        """Begin to send these, at the pace of the socket."""
        if self._connection is not None and self.ending is None:
            self._connection.stream(messages, lambda sent: None)

    def send(self, kind: str, **body: object) -> None:
        """Send a small message."""
        if self._connection is not None:
            self._connection.send(kind, body)

    async def next_of(self, kind: str, seconds: float) -> dict[str, Any] | None:
        """The next message of a type, those that have come already first; None if none comes."""
        try:
            return await self._limit.within(seconds, self._next_of(kind))
        except TimeoutError:
            return None

    async def stay(self, seconds: float) -> None:
        """Say nothing for so long, or until the connection ends."""
        try:
            await self._limit.within(seconds, self._until(lambda: self.ending))
        except TimeoutError:
            return

    def pings_since(self, began_s: float) -> list[float]:
        """When the relay's pings came after that time, in seconds from then."""
        times = [] if self._connection is None else self._connection.pings_s
        return [one - began_s for one in times if one >= began_s]

    async def leave(self) -> None:
        """Close, and wait a moment for the other side's part."""
        if self._connection is None or self.ending is not None:
            return
        self._connection.leave()
        await self.stay(_LEAVE_S)
        self.drop()

    def drop(self) -> None:
        """End the connection, if there still is one."""
        if self._connection is not None and self.ending is None:
            self._connection.abort("left")

    # As the listener of its connection.

    def made(self, connection: MemberConnection) -> None:
        assert isinstance(connection, WatchedConnection)
        self._connection = connection

    def welcomed(self) -> None:
        self._is_welcomed = True

    def received(self, message: dict[str, Any]) -> None:
        self._messages.append(message)
        self._wake()

    def ended(self, ending: Ending) -> None:
        self.ending = ending
        self._wake()

    async def _connect(self) -> None:
        await self._factory.endpoint.connect(self._factory)
        await self._until(lambda: self._is_welcomed or self.ending)

    async def _next_of(self, kind: str) -> dict[str, Any] | None:
        def look() -> dict[str, Any] | None:
            while self._messages:
                message = self._messages.pop(0)
                if message["type"] == kind:
                    return message
            return None

        found: dict[str, Any] | None = None

        def found_or_over() -> bool:
            nonlocal found
            found = look()
            return found is not None or self.ending is not None

        await self._until(found_or_over)
        return found

    async def _until(self, look: Callable[[], object]) -> None:
        while not look():
            waiter: Deferred[None] = Deferred()
            self._waiting.append(waiter)
            try:
                await waiter
            finally:
                if waiter in self._waiting:
                    self._waiting.remove(waiter)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    def _read_answer(self) -> HttpAnswer | None:
        head = self._connection.head if self._connection is not None else b""
        if not head:
            return None
        try:
            is_upgrade = head.startswith((b"HTTP/1.1 101", b"HTTP/1.0 101"))
            return read_answer(head, at_end=True, head_only=is_upgrade)
        except NoHttpError:
            return None
