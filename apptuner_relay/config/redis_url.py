"""The URL of a Redis server: parses ``--redis``. Pure.

- ``redis://[[user]:password@]host[:port][/db]``: TCP;
- ``rediss://…``: TLS; the certificate is verified;
- ``unix:/path[?db=n]``, ``unix://[[user]:password@]/path[?db=n]``: a UNIX socket;
- ``redis+sentinel://[[user]:password@]host[:port],…/service[/db]``: the master that Sentinels name;
- ``rediss+sentinel://…``: likewise, with TLS to the Sentinels and the master.

The default port is 6379, and 26379 for Sentinel. ``?sentinel_user=…&sentinel_password=…`` is for
Sentinels that have a password of their own. User, password, path and service are percent-decoded
(RFC 3986 §2.1).
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

REDIS_PORT = 6379
SENTINEL_PORT = 26379
_MOST_DB = 65535

_SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "unix")
_HOST = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::([0-9]{1,5}))?|([A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")
_SERVICE = re.compile(r"[A-Za-z0-9._-]{1,128}")
_EXAMPLES = (
    "try redis://host:6379, rediss://user:password@host:6380/0, unix:/run/redis/redis.sock or "
    "redis+sentinel://host:26379,host2:26379/service"
)


class Host(NamedTuple):
    """A host name or address, and a TCP port."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


@dataclass(frozen=True)
class Credentials:
    """The arguments of AUTH. The ``repr`` hides them."""

    user: str | None = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True)
class RedisUrl:
    """The address of a Redis server, or of the Sentinels that know it. Neither ``str`` nor ``repr``
    shows a password."""

    hosts: tuple[Host, ...] = ()
    """The server's, or the Sentinels' if there is a ``service``."""
    path: str | None = None
    """The path of a UNIX socket, instead of ``hosts``."""
    tls: bool = False
    db: int = 0
    service: str | None = None
    credentials: Credentials | None = field(default=None, repr=False)
    sentinel_credentials: Credentials | None = field(default=None, repr=False)

    def __str__(self) -> str:
        db = f"?db={self.db}" if self.db else ""
        if self.path is not None:
            return f"unix:{self.path}{db}"
        scheme = ("rediss" if self.tls else "redis") + ("+sentinel" if self.service else "")
        hosts = ",".join(map(str, self.hosts))
        tail = f"/{self.service}" if self.service else ""
        return f"{scheme}://{hosts}{tail}" + (f"/{self.db}" if self.db else "")


def parse_redis_url(text: str) -> RedisUrl:
    """Parse the URL of a Redis server.

    :raises ValueError: it is not one. The text says what is wrong, and repeats no part that may
        hold a password.
    """
    scheme, colon, rest = text.strip().partition(":")
    if not colon or scheme not in _SCHEMES:
        raise ValueError(f"must be a URL of a Redis server ({_EXAMPLES})")
    if any(ord(char) <= 32 or ord(char) == 127 for char in rest) or "#" in rest:
        raise ValueError("has a character that must be percent-encoded (space is %20, # is %23)")
    rest, _, query = rest.partition("?")
    options = _options(query, scheme)
    if scheme == "unix":
        return _unix(rest, options)
    if not rest.startswith("//"):
        raise ValueError(f"needs // behind {scheme}:")
    userinfo, hosts, path = _split(rest[2:])
    credentials = _credentials(userinfo)
    sentinel = scheme.endswith("+sentinel")
    service, db = _service(path) if sentinel else (None, path)
    if "db" in options and db:
        raise ValueError("names the database twice")
    port = SENTINEL_PORT if sentinel else REDIS_PORT
    return RedisUrl(
        hosts=_hosts(hosts, port, sentinel),
        tls=scheme.startswith("rediss"),
        db=_db(db or options.get("db", "")),
        service=service,
        credentials=credentials,
        sentinel_credentials=_sentinel_credentials(options),
    )


def _split(rest: str) -> tuple[str | None, str, str]:
    """Userinfo, hosts and path. A password may have an @ in it, as many people type it so."""
    userinfo: str | None
    before, at, after = rest.rpartition("@")
    userinfo, rest = (before, after) if at else (None, rest)
    if userinfo is not None and "/" in userinfo:
        raise ValueError("has a / in user or password, which must be percent-encoded: %2F")
    hosts, _, path = rest.partition("/")
    return userinfo, hosts, path


def _unix(rest: str, options: dict[str, str]) -> RedisUrl:
    userinfo = None
    if rest.startswith("//"):
        userinfo, host, path = _split(rest[2:])
        if host:
            raise ValueError("names a host: a UNIX socket is unix:/path")
        rest = f"/{path}"
    path = unquote(rest)
    if not path.startswith("/") or path == "/" or "\0" in path:
        raise ValueError("needs the absolute path of a UNIX socket, as unix:/run/redis/redis.sock")
    return RedisUrl(path=path, db=_db(options.get("db", "")), credentials=_credentials(userinfo))


def _credentials(userinfo: str | None) -> Credentials | None:
    if not userinfo:
        return None
    user, colon, password = userinfo.partition(":")
    if not colon or not password:
        raise ValueError("has a user without a password: give user:password@, or :password@")
    return Credentials(unquote(user) or None, unquote(password))


def _sentinel_credentials(options: dict[str, str]) -> Credentials | None:
    password = options.get("sentinel_password")
    if password is None:
        if "sentinel_user" in options:
            raise ValueError("has sentinel_user without sentinel_password")
        return None
    return Credentials(options.get("sentinel_user") or None, password)


def _hosts(text: str, port: int, several: bool) -> tuple[Host, ...]:
    parts = text.split(",")
    if len(parts) > 1 and not several:
        raise ValueError("names more than one host, which only redis+sentinel:// takes")
    hosts = []
    for part in parts:
        found = _HOST.fullmatch(part)
        if not found:
            raise ValueError("needs a host, with a port from 1 to 65535 or none: host:6379")
        number = int(found[2] or found[4] or port)
        if not 1 <= number <= 65535:
            raise ValueError("needs a host, with a port from 1 to 65535 or none: host:6379")
        hosts.append(Host(found[1] or found[3], number))
    return tuple(hosts)


def _service(path: str) -> tuple[str, str]:
    service, _, db = path.partition("/")
    service = unquote(service)
    if not _SERVICE.fullmatch(service):
        raise ValueError("needs the service's name as Sentinel knows it: …/service")
    return service, db


def _db(text: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"[0-9]{1,5}", text) or int(text) > _MOST_DB:
        raise ValueError(f"needs a database number from 0 to {_MOST_DB}, or none")
    return int(text)


def _options(query: str, scheme: str) -> dict[str, str]:
    known = {"db", "sentinel_user", "sentinel_password"} if "sentinel" in scheme else {"db"}
    options: dict[str, str] = {}
    for name, value in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True):
        if name not in known:
            raise ValueError(f"takes {' and '.join(sorted(known))} behind the ?, nothing else")
        if name in options:
            raise ValueError(f"has {name} twice behind the ?")
        options[name] = value
    return options
