"""Groups 9 and 10: big messages, small fragments, many messages. Whether they come through, not how
fast: that is measured by ops/bench."""

from collections.abc import Iterator

from apptuner_relay.wire.frames import BINARY, TEXT
from tests.live.conformance.case import Case, chops, fragments, text_of
from tests.live.conformance.peer import Message
from tests.memory import masked

_KIB = 1024
_SIZES_KIB = (64, 256, 1024, 4096, 8192, 16384)
_FRAGMENTED_BYTES = 4 * 1024 * _KIB
_FRAGMENTS = (64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304)
_LEAST_FRAGMENT = 256
"""Smaller ones are asked of a smaller message: what they take is the test's own time."""
_CHOPPED_BYTES = 1024 * _KIB
_MANY = 1000


def cases() -> Iterator[Case]:
    for group, opcode, name in ((1, TEXT, "text"), (2, BINARY, "binary")):
        for number, kib in enumerate(_SIZES_KIB, 1):
            payload = _payload(opcode, kib * _KIB)
            yield Case(
                f"9.{group}.{number}",
                f"{name} of {kib} KiB in one frame",
                (masked(opcode, payload),),
                (Message(opcode, payload),),
            )
    for group, opcode, name in ((3, TEXT, "text"), (4, BINARY, "binary")):
        for number, step in enumerate(_FRAGMENTS, 1):
            size = _FRAGMENTED_BYTES if step > _LEAST_FRAGMENT else _FRAGMENTED_BYTES // 16
            payload = _payload(opcode, size)
            frames = fragments(opcode, *chops(payload, step))
            yield Case(
                f"9.{group}.{number}",
                f"{name} of {size // _KIB} KiB in frames of {step}",
                (b"".join(frames),),
                (Message(opcode, payload),),
            )
    for group, opcode, name in ((5, TEXT, "text"), (6, BINARY, "binary")):
        payload = _payload(opcode, _CHOPPED_BYTES)
        wire = masked(opcode, payload)
        for number, step in enumerate((64, 128, 256, 512, 1024, 2048), 1):
            part = _CHOPPED_BYTES if step > _LEAST_FRAGMENT else _CHOPPED_BYTES // 8
            payload = _payload(opcode, part)
            wire = masked(opcode, payload)
            yield Case(
                f"9.{group}.{number}",
                f"{name} of {part // _KIB} KiB in segments of {step}",
                chops(wire, step),
                (Message(opcode, payload),),
            )
    for group, opcode, name in ((7, TEXT, "texts"), (8, BINARY, "binaries")):
        for number, size in enumerate((0, 16, 64, 256, 1024, 4096), 1):
            payload = _payload(opcode, size)
            yield Case(
                f"9.{group}.{number}",
                f"{_MANY} {name} of {len(payload)} bytes",
                (masked(opcode, payload) * _MANY,),
                (Message(opcode, payload),) * _MANY,
            )
    payload = _payload(TEXT, 65536)
    yield Case(
        "10.1.1",
        "text of 65536 bytes in frames of 1300",
        fragments(TEXT, *chops(payload, 1300)),
        (Message(TEXT, payload),),
    )
    limit = 50 * 1024 * _KIB
    yield Case(
        "9.r1",
        "a frame that says it is above 50 MiB, of which nothing comes",
        (b"\x82\xff" + (limit + 1).to_bytes(8, "big") + bytes(4),),
        close=1009,
        unfinished=True,
    )


def _payload(opcode: int, size: int) -> bytes:
    if opcode == TEXT:
        return text_of("", size)
    return (bytes(range(256)) * (size // 256 + 1))[:size]
