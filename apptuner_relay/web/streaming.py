"""Sends a part of a file as a response's body, at the client's pace.

The file is read in the reactor's thread pool, block by block: the next is read when the connection
has passed the last on to the kernel, so that no more than one is in memory. What the response is,
and says in its headers, is up to others.
"""

import os
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IPushProducer
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from twisted.web.server import Request
from zope.interface import implementer

BLOCK_BYTES = 128 * 1024
"""How much is read at once."""

_DELIVERY_S = 600
"""How long the end of a response, which is in the kernel's hands, may take to be delivered."""

_LOOKS = 4
"""How often a client that takes nothing is looked at before it is given up."""


_P = ParamSpec("_P")
_T = TypeVar("_T")


class Reactor(Protocol):
    """What streaming needs of a reactor: threads, and time."""

    def getThreadPool(self) -> ThreadPool: ...

    def callFromThread(self, function: Callable[..., object], *args: object) -> object: ...

    def callLater(self, delay: float, function: Callable[..., object]) -> IDelayedCall: ...


@implementer(IPushProducer)
class Outlet:
    """The client of a request whose response comes later, or goes block by block.

    :param slow_s: seconds for which a client may take nothing at all while there is something for
        it. After them it is cut off.
    """

    def __init__(self, request: Request, reactor: Reactor, slow_s: float) -> None:
        self.gone = False
        """The client has left or was cut off: nothing can be answered any more."""
        self.cut = False
        """It was cut off, as it took nothing."""
        self._request = request
        self._transport = request.transport
        self._reactor = reactor
        self._slow_s = slow_s
        self._full = False
        self._room: Deferred[None] | None = None
        self._look: IDelayedCall | None = None
        self._looks_left = _LOOKS
        self._unsent_bytes = 0
        request.notifyFinish().addErrback(self._lost)

    def write(self, block: bytes) -> None:
        """Send a piece of the body. Wait for `room` before the next."""
        if self.gone:
            return
        if self._request.producer is None:
            self._request.registerProducer(self, True)
            # The channel's idle timeout starts when the response is finished, not when it has
            # arrived, and this is what comes of it: 15 s later it would drop what was not taken.
            self._request.channel.abortTimeout = _DELIVERY_S
        self._request.write(block)

    def room(self) -> Deferred[None]:
        """Fires when the kernel has taken what was written, or all but 64 KiB, or the client is
        gone."""
        if self.gone or not self._full:
            return succeed(None)
        self._looks_left = _LOOKS
        self._unsent_bytes = self._unsent()
        self._look_later()
        self._room = Deferred()
        return self._room

    def finish(self, last: bytes = b"") -> None:
        """The response is complete, with ``last`` as the end of its body."""
        if self.gone:
            return
        if self._request.producer is not None:
            self._request.unregisterProducer()
        self._request.write(last)
        self._request.finish()

    @property
    def pending(self) -> bool:
        """Whether the kernel hasn't taken all that was written, as far as the connection can
        tell."""
        return bool(getattr(self._transport, "pending", False))

    def abort(self) -> None:
        """Drop the connection, behind what the kernel takes of what was written: the response can't
        be completed."""
        if not self.gone:
            # What came last was written a moment ago, and the reactor had no turn to send it.
            send = getattr(self._transport, "doWrite", None)
            if self.pending and send is not None:
                send()
            self._request.transport.abortConnection()  # type: ignore[union-attr]
            self.stopProducing()

    def pauseProducing(self) -> None:
        """The connection is full."""
        self._full = True

    def resumeProducing(self) -> None:
        """The kernel has taken what was written."""
        self._full = False
        self._proceed()

    def stopProducing(self) -> None:
        """The connection is over."""
        self.gone = True
        self._proceed()

    def _lost(self, reason: Failure) -> None:
        # Whatever ended the connection: clients leave as they like.
        self.stopProducing()

    def _proceed(self) -> None:
        if self._look is not None:
            self._look.cancel()
            self._look = None
        if self._room is not None:
            room, self._room = self._room, None
            room.callback(None)

    def _look_later(self) -> None:
        self._look = self._reactor.callLater(self._slow_s / _LOOKS, self._look_whether_it_moves)

    def _look_whether_it_moves(self) -> None:
        # A slow client with a big kernel buffer makes room once in minutes only. What it still
        # acknowledges in between shows; several looks, as what it took may have been refilled.
        self._look = None
        unsent_bytes = self._unsent()
        moved = unsent_bytes != self._unsent_bytes
        self._unsent_bytes = unsent_bytes
        self._looks_left = _LOOKS if moved else self._looks_left - 1
        if self._looks_left:
            self._look_later()
        else:
            self.cut = True
            self.abort()

    def _unsent(self) -> int:
        # UNIX sockets have no such figure; there only room counts.
        unsent: Callable[[], int] | None = getattr(self._request.transport, "unsent", None)
        return unsent() if unsent is not None else 0


async def send_file(descriptor: int, span: range, outlet: Outlet, reactor: Reactor) -> None:
    """Write the bytes at ``span`` of an open file to ``outlet``; ends early when it is gone.

    :raises EOFError: the file ends before ``span`` does.
    :raises OSError: it can't be read.
    """
    at = span.start
    while at < span.stop and not outlet.gone:
        block = await in_thread(reactor, os.pread, descriptor, min(span.stop - at, BLOCK_BYTES), at)
        if not block:
            raise EOFError(f"The file ends at byte {at}, before byte {span.stop}")
        at += len(block)
        outlet.write(block)
        del block
        await outlet.room()


def in_thread(
    reactor: Reactor, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
) -> Deferred[_T]:
    """Call ``function``, which may wait for a disk, in the reactor's thread pool."""
    threads = reactor.getThreadPool()
    return deferToThreadPool(reactor, threads, function, *args, **kwargs)  # type: ignore[arg-type]
