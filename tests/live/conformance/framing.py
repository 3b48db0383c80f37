"""Groups 1 to 5: framing, pings and pongs, reserved bits, opcodes, fragmentation."""

from collections.abc import Iterator

from apptuner_relay.wire.frames import BINARY, CONTINUATION, PING, PONG, TEXT
from tests.live.conformance.case import Case, chops, fragments, octets, text_of, unmasked
from tests.live.conformance.peer import Message
from tests.memory import masked

_SIZES = (125, 126, 127, 128, 65535, 65536)
_CHOP_BYTES = 997
HELLO = text_of("Hello")
WORLD = text_of("world")
HELLO_ECHO = Message(TEXT, HELLO)
_HALVES = (HELLO[:11], HELLO[11:])


def cases() -> Iterator[Case]:
    yield from _framing()
    yield from _pings()
    yield from _reserved_bits()
    yield from _opcodes()
    yield from _fragmentation()


def _framing() -> Iterator[Case]:
    for kind, opcode, name in ((1, TEXT, "text"), (2, BINARY, "binary")):
        if opcode == TEXT:
            # Empty text is no JSON object: it goes nowhere, and the CLI is told.
            yield Case("1.1.1", "text of 0 bytes", (masked(TEXT, b""),), errors=1)
        else:
            echo = (Message(BINARY, b""),)
            yield Case("1.2.1", "binary of 0 bytes", (masked(BINARY, b""),), echo)
        for number, size in enumerate(_SIZES, 2):
            payload = text_of("", size) if opcode == TEXT else bytes([0xFE]) * size
            yield Case(
                f"1.{kind}.{number}",
                f"{name} of {size} bytes",
                (masked(opcode, payload),),
                (Message(opcode, payload),),
            )
        yield Case(
            f"1.{kind}.8",
            f"{name} of 65536 bytes in segments of {_CHOP_BYTES}",
            chops(masked(opcode, payload), _CHOP_BYTES),
            (Message(opcode, payload),),
        )


def _pings() -> Iterator[Case]:
    binary = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
    longest = b"\xfe" * 125
    yield Case("2.1", "ping without payload", (masked(PING, b""),), pongs=(b"",))
    yield Case("2.2", "ping with text", (masked(PING, b"Hello"),), pongs=(b"Hello",))
    yield Case("2.3", "ping with bytes that are no text", (masked(PING, binary),), pongs=(binary,))
    yield Case("2.4", "ping of 125 bytes", (masked(PING, longest),), pongs=(longest,))
    yield Case("2.5", "ping of 126 bytes", (masked(PING, b"\xfe" * 126),), close=1002)
    yield Case(
        "2.6", "ping of 125 bytes, octet by octet", octets(masked(PING, longest)), pongs=(longest,)
    )
    yield Case("2.7", "pong that nobody asked for", (masked(PONG, b""),))
    yield Case("2.8", "pong with payload that nobody asked for", (masked(PONG, b"so what"),))
    yield Case(
        "2.9",
        "such a pong, then a ping",
        (masked(PONG, b"so what"), masked(PING, b"ping")),
        pongs=(b"ping",),
    )
    many = tuple(b"payload-%d" % i for i in range(10))
    pings = tuple(masked(PING, each) for each in many)
    yield Case("2.10", "ten pings", pings, pongs=many)
    yield Case("2.11", "ten pings, octet by octet", octets(*pings), pongs=many)


def _reserved_bits() -> Iterator[Case]:
    hello, ping = masked(TEXT, HELLO), masked(PING, b"")
    yield Case("3.1", "text with RSV 1", (masked(TEXT | 0x10, HELLO),), close=1002)
    middle = masked(TEXT | 0x20, HELLO)
    after_one = (HELLO_ECHO,)
    yield Case(
        "3.2",
        "text, text with RSV 2, ping, in one segment",
        (hello + middle + ping,),
        after_one,
        close=1002,
    )
    middle = masked(TEXT | 0x30, HELLO)
    yield Case(
        "3.3",
        "text, text with RSV 3, ping, frame by frame",
        (hello, middle, ping),
        after_one,
        close=1002,
    )
    middle = masked(TEXT | 0x40, HELLO)
    yield Case(
        "3.4",
        "text, text with RSV 4, ping, octet by octet",
        octets(hello, middle, ping),
        after_one,
        close=1002,
    )
    yield Case("3.5", "binary with RSV 5", (masked(BINARY | 0x50, b"\x00\xff"),), close=1002)
    yield Case("3.6", "ping with RSV 6", (masked(PING | 0x60, b"Hello"),), close=1002)
    yield Case("3.7", "close with RSV 7", (masked(0x78, b""),), close=1002)


def _opcodes() -> Iterator[Case]:
    hello, ping = masked(TEXT, HELLO), masked(PING, b"")
    for first, group in ((3, 1), (11, 2)):
        for number in range(5):
            opcode = first + number
            bad = masked(opcode, b"" if number % 2 == 0 else b"payload")
            title = f"opcode {opcode}"
            if number < 2:
                yield Case(f"4.{group}.{number + 1}", title, (bad,), close=1002)
                continue
            sends = (hello, bad, ping)
            how = "frame by frame"
            if number == 3:
                sends, how = octets(*sends), "octet by octet"
            yield Case(
                f"4.{group}.{number + 1}",
                f"text, {title}, ping, {how}",
                sends,
                (HELLO_ECHO,),
                close=1002,
            )


def _fragmentation() -> Iterator[Case]:
    one, two = fragments(TEXT, *_HALVES)
    ping = masked(PING, b"ping")
    whole = masked(TEXT, HELLO)
    echo = (HELLO_ECHO,)
    yield Case("5.1", "ping in two fragments", fragments(PING, b"frag", b"ment"), close=1002)
    yield Case("5.2", "pong in two fragments", fragments(PONG, b"frag", b"ment"), close=1002)
    yield Case("5.3", "text in two fragments, one segment", (one + two,), echo)
    yield Case("5.4", "text in two fragments, frame by frame", (one, two), echo)
    yield Case("5.5", "text in two fragments, octet by octet", octets(one, two), echo)
    pong = (b"ping",)
    yield Case("5.6", "a ping between two fragments, one segment", (one + ping + two,), echo, pong)
    yield Case("5.7", "a ping between two fragments, frame by frame", (one, ping, two), echo, pong)
    yield Case(
        "5.8", "a ping between two fragments, octet by octet", octets(one, ping, two), echo, pong
    )
    for base, fin in ((9, True), (12, False)):
        lone = masked(CONTINUATION, b"non-continuation payload", fin)
        last = "last" if fin else "no last"
        for offset, (sends, how) in enumerate(
            (
                ((lone + whole,), "one segment"),
                ((lone, whole), "frame by frame"),
                (octets(lone, whole), "octet by octet"),
            )
        ):
            title = f"a continuation of nothing ({last} frame), then text, {how}"
            yield Case(f"5.{base + offset}", title, sends, close=1002)
    lone = masked(CONTINUATION, b"x", False)
    yield Case(
        "5.15",
        "text in two fragments, then a continuation of nothing, then text",
        (one, two, lone, whole),
        echo,
        close=1002,
    )
    for number, fin in ((16, False), (17, True)):
        sends = (masked(CONTINUATION, b"x", fin), masked(TEXT, HELLO, False),
                 masked(CONTINUATION, b"y")) * 2  # fmt: skip
        yield Case(
            f"5.{number}",
            f"continuations of nothing (last: {fin}) before fragments, twice",
            sends,
            close=1002,
        )
    yield Case("5.18", "a message begins inside of a message", (one, whole), close=1002)
    parts = fragments(TEXT, HELLO[:5], HELLO[5:9], HELLO[9:17], HELLO[17:20], HELLO[20:])
    pings = (masked(PING, b"one"), masked(PING, b"two"))
    mixed = (*parts[:2], pings[0], *parts[2:4], pings[1], parts[4])
    pongs = (b"one", b"two")
    yield Case("5.19", "five fragments with pings, frame by frame", mixed, echo, pongs)
    yield Case("5.20", "five fragments with pings, one segment", (b"".join(mixed),), echo, pongs)
    # Of this relay alone: once a message is on its way to the phone, it can't be taken back.
    start = masked(TEXT, text_of("", 1_500_000)[:-1], False)
    yield Case(
        "5.r1",
        "a message begins inside of one that the phone has half of",
        (start, whole),
        close=1002,
        phone_close=1011,
    )
    yield Case("5.r2", "a frame without a mask", (unmasked(TEXT, HELLO),), close=1002)
    yield Case(
        "5.r3", "length not in its shortest form", (b"\x81\xfe\x00\x05" + bytes(9),), close=1002
    )
