"""Groups 12 and 13: permessage-deflate (RFC 7692), what is negotiated and what passes."""

import random
import zlib
from collections.abc import Iterator
from dataclasses import replace

from apptuner_relay.wire.deflate import NO_CONTEXT_TAKEOVER
from apptuner_relay.wire.frames import BINARY, COMPRESSED, CONTINUATION, PING, TEXT
from tests.live.conformance.case import Case, chops, compressed, fragments, text_of
from tests.live.conformance.peer import Message
from tests.memory import deflated, finished, masked

_OFFER = "permessage-deflate"
_SIZES = (16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072)
_MANY = 20
_LIMIT = 50 * 1024 * 1024

_OFFERS = (
    ("no parameters", _OFFER, True),
    ("server_no_context_takeover", f"{_OFFER}; server_no_context_takeover", True),
    ("client_no_context_takeover", f"{_OFFER}; client_no_context_takeover", True),
    ("client_max_window_bits", f"{_OFFER}; client_max_window_bits", True),
    (
        "what OkHttp and ws offer",
        f"{_OFFER}; client_max_window_bits; server_no_context_takeover",
        True,
    ),
    # What another client compressed was made with the full window: it could not be passed on.
    ("a window of 9 bits", f"{_OFFER}; server_max_window_bits=9", False),
    ("a window of 9 bits, or any", f"{_OFFER}; server_max_window_bits=9, {_OFFER}", True),
)


def cases() -> Iterator[Case]:
    for group, (kind, opcode) in enumerate(
        (("words", TEXT), ("noise", BINARY), ("one letter", TEXT), ("zeros", BINARY)), 1
    ):
        for number, size in enumerate(_SIZES, 1):
            payload = _payload(kind, size)
            yield _passed(
                f"12.{group}.{number}",
                f"{_MANY} messages of {len(payload)} bytes of {kind}",
                (compressed(opcode, payload) * _MANY,),
                (Message(opcode | COMPRESSED, payload),) * _MANY,
            )
    for group, (name, offer, granted) in enumerate(_OFFERS, 1):
        for number, size in enumerate((64, 4096, 65536), 1):
            yield _negotiated(f"13.{group}.{number}", name, offer, granted, size)
    yield from _forms()
    yield from _violations()


def _passed(
    number: str,
    title: str,
    sends: tuple[bytes, ...],
    relayed: tuple[Message, ...] = (),
    **more: int | None,
) -> Case:
    """Both sides negotiate, so that the relay passes on what it gets."""
    return Case(
        number,
        f"{title}; the phone inflates",
        sends,
        relayed,
        offer=_OFFER,
        phone_offer=_OFFER,
        extensions=NO_CONTEXT_TAKEOVER,
        **more,  # type: ignore[arg-type]
    )


def _plain(
    number: str,
    title: str,
    sends: tuple[bytes, ...],
    relayed: tuple[Message, ...] = (),
    **more: int | None,
) -> Case:
    """The phone doesn't negotiate, so that the relay inflates."""
    case = _passed(number, title, sends, relayed, **more)
    return replace(case, title=f"{title}; the relay inflates", phone_offer=None)


def _negotiated(number: str, name: str, offer: str, granted: bool, size: int) -> Case:
    payload = _payload("words", size)
    wire = compressed(TEXT, payload) if granted else masked(TEXT, payload)
    return Case(
        number,
        f"offer: {name}; {len(payload)} bytes, to a phone without compression",
        (wire * _MANY,),
        (Message(TEXT, payload),) * _MANY,
        offer=offer,
        extensions=NO_CONTEXT_TAKEOVER if granted else None,
    )


def _forms() -> Iterator[Case]:
    """What deflate lets a client do."""
    payload = _payload("words", 6000)
    plain, packed = (Message(TEXT, payload),), (Message(TEXT | COMPRESSED, payload),)
    wire = deflated(payload)
    stored = deflated(payload, 0)
    blocks = _blocks(payload)
    split = fragments(TEXT | COMPRESSED, *chops(wire, 100))
    forms: tuple[tuple[str, tuple[bytes, ...]], ...] = (
        ("fragments", split),
        ("fragments, octet by octet", chops(b"".join(split), 1)),
        ("an empty fragment at the end", fragments(TEXT | COMPRESSED, wire, b"")),
        ("stored blocks", (masked(TEXT | COMPRESSED, stored),)),
        ("many blocks", (masked(TEXT | COMPRESSED, blocks),)),
        ("a final block", (masked(TEXT | COMPRESSED, finished(payload)),)),
    )
    for number, (name, sends) in enumerate(forms, 1):
        yield _passed(f"13.r{number}.1", name, sends, packed)
        yield _plain(f"13.r{number}.2", name, sends, plain)
    several = (masked(TEXT | COMPRESSED, finished(*chops(payload, 1000))),)
    yield _passed("13.r6.3", "several final blocks", several, packed)
    yield _plain("13.r6.4", "several final blocks", several, plain)
    yield _passed("13.r7.1", "not compressed, though it could be", (masked(TEXT, payload),), plain)
    yield _plain("13.r7.2", "not compressed, though it could be", (masked(TEXT, payload),), plain)
    pinged = (split[0], masked(PING, b"p"), *split[1:])
    yield Case(
        "13.r8",
        "a ping between compressed fragments",
        pinged,
        plain,
        (b"p",),
        offer=_OFFER,
        extensions=NO_CONTEXT_TAKEOVER,
    )
    yield _plain(
        "13.r9", "an empty message, compressed", (masked(TEXT | COMPRESSED, b"\x00"),), errors=1
    )


def _violations() -> Iterator[Case]:
    payload = _payload("words", 6000)
    wire = deflated(payload)
    yield _plain(
        "13.r10",
        "RSV 1 on a continuation",
        (masked(TEXT | COMPRESSED, wire[:60], False), masked(CONTINUATION | COMPRESSED, wire[60:])),
        close=1002,
    )
    yield _plain("13.r11", "RSV 1 on a ping", (masked(PING | COMPRESSED, b""),), close=1002)
    noise = b"\x06\xff\xff" + b"nothing of deflate"
    yield _plain(
        "13.r12", "what can't be inflated", (masked(BINARY | COMPRESSED, noise),), close=1007
    )
    bad = text_of("", 2000)[:-2] + b'\xff"}'
    yield _plain(
        "13.r13",
        "inflates to text that is not UTF-8",
        (compressed(TEXT, bad, 0),),
        close=1007,
        phone_close=1011,
        phone_may_stay=True,
    )
    bomb = deflated(text_of("", _LIMIT + 1))
    yield _plain(
        "13.r14",
        "inflates to more than 50 MiB",
        (masked(TEXT | COMPRESSED, bomb),),
        close=1009,
        phone_close=1011,
        phone_may_stay=True,
    )
    yield _passed(
        "13.r15",
        "would inflate to more than 50 MiB",
        (masked(TEXT | COMPRESSED, bomb),),
        close=1009,
        phone_close=1011,
        phone_may_stay=True,
    )


def _payload(kind: str, size: int) -> bytes:
    if kind == "words":
        words = random.Random(size)
        return text_of(
            " ".join(words.choice(("const", "=>", "{}", "(x)", "0")) for _ in range(size // 5)),
            size,
        )
    if kind == "one letter":
        return text_of("", size)
    return bytes(size) if kind == "zeros" else random.Random(size).randbytes(size)


def _blocks(payload: bytes) -> bytes:
    """A block for every 500 bytes (§7.2.3.5)."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    wire = b"".join(
        packer.compress(part) + packer.flush(zlib.Z_SYNC_FLUSH) for part in chops(payload, 500)
    )
    return wire.removesuffix(b"\x00\x00\xff\xff")
