"""A client as its session sees it: the state machine between the frames of one connection and the
flow to the others. It knows no socket and no Autobahn; `protocol` feeds it pieces.
"""

from collections.abc import Callable
from typing import Protocol

from apptuner_relay.flow import Passage, Sink, SlowSinks, Source
from apptuner_relay.session import Device, Role, Session
from apptuner_relay.wire import messages
from apptuner_relay.wire.frames import BINARY, CONTINUATION, TEXT, Piece, frame

_COMPLAINT_INTERVAL_S = 1.0


class Connection(Protocol):
    """What a member needs of the connection that it stands for."""

    def write(self, data: bytes) -> None:
        """Send a whole frame."""

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake, or do nothing when it has begun."""

    def pause(self) -> None:
        """Stop reading."""

    def resume(self) -> None:
        """Read on."""

    def check_alive(self, now_s: float) -> None:
        """Ping a client that is silent, drop one that stays so. Called at intervals."""


class Member:
    """One client of a session.

    :param now_s: the time in seconds since the epoch.
    """

    def __init__(
        self,
        role: Role,
        device: Device | None,
        session: "Session[Member]",
        connection: Connection,
        window: int,
        slow: SlowSinks,
        now_s: Callable[[], float],
    ) -> None:
        self.role = role
        self.device = device
        self.session = session
        self.connection = connection
        self.source = Source(connection.pause, connection.resume)
        self.sink = Sink(connection.write, self._cut, window, slow)
        self.cut_reason: str | None = None
        """Why the relay gave this member up, where it did."""
        self._now_s = now_s
        self._opcode = CONTINUATION
        self._head: bytes | None = None
        self._passage: Passage | None = None
        self._complained_s = 0.0

    @property
    def in_message(self) -> bool:
        """Whether a message from this client is under way to others."""
        return self._passage is not None

    def tell(self, message: bytes) -> None:
        """Send a message (JSON text) of the relay's own."""
        self.sink.say(frame(TEXT, message))

    def take(self, piece: Piece) -> None:
        """Take in the next piece of a message from this client."""
        opcode, end, payload = piece
        self.source.heard()
        if opcode != CONTINUATION:
            self.session.last_activity_s = self._now_s()
            self._opcode = opcode
            self._head = b""
        if self._head is not None:
            payload = self._head + payload
            if len(payload) < messages.HEAD_BYTES and not end:
                self._head = payload
                return
            self._head = None
            self._begin(payload, end)
        elif self._passage is not None:
            self._passage.send(CONTINUATION, payload, end)
            if end:
                self._passage = None

    def gone(self, why: str) -> bool:
        """The connection is over. True if that cut a message short."""
        self.sink.close()
        passage, self._passage, self._head = self._passage, None, None
        if passage is None:
            return False
        passage.cut(f"a message was cut short: {why}")
        return True

    def _begin(self, payload: bytes, end: bool) -> None:
        """The first piece is there, or its first 512 bytes: see whom the message is for."""
        sinks = self._route(payload, end)
        if not sinks:
            return
        if end:
            data = frame(self._opcode, payload)
            self.source.feeds = sinks
            for sink in sinks:
                sink.send(data, self.source)
        else:
            self._passage = Passage(self.source, sinks)
            self._passage.send(self._opcode, payload, False)

    def _route(self, payload: bytes, end: bool) -> list[Sink]:
        if self._opcode == BINARY:
            return [member.sink for member in self.session.audience(self)]
        head = payload[: messages.HEAD_BYTES]
        try:
            envelope = messages.sniff(head, end and len(payload) == len(head))
        except messages.NotAnObject as refusal:
            self._answer(messages.error(str(refusal), self._now_ms()))
            return []
        if envelope.type == "ping":
            self._answer(messages.pong(self._now_ms()))
            return []
        if envelope.target is not None and self.role is not Role.MOBILE:
            phone = self.session.phone(envelope.target)
            if phone is None:
                self._answer(
                    messages.error(f"Device {envelope.target} is not connected", self._now_ms())
                )
                return []
            return [phone.sink]
        audience = self.session.audience(self)
        if (
            not audience
            and self.role is not Role.MOBILE
            and envelope.type not in messages.BUNDLE_TYPES
        ):
            self._complain("Mobile device not connected")
        return [member.sink for member in audience]

    def _answer(self, message: bytes) -> None:
        self.sink.say(frame(TEXT, message), self.source)

    def _complain(self, text: str) -> None:
        """An error that may be due for every message, so at most once a second."""
        now_s = self._now_s()
        if now_s - self._complained_s >= _COMPLAINT_INTERVAL_S:
            self._complained_s = now_s
            self._answer(messages.error(text, int(now_s * 1000)))

    def _cut(self, code: int, reason: str) -> None:
        self.cut_reason = reason
        self.connection.close(code, reason)

    def _now_ms(self) -> int:
        return int(self._now_s() * 1000)
