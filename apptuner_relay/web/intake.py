"""The body of a request that is passed on: as it comes, at the pace of whoever it is passed on to.

While that one takes nothing, nothing is read from the client, but for what had come already.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer


@implementer(IBodyProducer)
class Intake:
    """One body, as what `twisted.web.client.Agent` sends.

    :param transport: the client's connection.
    :param length: bytes of it; None where that isn't said beforehand.
    :param limit: the most bytes that it may have.
    :param moved: is called whenever it gets on.
    :param exceeded: is called once there are more.
    """

    def __init__(
        self,
        transport: Any,
        length: int | None,
        limit: int,
        moved: Callable[[], None],
        exceeded: Callable[[], None],
    ) -> None:
        self.length = UNKNOWN_LENGTH if length is None else length
        self.is_held = False
        """Whether nothing is read, as nothing is taken."""
        self.has_ended = False
        """Whether all of it has come."""
        self._transport = transport
        self._left = limit
        self._moved = moved
        self._exceeded = exceeded
        self._is_dropped = False
        self._early: list[bytes] = []
        self._consumer: IConsumer | None = None
        self._done: Deferred[None] = Deferred()

    def take(self, data: bytes) -> None:
        """The next piece has come."""
        if self._is_dropped:
            return
        self._left -= len(data)
        if self._left < 0:
            self.stopProducing()
            self._exceeded()
            return
        self._moved()
        if self._consumer is None:
            self._early.append(data)
            self.pauseProducing()
        else:
            self._consumer.write(data)

    def end(self) -> None:
        """That was all."""
        self.has_ended = True
        if self._is_dropped:
            return
        self._moved()
        self.resumeProducing()
        if self._consumer is not None:
            self._done.callback(None)

    # What the agent calls

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """See `IBodyProducer`."""
        self._consumer = consumer
        self._moved()
        for data in self._early:
            consumer.write(data)
        self._early.clear()
        if self.has_ended:
            self._done.callback(None)
        else:
            self.resumeProducing()
        return self._done

    def pauseProducing(self) -> None:
        """It takes no more for now."""
        if not self.is_held and not self.has_ended:
            self.is_held = True
            self._transport.pauseProducing()

    def resumeProducing(self) -> None:
        """It takes more."""
        if self.is_held:
            self.is_held = False
            self._moved()
            self._transport.resumeProducing()

    def stopProducing(self) -> None:
        """It takes no more at all: what comes is dropped."""
        self._is_dropped = True
        self._early.clear()
        if self.is_held:
            self.is_held = False
            self._transport.resumeProducing()
