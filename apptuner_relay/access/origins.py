"""Which web pages may connect: the Origin that a browser sends (RFC 6454 §7), and the operator's
list. Pure.

Only browsers have web pages: a request without Origin is another program's, and another program
could send whichever Origin it likes. So this keeps pages from using a browser that is in the same
network as the relay, or is open on a developer's desk; it keeps no program out.
"""

import re
from collections.abc import Sequence

ANY = "any"
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\*\.)?([^/\s@?#*]+?)(?::([0-9]{1,5}))?", re.ASCII)
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}


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
        name below) or ``null`` (pages that are files), with commas or spaces between them; ``any``
        or nothing for all.

        :raises ValueError: it is something else. The text goes on after the option's name.
        """
        words = text.replace(",", " ").split()
        if not words or words == [ANY]:
            return ALL
        return cls([_read(word) for word in words])

    def allow(self, origin: str | None) -> bool:
        """Whether a request with this Origin may come in; None for one that has none."""
        if origin is None or not self.allowed:
            return True
        try:
            normal = _read(origin.strip())
        except ValueError:
            return False
        if normal in self._exact:
            return True
        return "*" not in normal and any(
            normal.startswith(scheme) and normal.endswith(rest) and len(normal) > len(scheme + rest)
            for scheme, _, rest in self._suffixes
        )


ALL = Origins()


def _read(text: str) -> str:
    """An origin in lower case and without a port that goes without saying."""
    lower = text.lower()
    if lower == "null":
        return lower
    match = _ORIGIN.fullmatch(lower)
    if match is None or int(match[4] or 1) not in range(1, 65536):
        raise ValueError(
            "must be origins such as https://dashboard.example.com or https://*.example.com, "
            "without a path; null; or any"
        )
    scheme, star, host, port = match.groups()
    shown = "" if port is None or _DEFAULT_PORTS.get(scheme) == port else f":{int(port)}"
    return f"{scheme}://{star or ''}{host}{shown}"
