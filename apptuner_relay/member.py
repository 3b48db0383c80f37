"""A client as its session sees it: the state machine between the frames of one connection and the
flow to the others. It knows no socket and no Autobahn; `protocol` feeds it pieces.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from apptuner_relay.flow import Outlet, Passage, Sink, SlowSinks, Source
from apptuner_relay.session import Device, Role, Session
from apptuner_relay.wire import messages
from apptuner_relay.wire.frames import BINARY, CONTINUATION, TEXT, Piece, frame
from apptuner_relay.wire.messages import HEAD_BYTES

_COMPLAINT_INTERVAL_S = 1.0


class Connection(Outlet, Protocol):
    """What a member needs of the connection that it stands for."""

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

    :param window: see `Sink`.
    :param now_s: tells the time, in seconds since the epoch.
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
        self.sink = Sink(connection, connection.close, window, slow)
        self._now_s = now_s
        self._active = False
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

    def take(self, piece: Piece, view: memoryview) -> None:
        """Take in the next piece of a message from this client. ``view`` is of the buffer in which
        the piece lies; call `flush` before that is used again."""
        opcode, end, begin, payload, stop = piece
        if opcode != CONTINUATION:
            self._opcode = opcode
            self._head = b""
        elif self._head is None:
            if self._passage is not None:
                self._passage.send(view[begin:stop], end)
                if end:
                    self._passage = None
            return
        before = self._head or b""
        length = len(before) + stop - payload
        if length < HEAD_BYTES and not end:
            self._head = before + view[payload:stop]
            return
        self._head = None
        self._active = True
        head = before + view[payload : min(stop, payload + HEAD_BYTES - len(before))]
        sinks = self._route(head, end and length == len(head))
        if not sinks:
            return
        if end and not before:
            self.source.feeds = sinks
            for sink in sinks:
                sink.send(view[begin:stop], self.source)
            return
        passage = Passage(self.source, sinks)
        if before:
            passage.send(frame(self._opcode, before, False), False)
        passage.send(view[begin:stop], end)
        if not end:
            self._passage = passage

    def flush(self) -> None:
        """A block has been taken in whole."""
        self.source.flush()
        if self._active:
            self._active = False
            self.session.last_activity_s = self._now_s()

    def gone(self, why: str) -> bool:
        """The connection is over. True if that cut a message short."""
        self.sink.close()
        passage, self._passage, self._head = self._passage, None, None
        if passage is None:
            return False
        passage.cut(f"a message was cut short: {why}")
        return True

    def _route(self, head: bytes, complete: bool) -> Sequence[Sink]:
        """Whom the message that begins with ``head`` goes to; nobody, where it was answered."""
        if self._opcode == BINARY:
            return [member.sink for member in self.session.audience(self)]
        try:
            envelope = messages.sniff(head, complete)
        except messages.NotAnObject as refusal:
            self._answer(messages.error(str(refusal), self._now_ms()))
            return ()
        if envelope.type == "ping":
            self._answer(messages.pong(self._now_ms()))
            return ()
        if self.role is Role.MOBILE:
            return [member.sink for member in self.session.audience(self)]
        if envelope.target is not None:
            phone = self.session.phone(envelope.target)
            if phone is None:
                text = f"Device {envelope.target} is not connected"
                self._answer(messages.error(text, self._now_ms()))
                return ()
            return (phone.sink,)
        phones = self.session.audience(self)
        if not phones and envelope.type not in messages.BUNDLE_TYPES:
            self._complain("Mobile device not connected")
        return [member.sink for member in phones]

    def _answer(self, message: bytes) -> None:
        self.sink.say(frame(TEXT, message), self.source)

    def _complain(self, text: str) -> None:
        """An error that may be due for every message, so at most once a second."""
        now_s = self._now_s()
        if now_s - self._complained_s >= _COMPLAINT_INTERVAL_S:
            self._complained_s = now_s
            self._answer(messages.error(text, self._now_ms()))

    def _now_ms(self) -> int:
        return int(self._now_s() * 1000)
