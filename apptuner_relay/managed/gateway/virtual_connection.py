"""A client's connection without a socket: its messages are events of a channel. To the relay it is
a connection like any other, of a client that takes whatever it is sent at once.

What the client is sent goes to the `Speaker`, which never has it wait; what its user has sent waits
here, within a bound, while the client's source is held.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, cast

from twisted.internet.interfaces import IDelayedCall

from apptuner_relay.flow.receive_buffer import BLOCK_BYTES, TURN_S
from apptuner_relay.managed.gateway.outgoing_texts import OutgoingTexts
from apptuner_relay.managed.gateway.virtual_connection_states import (
    IS_OPEN,
    TAKES_MESSAGES,
    TRANSITIONS,
    VirtualEvent,
    VirtualState,
)
from apptuner_relay.relay.frame_handler import FrameHandler
from apptuner_relay.relay.interfaces import ConnectedClient, Place
from apptuner_relay.relay.member import Member
from apptuner_relay.relay.service import RelayService
from apptuner_relay.wire.frames import (
    CLOSE_ABNORMAL,
    CLOSE_INTERNAL_ERROR,
    CLOSE_NO_STATUS,
    FIN,
    TEXT,
    Frame,
    FrameError,
)

MOST_WAITING_BYTES = 64 * 1024
"""How many bytes of a user's messages may wait while its source is held."""
MOST_IN_A_TURN_BYTES = BLOCK_BYTES
"""How many bytes of them may wait for the reactor's next turn."""
MOST_TEXT_BYTES = 128 * 1024
"""What is collected of a text that is longer than an event may be, to be cut: more than the largest
event of any service."""

AWAY_CODE = CLOSE_ABNORMAL
"""The close code that is counted for a user whose service is away for too long."""

SPOKEN_FOR = "the relay that has its session speaks for it in its channel"
"""The reason with which that relay closes a bridge. The user is told nothing."""
ADOPTED_S = 5.0
"""How long a relay that stops waits for that."""

_ABORTED = "the relay has ended the connection"
_NO_MASK = bytes(4)


class Speaker(Protocol):
    """What speaks to a user by way of a channel: a `mirrored_channel.MirroredChannel`."""

    @property
    def away_since_s(self) -> float | None:
        """Since when the service has been away, in seconds of the clock; None where it is not."""

    def say(self, connection: "VirtualConnection", text: bytes) -> None:
        """Send the user a text."""

    def skipped(self, connection: "VirtualConnection", head: bytes, size: int) -> None:
        """A message to the user can't pass through a channel."""

    def overflowed(self, connection: "VirtualConnection", count: int) -> None:
        """Messages of the user are lost, as too many wait."""

    def closing(self, connection: "VirtualConnection", code: int, reason: str) -> None:
        """The relay closes the client: tell the user, after all that was said before. Not called
        where another relay speaks for it."""

    def ended(self, connection: "VirtualConnection") -> None:
        """It is no client any more. `closing` was called before, unless the user has left."""


class VirtualConnection:
    """The `frame_handler.Connection` of a user of a channel.

    :param user_id: the user's.
    :param is_adoptable: whether another relay may speak for the user in the channel.
    """

    takes_parts = False
    """See `Outlet`. It takes all that it is offered."""
    deflates = False
    """See `Connection`. Events carry plain texts."""
    on_round_trip: Callable[[float], None] | None = None
    """See `frame_handler.Connection`."""
    round_trip = None
    """See `Connection`. The service pings its users itself."""

    def __init__(
        self, relay: RelayService, user_id: str, speaker: Speaker, is_adoptable: bool
    ) -> None:
        self.user_id = user_id
        self.state = VirtualState.ENTERING
        self.frame_handler: FrameHandler | None = None
        """None while it is `VirtualState.ENTERING`, and after its end."""
        self._client: ConnectedClient | None = None
        self._relay = relay
        self._speaker = speaker
        self._is_adoptable = is_adoptable
        self._texts = OutgoingTexts(MOST_TEXT_BYTES, self._say, self._skip)
        self._unread = bytearray()
        """Frames of what its user has sent, as far as it has not been taken in."""
        self._read_call: IDelayedCall | None = None
        self._end_call: IDelayedCall | None = None
        self._code = CLOSE_NO_STATUS
        self._reason = ""

    @property
    def client(self) -> ConnectedClient | None:
        """The client that it is the connection of; None while it is `VirtualState.ENTERING`, and
        after its end."""
        return self._client

    @property
    def member(self) -> Member | None:
        """The client, where it is a member of a session here."""
        return self._client if isinstance(self._client, Member) else None

    @property
    def is_open(self) -> bool:
        """Whether its end has not begun."""
        return self.state in IS_OPEN

    # What the channel calls

    def enter(self, place: Place) -> None:
        """Enter the place that was found. Nothing else of it has been called."""
        client = place.enter(self)
        if self._client is None:
            self.serve(client)

    def take_messages(self, messages: Iterable[bytes]) -> None:
        """Take in messages of the user: each is the text of a JSON object."""
        if self.state not in TAKES_MESSAGES:
            return
        handler = self.frame_handler
        is_read = handler is not None and not handler.source.held
        most = MOST_IN_A_TURN_BYTES if is_read else MOST_WAITING_BYTES
        lost = 0
        for message in messages:
            data = _frame(message)
            if self._unread and len(self._unread) + len(data) > most:
                lost += 1
            else:
                self._unread += data
        self._read_later()
        if lost:
            self._speaker.overflowed(self, lost)

    def release(self) -> bool:
        """The relay that has the session speaks for the user from now on: take in no more of its
        messages. Returns whether all before that have been taken in; call again until they have."""
        self._advance(VirtualEvent.RELEASE)
        return self.state is VirtualState.RELEASED and not self._unread

    def user_left(self, why: str, code: int = CLOSE_NO_STATUS) -> None:
        """The user has left the channel.

        :param code: the close code that is counted.
        """
        if self.state is not VirtualState.CLOSING:
            self._code, self._reason = code, why
        self._end()

    # What the relay calls

    def serve(self, end: FrameHandler) -> None:
        """See `Connection`."""
        self.frame_handler = end
        # Whatever takes the place of a client is one.
        self._client = cast(ConnectedClient, end)
        here = self.member is not None
        self._advance(VirtualEvent.SERVES_MEMBER if here else VirtualEvent.SERVES_BRIDGE)
        self._read_later()

    def offer(self, parts: Sequence[Frame]) -> int:
        """See `Outlet`."""
        size = 0
        for part in parts:
            size += len(part)
            self._texts.feed(part)
        return size

    def write(self, data: bytes) -> None:
        """See `Outlet`."""
        self._texts.feed(data)

    def unsent(self) -> int:
        """See `Outlet`."""
        return 0

    def close(self, code: int, reason: str) -> None:
        """See `Connection`. There is no handshake: the user is told."""
        was_dismissed = self.state is VirtualState.DISMISSED
        if not self._advance(VirtualEvent.CLOSE):
            return
        self._unread.clear()
        if not was_dismissed:
            self._code, self._reason = code, reason
            if reason != SPOKEN_FOR:
                self._speaker.closing(self, code, reason)
        if self._client is not None:
            self._relay.registry.leave(self._client, reason)
        self._end_later(0, self._end)

    def dismiss(self, code: int, reason: str) -> None:
        """See `Connection`."""
        handler = self.frame_handler
        if self.state in (VirtualState.BRIDGED, VirtualState.RELEASED) and self._is_adoptable:
            # With luck the session's relay speaks for the user soon, who needs not be told then.
            self._end_later(ADOPTED_S, self.close, code, reason)
            return
        if handler is None or not self._advance(VirtualEvent.DISMISS):
            return
        self._code, self._reason = code, reason
        handler.sink.close()
        self._speaker.closing(self, code, reason)
        timeout_s = self._relay.settings.limits.close_timeout if self._unread else 0
        self._end_later(timeout_s, self._end)

    def abort(self) -> None:
        """See `Connection`."""
        # What has the sink abort may be about to close with a better reason.
        self._relay.clock.callLater(0, self.close, CLOSE_INTERNAL_ERROR, _ABORTED)

    def pause(self) -> None:
        """See `Connection`. Whoever reads looks whether the source is held."""

    def resume(self) -> None:
        """See `Connection`."""
        self._read_later()

    def check_alive(self, now_s: float) -> None:
        """See `Connection`. The service finds the dead, and says that they have left."""

    def last_heard_s(self) -> float:
        """See `Connection`. Who is in the channel lives."""
        away_since_s = self._speaker.away_since_s
        return self._relay.clock.seconds() if away_since_s is None else away_since_s

    def probe(self, answered: Callable[[], None] | None = None) -> float | None:
        """See `Connection`. While the service is away, nobody answers."""
        if self._speaker.away_since_s is not None:
            return self._relay.clock.seconds()
        if answered is not None:
            answered()
        return None

    # Within

    def _advance(self, event: VirtualEvent) -> bool:
        """Change the state. Returns whether the event meant anything."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def _say(self, text: bytes) -> None:
        self._speaker.say(self, text)

    def _skip(self, head: bytes, size: int) -> None:
        self._speaker.skipped(self, head, size)

    def _read_later(self) -> None:
        """Read on in the reactor's next turn, as a connection may be in the middle of a block."""
        if self._unread and self._read_call is None:
            self._read_call = self._relay.clock.callLater(0, self._read_on)

    def _read_on(self) -> None:
        self._read_call = None
        self._read()
        if self.state is VirtualState.DISMISSED and not self._unread:
            self._end()

    def _read(self) -> None:
        """Take in what waits, as far as the source is not held; in several turns where it takes
        long."""
        until_s = self._relay.clock.seconds() + TURN_S
        while self._unread and self._read_block(until_s):
            if self._relay.clock.seconds() >= until_s:
                self._read_later()
                break

    def _read_block(self, until_s: float) -> bool:
        """Take in some of what waits. Returns whether there may be more to take in."""
        handler = self.frame_handler
        if handler is None or handler.source.held or self.state is VirtualState.CLOSING:
            return False
        block = self._unread[:BLOCK_BYTES]
        buffer = self._relay.buffer
        buffer.room[: len(block)] = block
        start = buffer.START
        pieces = handler.reader.feed(buffer.data, start, start + len(block))
        try:
            for piece in pieces:
                if isinstance(piece, list):
                    handler.take_texts(piece)
                else:
                    handler.take(piece, buffer.view)
                if handler.source.held or self._relay.clock.seconds() >= until_s:
                    break
        except FrameError as error:
            self.close(error.code, error.reason)
            return False
        finally:
            pieces.close()
            taken = handler.reader.stopped_at - start
            del self._unread[:taken]
            handler.bytes_in += taken
            handler.flush()
        return True

    def _end_later(self, delay_s: float, end: Callable[..., None], *args: object) -> None:
        """End in another turn, as the relay may be about to go through its clients."""
        if self._end_call is not None and self._end_call.active():
            self._end_call.cancel()
        self._end_call = self._relay.clock.callLater(delay_s, end, *args)

    def _end(self) -> None:
        if not self._advance(VirtualEvent.OVER):
            return
        for call in (self._read_call, self._end_call):
            if call is not None and call.active():
                call.cancel()
        client, self._client = self._client, None
        self.frame_handler = None
        self._unread.clear()
        if client is not None:
            self._relay.registry.closed(client, self._reason, self._code)
        self._speaker.ended(self)


def _frame(text: bytes) -> bytes:
    """A client's frame with a text, and a mask that changes nothing."""
    length = len(text)
    if length < 126:
        size = bytes((0x80 | length,))
    elif length < 0x10000:
        size = b"\xfe" + length.to_bytes(2, "big")
    else:
        size = b"\xff" + length.to_bytes(8, "big")
    return b"".join((bytes((FIN | TEXT,)), size, _NO_MASK, text))
