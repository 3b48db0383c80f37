"""The messages between two relays when a session moves from one to the other. Pure.

The old owner opens a WebSocket, ``/peer/handover/{session hash}``. The messages are binary, with a
JSON object each. The text messages between them are those of the session's last bundle, in the form
in which it is stored.

    old owner → new owner                               new owner → old owner
    offer  node, bundle (null, or its description)      ready  keeps (null, or why not)
    (the bundle's messages) bundle_end sha256           kept   why (null where it is stored)
    take   epoch, members, records, kept                taken  why (null where it is taken), records
    missing  clients that have disconnected since
"""

import json
from dataclasses import dataclass
from typing import Any

from apptuner_relay.flow.series import MOST_CHUNKS, Series
from apptuner_relay.spool.bundle import StoredForm
from apptuner_relay.wire.frames import BINARY, frame
from apptuner_relay.wire.messages import compact_json

PATH = "/peer/handover/"
MOST_BYTES = 1024 * 1024
"""The longest message, except for those of the bundle."""


class BadHandoverMessage(ValueError):
    """The other relay has sent a message that can't be understood."""


@dataclass(frozen=True)
class BundleDescription:
    """What a relay says of a bundle before it sends it."""

    form: StoredForm
    size: int
    """Bytes of its file."""
    age_s: float
    """How long ago it was used last."""

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


def read_description(value: Any) -> BundleDescription:
    """Parse a description.

    :raises BadHandoverMessage: it is malformed.
    """
    try:
        announced = value["announced"]
        chunks = None if value["single"] else int(value["chunks"])
        if chunks is not None and not 0 < chunks <= MOST_CHUNKS:
            raise ValueError("too many chunks, or none")
        form = StoredForm(
            Series(chunks), None if announced is None else int(announced), int(value["began_ms"])
        )
        return BundleDescription(form, int(value["size"]), max(0.0, float(value["age_s"])))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise BadHandoverMessage("the description of the bundle is malformed") from None


def write_message(kind: str, **more: object) -> bytes:
    """The frame of a message."""
    return frame(BINARY, compact_json({"type": kind, **more}))


def read_message(data: bytes) -> dict[str, Any]:
    """The fields of a message, with ``type`` among them.

    :raises BadHandoverMessage: it is malformed.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise BadHandoverMessage("the message is not JSON") from None
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise BadHandoverMessage("the message has no type")
    return value


class MessageAssembler:
    """Assembles messages that arrive in fragments."""

    def __init__(self) -> None:
        self._parts: list[bytes] | None = None
        self._size = 0

    @property
    def is_inside(self) -> bool:
        """Whether more of a message is to come."""
        return self._parts is not None

    def feed(self, payload: bytes, end: bool) -> dict[str, Any] | None:
        """Take the next fragment. Returns the message when that was its last one.

        :raises BadHandoverMessage: it is malformed, or too long.
        """
        parts = self._parts = [] if self._parts is None else self._parts
        self._size += len(payload)
        if self._size > MOST_BYTES:
            raise BadHandoverMessage("the message is too long")
        parts.append(payload)
        if not end:
            return None
        self._parts, self._size = None, 0
        return read_message(b"".join(parts))
