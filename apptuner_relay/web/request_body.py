"""The body of a request that is forwarded, streamed at the upstream's pace; or of an upload, at the
pace of its session, which stands in the upstream's place.

While the upstream takes nothing, nothing is read from the client. `request_body_states` has the
states.
"""

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from apptuner_relay.web.request_body_states import (
    TRANSITIONS,
    UNREAD,
    UNWANTED,
    WHOLE,
    RequestBodyEvent,
    RequestBodyState,
)


@implementer(IBodyProducer)
class RequestBody:
    """One body, as `twisted.web.client.Agent` sends it, or `bundle_upload.BundleUpload` passes it
    on.

    :param transport: the client's connection.
    :param length: of the body, in bytes; None where it is unknown.
    :param limit: the most bytes that the body may have.
    :param moved: called whenever the body makes progress.
    :param exceeded: called once the body exceeds ``limit``.
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
        self.state = RequestBodyState.EMPTY
        self._transport = transport
        self._left = limit
        self._moved = moved
        self._exceeded = exceeded
        self._early: list[bytes] = []
        """Data that arrived before the upstream was connected."""
        self._consumer: IConsumer | None = None
        self._done: Deferred[None] = Deferred()

    @property
    def is_held(self) -> bool:
        """Whether the client is not read, as the upstream takes nothing."""
        return self.state in UNREAD

    @property
    def has_ended(self) -> bool:
        """Whether all of the body has arrived."""
        return self.state in WHOLE

    def take(self, data: bytes) -> None:
        """A piece of the body has arrived."""
        if self.state in UNWANTED:
            return
        self._left -= len(data)
        if self._left < 0:
            self.stopProducing()
            self._exceeded()
            return
        self._moved()
        self._happens(RequestBodyEvent.DATA)
        if self._consumer is None:
            self._early.append(data)
        else:
            self._consumer.write(data)

    def end(self) -> None:
        """All of the body has arrived."""
        self._happens(RequestBodyEvent.END)
        if self.state not in UNWANTED:
            self._moved()
        if self.state is RequestBodyState.ENDED:
            self._done.callback(None)

    # What the agent calls

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """See `IBodyProducer`."""
        self._consumer = consumer
        self._moved()
        # First of all: what is written may have the upstream take no more.
        self._happens(RequestBodyEvent.CONNECTED)
        early, self._early = self._early, []
        for data in early:
            consumer.write(data)
        if self.state is RequestBodyState.ENDED:
            self._done.callback(None)
        return self._done

    def pauseProducing(self) -> None:
        """The upstream takes no more for now."""
        self._happens(RequestBodyEvent.PAUSED)

    def resumeProducing(self) -> None:
        """The upstream takes more."""
        self._happens(RequestBodyEvent.RESUMED)

    def stopProducing(self) -> None:
        """The upstream takes no more at all: the rest is dropped."""
        self._early.clear()
        self._happens(RequestBodyEvent.STOPPED)

    def _happens(self, event: RequestBodyEvent) -> None:
        before = self.state
        self.state = after = TRANSITIONS.get((before, event), before)
        if after in UNREAD and before not in UNREAD:
            self._transport.pauseProducing()
        elif before in UNREAD and after not in UNREAD:
            if after not in UNWANTED:
                self._moved()
            self._transport.resumeProducing()
