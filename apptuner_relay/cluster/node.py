"""Makes the parts by which a relay shares its sessions with others, which ``--redis`` turns on.

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
from apptuner_relay.cluster.bridge.peer_server import PeerFactory
from apptuner_relay.cluster.bundle_proxy import BundleProxy
from apptuner_relay.cluster.ownership.claims_maker import make_claims
from apptuner_relay.cluster.ownership.directory import Directory, Events
from apptuner_relay.cluster.ownership.redis_claim_register import RedisClaimRegister
from apptuner_relay.cluster.ownership.redis_claims import RedisClaims
from apptuner_relay.cluster.ownership.redis_directory import make_directory
from apptuner_relay.cluster.placement import ClusterPlacement
from apptuner_relay.cluster.session_proxy import SessionProxy
from apptuner_relay.config.groups.cluster_settings import ClusterSettings
from apptuner_relay.config.node_names import check_node
from apptuner_relay.config.redis_url import RedisUrl
from apptuner_relay.config.settings import Settings
from apptuner_relay.relay.service import RelayService
from apptuner_relay.support.authorities import BadCertificates, read_authorities

_LOOPBACK = "127.0.0.1"
_PLAIN = ("tcp", "systemd:")
"""How endpoints begin that may be plain TCP, without TLS or a PROXY header in front of HTTP."""
_NO_ADDRESS = (
    "--node-address: auto needs a --listen tcp:… endpoint; set it to where the other relays reach "
    "this one"
)


class ClusterNode(NamedTuple):
    """What `make_node` has made."""

    placement: ClusterPlacement
    peers: PeerFactory
    bundles: BundleProxy
    sessions: SessionProxy
    trust: Certificate | None
    """See `ClusterPlacement`."""
    claim_register: RedisClaimRegister | None = None
    """The claims, for operators. None where there are none."""


class NoAddress(ValueError):
    """The address at which other nodes reach this one is not given, and ``auto`` finds none."""


def make_shared_claims(settings: Settings, reactor: Any) -> RedisClaims | None:
    """The claims that all relays of a cluster share. None where there are none.

    :raises ValueError: a setting can't be used. The text says which one.
    """
    cluster, access = settings.cluster, settings.access
    assert cluster.redis is not None
    _check_authorities("--redis-ca", cluster.redis_ca)
    if not access.claims:
        return None
    url: RedisUrl = cluster.redis
    return make_claims(reactor, url, access.claim_ttl, cluster.redis_ca)


def make_node(
    relay: RelayService,
    reactor: Any,
    addresses: Callable[[], Sequence[IAddress | None]],
    claims: RedisClaims | None,
) -> ClusterNode:
    """The parts by which ``relay`` shares its sessions, according to its settings.

    :param addresses: gives the addresses at which the relay listens, once its services run.
    :param claims: see `make_shared_claims`.
    :raises ValueError: a setting can't be used. The text says which one.
    """
    settings = relay.settings.cluster
    assert settings.redis is not None and settings.cluster_secret is not None
    url: RedisUrl = settings.redis
    own_address = None
    if settings.node_address is None:
        if not any(one.startswith(_PLAIN) for one in relay.settings.listening.listen):
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
    placement = ClusterPlacement(relay, settings.cluster_secret, make, trust, claims=claims)
    bundles = BundleProxy(placement, reactor, trust)
    pages = SessionProxy(placement, reactor, trust)
    register = None if claims is None else RedisClaimRegister(claims)
    return ClusterNode(placement, PeerFactory(placement), bundles, pages, trust, register)


def find_address(own: str | None, addresses: Sequence[IAddress | None]) -> str:
    """The address at which other nodes reach this one: that of the first TCP listener.

    :param own: this machine's address, for a listener on all of its addresses.
    :raises NoAddress: there is no such listener.
    """
    for address in addresses:
        if isinstance(address, IPv4Address | IPv6Address) and address.type == "TCP":
            host = address.host
            if host in ("", "0.0.0.0", "::"):
                host = own or _LOOPBACK
            return f"ws://{f'[{host}]' if ':' in host else host}:{address.port}"
    raise NoAddress(_NO_ADDRESS)


def name_node(address: str) -> str:
    """An id for this node: the host's name, as far as ids may hold it, and the port."""
    port = address.rpartition(":")[2]
    host = "".join(c for c in socket.gethostname() if c.isascii() and (c.isalnum() or c in "._-"))
    return check_node(f"{host[:50] or 'relay'}-{port}")


def find_own_address(url: RedisUrl) -> str:
    """This machine's address, as the Redis server sees it.

    :raises NoAddress: the server can't be looked up, or there is no route to it.
    """
    if url.path is not None:
        return _LOOPBACK
    try:
        family, kind, protocol, _, target = socket.getaddrinfo(
            *url.hosts[0], type=socket.SOCK_DGRAM
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            # Nothing is sent: this only asks the system for the route.
            probe.connect(target)
            host: str = probe.getsockname()[0]
            return host
    except OSError as wrong:
        raise NoAddress(
            f"--redis: {url.hosts[0]} can't be looked up, or there is no route to it "
            f"({wrong.strerror}), and --node-address auto needs one: correct the URL, or set "
            "--node-address to where the other relays reach this one"
        ) from None


def _check_authorities(option: str, path: Path | None) -> None:
    if path is not None:
        try:
            read_authorities(path)
        except BadCertificates as wrong:
            raise BadCertificates(f"{option}: {wrong}") from None


def _trust(settings: ClusterSettings) -> Certificate | None:
    if settings.node_ca is None:
        return None
    trust: Certificate = trustRootFromCertificates(read_authorities(settings.node_ca))
    return trust
