"""Which web pages may connect: compares a browser's Origin (RFC 6454 §7) with the operator's list.
Pure.

A request without Origin is not a browser's, and a program other than a browser may send any Origin.
So the list does not keep programs out. It keeps foreign web pages from reaching the relay through a
browser in its network, such as a developer's.
"""

import re
from collections.abc import Sequence

from apptuner_relay.config.authority import read_authority

ANY = "any"
NULL = "null"
"""The origin of pages without one, such as files."""
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\*\.)?([^/\s@?#*]+)", re.ASCII)
_FILE = "file:"
"""The scheme that Chromium and WebViews send for a page that is a file. Others send null."""
DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}


class Origins:
    """The origins that are allowed; without any, all are."""

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
        """Parse the option ``--allowed-origin``: origins such as ``https://dashboard.example.com``,
        ``https://*.example.com`` (every name below) and ``null`` or ``file://`` (pages that are
        files), with commas or spaces between them. ``any``, or no origin, allows all.

        :raises ValueError: it is something else. The text continues the option's name.
        """
        words = text.replace(",", " ").split()
        if not words or words == [ANY]:
            return ALL
        return cls([_read(word) for word in words])

    def allow(self, origin: str | None) -> bool:
        """Whether a request with this Origin is allowed; None is for a request without one. If all
        origins are, a malformed one is too."""
        if origin is None or not self.allowed:
            return True
        # An IPv6 address without brackets has two readings. Either may match: browsers write
        # brackets, and other programs may send any Origin.
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
    """The readings of an origin, the most likely one first: in lower case, and without a port that
    is the scheme's default."""
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
