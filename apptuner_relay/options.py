"""What an operator can set: one table of options for the command line and the environment.

``--max-mobiles 8`` on the command line is ``APPTUNER_MAX_MOBILES=8`` in the environment; the
command line wins. What comes out is a frozen `Settings`, every value in it of its type and range.
"""

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from twisted.python import usage

from apptuner_relay import __version__
from apptuner_relay.access.origins import ALL, ANY, Origins
from apptuner_relay.bundles.directory import default_directory
from apptuner_relay.cluster.directory import check_address, check_node
from apptuner_relay.cluster.redis_url import RedisUrl, parse_redis_url
from apptuner_relay.forwarded import NOBODY, TrustedProxies
from apptuner_relay.values import (
    NONE,
    choice,
    directory,
    file_path,
    or_none,
    share,
    token,
    web_url,
)
from apptuner_relay.web.routes import NO_ROUTES, Routes
from apptuner_relay.wire.offers import read_subprotocols

ENVIRONMENT_PREFIX = "APPTUNER_"

KIB = 1024
MIB = 1024 * KIB

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(|B|KiB|MiB|GiB)", re.IGNORECASE)
_SIZE_UNITS = {"": 1, "b": 1, "kib": KIB, "mib": MIB, "gib": 1024 * MIB}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(|ms|s|m|h)", re.IGNORECASE)
_DURATION_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Settings:
    """The options, validated. Sizes are in bytes, times in seconds, rates in bytes per second."""

    listen: tuple[str, ...] = ("tcp:3000",)
    trusted_proxy: TrustedProxies = NOBODY
    tls_cert: Path | None = None
    tls_key: Path | None = None
    """None where it is in the file of the certificate."""
    tls_look: float = 60.0
    tls_expiry_days: int = 14
    max_mobiles: int = 5
    max_pages: int = 10
    max_message: int = 50 * MIB
    session_timeout: float = 1800.0
    compression: bool = True
    split_bundles: bool = True
    subprotocol: tuple[str, ...] = ("apptuner",)
    window: int = 256 * KIB
    slow_rate: int = 16 * KIB
    slow_time: float = 30.0
    stall_timeout: float = 30.0
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    handshake_timeout: float = 10.0
    http_keep_alive: float = 75.0
    close_timeout: float = 5.0
    drain_timeout: float = 30.0
    drain_spread: float = 3.0
    spool_dir: str | None = str(default_directory())
    spool_limit: int = 2048 * MIB
    bundle_ttl: float = 600.0
    public_url: str = ""
    log_interval: float = 60.0
    log_format: str = "text"
    state_dir: str = "auto"
    """An absolute path, ``auto`` or ``off``."""
    notice_sessions: int = 100
    warning_sessions: int = 300
    worry_time: float = 600.0
    lag_limit: float = 0.25
    memory_limit: int | None = None
    """0 for none; None for that of the control group."""
    descriptors_limit: float = 0.8
    """As a share of RLIMIT_NOFILE."""
    alert_url: str | None = field(default=None, repr=False)
    admin_token: str | None = field(default=None, repr=False)
    metrics: str = "guarded"
    redis: RedisUrl | None = None
    """Where nodes share their sessions; None for a relay that is alone."""
    redis_ca: Path | None = None
    node: str | None = None
    """None for the host's name and the port."""
    node_address: str | None = None
    """None to be found out."""
    node_ca: Path | None = None
    cluster_secret: str | None = field(default=None, repr=False)
    claims: bool = True
    claim_ttl: float = 7 * 86400.0
    allowed_origin: Origins = ALL
    connect_rate: int = 600
    """A minute; 0 for no limit, as below."""
    failed_joins: int = 300
    failed_joins_total: int = 2000
    sessions_per_address: int = 1000
    message_rate: int = 100
    """Messages a second."""
    header_limit: int = 16 * KIB
    forward: Routes = NO_ROUTES
    forward_host: str = "client"
    forward_limit: int = 256 * MIB
    forward_timeout: float = 60.0
    forward_requests: int = 100


def _size(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        match = _SIZE.fullmatch(text.strip())
        if not match:
            raise ValueError("must be a number with B, KiB, MiB or GiB behind it, such as 50MiB")
        value = int(float(match[1]) * _SIZE_UNITS[match[2].lower()])
        if not low <= value <= high:
            raise ValueError(f"must be {_show_size(low)} to {_show_size(high)}")
        return value

    return parse


def _show_size(value: int) -> str:
    for unit, size in (("GiB", 1024 * MIB), ("MiB", MIB), ("KiB", KIB)):
        if value >= size and value % size == 0:
            return f"{value // size}{unit}"
    return f"{value}B"


def _duration(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        match = _DURATION.fullmatch(text.strip())
        if not match:
            raise ValueError("must be a number with ms, s, m or h behind it, such as 30s")
        value = float(match[1]) * _DURATION_UNITS[match[2].lower()]
        if not low <= value <= high:
            raise ValueError(f"must be {low:g}s to {high:g}s")
        return value

    return parse


def _count(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text.strip()) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number, {low} to {high}")
        return int(text)

    return parse


def _switch(text: str) -> bool:
    if text.strip().lower() not in ("on", "off"):
        raise ValueError("must be on or off")
    return text.strip().lower() == "on"


def _folder(text: str) -> str | None:
    if text.strip().lower() == "off":
        return None
    if not os.path.isabs(text):
        raise ValueError("must be an absolute path, or off")
    return os.path.normpath(text)


def _base_url(text: str) -> str:
    url = text.strip().rstrip("/")
    if url and not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+(/[A-Za-z0-9._~/\-]*)?", url):
        raise ValueError("must be a URL such as https://relay.example.com")
    return url


def _memory_limit(text: str) -> int | None:
    if text.strip().lower() == "cgroup":
        return None
    return 0 if text.strip().lower() == "off" else _size(16 * MIB, 16 * 1024 * 1024 * MIB)(text)


def _unless_auto(check: Callable[[str], str]) -> Callable[[str], str | None]:
    def parse(text: str) -> str | None:
        return None if text.strip().lower() == "auto" else check(text.strip())

    return parse


class Option(NamedTuple):
    """A row of the table. ``default`` is what one would type; what is ``secret`` is shown to
    nobody."""

    name: str
    default: str
    parse: Callable[[str], object]
    doc: str
    secret: bool = False

    @property
    def setting(self) -> str:
        return self.name.replace("-", "_")

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.setting.upper()


OPTIONS: tuple[Option, ...] = (
    Option(
        "trusted-proxy",
        NONE,
        TrustedProxies.parse,
        "Load balancers and proxies in front, as addresses or networks such as 10.0.0.0/8, with "
        "commas or spaces between them; unix is who connects to a UNIX socket. X-Forwarded-For is "
        "believed from them alone, and only what they have added to it; proxy: endpoints are for "
        "them alone",
    ),
    Option(
        "tls-cert",
        NONE,
        or_none(file_path),
        "Certificate of the tls: endpoints, a PEM file with those that sign it behind it, such as "
        "certbot's fullchain.pem. A renewed one is taken without a restart, when the files change "
        "and at a SIGHUP",
    ),
    Option(
        "tls-key",
        NONE,
        or_none(file_path),
        "PEM file of its key, such as certbot's privkey.pem; none: it is in --tls-cert",
    ),
    Option("tls-look", "60s", _duration(1, 86400), "Look for a renewed certificate so often"),
    Option(
        "tls-expiry-days",
        "14",
        _count(0, 365),
        "Warn when the certificate expires in less than so many days",
    ),
    Option(
        "max-mobiles",
        "5",
        _count(1, 1000),
        "Phones that a session may have at once. One that is dead makes room for another",
    ),
    Option(
        "max-pages",
        "10",
        _count(1, 1000),
        "Dashboards and desktops that a session may have at once, together. For one more the one "
        "is closed that is dead, or else has been quiet for longest",
    ),
    Option(
        "max-message",
        "50MiB",
        _size(KIB, 1024 * MIB),
        "Largest message of a client, all of its frames together, and inflated",
    ),
    Option(
        "session-timeout",
        "30m",
        _duration(1, 7 * 86400),
        "Close a session in which nobody has sent a message for so long",
    ),
    Option(
        "compression",
        "on",
        _switch,
        "on or off: negotiate permessage-deflate, and pass compressed messages on as they are",
    ),
    Option(
        "subprotocol",
        "apptuner",
        read_subprotocols,
        "WebSocket subprotocols to answer to clients that ask for one, with commas or spaces "
        "between them. A client that asks for others only is answered the first of its own",
    ),
    Option(
        "split-bundles",
        "on",
        _switch,
        "on or off: give phones that say platform=ios a bundle above 1 MiB in one message in "
        "frames of at most 256 KiB, or as chunk messages where they also say chunks=1",
    ),
    Option(
        "window",
        "256KiB",
        _size(16 * KIB, 64 * MIB),
        "Bytes of one sender that may wait for a client behind another's message before the sender "
        "is paused; it is paused in any case while the client's connection takes no more",
    ),
    Option(
        "slow-rate",
        "16KiB",
        _size(1, 1024 * MIB),
        "Bytes per second below which a client that holds up others is too slow",
    ),
    Option(
        "slow-time",
        "30s",
        _duration(1, 3600),
        "Close (1013) a client that read nothing for so long while somebody sends to it, or, where "
        "a message is not kept, less than slow-rate while other clients wait for it; drop a "
        "download that reads nothing for so long",
    ),
    Option(
        "stall-timeout",
        "30s",
        _duration(1, 3600),
        "Close (1008) a client that stops sending in mid-message for so long",
    ),
    Option(
        "ping-interval", "20s", _duration(0.1, 3600), "Ping a client that was silent for so long"
    ),
    Option(
        "ping-timeout", "20s", _duration(0.1, 3600), "Close a client that leaves a ping unanswered"
    ),
    Option(
        "handshake-timeout",
        "10s",
        _duration(0.1, 300),
        "Drop a connection whose HTTP request is not there whole, line by line or not, after so "
        "long; likewise one whose PROXY header and TLS handshake together take longer",
    ),
    Option(
        "http-keep-alive",
        "75s",
        _duration(1, 3600),
        "Keep an HTTP connection for so long for the next request. Balancers must let go of theirs "
        "sooner: what they send on one that the relay is closing is lost",
    ),
    Option(
        "header-limit",
        "16KiB",
        _size(KIB, 64 * KIB),
        "Refuse (431) a request whose request line and header fields are larger",
    ),
    Option(
        "close-timeout",
        "5s",
        _duration(0.1, 300),
        "Drop a client that leaves the closing handshake unfinished for so long",
    ),
    Option(
        "drain-timeout",
        "30s",
        _duration(0, 3600),
        "When the relay stops, let bundles that are on their way take so long to arrive and, with "
        "--redis, sessions to move to other relays, all of it together; 0 closes everybody at "
        "once. A second SIGTERM or SIGINT does, too",
    ),
    Option(
        "drain-spread",
        "3s",
        _duration(0, 600),
        "When the relay stops, spread the closing of many sessions over so long, so that their "
        "clients don't all come back at once; a hundred a second or fewer take less",
    ),
    Option(
        "spool-dir",
        str(default_directory()),
        _folder,
        "Folder in which each session's last bundle is kept for phones that join late or are slow, "
        "and for HTTP; relays may share it. off: keep none",
    ),
    Option(
        "spool-limit",
        "2GiB",
        _size(MIB, 1024 * 1024 * 1024 * MIB),
        "Bytes that all kept bundles may take; those used least recently go first",
    ),
    Option(
        "bundle-ttl",
        "10m",
        _duration(1, 30 * 86400),
        "Drop a kept bundle that nobody has used for so long",
    ),
    Option(
        "public-url",
        "",
        _base_url,
        "How this relay is reached over HTTP, such as https://relay.example.com, or the CDN before "
        "it: what bundle_available tells phones begins with it; without, it tells them a path",
    ),
    Option(
        "log-interval",
        "60s",
        _duration(1, 86400),
        "Log a line with the present figures so often",
    ),
    Option(
        "log-format",
        "text",
        choice("text", "json"),
        "text or json: the log for people, or a JSON object a line. json goes where twistd's "
        "--logfile says, and not to syslog",
    ),
    Option(
        "state-dir",
        "auto",
        directory,
        "Directory for days.json, which keeps each day's figures for 400 days, and for claims. "
        "auto is $STATE_DIRECTORY, else $XDG_STATE_HOME/apptuner-relay, else "
        "~/.local/state/apptuner-relay; off keeps nothing. A second relay needs one of its own",
    ),
    Option(
        "notice-sessions",
        "100",
        _count(0, 1_000_000),
        "Say that it is time to plan for more when there are consistently more sessions",
    ),
    Option(
        "warning-sessions",
        "300",
        _count(0, 1_000_000),
        "Warn when there are consistently more sessions",
    ),
    Option(
        "worry-time", "10m", _duration(1, 86400), "For how long sessions must be above to count"
    ),
    Option(
        "lag-limit",
        "250ms",
        _duration(0.001, 60),
        "Warn, and be degraded in /health, while the event loop is later than that for a minute",
    ),
    Option(
        "memory-limit",
        "cgroup",
        _memory_limit,
        "Warn, and be degraded in /health, above 90% of so much memory; cgroup is what the "
        "process's control group may have, off is none",
    ),
    Option(
        "descriptors-limit",
        "80%",
        share,
        "Warn, and be degraded in /health, when more of the file descriptors that the process may "
        "have (ulimit -n) are in use",
    ),
    Option(
        "alert-url",
        NONE,
        web_url,
        "POST what starts or stops being worth a worry to this URL, as JSON",
        secret=True,
    ),
    Option(
        "admin-token",
        NONE,
        token,
        "What the operator's pages ask for: 8 characters or more, or @FILE, as others on the "
        "machine can see a command line. Without, they are for this machine only",
        secret=True,
    ),
    Option(
        "metrics",
        "guarded",
        choice("guarded", "open"),
        "guarded or open: whether /metrics asks for the admin token as well, or is for everybody",
    ),
    Option(
        "redis",
        NONE,
        or_none(parse_redis_url),
        "Share sessions with the other relays that have the same Redis: redis://host:6379, "
        "rediss://user:password@host:6380, unix:/run/redis.sock, or "
        "redis+sentinel://host:26379,host2:26379/service. Needs --cluster-secret",
        secret=True,
    ),
    Option(
        "redis-ca",
        NONE,
        or_none(file_path),
        "PEM file: who may have signed the Redis server's certificate, instead of who the system "
        "trusts",
    ),
    Option(
        "node",
        "auto",
        _unless_auto(check_node),
        "This relay's name among those that share sessions: every one needs its own. auto is "
        "HOST-PORT",
    ),
    Option(
        "node-address",
        "auto",
        _unless_auto(check_address),
        "Where the other relays reach this one: ws://HOST:PORT or wss://HOST:PORT. auto is the "
        "address from which this machine reaches Redis, and the port of the first --listen tcp:…",
    ),
    Option(
        "node-ca",
        NONE,
        or_none(file_path),
        "PEM file: who may have signed the certificates of relays at wss:// addresses, instead of "
        "who the system trusts",
    ),
    Option(
        "cluster-secret",
        NONE,
        token,
        "What relays show each other to be let in, the same for all that share sessions: 8 "
        "characters or more, or @FILE, as others on the machine can see a command line",
        secret=True,
    ),
)

ACCESS_OPTIONS = (
    Option(
        "claims",
        "on",
        _switch,
        "on or off: the first client of a session's desktop side that shows a secret claims the "
        "session: from then on only who shows it may be its CLI, dashboard or desktop",
    ),
    Option(
        "claim-ttl",
        "168h",
        _duration(60, 366 * 86400),
        "Forget a claim when nobody with the secret was connected for so long. Claims are kept in "
        "--redis, or else in --state-dir; without both the relay forgets them when it ends",
    ),
    Option(
        "allowed-origin",
        ANY,
        Origins.parse,
        "Web pages that may connect as cli, dashboard or desktop: an origin such as "
        "https://dashboard.example.com or https://*.example.com, or null for pages that are files. "
        "Repeat it, or put spaces between them, for more. A request without Origin is no browser's",
    ),
    Option(
        "connect-rate",
        "600",
        _count(0, 1_000_000),
        "WebSocket connections that an address may open a minute, and at once. 0: any number. An "
        "address is an IPv4 address or the /64 of an IPv6 one, here and below; this machine's own "
        "are not limited",
    ),
    Option(
        "failed-joins",
        "300",
        _count(0, 1_000_000),
        "Sessions that nobody is in, and wrong secrets, that an address may try within 10 minutes, "
        "each counted once however often it is tried; more are refused. 0: any number",
    ),
    Option(
        "failed-joins-total",
        "2000",
        _count(0, 10_000_000),
        "Those of all addresses together; while there are more, every address has a tenth of "
        "failed-joins. 0: any number",
    ),
    Option(
        "sessions-per-address",
        "1000",
        _count(0, 1_000_000),
        "Sessions that an address may have clients in at once. 0: any number",
    ),
    Option(
        "message-rate",
        "100",
        _count(0, 1_000_000),
        "Messages a second that a client may send, and five seconds' worth at once. Beyond, "
        "console logs wait for up to a second, and all but the last second's worth are dropped, "
        "with a notice of how many (warnings and errors have an allowance of their own); for other "
        "messages the client is not read from for a while; bundles always pass. 0: any number",
    ),
)
FORWARD_OPTIONS = (
    Option(
        "forward",
        NONE,
        Routes.parse,
        "Forward requests for paths that begin so to another HTTP server, as they are, such as "
        "/api/=http://127.0.0.1:4000. Repeat it, or put spaces between them, for more; the longest "
        "prefix counts. The relay's own paths stay its own: /api/status and so on",
        # A URL that is refused may have a password in it.
        secret=True,
    ),
    Option(
        "forward-host",
        "client",
        choice("client", "upstream"),
        "client or upstream: the Host that such a server gets, the client's or its own name. "
        "X-Forwarded-Host is the client's",
    ),
    Option(
        "forward-limit",
        "256MiB",
        _size(0, 1024 * 1024 * MIB),
        "Refuse (413) a request to forward whose body is larger",
    ),
    Option(
        "forward-timeout",
        "60s",
        _duration(0.1, 86400),
        "Give up a forwarded request when for so long nothing comes of its body (408), such a "
        "server takes nothing or answers nothing (504), or nothing more comes of its answer",
    ),
    Option(
        "forward-requests",
        "100",
        _count(1, 1_000_000),
        "Requests that may be forwarded at once; more are refused (503)",
    ),
)
OPTIONS += ACCESS_OPTIONS + FORWARD_OPTIONS

LISTEN_VARIABLE = ENVIRONMENT_PREFIX + "LISTEN"
_OTHER_VARIABLES = tuple(
    ENVIRONMENT_PREFIX + name for name in ("RELAY", "KEY", "TOKEN", "TEST_PATIENCE_S")
)
"""The companion program's, and the tests'."""


class BadOption(usage.UsageError):
    """A value that can't be; the text names the option or variable, and says why."""


def _help(option: Option) -> str:
    return f"{option.doc}. [{option.variable}, default: {option.default}]"


_REPEATABLE = {
    option.name: option for option in OPTIONS if option.name in ("allowed-origin", "forward")
}


class Options(usage.Options):
    """The options of ``twistd apptuner-relay``."""

    synopsis = "[options]"
    longdesc = (
        "Relays React Native bundles from AppTuner's CLI to the phones of its session. "
        "Each option is also an environment variable (named in brackets); the command line wins. "
        "Sizes take B, KiB, MiB or GiB; times ms, s, m or h, seconds if nothing is said."
    )
    optParameters = [
        [option.name, None, None, _help(option)]
        for option in OPTIONS
        if option.name not in _REPEATABLE
    ]

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._environment = os.environ if environment is None else environment
        self["listen"] = []
        self.update(dict.fromkeys(_REPEATABLE))
        self.settings = Settings()
        self.listen_source = "--listen"
        """Where the endpoints were given, for error messages."""

    def opt_listen(self, endpoint: str) -> None:
        self["listen"].append(endpoint)

    def opt_allowed_origin(self, origin: str) -> None:
        self._add("allowed-origin", origin)

    def opt_forward(self, route: str) -> None:
        self._add("forward", route)

    def _add(self, name: str, text: str) -> None:
        self[name] = f"{self[name]} {text}" if self[name] else text

    opt_allowed_origin.__doc__ = _help(_REPEATABLE["allowed-origin"])
    opt_forward.__doc__ = _help(_REPEATABLE["forward"])

    # One line, as it is printed with its spaces.
    opt_listen.__doc__ = (
        "Where to listen, as a Twisted endpoint string: tcp:3000, tcp:8080:interface=127.0.0.1, "
        "tcp6:3000, unix:/run/relay.sock, systemd:name=relay for sockets that systemd passes on "
        "(FileDescriptorName=; or index=0). "
        "tls:tcp:443 speaks TLS, over any endpoint (--tls-cert). "
        "With proxy: before all that, it takes connections of --trusted-proxy alone, each of which "
        "has to begin with a header of the PROXY protocol, v1 or v2: proxy:tcp:3000, "
        "proxy:tls:tcp:443. "
        "Repeat it for more. "
        f"[{LISTEN_VARIABLE}, separated by spaces, default: tcp:3000]"
    )

    def opt_version(self) -> None:
        """Print the relay's version and exit."""
        print(f"apptuner-relay {__version__}")
        sys.exit(0)

    def parseArgs(self, *arguments: str) -> None:
        """There are none."""
        if arguments:
            raise BadOption(f"unexpected argument: {arguments[0]!r}")

    def parseOptions(self, options: list[str] | None = None) -> None:
        """As usage.Options does, but a wrong value is one line on stderr and exit status 1."""
        try:
            super().parseOptions(options)
        except usage.UsageError as wrong:
            sys.exit(f"apptuner-relay: {wrong}")

    def postOptions(self) -> None:
        """Make `settings` of what was given.

        :raises BadOption: for a value that can't be, or a variable that is none of ours.
        """
        known = {option.variable for option in OPTIONS} | {LISTEN_VARIABLE, *_OTHER_VARIABLES}
        for variable in self._environment:
            if variable.startswith(ENVIRONMENT_PREFIX) and variable not in known:
                raise BadOption(f"{variable}: no such option; --help lists them")
        values: dict[str, object] = {}
        for option in OPTIONS:
            source, text = f"--{option.name}", self[option.name]
            if text is None and option.variable in self._environment:
                source, text = option.variable, self._environment[option.variable]
            if text is None:
                continue
            try:
                values[option.setting] = option.parse(text)
            except ValueError as wrong:
                shown = source if option.secret else f"{source}: {text!r}"
                raise BadOption(f"{shown}: {wrong}") from None
        listen = self["listen"]
        if not listen:
            listen = self._environment.get(LISTEN_VARIABLE, "").split()
            self.listen_source = LISTEN_VARIABLE if listen else "--listen"
        if listen:
            values["listen"] = tuple(listen)
        self.settings = settings = Settings(**values)  # type: ignore[arg-type]
        if settings.redis is not None and settings.cluster_secret is None:
            raise BadOption("--redis: needs --cluster-secret as well, the same on every relay")
