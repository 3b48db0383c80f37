"""Connections to Redis that are made again whenever they are lost, and that wait for no reply for
ever.

Nothing here knows of leases. Twisted's ClientService does not fit: it logs every attempt, and can't
drop a connection that is still being prepared.
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

from apptuner_relay.cluster.ownership.redis_errors import code_of, is_passing
from apptuner_relay.cluster.ownership.redis_protocol import (
    Commands,
    RespFactory,
    Subscriber,
    reason_of,
)
from apptuner_relay.config.redis_url import RedisUrl

RunScript = Callable[..., Awaitable[Any]]
"""Runs a script with its arguments. Raises `LinkLost` or `ServerRefused`."""

_FIRST_DELAY_S = 0.05
_LONGEST_DELAY_S = 0.5
"""Short, as all nodes have to be connected again within the grace time."""
_REFUSED_DELAY_S = 5.0
"""After a refusal that won't pass, such as a wrong password."""
_STABLE_S = 5.0
"""After a connection that has lasted as long as this, the first delay applies again."""
_CONNECT_S = 5.0


class LinkLost(Exception):
    """There is no connection, or it was lost before the reply. Whether the server has run the
    command is unknown."""


class ServerRefused(Exception):
    """The server has replied with an error, and the connection was dropped: the next one may be to
    another server."""

    @property
    def code(self) -> str:
        """The code of the error reply, such as ``NOPERM``."""
        return code_of(str(self))


class RedisLink:
    """Keeps one connection.

    :param endpoint: see `redis_endpoint.make_endpoint`.
    :param answer_s: how many seconds a reply may take, before the connection is dropped.
    """

    log = Logger()
    kind: type[Any] = Commands

    def __init__(
        self, endpoint: IStreamClientEndpoint, url: RedisUrl, clock: IReactorTime, answer_s: float
    ) -> None:
        self.on_connected: Callable[[], None] = lambda: None
        """Called when a connection is ready."""
        self.on_disconnected: Callable[[str], None] = lambda reason: None
        """Called with the reason when an attempt has failed, or the connection was lost."""
        self._endpoint = endpoint
        self._url = url
        self._clock = clock
        self._answer_s = answer_s
        self._connection: Any = None
        self._reason: str | None = None
        self._is_refused = False
        """Whether the connection was dropped after a refusal that won't pass."""
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
            lambda failure: self.log.failure("keeping the connection to Redis has failed", failure)
        )

    async def stop(self) -> None:
        """Drop the connection for good."""
        self._stopped = True
        if self._connection is not None:
            self.reset("stopped")
        elif self._running is not None:
            self._running.cancel()
        if self._running is not None:
            await self._running

    def reset(self, reason: str, is_refused: bool = False) -> None:
        """Drop the connection, and make another one: later where the server has refused this
        one."""
        if self._connection is not None:
            self._reason, self._is_refused = reason, is_refused
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
                # Many nodes lose the same server at once, and shouldn't connect at once.
                await deferLater(self._clock, delay_s * random.uniform(0.5, 1.0))
            except CancelledError:
                return

    async def _once(self) -> bool:
        """Make one connection, and wait until it is lost. Whether the server has refused it."""
        connection: Any = None
        try:
            connecting = self._endpoint.connect(RespFactory(self.kind))
            connection = await connecting.addTimeout(_CONNECT_S, self._clock)
            ready: Deferred[None] = Deferred.fromCoroutine(self._prepare(connection))
            await ready.addTimeout(self._answer_s, self._clock)
        except Exception as wrong:  # whatever it is, it is reported, and tried again
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
            self.on_disconnected(reason)
            refused = isinstance(wrong, txredisapi.ResponseError | ServerRefused)
            return refused and not is_passing(reason_of(Failure(wrong)))
        self._connection, self._reason, self._is_refused = connection, None, False
        self.on_connected()
        try:
            await connection.gone
        finally:
            self._connection = None
        self.on_disconnected(self._reason or reason_of(connection.why))
        return self._is_refused

    async def _prepare(self, connection: Any) -> None:
        await connection.sign_in(self._url.credentials, self._url.db)


async def _no_greeting(run: RunScript) -> None:
    """Nothing has to be done on a new connection."""


class CommandLink(RedisLink):
    """Runs scripts."""

    greet: Callable[[RunScript], Awaitable[None]] = staticmethod(_no_greeting)
    """Awaited on a new connection, with what runs scripts there, before that is used for anything
    else."""

    async def _prepare(self, connection: Any) -> None:
        await super()._prepare(connection)
        if self._url.service is not None:
            # The Sentinel may not know yet that there was a failover.
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
                self._drop(connection, f"no answer in {self._answer_s:g} s")
                raise LinkLost(f"no answer in {self._answer_s:g} s") from None
            failure.trap(txredisapi.RedisError)
            text = reason_of(failure)
            if failure.check(txredisapi.ConnectionError):
                raise LinkLost(text) from None
            # The scripts are right: the server can't serve now, or it is the wrong one.
            self._drop(connection, text, is_refused=not is_passing(text))
            raise ServerRefused(text) from None

        try:
            reply: Deferred[Any] = connection.eval(script, [], list(args))
        except txredisapi.ConnectionError as wrong:
            # It was lost a moment ago, and this is called while others are being told.
            return fail(LinkLost(str(wrong)))
        return reply.addTimeout(self._answer_s, self._clock).addErrback(failed)

    def _drop(self, connection: Any, reason: str, is_refused: bool = False) -> None:
        if connection is self._connection:
            self.reset(reason, is_refused)


class SubscriberLink(RedisLink):
    """Receives what is published. The channels have to be subscribed to on each new connection."""

    kind = Subscriber

    def __init__(
        self, endpoint: IStreamClientEndpoint, url: RedisUrl, clock: IReactorTime, answer_s: float
    ) -> None:
        super().__init__(endpoint, url, clock, answer_s)
        self.on_notice: Callable[[str, str], None] = lambda channel, text: None
        """Called with the channel and the text of each message."""

    async def _prepare(self, connection: Any) -> None:
        await super()._prepare(connection)
        connection.heard = self._heard

    def _heard(self, channel: str, text: str) -> None:
        self.on_notice(channel, text)

    def subscribe(self, channel: str) -> None:
        """Subscribe to a channel, if there is a connection."""
        self._send("SUBSCRIBE", channel)

    def unsubscribe(self, channel: str) -> None:
        """Unsubscribe from a channel."""
        self._send("UNSUBSCRIBE", channel)

    def ping(self) -> None:
        """Check that the server still answers. The connection is dropped if it doesn't."""
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

        # One channel in a command, as txredisapi expects one reply to each.
        reply: Deferred[Any] = connection.execute_command(*words, apply_timeout=False)
        reply.addTimeout(self._answer_s, self._clock).addErrback(failed)
