"""What a client's handshake offers: extensions (RFC 6455 §9.1) and subprotocols (§11.3.4). Pure.

An offer that can't be taken is no reason to refuse a client: it is declined, and the next one is
looked at. That goes for offers that are malformed, too, as what is lost with them is compression,
and with the connection everything.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

PERMESSAGE_DEFLATE = "permessage-deflate"
FULL_WINDOW_BITS = 15
"""The LZ77 window that messages are compressed with (RFC 7692 §7.1.2), as a power of two."""

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_SPACE = r"[ \t]*"
# A list's element ends at a comma, but for one within quotes. Quotes that nobody ends take the
# rest.
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
"""The values that RFC 7692 §7.1.2 allows: without leading zeros."""


class Offer(NamedTuple):
    """An extension with its parameters, names in lower case; a parameter without a value has
    None."""

    name: str
    parameters: tuple[tuple[str, str | None], ...] = ()


class Deflate(NamedTuple):
    """An offer of permessage-deflate that can be taken."""

    says_window: bool
    """Whether it names the window of what it is sent, and the answer has to as well."""

    def __str__(self) -> str:
        window = f"; server_max_window_bits={FULL_WINDOW_BITS}" if self.says_window else ""
        return PERMESSAGE_DEFLATE + window


def parse_offers(text: str) -> Iterator[Offer]:
    """The offers in ``Sec-WebSocket-Extensions``, without those that are malformed."""
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
    """The first offer of permessage-deflate in ``Sec-WebSocket-Extensions`` that can be taken.

    What other clients compress passes on as it is, and was made with the full window. So an offer
    that asks for a smaller one of what it is sent can't be taken. One that says how small its own
    window is can: any is inflated here. Clients offer much the same, so answers are remembered.
    """
    for offer in parse_offers(text):
        taken = _take(offer)
        if taken is not None:
            return taken
    return None


def parse_subprotocols(text: str) -> list[str]:
    """The names in ``Sec-WebSocket-Protocol``, each once, without those that are no tokens."""
    names = (name.strip(" \t") for name in text.split(","))
    return list(dict.fromkeys(name for name in names if _SUBPROTOCOL.fullmatch(name)))


def choose_subprotocol(asked: Sequence[str], spoken: Sequence[str]) -> str | None:
    """Which to answer: the first that is asked for and spoken, else the first that is asked for.
    Without an answer a browser fails the connection (WHATWG WebSockets, step "establish")."""
    return next((name for name in asked if name in spoken), next(iter(asked), None))


def read_subprotocols(text: str) -> tuple[str, ...]:
    """Read an option: names with commas or spaces between them.

    :raises ValueError: they are something else. The text goes on after the option's name.
    """
    words = text.replace(",", " ").split()
    if not words or not all(map(_SUBPROTOCOL.fullmatch, words)):
        raise ValueError("must be names of subprotocols, such as apptuner")
    return tuple(dict.fromkeys(words))


def _take(offer: Offer) -> Deflate | None:
    """RFC 7692 §7.1: a parameter that is unknown, repeated or of a wrong value declines it."""
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
