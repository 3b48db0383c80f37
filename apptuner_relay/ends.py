"""The ends of a connection: what takes in a client's frames, what sends it some, and what the two
need of each other.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from apptuner_relay.flow import Outlet, Sink, Source
from apptuner_relay.options import Settings
from apptuner_relay.slow import SlowSinks
from apptuner_relay.wire.frames import FrameReader, Piece, Texts


class End(Protocol):
    """What a connection stands for: takes in what comes, and has what is to go out."""

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

    def take(self, piece: Piece, view: memoryview) -> None:
        """Take in the next piece of a message. ``view`` is of the buffer in which the piece lies;
        call `flush` before that is used again.

        :raises FrameError: the message is bad.
        """

    def flush(self) -> None:
        """A block has been taken in whole."""


class Connection(Outlet, Protocol):
    """What a member needs of the connection that it stands for."""

    def serve(self, end: End) -> None:
        """From now on stand for ``end``, which has the source, sink and reader of the one before.
        Not to be called while a block is taken in."""

    @property
    def deflates(self) -> bool:
        """Whether permessage-deflate was negotiated."""

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake, or do nothing when it has begun."""

    def dismiss(self, code: int, reason: str) -> None:
        """Likewise, but what comes until it is done still counts."""

    def abort(self) -> None:
        """End the connection at once, without a closing handshake."""

    def pause(self) -> None:
        """Stop reading."""

    def resume(self) -> None:
        """Read on."""

    def check_alive(self, now_s: float) -> None:
        """Ping a client that is silent, drop one that stays so. Called at intervals."""

    def last_heard_s(self) -> float:
        """When the client was heard last, or has taken what it was sent, in seconds of the
        clock."""

    def probe(self, answered: Callable[[], None] | None = None) -> float | None:
        """Ping a client that hasn't been heard just now, unless a ping is on its way. One that
        leaves it unanswered is dropped.

        :param answered: called when it answers, or now.
        :return: when it was pinged; None for one that needn't be.
        """


class Ends(NamedTuple):
    """The ends of a connection. They stay when the client's session moves to another relay."""

    source: Source
    sink: Sink
    reader: FrameReader


def make_ends(
    connection: Connection, settings: Settings, slow: SlowSinks, reader: type[FrameReader]
) -> Ends:
    """The ends of a new connection."""
    return Ends(
        Source(connection.pause, connection.resume),
        Sink(connection, connection.close, settings.window, slow),
        reader(settings.max_message, connection.deflates),
    )
