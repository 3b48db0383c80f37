"""The URL with which a phone joins a session, and its QR code. Where the relay was asked by an
address that only its own machine has, it looks for one that phones have as well.
"""

import re
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from apptuner_relay.support.lan_address import is_loopback

_BASE = re.compile(r"(?:http|ws)s?://[A-Za-z0-9.:\[\]_-]+(?:/[A-Za-z0-9._~%/-]*)?", re.IGNORECASE)
_MOST_BASE_CHARACTERS = 256
_SOCKET_SCHEMES = {"http": "ws", "https": "wss"}
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}
_BORDER_MODULES = 4
"""The quiet zone of ISO/IEC 18004."""


class Reach(Enum):
    """How the address in a link was found."""

    ASKED = "asked"
    """It is the one that the relay was asked by."""
    PUBLIC = "public"
    """It is ``--public-url``: the relay was asked as localhost, which no phone reaches."""
    LAN = "lan"
    """It is this machine's in its network, likewise."""
    LOOPBACK = "loopback"
    """The relay was asked as localhost, and knows no better one: no phone reaches it."""


class BadBase(ValueError):
    """A text is no URL of a relay."""


class Base(NamedTuple):
    """What URLs of a relay begin with."""

    url: str
    """Scheme, host, port, and the path below which a proxy has the relay, without a slash at its
    end."""
    reach: Reach


class QrCode(NamedTuple):
    """A QR code, to be drawn by SVG's rules in a square of ``modules`` units. The border that
    readers need is part of it."""

    modules: int
    path: str
    """The ``d`` of the dark modules."""


def find_base(asked: str, public_url: str, find_lan: Callable[[int], str | None]) -> Base:
    """What the URLs for phones begin with.

    :param asked: what the URL begins with by which the relay was asked.
    :param public_url: ``--public-url``; empty where it isn't set.
    :param find_lan: this machine's address in its network, if the relay listens there on a port.
    :raises BadBase: ``asked`` is no such URL.
    """
    if len(asked) > _MOST_BASE_CHARACTERS or not _BASE.fullmatch(asked):
        raise BadBase(f"no URL of a relay: {asked[:40]!r}")
    try:
        parts = urlsplit(asked)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    except ValueError:
        raise BadBase("no host and port in it") from None
    if not host:
        raise BadBase("no host in it")
    if not is_loopback(host):
        return Base(asked.rstrip("/"), Reach.ASKED)
    if public_url:
        return Base(public_url.rstrip("/"), Reach.PUBLIC)
    lan = find_lan(port)
    if lan is None:
        return Base(asked.rstrip("/"), Reach.LOOPBACK)
    return Base(f"{parts.scheme}://{lan}:{port}{parts.path}".rstrip("/"), Reach.LAN)


def make_link(base: Base, session_id: str, token: str | None) -> str:
    """The URL with which a phone joins: with a join token, where it takes one."""
    scheme, _, rest = base.url.partition("://")
    scheme = scheme.lower()
    query = "" if token is None else f"?token={quote(token)}"
    return f"{_SOCKET_SCHEMES.get(scheme, scheme)}://{rest}/mobile/{session_id}{query}"


def make_qr_code(text: str) -> QrCode:
    """The QR code of a text. It takes some 20 ms, and 100 ms more the first time."""
    import segno

    rows = segno.make(text, error="l", micro=False).matrix
    parts = []
    for y, row in enumerate(rows, _BORDER_MODULES):
        for run in re.finditer(b"\x01+", bytes(row)):
            length = run.end() - run.start()
            parts.append(f"M{run.start() + _BORDER_MODULES} {y}h{length}v1h-{length}z")
    return QrCode(len(rows) + 2 * _BORDER_MODULES, "".join(parts))
