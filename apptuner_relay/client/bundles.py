"""Bundles as the wire carries them: cut up and built into messages, and put together again.

Pure: text and bytes in, text and bytes out. No sockets, no files, no clock.

Sizes follow JavaScript, where a "character" is a UTF-16 code unit: an emoji counts two. Sending
never cuts between the two halves of a surrogate pair. Released CLIs may; joining heals that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from apptuner_relay.wire.text import parse_json

CHUNK_UNITS = 512 * 1024
"""UTF-16 code units in a chunk, and the most that goes out as a single message."""

MAX_MESSAGE_BYTES = 52_428_800
"""The longest message, in bytes on the wire, that a relay accepts."""

MAX_JOINED_UNITS = 512 * 1024 * 1024
"""UTF-16 code units that a `bundle_start` may announce; more is a mistake or an attack."""

_HIGH_SURROGATES = ("\ud800", "\udbff")
_LOW_SURROGATES = ("\udc00", "\udfff")


class BundleError(Exception):
    """A bundle that can't be sent as asked, or that did not arrive whole."""


class Form(Enum):
    """The two ways in which a bundle travels."""

    SINGLE = "single"
    CHUNKS = "chunks"


def utf16_units(text: str) -> int:
    """The `length` that JavaScript gives for `text`."""
    if text.isascii():
        return len(text)
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def split(text: str, limit: int = CHUNK_UNITS) -> Iterator[str]:
    """Cut `text` into pieces of at most `limit` UTF-16 units, never inside a surrogate pair.

    `limit` must be 2 or more: a single unit can't hold an astral character.
    """
    if limit < 2:
        raise ValueError("a piece must have room for a surrogate pair")
    if text.isascii():
        for start in range(0, len(text), limit):
            yield text[start : start + limit]
        return
    units = memoryview(text.encode("utf-16-le", "surrogatepass"))
    start, end = 0, len(units)
    while start < end:
        stop = min(start + 2 * limit, end)
        if stop < end and _is_high(units[stop - 1]) and _is_low(units[stop + 1]):
            stop -= 2
        yield str(units[start:stop], "utf-16-le", "surrogatepass")
        start = stop


def _is_high(upper_byte: int) -> bool:
    return 0xD8 <= upper_byte <= 0xDB


def _is_low(upper_byte: int) -> bool:
    return 0xDC <= upper_byte <= 0xDF


@dataclass(frozen=True)
class ReadBundle:
    """A bundle on its way out, and the form it takes."""

    code: str
    source_map: str | None = None
    form: Form = Form.SINGLE

    @classmethod
    def of(cls, code: str, source_map: str | None = None, form: Form | None = None) -> ReadBundle:
        """Choose the form as the real CLI does, unless `form` says which.

        Raises `BundleError` when a source map would have to go in chunks: the wire has no place
        for it there.
        """
        chosen = form or (Form.SINGLE if utf16_units(code) <= CHUNK_UNITS else Form.CHUNKS)
        if source_map is not None and chosen is Form.CHUNKS:
            raise BundleError(
                "a source map only goes with a bundle sent as a single message: "
                + ("leave out --chunks" if form else "add --single")
            )
        return cls(code, source_map, chosen)

    def messages(self, timestamp: int, target: str | None = None) -> list[bytes]:
        """The messages, in order, as they go on the wire; for `target` alone when it is given.

        Raises `BundleError` for a message that no relay would take.
        """
        if self.form is Form.SINGLE:
            payload: dict[str, object] = {"code": self.code}
            if self.source_map is not None:
                payload["sourceMap"] = self.source_map
            bodies: list[tuple[str, dict[str, object]]] = [
                ("bundle_update", {"payload": payload, "timestamp": timestamp})
            ]
        else:
            pieces = list(split(self.code)) or [""]
            count = len(pieces)
            start: dict[str, object] = {
                "totalChunks": count,
                "totalSize": utf16_units(self.code),
                "timestamp": timestamp,
            }
            bodies = [("bundle_start", start)]
            bodies += [
                ("bundle_chunk", {"index": index, "totalChunks": count, "data": piece})
                for index, piece in enumerate(pieces)
            ]
        return [_checked(encode(kind, body, target), self.form) for kind, body in bodies]


def encode(kind: str, body: Mapping[str, object], target: str | None = None) -> bytes:
    """One message on the wire, as `JSON.stringify` would print it.

    The target comes right after the type: relays look for it in a message's first bytes only.
    """
    message: dict[str, object] = {"type": kind}
    if target is not None:
        message["targetDeviceId"] = target
    message.update(body)
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def read_message(text: bytes) -> dict[str, Any] | None:
    """A message of the wire: an object with a `type` that is text. None for anything else."""
    try:
        message = parse_json(text)
    except ValueError:
        return None
    if isinstance(message, dict) and isinstance(message.get("type"), str):
        return message
    return None


def _checked(message: bytes, form: Form) -> bytes:
    if len(message) > MAX_MESSAGE_BYTES:
        advice = "; send it in chunks (--chunks)" if form is Form.SINGLE else ""
        raise BundleError(
            f"the message would be {len(message):,} bytes, and a relay takes at most "
            f"{MAX_MESSAGE_BYTES:,}{advice}"
        )
    return message


class Joiner:
    """Puts together what a phone is sent: at most one bundle, finished or not, at a time.

    Give every message to `feed`. It returns the code as UTF-8 when the message completes a
    bundle and None when it does not; it raises `BundleError` when a bundle has failed, once for
    each: what still comes of a failed bundle is ignored.
    """

    def __init__(self) -> None:
        self._parts: _Parts | None = None
        self._ignoring = False

    def feed(self, message: Mapping[str, object]) -> bytes | None:
        match message.get("type"):
            case "bundle_update":
                self._parts, self._ignoring = None, False
                return _code_of(message)
            case "bundle_start":
                self._parts, self._ignoring = None, True
                self._parts = _Parts.announced_by(message)
                self._ignoring = False
            case "bundle_chunk" if not self._ignoring:
                return self._take_chunk(message)
        return None

    def discard(self) -> None:
        """Forget an unfinished bundle, for the connection it came over is gone."""
        self._parts, self._ignoring = None, False

    @property
    def unfinished(self) -> bool:
        """Whether chunks are still due."""
        return self._parts is not None

    def _take_chunk(self, message: Mapping[str, object]) -> bytes | None:
        parts, self._parts, self._ignoring = self._parts, None, True
        if parts is None:
            raise BundleError("a bundle_chunk came without a bundle_start")
        parts.add(message)
        code = parts.finish() if parts.complete else None
        self._parts, self._ignoring = parts if code is None else None, False
        return code


class _Parts:
    """The chunks of one bundle, in order, as UTF-8."""

    def __init__(self, chunks: int, units: int) -> None:
        self._chunks_due = chunks
        self._units_due = units
        self._chunks = 0
        self._units = 0
        self._pieces: list[bytes] = []
        self._high = ""
        """Half of a pair, at the end of a chunk, that waits for its other half."""

    @classmethod
    def announced_by(cls, start: Mapping[str, object]) -> _Parts:
        chunks, units = start.get("totalChunks"), start.get("totalSize")
        if not _is_count(chunks) or not _is_count(units) or chunks == 0:
            raise BundleError("bundle_start does not say how many chunks and characters follow")
        assert isinstance(chunks, int) and isinstance(units, int)
        if units > MAX_JOINED_UNITS:
            raise BundleError(f"bundle_start announces {units:,} characters, which is too many")
        return cls(chunks, units)

    @property
    def complete(self) -> bool:
        return self._chunks == self._chunks_due

    def add(self, chunk: Mapping[str, object]) -> None:
        index, data, total = chunk.get("index"), chunk.get("data"), chunk.get("totalChunks")
        if not _is_count(index) or not isinstance(data, str):
            raise BundleError("a bundle_chunk lacks its index or its data")
        if index != self._chunks:
            raise BundleError(f"chunk {index} came where chunk {self._chunks} was due")
        if total is not None and total != self._chunks_due:
            raise BundleError(
                f"chunk {index} says it is one of {total}, bundle_start said {self._chunks_due}"
            )
        self._units += utf16_units(data)
        if self._units > self._units_due:
            raise BundleError(f"more came than the {self._units_due:,} characters announced")
        self._chunks += 1
        if self._high:
            data = _healed(self._high + data)
            self._high = ""
        if data and _HIGH_SURROGATES[0] <= data[-1] <= _HIGH_SURROGATES[1]:
            data, self._high = data[:-1], data[-1]
        self._pieces.append(_utf8(data))

    def finish(self) -> bytes:
        if self._units != self._units_due:
            raise BundleError(
                f"{self._units:,} characters came where {self._units_due:,} were announced"
            )
        if self._high:
            _utf8(self._high)
        return b"".join(self._pieces)


def _code_of(message: Mapping[str, object]) -> bytes:
    payload = message.get("payload")
    code = payload.get("code") if isinstance(payload, Mapping) else None
    if not isinstance(code, str):
        raise BundleError("bundle_update has no code")
    return _utf8(code)


def _healed(text: str) -> str:
    """`text`, whose first character is a high surrogate, with a low one after it merged."""
    if len(text) > 1 and _LOW_SURROGATES[0] <= text[1] <= _LOW_SURROGATES[1]:
        pair = text[:2].encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        return pair + text[2:]
    return text


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        unit = ord(text[error.start])
        raise BundleError(
            f"the code has a lone surrogate (U+{unit:04X}), which UTF-8 can't express"
        ) from None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
