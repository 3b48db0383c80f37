"""Which requests are forwarded to another HTTP server: the routes of ``--forward``. Pure.

A route never takes one of the relay's own paths, even if its prefix covers that path.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

OWN: dict[bytes, frozenset[bytes] | None] = {
    b"": frozenset(),
    **dict.fromkeys((b"cli", b"dashboard", b"desktop", b"mobile", b"peer", b"bundles"), None),
    **dict.fromkeys((b"health", b"ready", b"live", b"metrics", b"static"), None),
    b"api": frozenset(
        (
            *(b"status", b"events", b"sessions", b"nodes", b"login", b"logout"),
            *(b"claims", b"drain", b"block", b"log-level"),
        )
    ),
    **dict.fromkeys((b"s", b"advice"), frozenset((b"",))),
    b"session": frozenset((b"state", b"replay", b"qr")),
}
"""The first segments of the relay's own paths, each with the second segments that are the relay's:
an empty one for the path without any, too. None for all of them."""

_PREFIX = re.compile(r"/[!$%&'()*+,\-./0-9:;=@A-Z_a-z~]*", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9.\-]+|\[[0-9a-fA-F:.]+\]")


class Route(NamedTuple):
    """A prefix of paths, and the server that their requests are forwarded to."""

    prefix: str
    upstream: str
    """Scheme, host and port: ``http://127.0.0.1:4000``. The path of a request stays as it is."""

    def covers(self, path: bytes) -> bool:
        """Whether the path has the prefix. A prefix without a slash at its end covers that path
        itself and all below it: ``/api`` covers ``/api`` and ``/api/x``, but not ``/apix``."""
        prefix = self.prefix.encode("ascii")
        if prefix.endswith(b"/"):
            return path.startswith(prefix)
        return path == prefix or path.startswith(prefix + b"/")


class Routes:
    """All routes."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self.routes = tuple(sorted(routes, key=lambda route: len(route.prefix), reverse=True))

    def __bool__(self) -> bool:
        return bool(self.routes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Routes) and self.routes == other.routes

    def __hash__(self) -> int:
        return hash(self.routes)

    def find(self, target: bytes) -> Route | None:
        """The route for a request's target: of those that cover its path, the one with the longest
        prefix. None if there is none, or the path is the relay's own."""
        path = origin_form(target).partition(b"?")[0]
        if is_own(path):
            return None
        return next((route for route in self.routes if route.covers(path)), None)

    @classmethod
    def parse(cls, text: str) -> "Routes":
        """Parse the option ``--forward``: ``/api/=http://127.0.0.1:4000``, several with spaces
        between them; ``none`` or nothing for no route.

        :raises ValueError: it is something else. The text continues the option's name.
        """
        words = text.split()
        routes = [] if words == ["none"] else [_read(word) for word in words]
        if len({route.prefix for route in routes}) < len(routes):
            raise ValueError("must have each prefix once")
        return cls(routes)


NO_ROUTES = Routes()


def origin_form(target: bytes) -> bytes:
    """``/path?query`` of a target that may be ``http://host/path?query``, as clients of a proxy
    send (RFC 9112 §3.2.2)."""
    match = re.match(rb"https?://[^/?#]*", target, re.IGNORECASE)
    if match is None:
        return target
    rest = target[match.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest


def is_own(path: bytes) -> bool:
    """Whether the path is the relay's own. It is compared as the relay's site resolves it: segment
    by segment, percent-decoded."""
    first, *rest = (unquote_to_bytes(part) for part in path.removeprefix(b"/").split(b"/"))
    seconds = OWN.get(first, frozenset[bytes]())
    if seconds is None:
        return True
    if not first:
        return not rest
    return (rest[0] if rest else b"") in seconds


def _read(word: str) -> Route:
    prefix, equals, upstream = word.partition("=")
    if not equals or not _PREFIX.fullmatch(prefix):
        raise ValueError("must be PREFIX=URL, such as /api/=http://127.0.0.1:4000")
    if prefix != "/" and is_own(prefix.encode()):
        raise ValueError(f"{prefix} is the relay's own")
    try:
        parts = urlsplit(upstream)
        good = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        good = False
    if not good or not _HOST.fullmatch(_host(parts.netloc)):
        raise ValueError(f"{prefix} must have a URL such as http://127.0.0.1:4000 behind its =")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"{prefix} must have a URL without a path: a request's goes on as it is")
    return Route(prefix, f"{parts.scheme}://{parts.netloc}")


def _host(netloc: str) -> str:
    return re.sub(r":[0-9]+\Z", "", netloc)
