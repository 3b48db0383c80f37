"""Alerts to ``--alert-url``: JSON by POST, in order, tried again while the URL is unreachable.

An alert that can't be delivered delays the alerts behind it and nothing else. When too many wait,
the oldest of them are dropped.
"""

from collections import Counter, deque
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    DNSLookupError,
)
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.operator.alert_queue_states import (
    TRANSITIONS,
    AlertQueueEvent,
    AlertQueueState,
)
from apptuner_relay.support.http_pool import quiet_pool

QUEUE_LENGTH = 100
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
GIVE_UP_S = 3600.0
STOP_S = 2.0
"""How long a shutdown waits for the alerts that are still to be delivered."""
_TIMEOUT_S = 10.0
_TRY_AGAIN_STATUSES = frozenset({408, 425, 429})
"""Statuses after which an alert is sent again, beside 5xx. Others say that the request is wrong."""

Alert = dict[str, object]


class Undelivered(Exception):
    """An alert was not delivered; the text says why. ``final``: another try would not help."""

    def __init__(self, why: str, final: bool) -> None:
        super().__init__(why)
        self.final = final


class WebhookPoster:
    """Delivers by HTTP POST.

    :param url: may have a user and a password, which are sent in ``Authorization`` (RFC 7617).
    """

    def __init__(self, url: str, reactor: Any) -> None:
        parts = urlsplit(url)
        _, _, authority = parts.netloc.rpartition("@")
        self.where = f"{parts.scheme}://{authority}"
        """Where alerts go, for the log; without anything secret."""
        self._url = urlunsplit((parts.scheme, authority, parts.path, parts.query, ""))
        self._auth = None
        if parts.username is not None:
            self._auth = unquote(parts.username), unquote(parts.password or "")
        self._reactor = reactor

    async def post(self, alert: Alert) -> None:
        """Deliver ``alert``.

        :raises Undelivered: the alert was not accepted, or the delivery was cancelled.
        """
        # treq imports much code, which a relay without an alert URL needn't hold in memory.
        import treq
        from twisted.web.client import (
            Agent,
            RequestGenerationFailed,
            RequestTransmissionFailed,
            ResponseFailed,
        )
        from twisted.web.error import SchemeNotSupported

        pool = quiet_pool(self._reactor)
        agent = Agent(self._reactor, connectTimeout=_TIMEOUT_S, pool=pool)
        client = treq.client.HTTPClient(agent)
        try:
            response = await client.post(
                self._url,
                json=alert,
                auth=self._auth,
                allow_redirects=False,
                unbuffered=True,
                timeout=_TIMEOUT_S,
                reactor=self._reactor,
            )
            done: Deferred[None] = treq.collect(response, _drop)
            await done.addTimeout(_TIMEOUT_S, self._reactor)
        except (RequestGenerationFailed, RequestTransmissionFailed, ResponseFailed) as failed:
            # The connection or the time has ended: while the alert was sent, or after that.
            raise Undelivered(_why(failed.reasons[0].value), final=False) from None
        except (CancelledError, ConnectingCancelledError):
            # By treq's timeout, or by `Alerts.stop`.
            raise Undelivered("no answer in time", final=False) from None
        except (ConnectError, ConnectionClosed, DNSLookupError, TimeoutError) as wrong:
            raise Undelivered(_why(wrong), final=False) from None
        except (SchemeNotSupported, ValueError) as wrong:
            raise Undelivered(_why(wrong), final=True) from None
        status = response.code
        if not 200 <= status < 300:
            again = status >= 500 or status in _TRY_AGAIN_STATUSES
            raise Undelivered(f"answered with status {status}", final=not again)


def _drop(data: bytes) -> None:
    """The body of the answer is of no interest."""


def _why(error: BaseException) -> str:
    if isinstance(error, CancelledError):
        return "no answer in time"
    text = str(error) or type(error).__name__
    return "".join(c if c.isprintable() else " " for c in text)[:200].rstrip(". ")


class Alerts:
    """The queue of alerts; see `alert_queue_states`.

    :param results: counts alerts by result: ``delivered``, ``failed``, ``dropped``.
    """

    log = Logger()

    def __init__(self, poster: WebhookPoster, clock: IReactorTime, results: Counter[str]) -> None:
        self.state = AlertQueueState.IDLE
        self._poster = poster
        self._clock = clock
        self._results = results
        self._queue: deque[Alert] = deque()
        self._run: Deferred[None] = succeed(None)
        self._pause: Deferred[None] | None = None

    def send(self, alert: Alert) -> None:
        """Deliver ``alert`` after those before it. Returns at once."""
        self._queue.append(alert)
        if len(self._queue) > QUEUE_LENGTH:
            # The first one is being sent.
            del self._queue[1]
            self._results["dropped"] += 1
            self.log.warn(
                "more than {most} alerts wait for {where}: dropped the oldest",
                most=QUEUE_LENGTH,
                where=self._poster.where,
            )
        if self.state is AlertQueueState.IDLE:
            self._happens(AlertQueueEvent.ADDED)
            self._start()

    def stop(self) -> "Deferred[None]":
        """Try once more to deliver the alerts that wait, for `STOP_S` at most. Fires when that is
        over."""
        self._happens(AlertQueueEvent.STOP)
        if self.state is AlertQueueState.STOPPED:
            return succeed(None)
        deadline = self._clock.callLater(STOP_S, self._give_up)
        if self._pause is not None:
            self._pause.cancel()

        def over(_: None) -> None:
            if deadline.active():
                deadline.cancel()

        return self._run.addCallback(over)

    def _happens(self, event: AlertQueueEvent) -> None:
        self.state = TRANSITIONS.get((self.state, event), self.state)

    def _give_up(self) -> None:
        self._happens(AlertQueueEvent.DEADLINE)
        self._run.cancel()

    def _start(self) -> None:
        self._run = Deferred.fromCoroutine(self._deliver_all())
        self._run.addErrback(self._broken)

    async def _deliver_all(self) -> None:
        while self._queue and self.state is not AlertQueueState.STOPPED:
            result = await self._deliver(self._queue[0])
            self._queue.popleft()
            self._results[result] += 1
        if self._queue:
            self._results["failed"] += len(self._queue)
            self.log.warn(
                "{count} more alerts were not delivered before the shutdown",
                count=len(self._queue),
            )
        self._happens(AlertQueueEvent.EMPTIED)

    def _broken(self, failure: Failure) -> "Deferred[None] | None":
        """An unexpected error loses one alert and no more."""
        self._results["failed"] += 1
        self._queue.popleft()
        self.log.failure("an alert could not be sent", failure)
        self._start()
        return self._run if self.state is AlertQueueState.STOPPING else None

    async def _deliver(self, alert: Alert) -> str:
        """Returns ``delivered`` or ``failed``."""
        began_s = self._clock.seconds()
        pause_s = FIRST_PAUSE_S
        is_logged = False
        while True:
            try:
                await self._poster.post(alert)
            except Undelivered as wrong:
                late = self._clock.seconds() - began_s >= GIVE_UP_S
                if wrong.final or late or self.state is not AlertQueueState.SENDING:
                    self._complain(alert, wrong, "given up")
                    return "failed"
                if not is_logged:
                    self._complain(alert, wrong, "trying again")
                    is_logged = True
            else:
                return "delivered"
            self._happens(AlertQueueEvent.UNDELIVERED)
            self._pause = deferLater(self._clock, pause_s)
            try:
                await self._pause
            except CancelledError:
                # `stop` ends a pause early; the try that follows is the last.
                pass
            finally:
                self._pause = None
            self._happens(AlertQueueEvent.PAUSE_OVER)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _complain(self, alert: Alert, wrong: Undelivered, what_next: str) -> None:
        self.log.warn(
            "alert {name} was not accepted by {where}: {why}; {what_next}",
            name=alert.get("name"),
            where=self._poster.where,
            why=str(wrong),
            what_next=what_next,
        )
