"""What to ask of an HTTP server for a bundle, and what its answer means (RFC 9110). Pure.

Each coding of a bundle is a representation of its own, with an ETag of its own. A download that was
cut goes on where it stopped only in the same representation: a `Mark` says in which. Relays make
their ETags of the SHA-256 of the code, `"<sha256>"` or `"<sha256>-gzip"`; other servers (a CDN) may
not, and then they only tell whether two representations are the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from apptuner_relay.client.codings import COMPRESSED, IDENTITY
from apptuner_relay.wire.dictionary_transport import (
    DCZ,
    tag_of_dictionary,
    write_available_dictionary,
)

_MAX_MARK_CHARACTERS = 4096
_CODINGS = (IDENTITY, *COMPRESSED)
_ETAG_SUFFIXES = ("", "-gzip", "-br", "-zstd")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ETAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_ETAG_OF_SHA256 = re.compile(r'(?:W/)?"([0-9a-f]{64})(?:-[a-z]+(?:-[0-9a-f]{12})?)?"')
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15}|\*)", re.ASCII)
_LENGTH = re.compile(r"\d{1,15}", re.ASCII)


def is_sha256(value: object) -> bool:
    """Whether a value is a SHA-256 as the wire has it: 64 hex digits, lower case."""
    return isinstance(value, str) and bool(_SHA256.fullmatch(value))


def sha256_in(etag: str | None) -> str | None:
    """The SHA-256 of the code that a relay's ETag names, or None where it is no relay's."""
    match = _ETAG_OF_SHA256.fullmatch(etag or "")
    return match[1] if match else None


@dataclass(frozen=True)
class Mark:
    """Which representation a file, or a part of one, is of."""

    etag: str | None
    coding: str
    length: int | None
    """Bytes of the whole representation, as coded, where that is known."""

    @property
    def resumable(self) -> bool:
        """Whether a server can be asked for the rest of it: If-Range takes strong ETags only, and a
        relay sends no part of what needs a dictionary."""
        is_strong = self.etag is not None and not self.etag.startswith("W/")
        return is_strong and self.coding != DCZ

    def completed_by(self, size: int) -> bool:
        """Whether `size` bytes are all there is."""
        return size == self.length

    def to_json(self) -> str:
        return json.dumps({"etag": self.etag, "coding": self.coding, "length": self.length})

    @classmethod
    def from_json(cls, text: str) -> Mark | None:
        """A mark that an earlier run left, or None if there is no sense in it."""
        try:
            found = json.loads(text[:_MAX_MARK_CHARACTERS])
        except (ValueError, RecursionError):
            return None
        if not isinstance(found, dict):
            return None
        etag, coding, length = found.get("etag"), found.get("coding"), found.get("length")
        if not isinstance(etag, str) or not _ETAG.fullmatch(etag) or coding not in _CODINGS:
            return None
        if length is not None and (type(length) is not int or length < 0):
            return None
        mark = cls(etag, coding, length)
        return mark if mark.resumable else None


@dataclass(frozen=True)
class Head:
    """What the head of an answer says about its body. Header fields that make no sense count as
    missing."""

    status: int
    etag: str | None = None
    coding: str = ""
    """Empty where the head does not say: identity, but in a 206, which need not say."""
    length: int | None = None
    """Bytes in this body."""
    first: int | None = None
    """Position of this body's first byte in the representation; None where it is no part of one."""
    total: int | None = None
    """Bytes of the whole representation, from Content-Range."""

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str]) -> Head:
        """Read an answer's header fields, whose names are given in lower case."""
        etag = headers.get("etag", "")
        length = headers.get("content-length", "")
        coding = headers.get("content-encoding", "").strip().lower()
        span = _CONTENT_RANGE.fullmatch(headers.get("content-range", "").strip())
        return cls(
            status,
            etag if _ETAG.fullmatch(etag) else None,
            "gzip" if coding == "x-gzip" else coding,
            int(length) if _LENGTH.fullmatch(length) else None,
            int(span[1]) if span else None,
            int(span[3]) if span and span[3] != "*" else None,
        )

    @property
    def mark(self) -> Mark:
        """The representation that a whole body (200) is."""
        return Mark(self.etag, self.coding or IDENTITY, self.length)


def request_headers(
    mark: Mark | None,
    size: int,
    have: str | None,
    codings: Sequence[str],
    *,
    dictionary: bool = False,
) -> dict[str, str]:
    """What to send for a bundle of which `size` bytes of a representation are here.

    `have` is the SHA-256 of code that need not be sent; `codings` are asked for where the choice
    is still free. With `dictionary` that code is here, and another may come coded against it.
    """
    headers, known = {}, []
    if have is not None:
        known = [f'"{have}{suffix}"' for suffix in _ETAG_SUFFIXES]
    if mark is None or not mark.resumable or not size:
        headers["Accept-Encoding"] = ", ".join(codings) or IDENTITY
        if dictionary and have is not None:
            headers["Accept-Encoding"] = ", ".join((DCZ, *codings))
            headers["Available-Dictionary"] = write_available_dictionary(have)
            known.append(f'"{have}-{tag_of_dictionary(have)}"')
    else:
        assert mark.etag is not None
        headers["Accept-Encoding"] = mark.coding
        if mark.completed_by(size):
            # There is nothing left to ask a range of: only whether it is still the one.
            known.append(mark.etag)
        else:
            headers["Range"] = f"bytes={size}-"
            headers["If-Range"] = mark.etag
    if known:
        headers["If-None-Match"] = ", ".join(known)
    return headers


class Meaning(Enum):
    """What an answer means for what is here."""

    WHOLE = auto()
    """The body is a representation from its first byte: what is here is of no use."""
    REST = auto()
    """The body goes on where what is here ends."""
    COMPLETE = auto()
    """What is here is whole."""
    UNCHANGED = auto()
    """The bundle is the one that need not be sent."""
    START_OVER = auto()
    """What is here does not fit what the server has: ask again, with nothing."""
    REFUSED = auto()
    """None of all that; the body may say why."""


def meaning(head: Head, mark: Mark | None, size: int, have: str | None) -> Meaning:
    """Judge the answer to a request made with `request_headers` of the same arguments."""
    going_on = mark is not None and mark.resumable and size > 0
    named = sha256_in(head.etag)
    match head.status:
        case 200:
            return Meaning.UNCHANGED if have is not None and named == have else Meaning.WHOLE
        case 206 if mark is not None and going_on:
            return Meaning.REST if _continues(head, mark, size) else Meaning.START_OVER
        case 304 if mark is not None and going_on and mark.completed_by(size):
            if have is not None and (named == have or head.etag is None):
                return Meaning.UNCHANGED
            return Meaning.COMPLETE
        case 304 if have is not None:
            return Meaning.UNCHANGED
        case 416 if going_on:
            return Meaning.START_OVER
    return Meaning.REFUSED


def _continues(head: Head, mark: Mark, size: int) -> bool:
    same = head.etag in (None, mark.etag) and head.coding in ("", mark.coding)
    fits = None in (head.total, mark.length) or head.total == mark.length
    return same and fits and head.first == size
