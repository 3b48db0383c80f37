"""The payload of Close frames (RFC 6455 §5.5.1 and §7.4, and IANA's registry of close codes).
Pure."""

from typing import NamedTuple

from apptuner_relay.wire.frames import CLOSE_INVALID_PAYLOAD, CLOSE_PROTOCOL_ERROR, FrameError
from apptuner_relay.wire.text import is_text

_REGISTERED = frozenset({*range(1000, 1004), *range(1007, 1015)})
"""The registered codes that a frame may have. 1012, 1013 and 1014 are in the registry only."""
_PRIVATE = range(3000, 5000)
_REASON_BYTES = 123
"""The most that a frame's reason may have (RFC 6455 §5.5)."""


class Close(NamedTuple):
    """The payload of a Close frame."""

    code: int | None
    """None where the payload is empty."""
    reason: bytes
    """UTF-8."""


def may_be_sent(code: int) -> bool:
    """Whether a Close frame may have this code."""
    return code in _REGISTERED or code in _PRIVATE


def read_close(payload: bytes) -> Close:
    """Read the payload of a Close frame.

    :raises FrameError: 1002 for a code that a frame may not have, or for one byte of a code; 1007
        for a reason that is not UTF-8.
    """
    if not payload:
        return Close(None, b"")
    code, reason = int.from_bytes(payload[:2], "big"), payload[2:]
    if len(payload) == 1 or not may_be_sent(code):
        raise FrameError(CLOSE_PROTOCOL_ERROR, "bad close code")
    if not is_text(reason):
        raise FrameError(CLOSE_INVALID_PAYLOAD, "close reason that is not UTF-8")
    return Close(code, reason)


def close_payload(code: int | None, reason: bytes | None = None) -> bytes:
    """The payload of a Close frame, as `read_close` reads it."""
    return b"" if code is None else code.to_bytes(2, "big") + (reason or b"")


def cut_reason(text: str) -> bytes:
    """The beginning of a reason, as much as a frame may have, in whole characters."""
    return text.encode()[:_REASON_BYTES].decode("utf-8", "ignore").encode()
