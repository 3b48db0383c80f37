"""Reads what an option may have beside sizes, times and counts: words, shares, directories, URLs
and secrets.

Every function takes text and returns a value. What it raises is a ValueError whose text goes on
after the option's name and never shows the value.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

NONE = "none"
"""How one says that there is no URL or token."""

T = TypeVar("T")

_TOKEN = re.compile(r"[!-~]{8,256}")


def choice(*words: str) -> Callable[[str], str]:
    """Reads one of ``words``, in any case."""

    def parse(text: str) -> str:
        if text.strip().lower() not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return text.strip().lower()

    return parse


def share(text: str) -> float:
    """``80%`` is 0.8."""
    match = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]+)?)\s*%", text.strip())
    if not match or not 1 <= float(match[1]) <= 100:
        raise ValueError("must be a percentage, 1% to 100%")
    return float(match[1]) / 100


def directory(text: str) -> str:
    """An absolute path, ``auto`` or ``off``."""
    if text in ("auto", "off"):
        return text
    if not text.strip() or "\0" in text:
        raise ValueError("must be a directory, auto or off")
    # A daemon goes elsewhere before it opens anything.
    return os.path.abspath(os.path.expanduser(text))


def or_none(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    """Reads what ``parse`` does; nothing and ``none`` are None."""

    def parse_or_none(text: str) -> T | None:
        return None if text.strip() in ("", NONE) else parse(text.strip())

    return parse_or_none


def file_path(text: str) -> Path:
    """The path of a file, absolute from here on."""
    if "\0" in text:
        raise ValueError("must be the path of a file")
    # A daemon goes elsewhere before it opens anything.
    return Path(os.path.abspath(os.path.expanduser(text)))


def web_url(text: str) -> str | None:
    """An http or https URL, as it is; None for nothing or ``none``."""
    text = text.strip()
    if text in ("", NONE):
        return None
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be a URL that begins with http:// or https://")
    return text


def token(text: str) -> str | None:
    """A secret, or what is in ``@FILE``; None for nothing or ``none``."""
    if text.strip() in ("", NONE):
        return None
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
