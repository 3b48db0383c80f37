"""Sends a part of a file as the body of a response, at the client's pace.

A block of the file is read once the kernel has taken the last one, so that no more than one is in
memory. Blocks in the page cache are read at once; the reactor's thread pool waits for the disk. The
caller sets the status and the header fields.
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

from apptuner_relay.spool.page_cache import PageCache
from apptuner_relay.web.response_states import TRANSITIONS, ResponseEvent, ResponseState

BLOCK_BYTES = 128 * 1024
"""How much is read at once."""

_DELIVERY_S = 600
"""How long the kernel may take to deliver the end of a response, in seconds."""

_CHECKS = 4
"""How often a client that reads nothing is checked before it is given up."""


_page_cache = PageCache()

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Reactor(Protocol):
    """A reactor's threads and time, which is all that streaming needs."""

    def getThreadPool(self) -> ThreadPool: ...

    def callFromThread(self, function: Callable[..., object], *args: object) -> object: ...

    def callLater(self, delay: float, function: Callable[..., object]) -> IDelayedCall: ...


@implementer(IPushProducer)
class ResponseWriter:
    """Sends a response block by block.

    :param slow_s: for how many seconds a client may read nothing while there is data for it. After
        that it is cut off.
    """

    def __init__(self, request: Request, reactor: Reactor, slow_s: float) -> None:
        self.state = ResponseState.OPEN
        self._request = request
        self._transport = request.transport
        self._reactor = reactor
        self._slow_s = slow_s
        self._room: Deferred[None] | None = None
        self._check: IDelayedCall | None = None
        self._checks_left = _CHECKS
        self._unsent_bytes = 0
        request.notifyFinish().addErrback(self._lost)

    @property
    def gone(self) -> bool:
        """Whether the client has left or was cut off: nothing can be sent any more."""
        return self.state in (ResponseState.GONE, ResponseState.CUT)

    @property
    def cut(self) -> bool:
        """Whether the client was cut off because it read nothing."""
        return self.state is ResponseState.CUT

    def write(self, block: bytes) -> None:
        """Send a piece of the body. Wait for `room` before the next."""
        if self.gone:
            return
        if self._request.producer is None:
            self._request.registerProducer(self, True)
            # The channel's idle timeout starts when the response is finished, not when it has
            # arrived: 15 s later it would drop the data that the client has not read.
            self._request.channel.abortTimeout = _DELIVERY_S
        self._request.write(block)

    def room(self) -> Deferred[None]:
        """Fires when the kernel has taken all but 64 KiB of what was written, or the client is
        gone."""
        if self.state is not ResponseState.FULL:
            return succeed(None)
        self._checks_left = _CHECKS
        self._unsent_bytes = self._unsent()
        self._check_later()
        self._room = Deferred()
        return self._room

    def finish(self, last: bytes = b"") -> None:
        """Complete the response, with ``last`` as the end of its body."""
        if self.gone:
            return
        if self._request.producer is not None:
            self._request.unregisterProducer()
        self._request.write(last)
        self._request.finish()

    @property
    def pending(self) -> bool:
        """Whether the kernel hasn't taken all that was written, as far as the connection knows."""
        return bool(getattr(self._transport, "pending", False))

    def abort(self) -> None:
        """Drop the connection after what the kernel takes at once: the response can't be
        completed."""
        self._abort(ResponseEvent.ENDED)

    def _abort(self, event: ResponseEvent) -> None:
        if not self.gone:
            self._happens(event)
            # The last block was written a moment ago, and the reactor has had no turn to send it.
            send = getattr(self._transport, "doWrite", None)
            if self.pending and send is not None:
                send()
            self._request.transport.abortConnection()  # type: ignore[union-attr]
            self._proceed()

    def pauseProducing(self) -> None:
        """The connection is full."""
        self._happens(ResponseEvent.FILLED)

    def resumeProducing(self) -> None:
        """The kernel has taken what was written."""
        self._happens(ResponseEvent.DRAINED)
        self._proceed()

    def stopProducing(self) -> None:
        """The connection is over."""
        self._happens(ResponseEvent.ENDED)
        self._proceed()

    def _happens(self, event: ResponseEvent) -> None:
        self.state = TRANSITIONS.get((self.state, event), self.state)

    def _lost(self, reason: Failure) -> None:
        # Whatever ended the connection: clients may leave at any time.
        self.stopProducing()

    def _proceed(self) -> None:
        if self._check is not None:
            self._check.cancel()
            self._check = None
        if self._room is not None:
            room, self._room = self._room, None
            room.callback(None)

    def _check_later(self) -> None:
        self._check = self._reactor.callLater(self._slow_s / _CHECKS, self._check_progress)

    def _check_progress(self) -> None:
        # A slow client with a big kernel buffer makes room once in minutes. The bytes that it
        # acknowledges in between show that it reads; several checks, as they may be refilled.
        self._check = None
        unsent_bytes = self._unsent()
        moved = unsent_bytes != self._unsent_bytes
        self._unsent_bytes = unsent_bytes
        self._checks_left = _CHECKS if moved else self._checks_left - 1
        if self._checks_left:
            self._check_later()
        else:
            self._abort(ResponseEvent.STALLED)

    def _unsent(self) -> int:
        # UNIX sockets don't report it; for them only room counts.
        unsent: Callable[[], int] | None = getattr(self._request.transport, "unsent", None)
        return unsent() if unsent is not None else 0


async def send_file(descriptor: int, span: range, writer: ResponseWriter, reactor: Reactor) -> None:
    """Write the bytes at ``span`` of an open file to ``writer``; stops when the client is gone.

    :raises EOFError: the file ends before ``span`` does.
    :raises OSError: it can't be read.
    """
    at = span.start
    while at < span.stop and not writer.gone:
        size = min(span.stop - at, BLOCK_BYTES)
        cached = _page_cache.read(descriptor, at, size)
        if cached is not None:
            block = bytes(cached)
        else:
            block = await in_thread(reactor, os.pread, descriptor, size, at)
        if not block:
            raise EOFError(f"The file ends at byte {at}, before byte {span.stop}")
        at += len(block)
        writer.write(block)
        del block
        await writer.room()


def in_thread(
    reactor: Reactor, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
) -> Deferred[_T]:
    """Call ``function``, which may wait for the disk, in the reactor's thread pool."""
    threads = reactor.getThreadPool()
    return deferToThreadPool(reactor, threads, function, *args, **kwargs)  # type: ignore[arg-type]
