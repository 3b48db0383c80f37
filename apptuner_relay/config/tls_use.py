"""Whether a relay with some settings has any use for TLS, be it as a server or as a client. Pure.

Where there is none, the libraries of TLS are not imported: see `left_out`.
"""

import re
from collections.abc import Iterable

from apptuner_relay.config.settings import Settings

_PLAIN = re.compile(r"(?:proxy:)?(?:tcp6?|unix|systemd):")
"""Endpoints that speak no TLS by themselves. Others may be of a plugin of Twisted's."""


def speaks_tls(endpoints: Iterable[str]) -> bool:
    """Whether clients may speak TLS to one of these endpoint strings."""
    return not all(map(_PLAIN.match, endpoints))


def may_use_tls(settings: Settings) -> bool:
    """Whether the relay may ever speak TLS. Whatever connects to others may: an answer to a plain
    URL may redirect to another."""
    connects = (
        settings.cluster.redis,
        settings.managed.managed,
        settings.warnings.alert_url,
        settings.forwarding.forward,
    )
    return speaks_tls(settings.listening.listen) or any(connects)
