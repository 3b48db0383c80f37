"""How much the kernel holds unsent of a connection (``TCP_NOTSENT_LOWAT``, see tcp(7)).

A pong waits behind all of it. So the limit is low for a peer that may be slow; it is higher for a
peer that is seen to be fast, for which the relay is then woken less often.
"""

import socket

LITTLE_BYTES = 128 * 1024
"""At 120 kB/s this much and a frame of 128 KiB have left within 2.2 s; released phones wait 5 s for
a pong."""
MUCH_BYTES = 512 * 1024

_FAST_BYTES_PER_S = 1024 * 1024
_PROVEN_BYTES = 1024 * 1024
"""How much a peer has to take at that rate to count as fast: a buffer on the way may take less."""


class UnsentLimit:
    """The limit of one connection, by how fast its peer takes what it is sent."""

    __slots__ = (
        "_full_s",
        "_quickly_taken",
        "bytes",
    )

    def __init__(self) -> None:
        self.bytes = LITTLE_BYTES
        self._full_s: float | None = None
        self._quickly_taken = 0

    def full(self, now_s: float) -> None:
        """The kernel takes no more: it holds as much as the limit allows."""
        self._full_s = now_s

    def room(self, now_s: float) -> bool:
        """The kernel takes more again, which it says when half of the limit has left. Returns
        whether the limit has changed."""
        if self._full_s is None:
            return False
        taken, took_s = self.bytes // 2, now_s - self._full_s
        self._full_s = None
        if taken < _FAST_BYTES_PER_S * took_s:
            self._quickly_taken = 0
        elif self._quickly_taken < _PROVEN_BYTES:
            self._quickly_taken += taken
        before = self.bytes
        self.bytes = MUCH_BYTES if self._quickly_taken >= _PROVEN_BYTES else LITTLE_BYTES
        return self.bytes != before


def limit_unsent(connection: socket.socket, limit: int = LITTLE_BYTES) -> None:
    """Set the limit of one connection, or of all that a listening socket accepts."""
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, limit)
