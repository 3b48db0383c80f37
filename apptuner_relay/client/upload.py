"""Sends messages at the pace of a socket, each as one frame, with little waiting in memory.

Not here: what the messages are, and what a frame looks like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

PIECE_BYTES = 128 * 1024
"""What is handed to the socket at a time, and so the most that waits in its buffer."""


class FrameSink(Protocol):
    """What an upload needs of its connection."""

    transport: Any

    @property
    def is_up(self) -> bool: ...

    def begin_frame(self, length: int) -> None: ...

    def send_piece(self, data: bytes) -> None: ...


@implementer(IPullProducer)
class Upload:
    """Messages on their way out. The transport pulls a piece whenever it has written the last.

    `done` fires with True when the socket has taken everything, or with False when `stop` ended
    it between two messages. It does not fire when the connection is lost.
    """

    def __init__(
        self,
        connection: FrameSink,
        messages: Iterator[bytes],
        progress: Callable[[int], None],
    ) -> None:
        self.done: Deferred[bool] = Deferred()
        self._connection = connection
        self._messages = messages
        self._progress = progress
        self._sent_bytes = 0
        self._message = memoryview(b"")
        self._stopping = False
        self._over = False

    def stop(self) -> None:
        """Stop as soon as the message under way is whole."""
        self._stopping = True

    def resumeProducing(self) -> None:
        """Write a piece: the transport asks for it."""
        if self._over:
            return
        if not self._connection.is_up:
            self.stopProducing()
            self._connection.transport.unregisterProducer()
            return
        if not self._message and not self._next_message():
            self._over = True
            self._connection.transport.unregisterProducer()
            self.done.callback(not self._stopping)
            return
        piece = self._message[:PIECE_BYTES]
        self._message = self._message[PIECE_BYTES:]
        self._connection.send_piece(bytes(piece))
        self._sent_bytes += len(piece)
        self._progress(self._sent_bytes)

    def stopProducing(self) -> None:
        """The connection is gone; its listener hears so from elsewhere."""
        self._over = True
        self._message = memoryview(b"")
        self._messages = iter(())

    def _next_message(self) -> bool:
        if self._stopping:
            return False
        message = next(self._messages, None)
        if message is None:
            return False
        self._message = memoryview(message)
        self._connection.begin_frame(len(message))
        return True
