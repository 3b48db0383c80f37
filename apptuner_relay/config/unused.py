"""Which options change nothing as the others stand, such as a certificate without an endpoint that
speaks TLS. Pure. An operator who has set one expects something that does not happen."""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from apptuner_relay.config.settings import OPTIONS, Settings

_SPEAKS_TLS = re.compile(r"(?:proxy:)?tls:")


class _Need(NamedTuple):
    """What some options need to have an effect."""

    of: tuple[str, ...]
    """Their settings."""
    text: str
    """What is missing, for people."""
    is_met: Callable[[Settings], bool]


_NEEDS = (
    _Need(
        ("tls_cert", "tls_key", "tls_look"),
        "a tls: endpoint in --listen",
        lambda settings: any(map(_SPEAKS_TLS.match, settings.listening.listen)),
    ),
    _Need(
        ("claim_ttl",),
        "--claims on",
        lambda settings: settings.access.claims,
    ),
    _Need(
        ("spool_limit", "bundle_ttl"),
        "--spool-dir",
        lambda settings: settings.bundles.spool_dir is not None,
    ),
    _Need(
        ("redis_ca", "node", "node_address", "node_ca", "cluster_secret"),
        "--redis",
        lambda settings: settings.cluster.redis is not None,
    ),
    _Need(
        ("redis_ca",),
        "a rediss:// URL in --redis",
        lambda settings: settings.cluster.redis is None or settings.cluster.redis.tls,
    ),
    _Need(
        ("managed_secret", "managed_ca", "managed_event_limit", "managed_prefix"),
        "--managed",
        lambda settings: settings.managed.managed is not None,
    ),
    _Need(
        ("managed_ca",),
        "a service with TLS in --managed",
        lambda settings: settings.managed.managed is None or settings.managed.managed.uses_tls,
    ),
    _Need(
        ("forward_host", "forward_limit", "forward_timeout", "forward_requests"),
        "--forward",
        lambda settings: bool(settings.forwarding.forward),
    ),
)
_OPTIONS = {option.setting: option for option in OPTIONS}


def find_unused(settings: Settings) -> Iterator[tuple[str, str]]:
    """The settings that are not the defaults and change nothing, each with what it needs."""
    for need in _NEEDS:
        if need.is_met(settings):
            continue
        for name in need.of:
            option = _OPTIONS[name]
            if getattr(getattr(settings, option.group), name) != option.parse(option.default):
                yield name, need.text
