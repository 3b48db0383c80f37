"""What two relays say to each other when a session moves from one to the other. Pure.

They speak over a WebSocket that the old owner opens, ``/peer/handover/{session hash}``. What they
say are binary messages with a JSON object; the text messages between them are those of the
session's last bundle, in the form in which it is kept.

    old owner → new                                     new → old owner
    offer  node, bundle (null or what it is)            ready  keeps (null, or why not)
    (the bundle's messages) bundle_end sha256           kept   why (null where it is)
    take   epoch, members                               taken  why (null where it has)
    missing  clients: they have gone meanwhile
"""

import json
from dataclasses import dataclass
from typing import Any

from apptuner_relay.bundles.spooled import Form
from apptuner_relay.series import MOST_CHUNKS, Series
from apptuner_relay.wire.frames import BINARY, frame
from apptuner_relay.wire.messages import compact_json

PATH = "/peer/handover/"
MOST_BYTES = 1024 * 1024
"""How long a message may be that isn't a bundle's."""


class BadWords(ValueError):
    """The other relay said what this one doesn't understand."""


@dataclass(frozen=True)
class Kept:
    """What is said of a bundle before it comes."""

    form: Form
    size: int
    """Bytes of its file."""
    age_s: float
    """Since it was used last."""

    def to_json(self) -> dict[str, object]:
        """As it is sent."""
        return {
            "single": self.form.series.single,
            "chunks": self.form.series.chunks,
            "announced": self.form.size,
            "began_ms": self.form.began_ms,
            "size": self.size,
            "age_s": self.age_s,
        }


def read_kept(value: Any) -> Kept:
    """:raises BadWords: it is no description of a bundle."""
    try:
        announced = value["announced"]
        chunks = None if value["single"] else int(value["chunks"])
        if chunks is not None and not 0 < chunks <= MOST_CHUNKS:
            raise ValueError("too many chunks, or none")
        form = Form(
            Series(chunks), None if announced is None else int(announced), int(value["began_ms"])
        )
        return Kept(form, int(value["size"]), max(0.0, float(value["age_s"])))
    except (KeyError, TypeError, ValueError):
        raise BadWords("no description of a bundle") from None


def write_words(kind: str, **more: object) -> bytes:
    """The frame of a message."""
    return frame(BINARY, compact_json({"type": kind, **more}))


def read_words(data: bytes) -> dict[str, Any]:
    """The fields of a message; ``type`` is among them.

    :raises BadWords: it is none.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise BadWords("no JSON") from None
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise BadWords("no message of a relay")
    return value


class Words:
    """Puts together a message that comes in pieces."""

    def __init__(self) -> None:
        self._parts: list[bytes] | None = None
        self._size = 0

    @property
    def is_inside(self) -> bool:
        """Whether more of a message is to come."""
        return self._parts is not None

    def feed(self, payload: bytes, end: bool) -> dict[str, Any] | None:
        """Take the next piece; returns the message when that was its last.

        :raises BadWords: it is none, or is too long.
        """
        parts = self._parts = [] if self._parts is None else self._parts
        self._size += len(payload)
        if self._size > MOST_BYTES:
            raise BadWords("too long a message")
        parts.append(payload)
        if not end:
            return None
        self._parts, self._size = None, 0
        return read_words(b"".join(parts))
