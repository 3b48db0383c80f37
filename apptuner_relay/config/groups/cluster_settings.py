"""How relays share their sessions."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from apptuner_relay.config.node_names import check_address, check_node
from apptuner_relay.config.option import option
from apptuner_relay.config.parsers import NONE, Parser, file_path, or_auto, or_none, token
from apptuner_relay.config.redis_url import RedisUrl, parse_redis_url


@dataclass(frozen=True)
class ClusterSettings:
    """How relays share their sessions."""

    HEADING: ClassVar[str] = "Several relays"

    redis: RedisUrl | None = option(
        NONE,
        or_none(Parser(parse_redis_url, "URL"), None),
        "Share sessions with the other relays that use the same Redis: redis://host:6379, "
        "rediss://user:password@host:6380, unix:/run/redis.sock, or "
        "redis+sentinel://host:26379,host2:26379/service. It needs --cluster-secret",
        secret=True,
    )
    """None for a relay that is alone."""
    redis_ca: Path | None = option(
        NONE,
        file_path,
        "PEM file of the authorities that may have signed the Redis server's certificate, instead "
        "of those that the system trusts",
    )
    node: str | None = option(
        "auto",
        or_auto(check_node, "NAME"),
        "Name of this relay among those that share sessions; each needs a name of its own. auto: "
        "HOST-PORT",
    )
    """None for the host's name and the port."""
    node_address: str | None = option(
        "auto",
        or_auto(check_address, "ADDRESS"),
        "Where the other relays reach this one: ws://HOST:PORT or wss://HOST:PORT. auto: the "
        "address from which this machine reaches Redis, and the port of the first --listen tcp:…",
    )
    """None for the one that ``auto`` finds."""
    node_ca: Path | None = option(
        NONE,
        file_path,
        "PEM file of the authorities that may have signed the certificates of relays at wss:// "
        "addresses, instead of those that the system trusts",
    )
    cluster_secret: str | None = option(
        NONE,
        token,
        "Secret by which relays recognise each other, the same on all that share sessions: 8 "
        "characters or more, or @FILE, because other users of the machine can see a command line",
        secret=True,
    )
