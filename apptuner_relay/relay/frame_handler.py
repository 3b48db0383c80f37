"""The border between a connection and the client it stands for: `FrameHandler` takes in the frames,
`Connection` is what the client's objects need of the socket, and `ConnectionFlow` has the two ends
of the flow through it.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from apptuner_relay.config.groups.limit_settings import LimitSettings
from apptuner_relay.flow.outlet import Outlet
from apptuner_relay.flow.receive_buffer import ReceiveBuffer
from apptuner_relay.flow.sink import Sink
from apptuner_relay.flow.slow_consumers import BRIDGED_PATIENCE_S, SlowConsumers
from apptuner_relay.flow.source import Source
from apptuner_relay.support.round_trip import RoundTrip
from apptuner_relay.wire.frames import FrameReader, Piece, Texts
from apptuner_relay.wire.peer_frames import PeerReader


class FrameHandler(Protocol):
    """What a connection serves: it takes in the frames that come, and its sink sends others."""

    @property
    def source(self) -> Source: ...

    @property
    def sink(self) -> Sink: ...

    @property
    def reader(self) -> FrameReader: ...

    bytes_in: int
    """Bytes taken in so far."""

    def take_texts(self, texts: Texts) -> None:
        """Take in small text messages, each of them whole."""

    def take_alone(self, text: bytearray, now_s: float) -> bool:
        """Take in a small text message that came alone, and send it at once: as `take_texts` and
        `flush` do, for less. Returns False where it is none that can be; it is left for those then.

        :param now_s: seconds of the clock.
        """

    def take(self, piece: Piece, view: memoryview) -> None:
        """Take in the next piece of a message. ``view`` is of the buffer in which the piece lies;
        call `flush` before that is used again.

        :raises FrameError: the message is bad.
        """

    def flush(self) -> None:
        """A block has been taken in whole."""


class Connection(Outlet, Protocol):
    """What a client's objects need of its connection."""

    on_round_trip: Callable[[float], None] | None
    """Called with each round trip that is measured, in seconds."""

    def serve(self, end: FrameHandler) -> None:
        """From now on serve ``end``, which has the source, sink and reader of the one before. Not
        to be called while a block is taken in."""

    @property
    def deflates(self) -> bool:
        """Whether permessage-deflate was negotiated."""

    @property
    def round_trip(self) -> RoundTrip | None:
        """The last one that was measured; None where none was."""

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake, or do nothing when it has begun."""

    def dismiss(self, code: int, reason: str) -> None:
        """Begin the closing handshake, and take in messages until the client has answered."""

    def abort(self) -> None:
        """End the connection at once, without a closing handshake."""

    def pause(self) -> None:
        """Stop reading."""

    def resume(self) -> None:
        """Read on."""

    def check_alive(self, now_s: float) -> None:
        """Ping a client that is silent, and drop one that stays silent. Called at intervals."""

    def last_heard_s(self) -> float:
        """When the client was heard last, or last took something that it was sent: seconds of the
        clock."""

    def probe(self, answered: Callable[[], None] | None = None) -> float | None:
        """Ping a client that hasn't been heard just now, unless a ping is on its way. A client that
        leaves the ping unanswered is dropped.

        :param answered: called when it answers, or now.
        :return: when it was pinged, in seconds of the clock; None where no ping is needed.
        """


class ConnectionFlow(NamedTuple):
    """The two ends of the flow through a connection, and its reader. They stay the same when the
    client's session moves to another relay."""

    source: Source
    sink: Sink
    reader: FrameReader


def make_flow(
    connection: Connection,
    limits: LimitSettings,
    slow: SlowConsumers,
    reader: type[FrameReader],
    buffer: ReceiveBuffer,
    later: Callable[[float, Callable[[], None]], object],
) -> ConnectionFlow:
    """Make the flow of a new connection."""
    sink = Sink(connection, connection.close, limits.window, slow)
    if issubclass(reader, PeerReader):
        sink.patience_s = BRIDGED_PATIENCE_S
    return ConnectionFlow(
        Source(connection.pause, connection.resume, limits.window, buffer, later),
        sink,
        reader(limits.max_message, connection.deflates),
    )
