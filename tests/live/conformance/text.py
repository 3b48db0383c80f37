"""Group 6: UTF-8, valid and not, whole and in fragments that cut characters, and refused at the
first byte that can't be."""

from collections.abc import Iterator

from apptuner_relay.wire.frames import CONTINUATION, TEXT
from tests.live.conformance.case import Case, chops, fragments, raw_text
from tests.live.conformance.peer import Message
from tests.memory import masked

_KOSME = "κόσμε".encode()
_SAMPLE = "Hello-µ@ßöäüàá-UTF-8!!".encode()
_HEAD = raw_text(b"")[:-2]
_TAIL = b'"}'
_SURROGATE = b"\xed\xa0\x80"
_BAD = _KOSME + _SURROGATE + b"edited"


def cases() -> Iterator[Case]:
    yield from _zero_length()
    yield from _splits()
    yield from _fail_fast()
    yield from _prefixes()
    yield from _sequences()


def _whole(number: str, title: str, content: bytes, valid: bool) -> Case:
    """``content`` inside of a message, in one frame."""
    payload = raw_text(content)
    if valid:
        return Case(number, title, (masked(TEXT, payload),), (Message(TEXT, payload),))
    return Case(number, title, (masked(TEXT, payload),), close=1007)


def _zero_length() -> Iterator[Case]:
    yield Case("6.1.1", "text of 0 bytes", (masked(TEXT, b""),), errors=1)
    yield Case("6.1.2", "three empty fragments", fragments(TEXT, b"", b"", b""), errors=1)
    payload = raw_text(b"payload")
    yield Case(
        "6.1.3",
        "text between two empty fragments",
        fragments(TEXT, b"", payload, b""),
        (Message(TEXT, payload),),
    )


def _splits() -> Iterator[Case]:
    for number, content in ((1, _SAMPLE), (4, _KOSME)):
        payload = raw_text(content)
        echo = (Message(TEXT, payload),)
        if number == 1:
            yield _whole("6.2.1", "valid, one frame", content, True)
            yield Case(
                "6.2.2",
                "valid, cut between characters",
                fragments(TEXT, *_at(payload, payload.index(b"@") + 1)),
                echo,
            )
            yield Case(
                "6.2.3", "valid, fragments of one byte", fragments(TEXT, *chops(payload, 1)), echo
            )
        else:
            yield Case(
                "6.2.4",
                "valid, another, fragments of one byte",
                fragments(TEXT, *chops(payload, 1)),
                echo,
            )
    yield _whole("6.3.1", "invalid, one frame", _BAD, False)
    yield Case(
        "6.3.2",
        "invalid, fragments of one byte",
        fragments(TEXT, *chops(raw_text(_BAD), 1)),
        close=1007,
    )
    # Behind what the relay has begun to forward.
    far = b"x" * 1_500_000
    payload = raw_text(far + _SAMPLE)
    for cut in range(1, 4):
        at = payload.index("µ".encode()) + cut - 1
        yield Case(
            f"6.2.r{cut}",
            f"valid, behind 1.5 million bytes, cut {cut - 1} bytes into a character",
            fragments(TEXT, *_at(payload, at)),
            (Message(TEXT, payload),),
        )
    yield Case(
        "6.3.r1",
        "invalid, behind 1.5 million bytes that the phone has",
        fragments(TEXT, _HEAD + far, _BAD + _TAIL),
        close=1007,
        phone_close=1011,
    )


def _fail_fast() -> Iterator[Case]:
    """The rest is never sent, so the relay must not wait for it."""
    too_high = b"\xf4\x90\x80\x80"
    yield Case(
        "6.4.1",
        "invalid at once, in the second of three fragments",
        (masked(TEXT, _HEAD + _KOSME, False), masked(CONTINUATION, too_high, False)),
        close=1007,
    )
    yield Case(
        "6.4.2",
        "invalid by the second byte of a character, the frame goes on",
        (
            masked(TEXT, _HEAD + _KOSME + too_high[:1], False),
            masked(CONTINUATION, too_high[1:2], False),
        ),
        close=1007,
    )
    whole = masked(TEXT, raw_text(_KOSME + too_high + b"edited"))
    after = len(whole) - len(b"edited" + _TAIL)
    yield Case(
        "6.4.3",
        "invalid inside of a frame of which the rest does not come",
        (whole[: after - 4], whole[after - 4 : after]),
        close=1007,
        unfinished=True,
    )
    yield Case(
        "6.4.4",
        "the same, one byte at a time, up to the first that can't be",
        chops(whole[: after - 2], 1),
        close=1007,
        unfinished=True,
    )
    for number, (bad, what) in enumerate(
        (
            (b"\xc0", "a byte that never occurs"),
            (b"\xe0\x80", "an overlong character"),
            (b"\xed\xa0", "half a surrogate"),
            (b"\xf0\x80", "an overlong character of four bytes"),
            (b"\xff", "a byte that never occurs (FF)"),
        ),
        1,
    ):
        yield Case(
            f"6.4.r{number}",
            f"{what}, in a fragment that is not the last",
            (masked(TEXT, _HEAD + bad, False),),
            close=1007,
        )


def _prefixes() -> Iterator[Case]:
    payload = raw_text(_SAMPLE)
    for number, at in enumerate((payload.index("µ".encode()) + i for i in range(5)), 1):
        yield Case(
            f"6.5.{number}",
            f"valid, in two segments and fragments, cut at byte {at}",
            fragments(TEXT, *_at(payload, at)),
            (Message(TEXT, payload),),
        )
    for number in range(1, len(_KOSME) + 1):
        prefix = _KOSME[:number]
        valid = prefix == prefix.decode(errors="ignore").encode()
        title = f"the first {number} bytes of a Greek word, and then the message's end"
        yield _whole(f"6.6.{number}", title, prefix, valid)


def _sequences() -> Iterator[Case]:
    """Markus Kuhn's groups, in the order of the Autobahn test suite."""
    groups: dict[int, tuple[str, bool, tuple[bytes, ...]]] = {
        7: ("first character of a length", True, (b"\x00", b"\xc2\x80", b"\xe0\xa0\x80",
            b"\xf0\x90\x80\x80")),
        8: ("five or six bytes", False, (b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80")),
        9: ("last character of a length", True, (b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf",
            b"\xf4\x8f\xbf\xbf")),
        10: ("last of the lengths that are none", False, (b"\xf7\xbf\xbf\xbf",
             b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf")),
        11: ("another boundary", True, (b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd",
             b"\xf4\x8f\xbf\xbf")),
        12: ("continuation bytes on their own", False, (b"\x80", b"\xbf", *(
             (b"\x80\xbf" * 4)[:n] for n in range(2, 8)), bytes(range(0x80, 0xC0)))),
        13: ("first bytes on their own", False, tuple(
             b"".join(bytes((first, 0x20)) for first in range(*span))
             for span in ((0xC0, 0xE0), (0xE0, 0xF0), (0xF0, 0xF8), (0xF8, 0xFC), (0xFC, 0xFE)))),
        14: ("the last byte missing", False, (b"\xc0", b"\xe0\x80", b"\xf0\x80\x80",
             b"\xf8\x80\x80\x80", b"\xfc\x80\x80\x80\x80", b"\xdf", b"\xef\xbf", b"\xf7\xbf\xbf",
             b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf")),
        15: ("all of those together", False, (b"\xc0\xe0\x80\xf0\x80\x80\xf8\x80\x80\x80\xfc\x80"
             b"\x80\x80\x80\xdf\xef\xbf\xf7\xbf\xbf\xfb\xbf\xbf\xbf\xfd\xbf\xbf\xbf\xbf",)),
        16: ("bytes that never occur", False, (b"\xfe", b"\xff", b"\xfe\xfe\xff\xff")),
        17: ("an overlong slash", False, (b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf",
             b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf")),
        18: ("the last overlong of a length", False, (b"\xc1\xbf", b"\xe0\x9f\xbf",
             b"\xf0\x8f\xbf\xbf", b"\xf8\x87\xbf\xbf\xbf", b"\xfc\x83\xbf\xbf\xbf\xbf")),
        19: ("an overlong NUL", False, (b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80",
             b"\xf8\x80\x80\x80\x80", b"\xfc\x80\x80\x80\x80\x80")),
        20: ("a surrogate", False, tuple(chr(code).encode("utf-8", "surrogatepass") for code in
             (0xD800, 0xDB7F, 0xDB80, 0xDBFF, 0xDC00, 0xDF80, 0xDFFF))),
        21: ("a pair of surrogates", False, tuple(
             (chr(high) + chr(low)).encode("utf-8", "surrogatepass")
             for high in (0xD800, 0xDB7F, 0xDB80, 0xDBFF) for low in (0xDC00, 0xDFFF))),
        22: ("what is no character, but may be encoded", True, tuple(
             chr(plane << 16 | low).encode() for plane in range(17) for low in (0xFFFE, 0xFFFF))),
        23: ("a special", True, tuple(chr(code).encode() for code in range(0xFFF9, 0x10000))),
    }  # fmt: skip
    for group, (what, valid, sequences) in groups.items():
        for number, sequence in enumerate(sequences, 1):
            shown = sequence.hex(" ").upper()
            shown = shown if len(shown) <= 24 else f"{shown[:23]}…"
            yield _whole(f"6.{group}.{number}", f"{what}: {shown}", sequence, valid)
    # 0x110000 and above, which 6.11.5 of the Autobahn test suite asks.
    yield _whole(
        "6.11.5", "the first code point that is none: F4 90 80 80", b"\xf4\x90\x80\x80", False
    )


def _at(payload: bytes, at: int) -> tuple[bytes, bytes]:
    return payload[:at], payload[at:]
