"""Where to connect for a Redis server: TCP, TLS, a UNIX socket, or wherever Sentinel says."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import txredisapi
from OpenSSL import crypto
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

from apptuner_relay.cluster.redis_protocol import Commands, RespFactory, reason_of
from apptuner_relay.cluster.redis_url import Credentials, Host, RedisUrl

_CONNECT_S = 2.0
_SENTINEL_S = 1.0
_END_OF_CERTIFICATE = b"-----END CERTIFICATE-----"


class BadCertificates(ValueError):
    """The file with certificate authorities can't be used; the text says why."""


class NoMaster(Exception):
    """No Sentinel could say where the server is."""


def read_authorities(path: Path) -> list[Certificate]:
    """The certificates in a PEM file.

    :raises BadCertificates: it can't be read, or has none.
    """
    try:
        text = path.read_bytes()
    except OSError as wrong:
        raise BadCertificates(f"{path} can't be read: {wrong.strerror}") from None
    parts = [part + _END_OF_CERTIFICATE for part in text.split(_END_OF_CERTIFICATE)[:-1]]
    if not parts:
        raise BadCertificates(f"{path} holds no certificate in PEM form")
    try:
        return [Certificate.loadPEM(part) for part in parts]
    except (crypto.Error, ValueError):
        raise BadCertificates(f"{path} holds a damaged certificate") from None


def make_endpoint(
    reactor: Any, url: RedisUrl, authorities: Sequence[Certificate] | None = None
) -> IStreamClientEndpoint:
    """How to reach the server of a URL.

    :param authorities: who may have signed its certificate, instead of the system's.
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
    """Asks Sentinels, one after the other, where the master is, each time anew, and connects there.

    txredisapi's Sentinel does not take TLS to the server, and keeps a connection to each Sentinel.

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
        # Cancelling ends the step that is under way; this keeps the next from being taken.
        over: list[bool] = []

        def cancel(_: Deferred[IProtocol]) -> None:
            over.append(True)
            running.cancel()

        result: Deferred[IProtocol] = Deferred(cancel)
        running = Deferred.fromCoroutine(self._connect(protocolFactory, over))
        running.addCallbacks(result.callback, result.errback)
        return result

    async def _connect(self, factory: IProtocolFactory, over: list[bool]) -> IProtocol:
        reasons = []
        for sentinel in tuple(self._sentinels):
            asked: Deferred[Host | None] = Deferred.fromCoroutine(self._ask(sentinel))
            try:
                master = await asked.addTimeout(_SENTINEL_S, self._reactor)
            except Exception as wrong:  # a Sentinel that fails, however, is one of several
                if over:
                    raise
                reasons.append(f"{sentinel}: {reason_of(Failure(wrong))}")
                continue
            if master is not None:
                # Who knew is asked first the next time.
                self._sentinels.remove(sentinel)
                self._sentinels.insert(0, sentinel)
                connected: IProtocol = await self._at(master).connect(factory)
                return connected
            reasons.append(f"{sentinel}: knows no service {self._service}")
        raise NoMaster(f"no Sentinel says where the server is ({'; '.join(reasons)})")

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
