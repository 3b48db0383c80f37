"""What a client's handshake offers: extensions (RFC 6455 §9.1) and subprotocols (§11.3.4). Pure.

The relay refuses no client for an offer that it cannot accept. It declines that offer, and looks at
the next one. This holds for malformed offers too: without them a client loses compression, without
the connection it loses everything.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

PERMESSAGE_DEFLATE = "permessage-deflate"
FULL_WINDOW_BITS = 15
"""The LZ77 window with which messages are compressed (RFC 7692 §7.1.2), as a power of two."""

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_SPACE = r"[ \t]*"
# An element of a list ends at a comma that is not within quotes. An opening quote without a closing
# one takes the rest.
_ELEMENT = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*(?:"|\\?\Z))+', re.DOTALL)
_OFFER = re.compile(
    f"{_SPACE}({_TOKEN})((?:{_SPACE};{_SPACE}{_TOKEN}"
    f"(?:{_SPACE}={_SPACE}(?:{_TOKEN}|{_QUOTED}))?)*){_SPACE}",
    re.DOTALL,
)
_PARAMETER = re.compile(
    f";{_SPACE}({_TOKEN})(?:{_SPACE}={_SPACE}(?:({_TOKEN})|({_QUOTED})))?", re.DOTALL
)
_SUBPROTOCOL = re.compile(_TOKEN)
_WINDOW_BITS = {str(bits): bits for bits in range(8, FULL_WINDOW_BITS + 1)}
"""The values that RFC 7692 §7.1.2 allows. It allows no leading zeros."""


class Offer(NamedTuple):
    """An extension with its parameters, names in lower case. The value of a parameter without one
    is None."""

    name: str
    parameters: tuple[tuple[str, str | None], ...] = ()


class Deflate(NamedTuple):
    """An offer of permessage-deflate that the relay accepts. As a string it is such an offer."""

    says_window: bool
    """Whether it has ``server_max_window_bits``. The answer then has to have it as well."""

    def __str__(self) -> str:
        window = f"; server_max_window_bits={FULL_WINDOW_BITS}" if self.says_window else ""
        return PERMESSAGE_DEFLATE + window


def parse_offers(text: str) -> Iterator[Offer]:
    """The offers in a ``Sec-WebSocket-Extensions`` field, without malformed ones."""
    for element in _ELEMENT.findall(text):
        match = _OFFER.fullmatch(element)
        if match is not None:
            parameters = [
                (name.lower(), token or (_unquote(quoted) if quoted else None))
                for name, token, quoted in _PARAMETER.findall(match[2])
            ]
            yield Offer(match[1].lower(), tuple(parameters))


@lru_cache(maxsize=32)
def choose_deflate(text: str) -> Deflate | None:
    """The first offer of permessage-deflate in ``Sec-WebSocket-Extensions`` that the relay accepts.

    Messages that other clients compress pass through unchanged, and were compressed with the full
    window. So the relay declines an offer that limits the server's window. It accepts one that
    limits the client's own, as it inflates messages of any window. Most clients send the same few
    fields, so results are cached.
    """
    for offer in parse_offers(text):
        taken = _take(offer)
        if taken is not None:
            return taken
    return None


def parse_subprotocols(text: str) -> list[str]:
    """The names in a ``Sec-WebSocket-Protocol`` field, each once, without those that are not
    tokens."""
    if not text:
        return []
    names = (name.strip(" \t") for name in text.split(","))
    return list(dict.fromkeys(name for name in names if _SUBPROTOCOL.fullmatch(name)))


def choose_subprotocol(asked: Sequence[str], spoken: Sequence[str]) -> str | None:
    """Which subprotocol to agree to: the first of ``asked`` that is in ``spoken``, else the first
    of ``asked``; None if there is none. A browser that gets none of those it asked for fails the
    connection (WHATWG WebSockets, step "establish")."""
    if not asked:
        return None
    return next((name for name in asked if name in spoken), asked[0])


def read_subprotocols(text: str) -> tuple[str, ...]:
    """Parse the option ``--subprotocol``: names with commas or spaces between them.

    :raises ValueError: it is something else. The text continues the option's name.
    """
    words = text.replace(",", " ").split()
    if not words or not all(map(_SUBPROTOCOL.fullmatch, words)):
        raise ValueError("must be names of subprotocols, such as apptuner")
    return tuple(dict.fromkeys(words))


def _take(offer: Offer) -> Deflate | None:
    """Accept an offer; None declines it. A parameter that is unknown, repeated or has a wrong value
    declines the offer (RFC 7692 §7.1)."""
    parameters = dict(offer.parameters)
    if offer.name != PERMESSAGE_DEFLATE or len(parameters) != len(offer.parameters):
        return None
    for name, value in offer.parameters:
        match name:
            case "server_no_context_takeover" | "client_no_context_takeover":
                good = value is None
            case "client_max_window_bits":
                good = value is None or value in _WINDOW_BITS
            case "server_max_window_bits":
                good = value is not None and _WINDOW_BITS.get(value) == FULL_WINDOW_BITS
            case _:
                good = False
        if not good:
            return None
    return Deflate("server_max_window_bits" in parameters)


def _unquote(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted[1:-1], flags=re.DOTALL)
