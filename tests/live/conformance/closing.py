"""Group 7: close handling, and the codes."""

from collections.abc import Iterator

from apptuner_relay.wire.frames import CLOSE, PING, TEXT
from tests.live.conformance.case import Case, closing, fragments, text_of
from tests.live.conformance.framing import HELLO, HELLO_ECHO
from tests.live.conformance.peer import Message
from tests.memory import masked

_VALID = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
_NEWER = (1012, 1013, 1014)
"""In IANA's registry, though not in the RFC."""
_INVALID = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999)


def cases() -> Iterator[Case]:
    hello, close = masked(TEXT, HELLO), closing(1000)
    echo = (HELLO_ECHO,)
    yield Case("7.1.1", "text, then close", (hello, close), echo, close=1000)
    yield Case("7.1.2", "close twice", (close, close), close=1000)
    yield Case("7.1.3", "a ping after the close", (close, masked(PING, b"")), close=1000)
    yield Case("7.1.4", "text after the close", (close, hello), close=1000)
    one, two = fragments(TEXT, HELLO[:11], HELLO[11:])
    yield Case("7.1.5", "close between two fragments", (one, close, two), close=1000)
    big = text_of("", 256 * 1024)
    yield Case(
        "7.1.6",
        "256 KiB of text, close, ping",
        (masked(TEXT, big), close, masked(PING, b"")),
        (Message(TEXT, big),),
        close=1000,
    )
    yield Case(
        "7.1.r1",
        "close inside of a message that the phone has half of",
        (masked(TEXT, text_of("", 1_500_000), False), close),
        close=1000,
        phone_close=1011,
    )
    yield Case("7.3.1", "close without payload", (masked(CLOSE, b""),), close=1005)
    yield Case("7.3.2", "close with a payload of 1 byte", (masked(CLOSE, b"a"),), close=1002)
    yield Case("7.3.3", "close with a code", (close,), close=1000)
    yield Case("7.3.4", "close with code and reason", (closing(1000, b"Hello"),), close=1000)
    yield Case("7.3.5", "a reason of 123 bytes", (closing(1000, b"*" * 123),), close=1000)
    yield Case("7.3.6", "a reason of 124 bytes", (closing(1000, b"*" * 124),), close=1002)
    bad = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"
    yield Case("7.5.1", "a reason that is not UTF-8", (closing(1000, bad),), close=1007)
    for number, code in enumerate(_VALID, 1):
        yield Case(f"7.7.{number}", f"close code {code}", (closing(code),), close=code)
    for number, code in enumerate(_NEWER, 1):
        yield Case(f"7.7.r{number}", f"close code {code}", (closing(code),), close=code)
    for number, code in enumerate(_INVALID, 1):
        yield Case(f"7.9.{number}", f"close code {code}", (closing(code),), close=1002)
    for number, code in enumerate((5000, 65535), 1):
        yield Case(f"7.13.{number}", f"close code {code}", (closing(code),), close=1002)
