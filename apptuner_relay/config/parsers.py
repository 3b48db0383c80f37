"""The parsers of options: sizes, times, counts, words, shares, paths, URLs and secrets.

A `Parser` takes a text and returns a value, or raises a ValueError. The text of that error
continues the option's name (``--max-mobiles must be …``) and never shows the value.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

NONE = "none"
OFF = "off"
"""Both words mean that something is turned off or does not exist, in any case of letters."""

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB
HOUR_S = 3600
DAY_S = 24 * HOUR_S

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
U = TypeVar("U")

_TOKEN = re.compile(r"[!-~]{8,256}")
_NUMBER = r"([0-9]{1,18}(?:\.[0-9]{1,18})?)"
_SIZE = re.compile(rf"{_NUMBER}\s*(|B|[kMGT]i?B)", re.IGNORECASE)
_SIZE_UNITS = {
    **{"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "tb": 1000**4},
    **{"kib": KIB, "mib": MIB, "gib": GIB, "tib": TIB},
}
_DURATION = re.compile(rf"{_NUMBER}\s*(|ms|s|m|h|d)", re.IGNORECASE)
_DURATION_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": HOUR_S, "d": DAY_S}


@dataclass(frozen=True)
class Parser(Generic[T_co]):
    """Parses the text of an option.

    ``metavar`` stands for the value in the help. ``accepts`` says which values are valid; it is
    empty if ``metavar`` or the option's own text says that.
    """

    read: Callable[[str], T_co]
    metavar: str
    accepts: str = ""

    def __call__(self, text: str) -> T_co:
        """Return the value of a text.

        :raises ValueError: it is not valid. The error's text continues the option's name.
        """
        return self.read(text)


def is_off(text: str) -> bool:
    """Whether the text is ``off`` or ``none``."""
    return text.strip().lower() in (OFF, NONE)


def or_off(parser: Parser[T], value: U) -> Parser[T | U]:
    """Reads what ``parser`` does, and returns ``value`` for ``off`` and ``none``."""

    def read(text: str) -> T | U:
        return value if is_off(text) else parser(text)

    return Parser(read, parser.metavar, f"{parser.accepts} or off")


def or_none(parser: Parser[T], value: U) -> Parser[T | U]:
    """Reads what ``parser`` does, and returns ``value`` for ``none``, ``off`` and nothing at
    all."""

    def read(text: str) -> T | U:
        return value if not text.strip() or is_off(text) else parser(text.strip())

    return Parser(read, parser.metavar, parser.accepts)


def or_auto(parser: Callable[[str], str], metavar: str) -> Parser[str | None]:
    """Reads what ``parser`` does; ``auto`` is None."""

    def read(text: str) -> str | None:
        return None if text.strip().lower() == "auto" else parser(text.strip())

    return Parser(read, metavar)


def size(low: int, high: int) -> Parser[int]:
    """Reads a number of bytes: ``1.5MiB``, ``50 MB``, ``2048``."""

    def read(text: str) -> int:
        match = _SIZE.fullmatch(text.strip())
        if not match:
            raise ValueError(
                "must be a number with B, kB, MB, GB, KiB, MiB or GiB behind it, such as 50MiB"
            )
        value = int(float(match[1]) * _SIZE_UNITS[match[2].lower()])
        if not low <= value <= high:
            raise ValueError(f"must be {accepts}")
        return value

    accepts = f"{show_size(low)} to {show_size(high)}"
    return Parser(read, "SIZE", accepts)


def show_size(value: int) -> str:
    """In the largest unit of which it is a multiple, as one would type it."""
    for unit, bytes_ in (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if value >= bytes_ and value % bytes_ == 0:
            return f"{value // bytes_}{unit}"
    return f"{value}B" if value else "0"


def duration(low: float, high: float) -> Parser[float]:
    """Reads a time in seconds: ``250ms``, ``1.5h``, ``7d``, ``90``."""

    def read(text: str) -> float:
        match = _DURATION.fullmatch(text.strip())
        if not match:
            raise ValueError("must be a number with ms, s, m, h or d behind it, such as 30s")
        value = float(match[1]) * _DURATION_UNITS[match[2].lower()]
        if not low <= value <= high:
            raise ValueError(f"must be {accepts}")
        return value

    accepts = f"{show_time(low)} to {show_time(high)}"
    return Parser(read, "TIME", accepts)


def show_time(seconds: float) -> str:
    """In the largest unit of which it is a multiple, as one would type it."""
    for unit, length in (("d", DAY_S), ("h", HOUR_S), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds // length:g}{unit}"
    if not seconds:
        return "0"
    return f"{seconds:.12g}s" if seconds >= 1 else f"{seconds * 1000:.12g}ms"


def count(low: int, high: int) -> Parser[int]:
    """Reads a whole number."""

    def read(text: str) -> int:
        text = text.strip()
        if not re.fullmatch(r"[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number, {low} to {high}")
        return int(text)

    return Parser(read, "NUMBER", f"{low} to {high}")


def limit(high: int) -> Parser[int]:
    """Reads how many there may be at most; 0, which ``off`` is too, is for any number."""
    return Parser(or_off(count(0, high), 0).read, "NUMBER", f"1 to {high}; 0 or off: no limit")


def _share(text: str) -> float:
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]+)?)\s*%", text.strip())
    if not match or not 1 <= float(match[1]) <= 100:
        raise ValueError("must be a percentage, 1% to 100%")
    return float(match[1]) / 100


def choice(*words: str) -> Parser[str]:
    """Reads one of ``words``, in any case of letters."""

    def read(text: str) -> str:
        if text.strip().lower() not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return text.strip().lower()

    return Parser(read, "|".join(words))


def _switch(text: str) -> bool:
    if is_off(text):
        return False
    if text.strip().lower() != "on":
        raise ValueError("must be on or off")
    return True


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _spool_directory(text: str) -> str | None:
    if is_off(text):
        return None
    if not os.path.isabs(text):
        raise ValueError("must be an absolute path, or off")
    return os.path.normpath(text)


def _state_directory(text: str) -> str:
    word = OFF if is_off(text) else text.strip().lower()
    if word in ("auto", OFF):
        return word
    if not word or "\0" in text:
        raise ValueError("must be a directory, auto or off")
    return os.path.abspath(os.path.expanduser(text))


def _file(text: str) -> Path:
    if "\0" in text:
        raise ValueError("must be the path of a file")
    return Path(os.path.abspath(os.path.expanduser(text)))


def _base_url(text: str) -> str:
    url = text.strip().rstrip("/")
    if not re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+(/[A-Za-z0-9._~/\-]*)?", url):
        raise ValueError("must be a URL such as https://relay.example.com")
    return url


def _web_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be a URL that begins with http:// or https://")
    return text


def _token(text: str) -> str:
    if text.startswith("@"):
        try:
            text = Path(text[1:]).expanduser().read_text("utf-8")
        except (OSError, ValueError, RuntimeError) as wrong:
            why = getattr(wrong, "strerror", None) or "it can't be read as text"
            raise ValueError(f"the token's file: {why}") from None
        text = text.strip("\r\n")
    if not _TOKEN.fullmatch(text):
        raise ValueError(
            "must be 8 to 256 visible ASCII characters, without spaces; or @FILE, which holds them"
        )
    return text


_MEMORY = size(16 * MIB, 16 * TIB)


def _memory_limit(text: str) -> int | None:
    if text.strip().lower() == "cgroup":
        return None
    return 0 if is_off(text) or text.strip() == "0" else _MEMORY(text)


switch = Parser(_switch, "on|off")
words = Parser(_words, "TEXT")
"""Reads words with spaces between them."""
share = Parser(_share, "PERCENT", "1% to 100%")
"""``80%`` is 0.8."""
spool_directory = Parser(_spool_directory, "DIRECTORY", "an absolute path or off")
"""None is for ``off``."""
# A daemon changes its directory before it opens anything, so paths are made absolute here.
state_directory = Parser(_state_directory, "DIRECTORY", "a path, auto or off")
"""Returns an absolute path, ``auto`` or ``off``."""
file_path = or_none(Parser(_file, "FILE"), None)
base_url = or_none(Parser(_base_url, "URL"), "")
web_url = or_none(Parser(_web_url, "URL"), None)
token = or_none(Parser(_token, "TOKEN"), None)
"""Reads a secret, or ``@FILE``, which holds it."""
memory_limit = Parser(_memory_limit, "SIZE", f"{_MEMORY.accepts}, cgroup or off")
"""None is for ``cgroup``, and 0 for no limit."""
