"""Copies a file to standard output, whatever that is, without ever blocking on who reads it."""

from __future__ import annotations

import os
import select
from typing import IO, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

_BLOCK_BYTES = select.PIPE_BUF
"""What a pipe takes without blocking once it says that it takes anything. More might block, and
making somebody else's standard output non-blocking would do so for all who share it."""


@implementer(IWriteDescriptor)
class OutputFile:
    """A file on its way to a descriptor.

    `done` fires with True when all is written, or with False when nobody reads it any more. It
    fails with `OSError` for anything else.
    """

    def __init__(self, reactor: Any, source: IO[bytes], descriptor: int) -> None:
        self.done: Deferred[bool] = Deferred(lambda _: self._leave())
        self._reactor = reactor
        self._source = source
        self._descriptor = descriptor
        self._rest = memoryview(b"")
        reactor.addWriter(self)

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "stdout"

    def doWrite(self) -> None:
        try:
            if not self._rest:
                self._rest = memoryview(self._source.read(_BLOCK_BYTES))
            if not self._rest:
                self._leave()
                self.done.callback(True)
                return
            self._rest = self._rest[os.write(self._descriptor, self._rest) :]
        except BlockingIOError:
            pass  # Somebody else made it non-blocking, and took the room first.
        except BrokenPipeError:
            self._leave()
            self.done.callback(False)
        except OSError:
            self._leave()
            self.done.errback(Failure())

    def connectionLost(self, reason: Failure) -> None:
        """The reactor sees that nobody reads any more, or stops."""
        self._leave()
        if not self.done.called:
            self.done.callback(False)

    def _leave(self) -> None:
        self._reactor.removeWriter(self)
