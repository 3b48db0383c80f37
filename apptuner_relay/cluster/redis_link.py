"""A connection to Redis that is made again whenever it is lost, in which no reply is awaited for
ever.

It knows nothing of leases. Twisted's ClientService does not fit: it logs every attempt, and can't
lose a connection that is still being prepared.
"""

import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import txredisapi
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, fail
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.cluster.connections import Run
from apptuner_relay.cluster.redis_errors import code_of, is_passing
from apptuner_relay.cluster.redis_protocol import Commands, RespFactory, Subscriber, reason_of
from apptuner_relay.cluster.redis_url import RedisUrl

_FIRST_DELAY_S = 0.05
_LONGEST_DELAY_S = 0.5
"""Short: the nodes must all be back within the grace time after the server is."""
_REFUSED_DELAY_S = 5.0
"""After an answer that trying again won't change, such as a wrong password."""
_STABLE_S = 5.0
"""A connection that lasted so long was good: after it, the first delay applies again."""
_CONNECT_S = 5.0


class LinkLost(Exception):
    """There is no connection, or it was lost before the reply came: whether the server ran the
    command is not known."""


class ServerRefused(Exception):
    """The server replied with an error, and its connection was given up: what answers at the next
    one may be another server."""

    @property
    def code(self) -> str:
        """Such as ``NOPERM``."""
        return code_of(str(self))


class Link:
    """Keeps one connection.

    :param endpoint: see `redis_endpoint.make_endpoint`.
    :param answer_s: after so many seconds without a reply the connection is given up.
    """

    log = Logger()
    kind: type[Any] = Commands

    def __init__(
        self, endpoint: IStreamClientEndpoint, url: RedisUrl, clock: IReactorTime, answer_s: float
    ) -> None:
        self.on_up: Callable[[], None] = lambda: None
        """Called when there is a connection."""
        self.on_down: Callable[[str], None] = lambda reason: None
        """Called when an attempt has failed, or the connection was lost, with the reason."""
        self._endpoint = endpoint
        self._url = url
        self._clock = clock
        self._answer_s = answer_s
        self._connection: Any = None
        self._reason: str | None = None
        self._is_unwelcome = False
        """Whether the connection was given up after an answer that trying again won't change."""
        self._running: Deferred[None] | None = None
        self._stopped = False

    @property
    def is_up(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def start(self) -> None:
        """Begin to connect."""
        self._running = Deferred.fromCoroutine(self._keep())
        self._running.addErrback(
            lambda failure: self.log.failure("the connection to Redis is kept no more", failure)
        )

    async def stop(self) -> None:
        """Lose the connection, for good."""
        self._stopped = True
        if self._connection is not None:
            self.reset("stopped")
        elif self._running is not None:
            self._running.cancel()
        if self._running is not None:
            await self._running

    def reset(self, reason: str, is_unwelcome: bool = False) -> None:
        """Lose the connection, and make another; not so soon where it was ``is_unwelcome``."""
        if self._connection is not None:
            self._reason, self._is_unwelcome = reason, is_unwelcome
            self._connection.transport.abortConnection()

    async def _keep(self) -> None:
        attempt = 0
        while not self._stopped:
            since_s = self._clock.seconds()
            try:
                refused = await self._once()
            except CancelledError:
                return
            attempt = 1 if self._clock.seconds() - since_s >= _STABLE_S else attempt + 1
            if self._stopped:
                return
            longest_s = _REFUSED_DELAY_S if refused else _LONGEST_DELAY_S
            delay_s = min(_FIRST_DELAY_S * 2 ** min(attempt - 1, 16), longest_s)
            try:
                # Many nodes lose the same server at the same time.
                await deferLater(self._clock, delay_s * random.uniform(0.5, 1.0))
            except CancelledError:
                return

    async def _once(self) -> bool:
        """Connect, and wait for the end. Returns whether we are not welcome."""
        connection: Any = None
        try:
            connecting = self._endpoint.connect(RespFactory(self.kind))
            connection = await connecting.addTimeout(_CONNECT_S, self._clock)
            ready: Deferred[None] = Deferred.fromCoroutine(self._prepare(connection))
            await ready.addTimeout(self._answer_s, self._clock)
        except Exception as wrong:  # whatever it was, it is told, and tried again
            failure = Failure(wrong)
            if connection is not None:
                connection.transport.abortConnection()
                await connection.gone
                if isinstance(wrong, txredisapi.ConnectionError | LinkLost):
                    failure = connection.why
            if self._stopped:
                raise CancelledError() from None
            if failure.check(TimeoutError):
                reason = f"no answer in {self._answer_s:g} s"
            else:
                reason = reason_of(failure)
            self.on_down(reason)
            refused = isinstance(wrong, txredisapi.ResponseError | ServerRefused)
            return refused and not is_passing(reason_of(Failure(wrong)))
        self._connection, self._reason, self._is_unwelcome = connection, None, False
        self.on_up()
        try:
            await connection.gone
        finally:
            self._connection = None
        self.on_down(self._reason or reason_of(connection.why))
        return self._is_unwelcome

    async def _prepare(self, connection: Any) -> None:
        await connection.sign_in(self._url.credentials, self._url.db)


async def _greet_nobody(run: Run) -> None:
    """There is nothing to be done at first."""


class CommandLink(Link):
    """Runs scripts."""

    greet: Callable[[Run], Awaitable[None]] = staticmethod(_greet_nobody)
    """Awaited with what runs scripts on a new connection, before that is used for anything else."""

    async def _prepare(self, connection: Any) -> None:
        await super()._prepare(connection)
        if self._url.service is not None:
            # A Sentinel may not yet know that its master is none any more.
            role = await connection.role()
            if role[0] != "master":
                raise ConnectionError(f"Sentinel names a {role[0]} as the master")
        await self.greet(partial(self._run, connection))

    def run(self, script: str, *args: str | int) -> Deferred[Any]:
        """Run a script.

        :return: its reply, as text, int or a list of these; fails with `LinkLost` or
            `ServerRefused`.
        """
        if self._connection is None:
            return fail(LinkLost("not connected"))
        return self._run(self._connection, script, *args)

    def _run(self, connection: Any, script: str, *args: str | int) -> Deferred[Any]:
        def failed(failure: Failure) -> None:
            if failure.check(TimeoutError):
                self._give_up(connection, f"no answer in {self._answer_s:g} s")
                raise LinkLost(f"no answer in {self._answer_s:g} s") from None
            failure.trap(txredisapi.RedisError)
            text = reason_of(failure)
            if failure.check(txredisapi.ConnectionError):
                raise LinkLost(text) from None
            # What we send is right: it is the server that can't serve, or isn't ours.
            self._give_up(connection, text, is_unwelcome=not is_passing(text))
            raise ServerRefused(text) from None

        try:
            reply: Deferred[Any] = connection.eval(script, [], list(args))
        except txredisapi.ConnectionError as wrong:
            # It was lost a moment ago, and we are called while others are told so.
            return fail(LinkLost(str(wrong)))
        return reply.addTimeout(self._answer_s, self._clock).addErrback(failed)

    def _give_up(self, connection: Any, reason: str, is_unwelcome: bool = False) -> None:
        if connection is self._connection:
            self.reset(reason, is_unwelcome)


class NoticeLink(Link):
    """Hears what is published. Channels have to be subscribed to again whenever it comes up."""

    kind = Subscriber

    def __init__(
        self, endpoint: IStreamClientEndpoint, url: RedisUrl, clock: IReactorTime, answer_s: float
    ) -> None:
        super().__init__(endpoint, url, clock, answer_s)
        self.on_notice: Callable[[str, str], None] = lambda channel, text: None
        """Called with channel and text of what is published."""

    async def _prepare(self, connection: Any) -> None:
        await super()._prepare(connection)
        connection.heard = self._heard

    def _heard(self, channel: str, text: str) -> None:
        self.on_notice(channel, text)

    def subscribe(self, channel: str) -> None:
        """Hear a channel, if there is a connection."""
        self._send("SUBSCRIBE", channel)

    def unsubscribe(self, channel: str) -> None:
        """Hear it no more."""
        self._send("UNSUBSCRIBE", channel)

    def ping(self) -> None:
        """See whether there is a server at the other end: the connection is given up if not."""
        self._send("PING")

    def _send(self, *words: str) -> None:
        connection = self._connection
        if connection is None:
            return

        def failed(failure: Failure) -> None:
            if failure.check(txredisapi.ConnectionError):
                return
            reason = reason_of(failure)
            if failure.check(TimeoutError):
                reason = f"no answer in {self._answer_s:g} s"
            if connection is self._connection:
                self.reset(reason)

        # One channel in a command: txredisapi expects one reply to each.
        reply: Deferred[Any] = connection.execute_command(*words, apply_timeout=False)
        reply.addTimeout(self._answer_s, self._clock).addErrback(failed)
