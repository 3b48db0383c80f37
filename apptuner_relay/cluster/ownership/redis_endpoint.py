"""How to connect to a Redis server: over TCP, TLS or a UNIX socket, or to the master that Sentinel
names."""

from collections.abc import Sequence
from typing import Any

import txredisapi
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.ssl import (
    Certificate,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from apptuner_relay.cluster.ownership.redis_protocol import Commands, RespFactory, reason_of
from apptuner_relay.config.redis_url import Credentials, Host, RedisUrl

_CONNECT_S = 2.0
_SENTINEL_S = 1.0


class NoMaster(Exception):
    """No Sentinel has named the master."""


def make_endpoint(
    reactor: Any, url: RedisUrl, authorities: Sequence[Certificate] | None = None
) -> IStreamClientEndpoint:
    """The endpoint of the server that a URL names.

    :param authorities: the authorities to trust instead of the system's.
    """
    if url.path is not None:
        return UNIXClientEndpoint(reactor, url.path, timeout=_CONNECT_S)
    trust = platformTrust() if authorities is None else trustRootFromCertificates(authorities)

    def at(host: Host) -> IStreamClientEndpoint:
        plain = HostnameEndpoint(reactor, host.name, host.port, timeout=_CONNECT_S)
        if not url.tls:
            return plain
        return wrapClientTLS(optionsForClientTLS(host.name, trustRoot=trust), plain)

    if url.service is None:
        return at(url.hosts[0])
    return SentinelEndpoint(reactor, at, url.hosts, url.service, url.sentinel_credentials)


@implementer(IStreamClientEndpoint)
class SentinelEndpoint:
    """For each connection, asks the Sentinels in turn for the master, and connects to that.

    txredisapi's own support for Sentinel knows no TLS, and keeps a connection to each Sentinel.

    :param at: makes the endpoint for a host.
    """

    def __init__(
        self,
        reactor: Any,
        at: Any,
        sentinels: Sequence[Host],
        service: str,
        credentials: Credentials | None,
    ) -> None:
        self._reactor = reactor
        self._at = at
        self._sentinels = list(sentinels)
        self._service = service
        self._credentials = credentials

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect to the master.

        :return: fails with `NoMaster`, or as the connection does.
        """
        # Cancelling ends the current step. This list keeps the next step from being taken.
        over: list[bool] = []

        def cancel(_: Deferred[IProtocol]) -> None:
            over.append(True)
            running.cancel()

        result: Deferred[IProtocol] = Deferred(cancel)
        running = Deferred.fromCoroutine(self._connect(protocolFactory, over))

        def failed(failure: Failure) -> None:
            # A step that is cancelled may end later than whoever waits for it.
            if not result.called:
                result.errback(failure)

        running.addCallbacks(result.callback, failed)
        return result

    async def _connect(self, factory: IProtocolFactory, over: list[bool]) -> IProtocol:
        reasons = []
        for sentinel in tuple(self._sentinels):
            asked: Deferred[Host | None] = Deferred.fromCoroutine(self._ask(sentinel))
            try:
                master = await asked.addTimeout(_SENTINEL_S, self._reactor)
            except Exception as wrong:  # however it has failed, there are other Sentinels
                if over:
                    raise
                reasons.append(f"{sentinel}: {reason_of(Failure(wrong))}")
                continue
            if master is not None:
                # The next time this Sentinel is asked first.
                self._sentinels.remove(sentinel)
                self._sentinels.insert(0, sentinel)
                connected: IProtocol = await self._at(master).connect(factory)
                return connected
            reasons.append(f"{sentinel}: knows no service {self._service}")
        raise NoMaster(f"no Sentinel names the master ({'; '.join(reasons)})")

    async def _ask(self, sentinel: Host) -> Host | None:
        connection: Any = await self._at(sentinel).connect(RespFactory(Commands))
        try:
            await connection.sign_in(self._credentials)
            found = await connection.sentinel_get_master_addr_by_name(self._service)
        except txredisapi.ConnectionError:
            await connection.gone
            raise connection.why.value from None
        finally:
            connection.transport.abortConnection()
            await connection.gone
        return Host(found[0], int(found[1])) if found else None
