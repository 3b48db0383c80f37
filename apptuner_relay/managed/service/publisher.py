"""Publishes events by a service's HTTP API (`publisher_states`): in batches, with one request in
flight for each channel, as services don't promise the order of requests that overlap.

What waits is bounded. Nothing is sent again that may have been published: events are numbered, and
who misses one asks for the state.
"""

from collections import deque
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from apptuner_relay.managed.protocol.backoff import Backoff
from apptuner_relay.managed.protocol.channel_service import ServiceRefused
from apptuner_relay.managed.service.api_client import (
    ApiClient,
    ApiEvent,
    ServiceBusy,
    ServiceUnreached,
)
from apptuner_relay.managed.service.publisher_states import (
    TRANSITIONS,
    PublisherEvent,
    PublisherState,
)
from apptuner_relay.managed.service.service_problem import ServiceProblem, problem_of_refusal
from apptuner_relay.operator.managed_counters import ManagedCounters
from apptuner_relay.support.log_throttle import LogThrottle
from apptuner_relay.wire.messages import compact_json

MOST_WAITING = 1000
MOST_WAITING_BYTES = 1024 * 1024
"""How many events may wait, and how many bytes they may have."""
MOST_REQUESTS = 4
"""In flight at the same time, for all channels."""
REFUSED_S = 60.0
"""After a refusal of all events, such as one for a quota, none is taken for so long."""
_FLOOR_S, _FIRST_S, _MOST_S = 0.5, 1.0, 30.0
"""Between requests to a service that has too much to do, or can't be reached."""
_OF_ALL = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})
"""Refusals that other events would meet as well."""


class ChannelPlaces(Protocol):
    """Where the relay is: `connection_pool.ConnectionPool`."""

    def member_count(self, channel: str) -> int | None:
        """How many users are in a channel, the relay included; None where it is not in there."""

    def socket_id(self, channel: str) -> str | None:
        """The connection by which the relay is in a channel."""


class PublishingObserver(Protocol):
    """What hears how publishing goes."""

    def publishing_failed(self, problem: ServiceProblem) -> None:
        """A request has failed, or was refused for a reason that others would meet as well."""

    def publishing_works(self) -> None:
        """A request has succeeded."""


class _UnpublishedEvent(NamedTuple):
    event: ApiEvent
    size: int
    """Bytes, as a string of JSON."""
    is_alone: bool = False
    """Whether a batch with it was too large."""


class ApiPublisher:
    """Publishes the events of all channels.

    :param places: the relay's own places in channels.
    :param most_events: how many a request may have.
    :param most_bytes: how many bytes of data a request may have, unless a single event has more.
    """

    log = Logger()

    def __init__(
        self,
        api: ApiClient,
        places: ChannelPlaces,
        observer: PublishingObserver,
        counters: ManagedCounters,
        clock: IReactorTime,
        most_events: int,
        most_bytes: int,
    ) -> None:
        self._api = api
        self._places = places
        self._observer = observer
        self._counters = counters
        self._clock = clock
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._queues: dict[str, deque[_UnpublishedEvent]] = {}
        """By channel; the one that has waited longest for a turn is the first."""
        self._busy: set[str] = set()
        """Channels with a request in flight."""
        self._requests: set[Deferred[None]] = set()
        self._count = self._bytes = 0
        self.state = PublisherState.OPEN
        self._timer: IDelayedCall | None = None
        """Until requests are sent: at once where it is open."""
        self._backoff = Backoff(_FLOOR_S, _FIRST_S, _MOST_S)
        self._large = LogThrottle(clock.seconds)

    @property
    def is_refused(self) -> bool:
        """Whether the service has refused all events, for now."""
        return self.state is PublisherState.REFUSED

    def publish(self, channel: str, name: str, data: str) -> bool:
        """Publish an event behind those before it. Returns whether it was taken. One that was not
        may be offered again, and is not counted as dropped here."""
        if self.is_refused or self.state is PublisherState.STOPPED:
            return False
        if self._places.member_count(channel) is None:
            return False
        size = len(compact_json(data))
        if self._count >= MOST_WAITING or self._bytes + size > MOST_WAITING_BYTES:
            return False
        self._queues.setdefault(channel, deque()).append(
            _UnpublishedEvent(ApiEvent(channel, name, data), size)
        )
        self._count, self._bytes = self._count + 1, self._bytes + size
        if self._timer is None:
            # What is published in the same turn of the reactor goes in one request.
            self._set_timer(0)
        return True

    def drop_waiting(self, reason: str) -> None:
        """Drop what waits, for one of `managed_counters.DROP_REASONS`."""
        self._counters.count_dropped(reason, self._count)
        self._queues.clear()
        self._count = self._bytes = 0

    def stop(self) -> None:
        """Publish nothing more, and wait for no answer."""
        self._happens(PublisherEvent.STOP)
        self.drop_waiting("away")
        self._cancel_timer()
        for request in tuple(self._requests):
            request.cancel()

    def _send_more(self) -> None:
        self._timer = None
        while self.state is PublisherState.OPEN and len(self._requests) < MOST_REQUESTS:
            batch = self._next_batch()
            if not batch:
                break
            request = Deferred.fromCoroutine(self._send(batch))
            if not request.called:
                self._requests.add(request)
                request.addBoth(self._over, request)

    def _over(self, result: object, request: Deferred[None]) -> None:
        self._requests.discard(request)
        if self._timer is None and self._queues and self.state is PublisherState.OPEN:
            self._set_timer(0)

    def _next_batch(self) -> list[_UnpublishedEvent]:
        """Events for one request, of channels that have none in flight. They are taken off their
        queues."""
        batch: list[_UnpublishedEvent] = []
        room = self._most_bytes
        for channel in [one for one in self._queues if one not in self._busy]:
            queue = self._queues[channel]
            while queue and len(batch) < self._most_events and not self._ends_batch(batch):
                if batch and (queue[0].size > room or queue[0].is_alone):
                    break
                batch.append(queue.popleft())
                room -= batch[-1].size
            # Its next turn is behind all others'.
            del self._queues[channel]
            if queue:
                self._queues[channel] = queue
            if len(batch) >= self._most_events or self._ends_batch(batch):
                break
        for waiting in batch:
            self._busy.add(waiting.event.channel)
            self._count, self._bytes = self._count - 1, self._bytes - waiting.size
        return batch

    @staticmethod
    def _ends_batch(batch: Sequence[_UnpublishedEvent]) -> bool:
        return bool(batch) and batch[-1].is_alone

    async def _send(self, batch: Sequence[_UnpublishedEvent]) -> None:
        try:
            places = self._places
            await self._api.publish(
                [one.event._replace(socket_id=places.socket_id(one.event.channel)) for one in batch]
            )
        except ServiceBusy as busy:
            self._put_back(batch)
            self._pause(busy.wait_s)
            self._tell(problem_of_refusal(busy))
        except ServiceRefused as refused:
            self._refused(batch, refused)
        except ServiceUnreached as unreached:
            if unreached.is_sent:
                self._counters.count_dropped("away", len(batch))
            else:
                self._put_back(batch)
            self._pause(None)
            self._tell(ServiceProblem(None, "its HTTP API can't be reached", str(unreached)))
        except Exception:  # a fault of this program must not stop all channels
            self._counters.count_dropped("away", len(batch))
            self.log.failure("managed service: events could not be published")
        else:
            self._backoff.reset()
            for event, _, _ in batch:
                size = len(event.data.encode())
                self._counters.count_published(
                    "http", size, self._places.member_count(event.channel) or 1
                )
            self._observer.publishing_works()
        finally:
            self._busy.difference_update(waiting.event.channel for waiting in batch)

    def _refused(self, batch: Sequence[_UnpublishedEvent], refused: ServiceRefused) -> None:
        if refused.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and len(batch) > 1:
            # All of it was refused. Which one was too large, or whether all are together, will
            # show.
            self._put_back([waiting._replace(is_alone=True) for waiting in batch])
            return
        if refused.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            self._counters.count_dropped("large")
            count = self._large.count()
            if count is not None:
                self.log.warn(
                    "managed service: dropped an event of {size} bytes: {why} "
                    "({count} since the last such line)",
                    size=len(batch[0].event.data.encode()),
                    why=str(refused),
                    count=count,
                )
            return
        self._counters.count_dropped("refused", len(batch))
        if refused.code in _OF_ALL:
            self.drop_waiting("refused")
            if self._happens(PublisherEvent.REFUSED):
                self._set_timer(REFUSED_S, self._resume)
        elif not refused.is_permanent:
            self._pause(None)
        self._tell(problem_of_refusal(refused))

    def _tell(self, problem: ServiceProblem) -> None:
        if self.state is not PublisherState.STOPPED:
            self._observer.publishing_failed(problem)

    def _put_back(self, batch: Sequence[_UnpublishedEvent]) -> None:
        """Have events wait in front of the others of their channels."""
        for waiting in reversed(batch):
            channel = waiting.event.channel
            self._queues.setdefault(channel, deque()).appendleft(waiting)
            self._count, self._bytes = self._count + 1, self._bytes + waiting.size

    def _pause(self, wait_s: float | None) -> None:
        """Send nothing for a while.

        :param wait_s: for how long; None where the service has not said so.
        """
        if self._happens(PublisherEvent.FAILED):
            pause_s = self._backoff.next_s() if wait_s is None else min(wait_s, REFUSED_S)
            self._set_timer(pause_s, self._resume)

    def _resume(self) -> None:
        self._happens(PublisherEvent.RESUME)
        self._send_more()

    def _happens(self, event: PublisherEvent) -> bool:
        after = TRANSITIONS.get((self.state, event))
        self.state = after or self.state
        return after is not None

    def _set_timer(self, seconds: float, call: Callable[[], None] | None = None) -> None:
        self._cancel_timer()
        self._timer = self._clock.callLater(seconds, call or self._send_more)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
