"""Who may connect, and who may see what is the operator's."""

from dataclasses import dataclass
from typing import ClassVar

from apptuner_relay.config.option import option
from apptuner_relay.config.origins import ANY, Origins
from apptuner_relay.config.parsers import NONE, Parser, choice, duration, limit, switch, token


@dataclass(frozen=True)
class AccessSettings:
    """Who may connect, and who may see what is the operator's.

    Times are in seconds. Of the limits, 0 is for none.
    """

    HEADING: ClassVar[str] = "Who may connect"

    claims: bool = option(
        "on",
        switch,
        "Whether sessions can be claimed. The first CLI, dashboard or desktop that shows a secret "
        "claims its session: from then on only clients with that secret may take these roles",
    )
    claim_ttl: float = option(
        "7d",
        duration(60, 366 * 86400),
        "Forget a claim when no client with its secret was connected for this time. The relay "
        "keeps claims in --redis, or else in --state-dir; without both, only until it stops",
    )
    allowed_origin: Origins = option(
        ANY,
        Parser(Origins.parse, "ORIGIN"),
        "Web pages that may connect as cli, dashboard or desktop: an origin such as "
        "https://dashboard.example.com or https://*.example.com, null for pages that are files, "
        "or any. Repeat it, or put spaces between them, for more. A request without Origin is not "
        "a browser's, and is let in",
    )
    connect_rate: int = option(
        "600",
        limit(1_000_000),
        "WebSocket connections that one address may open per minute, and at once. Here and below, "
        "an address is an IPv4 address or the /64 of an IPv6 address; this machine's own are not "
        "limited",
    )
    failed_joins: int = option(
        "300",
        limit(1_000_000),
        "Failed attempts of one address in 10 minutes, above which the relay refuses more: "
        "sessions without any client, and wrong secrets. Each session or secret counts once",
    )
    failed_joins_total: int = option(
        "2000",
        limit(10_000_000),
        "Failed attempts of all addresses together in 10 minutes, above which each address has "
        "only a tenth of --failed-joins",
        tune=True,
    )
    sessions_per_address: int = option(
        "1000",
        limit(1_000_000),
        "Sessions in which one address may have clients at once",
    )
    admin_token: str | None = option(
        NONE,
        token,
        "Token for the operator's pages: 8 characters or more, or @FILE, because other users of "
        "the machine can see a command line. none: only this machine may see these pages",
        secret=True,
    )
    metrics: str = option(
        "guarded",
        choice("guarded", "open"),
        "Whether /metrics needs the admin token too (guarded) or is for everybody (open)",
    )
