"""Makes the claims that relays share. Importing this module imports txredisapi, of the extra
``redis``."""

from pathlib import Path
from typing import Any

from apptuner_relay.access.claims import MemoryClaims
from apptuner_relay.cluster.ownership.redis_claims import ANSWER_S, RedisClaims
from apptuner_relay.cluster.ownership.redis_directory import DEFAULT_PREFIX
from apptuner_relay.cluster.ownership.redis_endpoint import make_endpoint
from apptuner_relay.cluster.ownership.redis_link import CommandLink
from apptuner_relay.config.redis_url import RedisUrl
from apptuner_relay.support.authorities import read_authorities


def make_claims(
    reactor: Any,
    url: RedisUrl,
    ttl_s: float,
    authorities: Path | None = None,
    prefix: str = DEFAULT_PREFIX,
) -> RedisClaims:
    """The claims in the server that a URL names.

    :param ttl_s: how long a claim is kept after its last use.
    :param authorities: a PEM file of the authorities to trust instead of the system's.
    :raises authorities.BadCertificates: the file can't be used.
    """
    trusted = None if authorities is None else read_authorities(authorities)
    link = CommandLink(make_endpoint(reactor, url, trusted), url, reactor, ANSWER_S)
    return RedisClaims(link, MemoryClaims(ttl_s, reactor.seconds), reactor, prefix)
