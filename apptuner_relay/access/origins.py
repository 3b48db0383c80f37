"""Which web pages may connect: the Origin that a browser sends (RFC 6454 §7), and the operator's
list. Pure.

Only browsers have web pages: a request without Origin is another program's, and another program
could send whichever Origin it likes. So this keeps pages from using a browser that is in the same
network as the relay, or is open on a developer's desk; it keeps no program out.
"""

import re
from collections.abc import Sequence

from apptuner_relay.access.authority import read_authority

ANY = "any"
NULL = "null"
"""The origin of pages that have none to name, such as files."""
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\*\.)?([^/\s@?#*]+)", re.ASCII)
_FILE = "file:"
"""What Chromium and WebViews send for a page that is a file; others send null."""
DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}


class Origins:
    """The origins that are allowed; all, if none are named."""

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self.allowed = tuple(allowed)
        self._exact = {origin for origin in allowed if "*" not in origin}
        self._suffixes = [origin.partition("*") for origin in allowed if "*" in origin]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Origins) and self.allowed == other.allowed

    def __hash__(self) -> int:
        return hash(self.allowed)

    @classmethod
    def parse(cls, text: str) -> "Origins":
        """Read origins such as ``https://dashboard.example.com``, ``https://*.example.com`` (every
        name below), ``null`` or ``file://`` (pages that are files, both of them), with commas or
        spaces between them; ``any`` or nothing for all.

        :raises ValueError: it is something else. The text goes on after the option's name.
        """
        words = text.replace(",", " ").split()
        if not words or words == [ANY]:
            return ALL
        return cls([_read(word) for word in words])

    def allow(self, origin: str | None) -> bool:
        """Whether a request with this Origin may come in; None for one that has none. Where any
        may, it doesn't matter what it looks like."""
        if origin is None or not self.allowed:
            return True
        # An IPv6 address without brackets may be read in two ways. Browsers put it into brackets,
        # and a program may say what it likes, so either will do.
        return any(map(self._allows, _readings(origin.strip())))

    def _allows(self, normal: str) -> bool:
        if normal in self._exact:
            return True
        return "*" not in normal and any(
            normal.startswith(scheme) and normal.endswith(rest) and len(normal) > len(scheme + rest)
            for scheme, _, rest in self._suffixes
        )


ALL = Origins()


def _read(text: str) -> str:
    for normal in _readings(text):
        return normal
    raise ValueError(
        "must be origins such as https://dashboard.example.com or https://*.example.com, "
        "without a path; null; or any"
    )


def _readings(text: str) -> list[str]:
    """What an origin may mean, the likeliest first: in lower case, without a port that goes without
    saying."""
    lower = text.lower()
    if lower == NULL or lower.startswith(_FILE):
        return [NULL]
    match = _ORIGIN.fullmatch(lower)
    if match is None:
        return []
    scheme, star, authority = match.groups()
    default = DEFAULT_PORTS.get(scheme)
    return [
        f"{scheme}://{star or ''}{host}{'' if port in ('', default) else ':' + port}"
        for host, port in read_authority(authority)
    ]
