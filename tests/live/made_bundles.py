"""Bundles as bytes, for clients whose frames and segments are the test's to make."""

import json
import random
from collections.abc import Iterator

from apptuner_relay.wire.frames import CONTINUATION
from tests.memory import masked


def bundle(code: str) -> bytes:
    message = {"type": "bundle_update", "payload": {"code": code}, "timestamp": 1}
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def bundle_of(length: int) -> bytes:
    """One of so many bytes, all of them ASCII."""
    line = "// a line of code, which is as long as each of the others are; "
    return bundle((line * (length // len(line) + 1))[: length - len(bundle(""))])


def hardly_compressible(length: int) -> bytes:
    """One of so many bytes that compresses to half of them."""
    return bundle(random.Random(1).randbytes(length // 2).hex()[: length - len(bundle(""))])


def fragments(first: int, payload: bytes, length: int) -> Iterator[bytes]:
    """A message in frames of so many bytes each."""
    for at in range(0, len(payload), length):
        opcode = CONTINUATION if at else first
        yield masked(opcode, payload[at : at + length], fin=at + length >= len(payload))
