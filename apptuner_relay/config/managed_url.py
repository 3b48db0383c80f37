"""The URL of a managed WebSocket service: parses ``--managed``. Pure.

- ``pusher://KEY@host[:port]/APP_ID[?tls=on|off&prefix=/path&events=client|http]``: a server of
  one's own that speaks the Pusher protocol, such as Soketi, Reverb or Sockudo. TLS, but for one on
  this machine; the port is 443 with TLS, else 80;
- ``pusher://KEY@pusher:CLUSTER/APP_ID``, or ``pusher://KEY@/APP_ID?cluster=CLUSTER``: Pusher's own;
- ``pusher://KEY@ably[/APP_ID]``: Ably's adapter. The key is the part in front of the colon of
  Ably's, and the application's id the part of it in front of the dot;
- ``relay://KEY``: no service. The relay itself answers.

The secret of the application has an option of its own, as URLs are shown.
"""

import ipaddress
import re
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple
from urllib.parse import parse_qsl

_KEY = re.compile(r"[A-Za-z0-9._-]{1,128}")
_APP_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::([0-9]{1,5}))?")
_CLUSTER = re.compile(r"[a-z][a-z0-9-]{0,31}")
_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_PREFIX = re.compile(r"(?!cache-)[A-Za-z0-9_-]{1,64}")
_HTTPS_PORT = 443
_HTTP_PORT = 80
_ABLY_HOST = "main.pusher.ably.net"
_OPTIONS = ("cluster", "events", "prefix", "tls")
_EXAMPLES = (
    "try pusher://KEY@soketi.example:6001/APP_ID, pusher://KEY@pusher:eu/APP_ID, "
    "pusher://KEY@ably or relay://KEY"
)


class Vendor(Enum):
    """Whose service it is; the value names it to people."""

    OWN = "Pusher-compatible server"
    PUSHER = "Pusher"
    ABLY = "Ably"


class PublishBy(Enum):
    """How events are published; the value stands in the URL."""

    CLIENT = "client"
    """Over the WebSocket, as a client's events."""
    HTTP = "http"
    """By requests to the HTTP API."""


class ServiceHost(NamedTuple):
    """Where a service is reached, and below which path."""

    host: str
    port: int
    tls: bool
    prefix: str = ""
    """In front of all paths: ``/path``, or nothing."""

    def url(self, scheme: str) -> str:
        """``https://host:port/path`` for ``http``, where it speaks TLS."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}{'s' if self.tls else ''}://{host}:{self.port}{self.prefix}"


class ServiceAllowance(NamedTuple):
    """What a service allows. None where it sets no limit."""

    client_events_per_s: int | None = None
    """How many client events a connection may send in a second."""
    events_per_s: int | None = None
    """How many events may go either way over a connection in a second."""
    channels: int | None = None
    """How many channels a connection may be in."""
    batch_events: int = 10
    """How many events a request may publish."""


_OWN_LIMITS = ServiceAllowance()
_PUSHER_LIMITS = ServiceAllowance(client_events_per_s=10)
_ABLY_LIMITS = ServiceAllowance(client_events_per_s=50, events_per_s=50, channels=200)


@dataclass(frozen=True)
class ServiceUrl:
    """A service, and the application there."""

    vendor: Vendor
    app_id: str
    websocket: ServiceHost
    api: ServiceHost
    publish_by: PublishBy

    def websocket_url(self, key: str, release: str) -> str:
        """Where a client connects. ``release`` is its version."""
        query = f"protocol=7&client=apptuner-relay&version={release}"
        return f"{self.websocket.url('ws')}/app/{key}?{query}"

    @property
    def api_path(self) -> str:
        """Below this path are the application's requests, on the host of `api`."""
        return f"{self.api.prefix}/apps/{self.app_id}"


@dataclass(frozen=True)
class ManagedUrl:
    """What carries the channels. Nothing in it is secret; the key is known to every client."""

    key: str
    service: ServiceUrl | None
    """None where the relay itself is the service."""
    limits: ServiceAllowance = _OWN_LIMITS

    @property
    def is_local(self) -> bool:
        """Whether the relay itself is the service."""
        return self.service is None

    @property
    def uses_tls(self) -> bool:
        """Whether there is a certificate to verify."""
        return self.service is not None and self.service.websocket.tls

    @property
    def name(self) -> str:
        """The service's name, for people."""
        if self.service is None:
            return "this relay"
        if self.service.vendor is Vendor.OWN:
            return f"{Vendor.OWN.value} {self.service.websocket.host}"
        return str(self.service.vendor.value)

    def __str__(self) -> str:
        if self.service is None:
            return f"relay://{self.key}"
        return f"{self.service.websocket.url('ws')}/app/{self.key}"


def check_channel_prefix(text: str) -> str:
    """Return the name that channels begin with, behind the ``presence-`` of all of them.

    :raises ValueError: it can't be one. ``presence-cache-…`` would be channels of another kind.
    """
    if not _PREFIX.fullmatch(text):
        raise ValueError("must be 1 to 64 of the characters A-Z a-z 0-9 _ -, and not cache-…")
    return text


def parse_managed_url(text: str) -> ManagedUrl:
    """Parse the URL of a managed service.

    :raises ValueError: it is not one. The text says what is wrong, and repeats nothing of the URL,
        in which there may be a secret that doesn't belong there.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator or scheme not in ("pusher", "relay"):
        raise ValueError(f"must be the URL of a service ({_EXAMPLES})")
    if not rest.isascii() or not rest.isprintable() or " " in rest or "#" in rest:
        raise ValueError("has a character that no such URL has: a space, a #, or one beyond ASCII")
    if scheme == "relay":
        if "@" in rest or "/" in rest or "?" in rest:
            raise ValueError("names more than a key: without a service it is relay://KEY")
        return ManagedUrl(_key(rest), None)
    rest, _, query = rest.partition("?")
    options = _read_options(query)
    place, _, app_id = rest.partition("/")
    key, at, host = place.rpartition("@")
    if not at:
        raise ValueError(f"has no key in front of an @ ({_EXAMPLES})")
    key = _key(key)
    if host == "ably":
        return _ably(key, app_id, options)
    cluster = _cluster(host, options)
    if cluster is not None:
        return _pusher(key, cluster, app_id, options)
    return _own(key, host, app_id, options)


def _key(text: str) -> str:
    if ":" in text:
        raise ValueError(
            "has a secret behind the key: only the relay gets it, by --managed-secret @FILE"
        )
    if not _KEY.fullmatch(text):
        raise ValueError("needs the application's key: 1 to 128 of A-Z a-z 0-9 . _ -")
    return text


def _app_id(text: str) -> str:
    if not _APP_ID.fullmatch(text):
        raise ValueError("needs the application's id behind the host: …/APP_ID")
    return text


def _read_options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            raise ValueError(f"takes {', '.join(_OPTIONS)} behind the ?, nothing else")
        if name in options:
            raise ValueError(f"has {name} twice behind the ?")
        options[name] = value
    return options


def _cluster(host: str, options: dict[str, str]) -> str | None:
    """The cluster of Pusher's that is meant; None for a server of one's own."""
    name, colon, behind = host.partition(":")
    named = options.pop("cluster", None)
    if name == "pusher":
        if colon and named is not None:
            raise ValueError("names the cluster twice")
        cluster = behind if colon else named
    elif not host:
        if named is None:
            raise ValueError("needs a host, or the cluster of Pusher's: pusher:CLUSTER")
        cluster = named
    elif named is not None:
        raise ValueError("names a host and a cluster of Pusher's: only one of them can be meant")
    else:
        return None
    if cluster is None or not _CLUSTER.fullmatch(cluster):
        raise ValueError("needs the name of a cluster of Pusher's, such as eu or mt1")
    return cluster


def _pusher(key: str, cluster: str, app_id: str, options: dict[str, str]) -> ManagedUrl:
    publish_by = _publish_by(options, PublishBy.HTTP)
    _take_no_more(options)
    service = ServiceUrl(
        Vendor.PUSHER,
        _app_id(app_id),
        ServiceHost(f"ws-{cluster}.pusher.com", _HTTPS_PORT, True),
        ServiceHost(f"api-{cluster}.pusher.com", _HTTPS_PORT, True),
        publish_by,
    )
    return ManagedUrl(key, service, _PUSHER_LIMITS)


def _ably(key: str, app_id: str, options: dict[str, str]) -> ManagedUrl:
    publish_by = _publish_by(options, PublishBy.CLIENT)
    _take_no_more(options)
    application, dot, name = key.partition(".")
    if not (application and dot and name):
        raise ValueError("needs Ably's key up to the colon: APP.KEY")
    host = ServiceHost(_ABLY_HOST, _HTTPS_PORT, True)
    service = ServiceUrl(Vendor.ABLY, _app_id(app_id or application), host, host, publish_by)
    return ManagedUrl(key, service, _ABLY_LIMITS)


def _own(key: str, text: str, app_id: str, options: dict[str, str]) -> ManagedUrl:
    match = _HOST.fullmatch(text)
    if match is None:
        raise ValueError("needs a host, with a port from 1 to 65535 or none: host:6001")
    name = match[1] or match[2]
    word = options.get("tls", "off" if _is_this_machine(name) else "on")
    if word not in ("on", "off"):
        raise ValueError("has something else than on or off for tls")
    tls = word == "on"
    port = int(match[3]) if match[3] else (_HTTPS_PORT if tls else _HTTP_PORT)
    if not 1 <= port <= 65535:
        raise ValueError("needs a host, with a port from 1 to 65535 or none: host:6001")
    prefix = options.get("prefix", "").rstrip("/")
    if prefix and not _PATH.fullmatch(prefix):
        raise ValueError("needs a path such as /path for prefix")
    host = ServiceHost(name, port, tls, prefix)
    publish_by = _publish_by(options, PublishBy.CLIENT)
    service = ServiceUrl(Vendor.OWN, _app_id(app_id), host, host, publish_by)
    return ManagedUrl(key, service, _OWN_LIMITS)


def _publish_by(options: dict[str, str], default: PublishBy) -> PublishBy:
    try:
        return PublishBy(options.pop("events", default.value))
    except ValueError:
        raise ValueError("has something else than client or http for events") from None


def _take_no_more(options: dict[str, str]) -> None:
    if options:
        raise ValueError(
            "has tls or prefix, which a server of one's own has: Pusher and Ably don't"
        )


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
