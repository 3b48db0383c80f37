"""Managed WebSocket services, as one more way into sessions."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from apptuner_relay.config.managed_url import ManagedUrl, check_channel_prefix, parse_managed_url
from apptuner_relay.config.option import option
from apptuner_relay.config.parsers import KIB, NONE, Parser, file_path, or_none, size, token


@dataclass(frozen=True)
class ManagedSettings:
    """Managed WebSocket services, as one more way into sessions. Sizes are in bytes."""

    HEADING: ClassVar[str] = "Managed services"

    managed: ManagedUrl | None = option(
        NONE,
        or_none(Parser(parse_managed_url, "URL"), None),
        "Let clients join sessions by channels of a managed WebSocket service as well: "
        "pusher://KEY@host:port/APP_ID?tls=on|off&prefix=/path&events=client|http for Soketi, "
        "Reverb or Sockudo, pusher://KEY@pusher:CLUSTER/APP_ID, pusher://KEY@ably, or relay://KEY, "
        "for which the relay itself is the service. A service needs --managed-secret",
        # A URL that is refused may have a secret in it.
        secret=True,
    )
    """None for no such way."""
    managed_secret: str | None = option(
        NONE,
        token,
        "Secret of the application at the service: 8 characters or more, or @FILE, because other "
        "users of the machine can see a command line. With relay://, what to sign with instead of "
        "a secret that the relay makes up; relays that share sessions make it of --cluster-secret",
        secret=True,
    )
    managed_ca: Path | None = option(
        NONE,
        file_path,
        "PEM file of the authorities that may have signed the service's certificate, instead of "
        "those that the system trusts",
    )
    managed_event_limit: int = option(
        "9000B",
        size(KIB, 100 * KIB),
        "Send at most this in one event. Pusher takes 10 KiB, Reverb 10 kB with all that is "
        "around it, Ably 64 KiB, Soketi 100 KiB. Console logs that are longer are cut",
    )
    managed_prefix: str = option(
        "apptuner",
        Parser(check_channel_prefix, "NAME", "1 to 64 of A-Z a-z 0-9 _ -"),
        "Begin the names of channels so: presence-NAME.HASH, HASH being the SHA-256 of the "
        "session's id. Relays that share an application but no sessions need different ones",
    )
