"""Alerts to ``--alert-url``: JSON by POST, in their order, tried again while it can't be reached.

An alert that can't be delivered holds up nothing but those behind it; of these the oldest are
dropped when there are too many.
"""

from collections import Counter, deque
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, succeed
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.asking import quiet_pool

QUEUE_LENGTH = 100
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
GIVE_UP_S = 3600.0
STOP_S = 2.0
"""For how long a shutdown waits for what is still to be delivered."""
_TIMEOUT_S = 10.0
_TRY_AGAIN_STATUSES = frozenset({408, 425, 429})
"""Beside all of 5xx: the others say that the request itself is wrong."""

Alert = dict[str, object]


class Undelivered(Exception):
    """An alert was not taken; the text says why. ``final`` if another try would not help."""

    def __init__(self, why: str, final: bool) -> None:
        super().__init__(why)
        self.final = final


class Poster(Protocol):
    """What delivers one alert."""

    where: str
    """For the log: nothing in it is secret."""

    async def post(self, alert: Alert) -> None:
        """Deliver ``alert``.

        :raises Undelivered: it was not taken, or this was cancelled meanwhile.
        """


class WebhookPoster:
    """Delivers by HTTP.

    :param url: may have a user and a password, which then go into ``Authorization`` (RFC 7617).
    """

    def __init__(self, url: str, reactor: Any) -> None:
        parts = urlsplit(url)
        _, _, authority = parts.netloc.rpartition("@")
        self.where = f"{parts.scheme}://{authority}"
        self._url = urlunsplit((parts.scheme, authority, parts.path, parts.query, ""))
        self._auth = None
        if parts.username is not None:
            self._auth = unquote(parts.username), unquote(parts.password or "")
        self._reactor = reactor

    async def post(self, alert: Alert) -> None:
        """See `Poster`."""
        # It brings a good deal of code, which a relay without an alert URL needn't hold.
        import treq
        from twisted.web.client import Agent, ResponseFailed
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
        except ResponseFailed as failed:
            raise Undelivered(_why(failed.reasons[0].value), final=False) from None
        except CancelledError:
            # By treq's timeout, or by who waits for this.
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
    """What it answers is of no interest."""


def _why(error: BaseException) -> str:
    if isinstance(error, CancelledError):
        return "no answer in time"
    text = str(error) or type(error).__name__
    return "".join(c if c.isprintable() else " " for c in text)[:200].rstrip(". ")


class Alerts:
    """The queue.

    :param results: counts what becomes of alerts: ``delivered``, ``failed``, ``dropped``.
    """

    log = Logger()

    def __init__(self, poster: Poster, clock: IReactorTime, results: Counter[str]) -> None:
        self._poster = poster
        self._clock = clock
        self._results = results
        self._queue: deque[Alert] = deque()
        self._run: Deferred[None] = succeed(None)
        self._running = False
        self._pause: Deferred[None] | None = None
        self._stopping = False
        self._over = False

    def send(self, alert: Alert) -> None:
        """Deliver ``alert`` some time, after those before it. Returns at once."""
        self._queue.append(alert)
        if len(self._queue) > QUEUE_LENGTH:
            # The first one is on its way.
            del self._queue[1]
            self._results["dropped"] += 1
            self.log.warn(
                "more than {most} alerts wait for {where}: the oldest was dropped",
                most=QUEUE_LENGTH,
                where=self._poster.where,
            )
        self._start()

    def stop(self) -> "Deferred[None]":
        """Try once more what waits, but not for long. Fires when that is over."""
        self._stopping = True
        if not self._running:
            return succeed(None)
        deadline = self._clock.callLater(STOP_S, self._give_up)
        if self._pause is not None:
            self._pause.cancel()

        def over(_: None) -> None:
            if deadline.active():
                deadline.cancel()

        return self._run.addCallback(over)

    def _give_up(self) -> None:
        self._over = True
        self._run.cancel()

    def _start(self) -> None:
        if self._running or self._stopping:
            return
        self._running = True
        self._run = Deferred.fromCoroutine(self._deliver_all())
        self._run.addErrback(self._broken)

    async def _deliver_all(self) -> None:
        try:
            while self._queue and not self._over:
                result = await self._deliver(self._queue[0])
                self._queue.popleft()
                self._results[result] += 1
        finally:
            self._running = False
        if self._queue:
            self._results["failed"] += len(self._queue)
            self.log.warn(
                "{count} more alerts were not delivered before the shutdown",
                count=len(self._queue),
            )

    def _broken(self, failure: Failure) -> None:
        """What nobody has thought of costs one alert only."""
        self._results["failed"] += 1
        self._queue.popleft()
        self.log.failure("an alert could not be sent", failure)
        if self._queue:
            self._start()

    async def _deliver(self, alert: Alert) -> str:
        """Returns ``delivered`` or ``failed``."""
        began_s = self._clock.seconds()
        pause_s = FIRST_PAUSE_S
        told = False
        while True:
            try:
                await self._poster.post(alert)
            except Undelivered as wrong:
                late = self._clock.seconds() - began_s >= GIVE_UP_S
                if wrong.final or late or self._stopping:
                    self._complain(alert, wrong, "given up")
                    return "failed"
                if not told:
                    self._complain(alert, wrong, "trying again")
                    told = True
            else:
                return "delivered"
            self._pause = deferLater(self._clock, pause_s)
            try:
                await self._pause
            except CancelledError:
                # It is a stop that ends a pause early; what follows is the last try.
                pass
            finally:
                self._pause = None
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _complain(self, alert: Alert, wrong: Undelivered, what_next: str) -> None:
        self.log.warn(
            "alert {name} was not taken by {where}: {why}; {what_next}",
            name=alert.get("name"),
            where=self._poster.where,
            why=str(wrong),
            what_next=what_next,
        )
