"""The vocabulary of the wire: builds what the relay says, sniffs what it forwards.

The relay interprets as little as it can: the ``type`` of a message and the device that it is for,
both read from the message's first bytes. It never parses a bundle.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import NamedTuple

from apptuner_relay.wire.text import parse_json

HEAD_BYTES = 512
"""How much of a message is looked at: ``type`` and ``targetDeviceId`` count only in here."""

BUNDLE_TYPES = frozenset({"bundle_update", "bundle_start", "bundle_chunk"})
"""Desktop-side messages that may come while no phone is connected."""

_USUAL_START = b'{"type":"'
_TARGET_KEY = b'"targetDeviceId"'
_USUAL_LEVEL = re.compile(rb'{"type":"console_log","payload":{"level":"([a-z]{1,16})"')
_LEVEL_PATH = (b'"payload"', b'"level"')
_SPACE = b" \t\r\n"
_TOKEN = re.compile(
    rb'[ \t\r\n]*+(?:("(?:[^"\\]|\\.)*+")|([{}\[\]:,])|([^ \t\r\n"{}\[\]:,]++))', re.DOTALL
)
_WORD = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?|true|false|null")


class Envelope(NamedTuple):
    """What the relay knows of a message that it forwards."""

    type: str | None
    """The top-level ``type``; None where the head shows none."""
    target: str | None
    """The top-level ``targetDeviceId``; None for everybody."""


class NotAnObject(ValueError):
    """A text message that visibly is no JSON object; its text says why, for the sender."""


_EVERYBODY = Envelope(None, None)


def sniff(head: bytes, complete: bool) -> Envelope:
    """Read the envelope of a text message.

    ``head`` is its first bytes, at most `HEAD_BYTES` of them; ``complete`` tells that there is no
    more of it. What real clients send starts with ``{"type":"``, and that much is believed; any
    other head is parsed, one that is cut off as far as its words and marks go. Where a key stands
    twice, the first one counts.

    :raises NotAnObject: the message is not JSON, or JSON but no object, as far as the head shows.
    """
    if head.startswith(_USUAL_START) and _TARGET_KEY not in head:
        end = head.find(b'"', len(_USUAL_START))
        name = head[len(_USUAL_START) : end]
        if end > 0 and b"\\" not in name:
            return Envelope(name.decode("utf-8", "replace"), None)
    if complete:
        _check_object(head)
    elif not head.lstrip(_SPACE).startswith(b"{"):
        raise NotAnObject("Invalid JSON: a message is a JSON object")
    fields = _top_level_strings(head, (b'"type"', _TARGET_KEY))
    if not fields:
        return _EVERYBODY
    return Envelope(fields.get(b'"type"'), fields.get(_TARGET_KEY))


def usual_start(text: bytes) -> bytes:
    """The first bytes of a message, up to the end of its ``type``, where it begins as what real
    clients send does; else nothing."""
    if not text.startswith(_USUAL_START):
        return b""
    start = text[: text.find(b'"', len(_USUAL_START)) + 1]
    return b"" if b"\\" in start else start


def _check_object(text: bytes) -> None:
    try:
        value = parse_json(text)
    except ValueError:
        raise NotAnObject("Invalid JSON") from None
    if not isinstance(value, dict):
        raise NotAnObject("Invalid JSON: a message is a JSON object")


def log_level(head: bytes) -> str | None:
    """The ``payload.level`` of the ``console_log`` that begins with ``head``; None where that
    shows none."""
    usual = _USUAL_LEVEL.match(head)
    if usual is not None:
        return usual[1].decode()
    try:
        for path, string in _strings(head):
            if path == _LEVEL_PATH:
                return _text(string)
    except NotAnObject:
        pass
    return None


def _top_level_strings(head: bytes, keys: tuple[bytes, ...]) -> dict[bytes, str]:
    """The string values of ``keys`` in the object that ``head`` begins, which may be cut off."""
    found: dict[bytes, str] = {}
    for path, string in _strings(head):
        key = path[-1]
        if len(path) == 1 and key in keys and key not in found:
            found[key] = _text(string)
    return found


def _strings(head: bytes) -> Iterator[tuple[tuple[bytes, ...], bytes]]:
    """The strings that are values in objects in what ``head`` begins, each with the keys that lead
    to it, of which an array on the way is an empty one. All are literals.

    :raises NotAnObject: see `_tokens`.
    """
    path: list[bytes] = []
    key = last = b""
    for string, mark in _tokens(head):
        if mark == b":":
            key, last = last, b""
        elif string and not key:
            last = string
        else:
            if string:
                yield (*path[1:], key), string
            elif mark in (b"{", b"["):
                path.append(key)
            elif mark in (b"}", b"]") and path:
                path.pop()
            key = last = b""


def _tokens(head: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The strings and the marks of JSON that may be cut off; for any other word ``(b"", b"")``.

    :raises NotAnObject: there is a word in it that JSON doesn't have.
    """
    at = 0
    while (token := _TOKEN.match(head, at)) is not None:
        at = token.end()
        string, mark, word = token.groups(b"")
        # The last one may be cut off.
        if word and at < len(head) and not _WORD.fullmatch(word):
            raise NotAnObject("Invalid JSON")
        yield string, mark


def _text(literal: bytes) -> str:
    try:
        value = parse_json(literal)
    except ValueError:
        return ""
    return value if isinstance(value, str) else ""


def compact_json(value: object) -> bytes:
    """``value`` as JSON without spaces, in UTF-8."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace")


def http_refusal(status: int, text: str, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """A whole HTTP response that refuses a request with a JSON body, and ends the connection."""
    body = compact_json({"error": text})
    phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Refused"
    lines = [
        f"HTTP/1.1 {status} {phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _build(**fields: object) -> bytes:
    return compact_json(fields)


def connected(session_hash: str, role: str, now_ms: int, claimed: bool = False) -> bytes:
    """The welcome. ``session_hash`` is the hex SHA-256 of the session id; ``claimed`` says that the
    session is claimed, with what this client has shown."""
    more = {"claimed": True} if claimed else {}
    return _build(
        type="connected", sessionId=session_hash, clientType=role, **more, timestamp=now_ms
    )


def pong(now_ms: int) -> bytes:
    """The answer to a ``ping``."""
    return b'{"type":"pong","timestamp":%d}' % now_ms


def error(text: str, now_ms: int) -> bytes:
    """What the client at fault is told."""
    return _build(type="error", error=text, timestamp=now_ms)


def console_warning(text: str, now_ms: int) -> bytes:
    """A line of the relay's own among a phone's console logs."""
    payload = {"level": "warn", "args": [text], "timestamp": now_ms}
    return _build(type="console_log", payload=payload)


def event(name: str, now_ms: int) -> bytes:
    """``cli_disconnected``, ``desktop_connected`` or ``desktop_disconnected``."""
    return _build(type=name, timestamp=now_ms)


def mobile_connected(device: Mapping[str, object], now_ms: int) -> bytes:
    """``device`` has deviceId, deviceName and platform; the last two may be None."""
    return _build(type="mobile_connected", **device, timestamp=now_ms)


def mobile_disconnected(device: Mapping[str, object], now_ms: int) -> bytes:
    """``device`` as for `mobile_connected`."""
    return _build(type="mobile_disconnected", **device, timestamp=now_ms)


def device_list(devices: Iterable[Mapping[str, object]]) -> bytes:
    """Each of ``devices`` has deviceId, name, platform and connectedAt (ms)."""
    return _build(type="device_list", devices=list(devices))


def bundle_unchanged(sha256: str, now_ms: int) -> bytes:
    """In a bundle's place, for a phone that has its code; ``sha256`` is the code's, in hex."""
    return _build(type="bundle_unchanged", sha256=sha256, timestamp=now_ms)


def bundle_available(url: str, sha256: str, size: int, now_ms: int) -> bytes:
    """In a bundle's place, for a phone that gets it elsewhere; ``size`` in bytes, of its code."""
    return _build(type="bundle_available", url=url, sha256=sha256, size=size, timestamp=now_ms)
