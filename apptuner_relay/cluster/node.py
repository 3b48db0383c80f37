"""Makes a relay one of several that share their sessions: what ``--redis`` turns on.

Importing this module imports txredisapi, of the extra ``redis``.
"""

import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress
from twisted.internet.ssl import Certificate, trustRootFromCertificates

from apptuner_relay import __version__
from apptuner_relay.cluster.claims import RedisClaims, make_claims
from apptuner_relay.cluster.directory import Directory, Events, check_node
from apptuner_relay.cluster.homes import Homes
from apptuner_relay.cluster.peers import PeerFactory
from apptuner_relay.cluster.redis import make_directory
from apptuner_relay.cluster.redis_endpoint import BadCertificates, read_authorities
from apptuner_relay.cluster.redis_url import RedisUrl
from apptuner_relay.cluster.shelves import Shelves
from apptuner_relay.options import Settings
from apptuner_relay.service import RelayService

_LOOPBACK = "127.0.0.1"
_PLAIN = ("tcp", "systemd:")
"""How endpoints begin that may be TCP, without anything that goes before HTTP."""
_NO_ADDRESS = (
    "--node-address: can't be found out without a --listen tcp:…; say where the other relays reach "
    "this one"
)


class ClusterNode(NamedTuple):
    """What `make_node` has made."""

    homes: Homes
    peers: PeerFactory
    shelves: Shelves
    claims: RedisClaims | None
    """None where there are to be none."""


class NoAddress(ValueError):
    """It can't be found out where other nodes reach this one."""


def make_node(
    relay: RelayService, reactor: Any, addresses: Callable[[], Sequence[IAddress | None]]
) -> ClusterNode:
    """Have ``relay`` share its sessions, as its settings say.

    :param addresses: tells where the relay listens, once its services start.
    :raises ValueError: something in the settings can't be used; the text says what.
    """
    settings = relay.settings
    assert settings.redis is not None and settings.cluster_secret is not None
    url: RedisUrl = settings.redis
    own_address = None
    if settings.node_address is None:
        if not any(one.startswith(_PLAIN) for one in settings.listen):
            raise NoAddress(_NO_ADDRESS)
        own_address = find_own_address(url)
    for option, path in (("--redis-ca", settings.redis_ca), ("--node-ca", settings.node_ca)):
        _check_authorities(option, path)

    def make(events: Events) -> Directory:
        address = settings.node_address or find_address(own_address, addresses())
        return make_directory(
            reactor,
            url,
            settings.node or name_node(address),
            address,
            events,
            connections=lambda: relay.connections,
            version=__version__,
            authorities=settings.redis_ca,
        )

    trust = _trust(settings)
    claims = None
    if settings.claims:
        claims = make_claims(reactor, url, settings.claim_ttl, settings.redis_ca)
        claims.on_lost = relay.access.lose
        relay.access.claims = claims
    homes = Homes(relay, settings.cluster_secret, make, trust, claims=claims)
    relay.homes = homes
    return ClusterNode(homes, PeerFactory(homes), Shelves(homes, reactor, trust), claims)


def find_address(own: str | None, addresses: Sequence[IAddress | None]) -> str:
    """Where other nodes reach this one: where the first TCP listener is.

    :param own: this machine's address, for one that listens on all of them.

    :raises NoAddress: that can't be told.
    """
    for address in addresses:
        if isinstance(address, IPv4Address | IPv6Address) and address.type == "TCP":
            host = address.host
            if host in ("", "0.0.0.0", "::"):
                host = own or _LOOPBACK
            return f"ws://{f'[{host}]' if ':' in host else host}:{address.port}"
    raise NoAddress(_NO_ADDRESS)


def name_node(address: str) -> str:
    """This host's name and the port, as far as a node's id may hold them."""
    port = address.rpartition(":")[2]
    host = "".join(c for c in socket.gethostname() if c.isascii() and (c.isalnum() or c in "._-"))
    return check_node(f"{host[:50] or 'relay'}-{port}")


def find_own_address(url: RedisUrl) -> str:
    """This machine's address, as it is seen from the Redis server.

    :raises NoAddress: there is no way to that.
    """
    if url.path is not None:
        return _LOOPBACK
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            *url.hosts[0], type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # Nothing is sent: this only asks the system for the way.
            probe.connect(target)
            host: str = probe.getsockname()[0]
            return host
    except OSError as wrong:
        raise NoAddress(
            f"--node-address: can't be found out, as {url.hosts[0]} can't be looked up or has no "
            f"way to it ({wrong.strerror}); say where the other relays reach this one"
        ) from None


def _check_authorities(option: str, path: Path | None) -> None:
    if path is not None:
        try:
            read_authorities(path)
        except BadCertificates as wrong:
            raise BadCertificates(f"{option}: {wrong}") from None


def _trust(settings: Settings) -> Certificate | None:
    if settings.node_ca is None:
        return None
    trust: Certificate = trustRootFromCertificates(read_authorities(settings.node_ca))
    return trust
