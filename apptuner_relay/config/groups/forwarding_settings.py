"""Requests that the relay forwards to other HTTP servers."""

from dataclasses import dataclass
from typing import ClassVar

from apptuner_relay.config.option import option
from apptuner_relay.config.parsers import (
    NONE,
    TIB,
    Parser,
    choice,
    count,
    duration,
    or_none,
    size,
)
from apptuner_relay.config.routes import NO_ROUTES, Routes


@dataclass(frozen=True)
class ForwardingSettings:
    """Requests that the relay forwards to other HTTP servers.

    Sizes are in bytes, times in seconds.
    """

    HEADING: ClassVar[str] = "Forwarding to other HTTP servers"

    forward: Routes = option(
        NONE,
        or_none(Parser(Routes.parse, "PREFIX=URL"), NO_ROUTES),
        "Forward requests whose path begins with PREFIX to another HTTP server, unchanged: "
        "/api/=http://127.0.0.1:4000. Repeat it, or put spaces between them, for more; the "
        "longest prefix counts. The relay's own paths, such as /api/status, stay its own",
        # A URL that is refused may have a password in it.
        secret=True,
    )
    forward_host: str = option(
        "client",
        choice("client", "upstream"),
        "Which Host such a server gets: the client's, or its own name. X-Forwarded-Host is the "
        "client's",
    )
    forward_limit: int = option(
        "256MiB",
        size(0, TIB),
        "Refuse (413) to forward a request whose body is larger",
    )
    forward_timeout: float = option(
        "60s",
        duration(0.1, 86400),
        "Give up a forwarded request when nothing moves for this time: 408 when the client sends "
        "nothing of the body, 504 when the server reads nothing or answers nothing, and a cut "
        "connection when the answer stops in the middle",
    )
    forward_requests: int = option(
        "100",
        count(1, 1_000_000),
        "Requests that the relay forwards at once. It refuses more (503)",
    )
