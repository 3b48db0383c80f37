"""The JSON messages of the wire: builds the relay's own, and reads the envelope of those it
forwards.

The relay reads as little of a message as it can: its ``type`` and the device it is for, both from
the message's first bytes. It never parses a bundle.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import NamedTuple

from apptuner_relay.wire.text import parse_json

HEAD_BYTES = 512
"""How many bytes of a message are read: ``type`` and ``targetDeviceId`` behind them do not
count."""

BUNDLE_TYPES = frozenset({"bundle_update", "bundle_start", "bundle_chunk"})
"""The messages of the desktop side that may be sent while no phone is connected."""

_BUNDLE_PREFIX = "bundle"

BUNDLE_WANTED = "bundle_wanted"
"""Of whoever can't apply a patch: a phone, or the relay. The bundle is to come whole."""

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_PING_START = b'{"type":"ping"'
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
    """The top-level ``targetDeviceId``; None if the message is for all phones."""


class NotAnObject(ValueError):
    """A text message is visibly not a JSON object. The text of the error tells its sender why."""


_EVERYBODY = Envelope(None, None)


def sniff(head: bytes, complete: bool) -> Envelope:
    """Read the envelope of a text message.

    Messages of real clients start with ``{"type":"``, and such a start is trusted. Any other head
    is parsed; one that is cut off, token by token. If a key stands twice, the first one counts.

    :param head: the message's first bytes, at most `HEAD_BYTES`.
    :param complete: whether they are all of it.
    :raises NotAnObject: the message is not JSON, or not a JSON object, as far as the head shows.
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


def may_change_code(kind: str | None, complete: bool) -> bool:
    """Whether a message of the desktop side may change what phones run, in a way that the relay
    doesn't know: another kind of bundle, or a message whose type doesn't stand in its head.

    :param complete: whether the head is all of the message.
    """
    if kind is None:
        return not complete
    return kind.startswith(_BUNDLE_PREFIX) and kind not in BUNDLE_TYPES


def usual_start(text: bytes) -> bytes:
    """The first bytes of a message, up to the end of its ``type``, if it begins as the messages of
    real clients do; else nothing."""
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
    """The ``payload.level`` of the ``console_log`` that begins with ``head``; None if the head
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
    """The strings in ``head`` that are values in objects, each with its path: the keys that lead to
    it. An array on the path is an empty key. Keys and strings are JSON literals.

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
    """The tokens of JSON that may be cut off, each as ``(string, punctuation)`` of which one is
    empty; both are for a number, ``true``, ``false`` or ``null``.

    :raises NotAnObject: there is a token that JSON does not have.
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
    return _encode(value).encode("utf-8", "backslashreplace")


def http_refusal(status: int, text: str, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """A complete HTTP response that refuses a request with a JSON body and ends the connection."""
    body = compact_json({"error": text})
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Refused"
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


def connected(
    session_hash: str, role: str, now_ms: int, claimed: bool = False, patches: bool = False
) -> bytes:
    """The welcome.

    :param session_hash: the hex SHA-256 of the session id.
    :param claimed: whether the session is claimed with the secret that this client has shown.
    :param patches: whether this client may send patches.
    """
    more = ',"claimed":true' if claimed else ""
    if patches:
        more += ',"patch":true'
    said = f'"sessionId":"{session_hash}","clientType":"{role}"{more}'
    return f'{{"type":"connected",{said},"timestamp":{now_ms}}}'.encode()


def is_ping(text: bytes | bytearray) -> bool:
    """Whether a whole message is a ``ping``, as real clients write it, without a target."""
    return text.startswith(_PING_START) and _TARGET_KEY not in text


def pong(now_ms: int) -> bytes:
    """The answer to a ``ping``."""
    return b'{"type":"pong","timestamp":%d}' % now_ms


def error(text: str, now_ms: int) -> bytes:
    """Tells a client what was wrong with its message."""
    return _build(type="error", error=text, timestamp=now_ms)


def console_warning(text: str, now_ms: int) -> bytes:
    """A line of the relay itself among a phone's console logs."""
    payload = {"level": "warn", "args": [text], "timestamp": now_ms}
    return _build(type="console_log", payload=payload)


def event(name: str, now_ms: int) -> bytes:
    """``cli_disconnected``, ``desktop_connected`` or ``desktop_disconnected``."""
    return f'{{"type":"{name}","timestamp":{now_ms}}}'.encode()


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
    """Instead of a bundle, for a phone that has its code already. ``sha256`` is the code's, in
    hex."""
    return _build(type="bundle_unchanged", sha256=sha256, timestamp=now_ms)


def bundle_id(sha256: str, units: int, now_ms: int) -> bytes:
    """The label of a bundle that a phone has got whole: the hex SHA-256 of its code, and how many
    UTF-16 code units that has."""
    return _build(type="bundle_id", sha256=sha256, units=units, timestamp=now_ms)


def bundle_kept(sha256: str, now_ms: int) -> bytes:
    """To a CLI that may send patches: its bundle is kept, and may be patched. ``sha256`` is the
    code's, in hex."""
    return _build(type="bundle_kept", sha256=sha256, timestamp=now_ms)


def bundle_wanted(reason: str, now_ms: int) -> bytes:
    """To a client whose patch is refused: it has to send the bundle whole. ``reason`` is a
    `bundle_patch.PatchFault`."""
    return _build(type=BUNDLE_WANTED, reason=reason, timestamp=now_ms)


def bundle_available(url: str, sha256: str, size: int, now_ms: int) -> bytes:
    """Instead of a bundle, for a phone that downloads it. ``sha256`` (hex) and ``size`` (bytes) are
    the code's."""
    return _build(type="bundle_available", url=url, sha256=sha256, size=size, timestamp=now_ms)
