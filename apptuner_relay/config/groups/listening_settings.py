"""Where the relay listens, what it speaks there, and how clients reach it."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from apptuner_relay.config.option import option
from apptuner_relay.config.parsers import (
    KIB,
    NONE,
    Parser,
    base_url,
    duration,
    file_path,
    or_none,
    size,
    switch,
    words,
)
from apptuner_relay.support.client_address import NOBODY, TrustedProxies
from apptuner_relay.wire.offers import read_subprotocols


@dataclass(frozen=True)
class ListeningSettings:
    """Where the relay listens, what it speaks there, and how clients reach it.

    Sizes are in bytes, times in seconds.
    """

    HEADING: ClassVar[str] = "Listening and TLS"

    listen: tuple[str, ...] = option(
        "tcp:3000",
        Parser(words.read, "ENDPOINT"),
        "Where to listen, as a Twisted endpoint string: tcp:3000, tcp:8080:interface=127.0.0.1, "
        "tcp6:3000, unix:/run/relay.sock, or systemd:name=relay for sockets that systemd passes on "
        "(FileDescriptorName=; or index=0). tls:tcp:443 speaks TLS, over any endpoint; it needs "
        "--tls-cert. proxy:tcp:3000 and proxy:tls:tcp:443 take connections from --trusted-proxy "
        "only, each of which has to begin with a header of the PROXY protocol, v1 or v2. Repeat "
        "the option for more endpoints; the variable has spaces between them",
    )
    trusted_proxy: TrustedProxies = option(
        NONE,
        or_none(Parser(TrustedProxies.parse, "NETWORKS"), NOBODY),
        "Load balancers and proxies in front of the relay: addresses or networks such as "
        "10.0.0.0/8, with commas or spaces between them; unix is any client of a UNIX socket. "
        "The relay believes X-Forwarded-For from them only, and only what they have added to it. "
        "Only they may use proxy: endpoints",
    )
    public_url: str = option(
        "",
        base_url,
        "How phones reach this relay over HTTP, such as https://relay.example.com, or the CDN in "
        "front of it. The URL in bundle_available begins with it; without it that URL is a path",
    )
    tls_cert: Path | None = option(
        NONE,
        file_path,
        "Certificate of the tls: endpoints: a PEM file that has the intermediate certificates "
        "too, such as certbot's fullchain.pem. The relay loads a renewed certificate without a "
        "restart, when the file changes or at a SIGHUP",
    )
    tls_key: Path | None = option(
        NONE,
        file_path,
        "PEM file of the certificate's private key, such as certbot's privkey.pem. none: the key "
        "is in the file of --tls-cert",
    )
    """None where it is in the file of the certificate."""
    tls_look: float = option(
        "60s",
        duration(1, 86400),
        "Interval at which the relay looks whether the certificate's files have changed",
        tune=True,
    )
    subprotocol: tuple[str, ...] = option(
        "apptuner",
        Parser(read_subprotocols, "NAMES"),
        "WebSocket subprotocols that the relay agrees to, with commas or spaces between them. A "
        "client that offers only others gets the first that it offers",
    )
    compression: bool = option(
        "on",
        switch,
        "Whether to negotiate permessage-deflate. The relay forwards compressed messages as they "
        "are",
    )
    handshake_timeout: float = option(
        "10s",
        duration(0.1, 300),
        "Drop a connection whose HTTP request is not complete within this time, or whose PROXY "
        "header and TLS handshake together are not",
    )
    http_keep_alive: float = option(
        "75s",
        duration(1, 3600),
        "Keep an idle HTTP connection open for this time. A load balancer must close its own idle "
        "connections sooner: a request on one that the relay is closing is lost",
    )
    header_limit: int = option(
        "16KiB",
        size(KIB, 64 * KIB),
        "Refuse (431) a request whose request line and header fields are larger",
        tune=True,
    )
