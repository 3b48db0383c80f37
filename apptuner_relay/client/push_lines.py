"""How a push is told of: `9.3 MB in 0.21 s · Pixel 9 acknowledged after 0.48 s`. Pure.

Seconds count from the first byte that was sent, and of a save from the moment it was noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from apptuner_relay.client.amounts import data

MAX_ERROR_CHARACTERS = 2000
"""Of what a phone says went wrong; a stack can be long."""
MOST_NAMED = 3
"""Of phones in one line; of more, only the number is told."""
_DOT, _PLAIN_DOT = " · ", " - "


def dot(can_show: Callable[[str], bool]) -> str:
    """What stands between the parts of a line, of characters that can be shown."""
    return _DOT if can_show(_DOT) else _PLAIN_DOT


def sent(size_bytes: int, seconds: float) -> str:
    """So much was sent, in that time."""
    return f"{data(size_bytes)} in {seconds:.2f} s"


def acknowledged(who: str, seconds: float) -> str:
    """A phone took it."""
    return f"{who} acknowledged after {seconds:.2f} s"


def all_acknowledged(answers: Sequence[tuple[str, float]]) -> list[str]:
    """Phones that took it, each with its seconds, in the order in which they said so: the parts of
    a line."""
    if len(answers) <= MOST_NAMED:
        return [acknowledged(who, seconds) for who, seconds in answers]
    last = max(seconds for _, seconds in answers)
    return [f"{len(answers)} phones acknowledged, the last after {last:.2f} s"]


def failed(who: str, seconds: float, error: str) -> str:
    """A phone could not take it, and said why; that is untrusted."""
    text = error.strip() or "it does not say why"
    if len(text) > MAX_ERROR_CHARACTERS:
        more = len(text) - MAX_ERROR_CHARACTERS
        text = f"{text[:MAX_ERROR_CHARACTERS]} … ({more:,} more characters)"
    return f"{who} failed after {seconds:.2f} s: {text}"


def phones(number: int) -> str:
    """So many phones of which nothing else is known."""
    return "a phone" if number == 1 else f"{number} phones"
