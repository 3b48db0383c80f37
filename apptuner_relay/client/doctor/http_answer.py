"""HTTP answers, read from bytes, whatever has sent them. Pure.

Not a client of Twisted's: a doctor has to say what came that is no HTTP at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_ANSWER_BYTES = 256 * 1024
"""Of an answer; what is beyond is not read."""

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: ([^\r\n]*))?")
_NO_BODY = (204, 304)


class NoHttpError(Exception):
    """What came is no HTTP/1 answer. The text names what it seems to be."""


@dataclass(frozen=True)
class HttpAnswer:
    """An answer, with the body as far as it came."""

    status: int
    phrase: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    """By names in lower case; several of one name are put together with commas."""
    body: bytes = b""

    @property
    def json(self) -> dict[str, object] | None:
        """The JSON object in the body, if there is one."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    @property
    def error(self) -> str:
        """The `error` that a relay's answer has; nothing where there is none."""
        text = (self.json or {}).get("error")
        return text if isinstance(text, str) else ""


def read_answer(data: bytes, *, at_end: bool, head_only: bool = False) -> HttpAnswer | None:
    """The answer that `data` has in it; None while there is more to come.

    :param at_end: nothing will follow.
    :param head_only: it has no body, whatever its fields say: that to HEAD, and 101.
    :raises NoHttpError: it is none.
    """
    head, separator, rest = data.partition(b"\r\n\r\n")
    if not data.startswith(b"HTTP/1."[: len(data)]) or (at_end and not data):
        raise NoHttpError(name_of_other(data))
    if not separator:
        if not at_end and len(data) < MAX_ANSWER_BYTES:
            return None
        raise NoHttpError("an HTTP answer that was cut short")
    first, *lines = head.split(b"\r\n")
    matched = _STATUS.fullmatch(first)
    if matched is None:
        raise NoHttpError(name_of_other(data))
    status, phrase = int(matched[1]), (matched[2] or b"").decode("latin-1").strip()
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.decode("latin-1").partition(":")
        key, text = name.strip().lower(), value.strip()
        fields[key] = f"{fields[key]}, {text}" if key in fields else text
    if head_only or status in _NO_BODY or 100 <= status < 200:
        return HttpAnswer(status, phrase, fields)
    if "chunked" in fields.get("transfer-encoding", "").lower():
        body, whole = _without_chunks(rest)
    else:
        length = fields.get("content-length", "")
        wanted = int(length) if re.fullmatch(r"\d{1,12}", length) else None
        body = rest if wanted is None else rest[:wanted]
        whole = wanted is not None and len(rest) >= wanted
    if whole or at_end or len(data) >= MAX_ANSWER_BYTES:
        return HttpAnswer(status, phrase, fields, body)
    return None


def _without_chunks(data: bytes) -> tuple[bytes, bool]:
    """A chunked body (RFC 9112 §7.1) as far as it came, and whether that is all."""
    body, at = b"", 0
    while True:
        end = data.find(b"\r\n", at)
        size = re.match(rb"[0-9A-Fa-f]{1,8}", data[at:end]) if end >= 0 else None
        if size is None:
            return body, False
        length = int(size[0], 16)
        if not length:
            return body, True
        body += data[end + 2 : end + 2 + length]
        at = end + 2 + length + 2
        if at > len(data):
            return body, False


def name_of_other(data: bytes) -> str:
    """What begins in another way than HTTP/1 does."""
    if not data:
        return "nothing at all"
    if data[:1] in (b"\x15", b"\x16") and data[1:2] == b"\x03":
        return "TLS"
    if data[3:4] == b"\x04" and len(data) >= 9 and data[5:9] == b"\0\0\0\0":
        return "HTTP/2"
    for beginning, name in (
        (b"SSH-", "an SSH server"),
        (b"220", "a mail or FTP server"),
        (b"-ERR", "Redis"),
        (b"-NOAUTH", "Redis"),
        (b"-DENIED", "Redis"),
        (b"HTTP/", "HTTP of another version"),
        (b"* OK", "a mail server"),
    ):
        if data.startswith(beginning):
            return name
    return "something that is not HTTP"
