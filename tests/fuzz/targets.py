"""What is fuzzed: functions that take any bytes and raise where a promise is broken.

tests/fuzz/test_corpus.py runs each over its saved inputs and over what hypothesis makes up, always
the same; ops/fuzz/run over what is made up anew, for as long as it is told.
"""

import json
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from apptuner_relay.web.bundle_resource import BundlesResource
from apptuner_relay.web.site import make_site
from apptuner_relay.wire.deflate import BombGuard, Inflation, inflate_head
from apptuner_relay.wire.frames import (
    CLOSE,
    COMPRESSED,
    CONTINUATION,
    HEADROOM,
    TEXT,
    FrameError,
    FrameReader,
    frame,
)
from apptuner_relay.wire.messages import NotAnObject, sniff
from tests.fuzz.reference import read_stream
from tests.memory import DEFLATE_TAIL, Client, Relay, masked, server_frames
from tests.web.bundle_cache import DECODE, DictBundleCache, FileBundle

LIMIT_BYTES = 3000
"""Of a message: small, so that inputs reach it."""
CORPUS = Path(__file__).resolve().parent / "corpus"
CODE = b"".join(b"function f%d(a){return a+%d}\n" % (i, i * i) for i in range(60))
_PEER = IPv4Address("TCP", "203.0.113.9", 50000)
_TOKEN = "correct-horse-battery"
_MOST_REQUEST_BYTES = 20_000
_MOST_STREAMS = 64
"""How many a compressed message may have, however short they are."""


class Broken(AssertionError):
    """A promise is broken; the text says which."""


def _promise(kept: bool, what: str) -> None:
    if not kept:
        raise Broken(what)


def frames(data: bytes) -> None:
    """The frame reader reads what a plain one does, however the stream is cut. The first byte
    decides on compression, the second on where the stream is cut."""
    if len(data) < 2:
        return
    deflate, step, stream = bool(data[0] & 1), data[1] % 64 + 1, data[2:]
    expected = read_stream(stream, LIMIT_BYTES, deflate)
    for size in (step, max(1, len(stream))):
        _compare(stream, size, deflate, expected)


def _compare(stream: bytes, step: int, deflate: bool, expected: Any) -> None:
    reader = FrameReader(LIMIT_BYTES, deflate)
    messages: list[tuple[int, bytes]] = []
    controls: list[tuple[int, bytes]] = []
    begun: bytes | None = None
    opcode = CONTINUATION
    code = None
    buffer = bytearray(b"\xa5" * (HEADROOM + step + 8))
    for at in range(0, len(stream), step):
        block = stream[at : at + step]
        start, stop = HEADROOM, HEADROOM + len(block)
        buffer[start:stop] = block
        while start < stop:
            try:
                for piece in reader.feed(buffer, start, stop):
                    _promise(code is None or isinstance(piece, tuple), "texts after an error")
                    if isinstance(piece, list):
                        messages += [(TEXT, bytes(text)) for text in piece]
                        continue
                    kind, end, begin, payload, until = piece
                    data = bytes(buffer[payload:until])
                    _promise(bytes(buffer[begin:until]) == frame(kind, data, end), "no whole frame")
                    if code is not None:
                        _promise(bool(kind & CLOSE), "a message after an error")
                        continue
                    if kind & CLOSE:
                        controls.append((kind, data))
                        continue
                    _promise((kind == CONTINUATION) == (begun is not None), "messages interleave")
                    opcode = kind or opcode
                    begun = (begun or b"") + data
                    if end:
                        messages.append((opcode, begun))
                        begun = None
            except FrameError as error:
                code = code or error.code
                reader.skip_messages()
            # A header that is at fault may have begun in the block before.
            _promise(reader.stopped_at >= start or reader.unreadable, "reads backwards")
            start = reader.stopped_at
    _promise(code == expected.code, f"code {code} instead of {expected.code}")
    _promise(messages == expected.messages, "other messages")
    _promise(controls == expected.controls, "other control frames")
    _promise(expected.begun.startswith(begun or b""), "another beginning")


def deflate(data: bytes) -> None:
    """Whatever is said to be compressed is inflated as zlib does it, or refused; and what reaches
    the phones of a CLI that sends it is that, whole or cut short."""
    if len(data) < 2:
        return
    step, thorough, payload = data[0] + 1, bool(data[1] & 1), data[2:]
    plain, verdict = _by_zlib(payload)
    ours: bytes | None = None
    try:
        ours = _inflated(payload, step)
    except FrameError as error:
        _promise(error.code in (1007, 1009), f"refused with {error.code}")
        # Of what is too big and worse later on, either may be found first.
        _promise(verdict != "good" or len(plain) > LIMIT_BYTES, "refuses what zlib takes")
        _promise(error.code == 1007 or len(plain) > LIMIT_BYTES, "another limit")
    if ours is not None:
        _promise(verdict in ("good", "many"), f"takes what zlib finds {verdict}")
        _promise(ours == plain, "other content than zlib's")
    guard = BombGuard(LIMIT_BYTES, thorough, text=False)
    passed = True
    try:
        for at in range(0, len(payload), step):
            guard.check(memoryview(payload)[at : at + step], at + step >= len(payload))
    except FrameError as error:
        passed = False
        _promise(error.code in (1007, 1009), f"refused with {error.code}")
    if thorough and payload:
        _promise(passed == (ours is not None), "the guard is of another opinion")
    try:
        head, complete = inflate_head(payload, 64, True)
    except FrameError as error:
        _promise(error.code == 1007, f"the head is refused with {error.code}")
    else:
        _promise(head == plain[:64], "another head")
        with suppress(NotAnObject):
            sniff(head, complete)
    _relay_compressed(payload, step, ours)


def _by_zlib(payload: bytes) -> tuple[bytes, str]:
    """What zlib makes of it (a little more than the limit, at most), and whether that is "good",
    "bad" or "cut", as it ends inside of a block; or "many", of more streams than are promised to
    pass."""
    out, rest, streams = b"", payload + DEFLATE_TAIL, 0
    while True:
        streams += 1
        part, fine, over, unused = _zlib(rest, LIMIT_BYTES - len(out))
        out += part
        if not fine:
            return out, "bad"
        if len(out) > LIMIT_BYTES:
            return out, "good"
        if not over:
            break
        if unused in (b"", DEFLATE_TAIL):
            return out, "many" if streams > _MOST_STREAMS else "good"
        rest = unused
    # Where another block can begin, this one is the last.
    more, fine, over, _ = _zlib(rest + b"\x01\x00\x00\xff\xff", LIMIT_BYTES)
    if not fine or not over or more != part:
        return out, "cut"
    return out, "many" if streams > _MOST_STREAMS else "good"


def _zlib(stream: bytes, most: int) -> tuple[bytes, bool, bool, bytes]:
    """What comes out (a little more than ``most``), whether zlib has no objection, whether that is
    the end of the stream, and what is behind it."""
    decompress = zlib.decompressobj(-15)
    out = b""
    while not decompress.eof and len(out) <= most:
        try:
            data = decompress.decompress(stream, 1)
        except zlib.error:
            return out, False, False, b""
        stream = decompress.unconsumed_tail
        out += data
        if not data:
            break
    return out, True, decompress.eof, decompress.unused_data


def _inflated(payload: bytes, step: int) -> bytes:
    inflation = Inflation(LIMIT_BYTES)
    out = b""
    for at in range(0, max(1, len(payload)), step):
        inflation.feed(payload[at : at + step], at + step >= len(payload))
        while data := inflation.read(100):
            out += data
    return out


def _relay_compressed(payload: bytes, step: int, plain: bytes | None) -> None:
    relay = Relay(max_message=LIMIT_BYTES)
    with _calm():
        phones = [relay.connect("/mobile/ABC234", deflate=packed) for packed in (False, True)]
        cli = relay.connect("/cli/ABC234", deflate=True)
        for client in (cli, *phones):
            client.read()
            client.messages.clear()
        wire = masked(2 | COMPRESSED, payload[:step], len(payload) <= step)
        if len(payload) > step:
            wire += masked(CONTINUATION, payload[step:])
        cli.send_raw(wire)
        cli.read()
        for phone, packed in zip(phones, (False, True), strict=True):
            _see_phone(phone, packed, payload, plain)
        for client in (cli, *phones):
            client.lose()


def _see_phone(phone: Client, packed: bool, payload: bytes, plain: bytes | None) -> None:
    got, ended, closed = b"", True, False
    for opcode, fin, data in server_frames(phone.transport.value()):
        if opcode == CLOSE:
            closed = True
        elif opcode in (2, 2 | COMPRESSED, CONTINUATION):
            got, ended = got + data, fin
    _promise(ended or closed, "a phone hangs in the middle of a message")
    if not got or not ended:
        return
    if packed:
        _promise(got == payload, "a phone got something else")
    else:
        _promise(plain is not None and got == plain, "a phone got something else, inflated")


def handshake(data: bytes) -> None:
    """Any bytes on a new connection are answered with HTTP, or not at all; nothing fails in here,
    and nobody gets in whose path is none. The first byte decides where they are cut."""
    if not data:
        return
    step, raw = data[0] + 1, data[1:_MOST_REQUEST_BYTES]
    relay = Relay(admin_token=_TOKEN)
    with _calm():
        said = _converse(make_site(relay.service, None), relay.clock, raw, step)
    _see_answers(said, raw)
    _promise(not relay.service.clients and not relay.service.sessions, "somebody stays")


def http(data: bytes) -> None:
    """The same for requests to what the site has, with bundles; and ranges of those are right.
    Each line of the input is one of a request's, as a bare line feed ends it."""
    lines = data[:_MOST_REQUEST_BYTES].split(b"\n")
    first = lines[0] if b" " in lines[0] else b"GET /" + lines[0]
    raw = b"\r\n".join([first + b" HTTP/1.1", *lines[1:], b"Host: x", b"", b""])
    relay = Relay(admin_token=_TOKEN)
    with _calm(), tempfile.TemporaryDirectory() as folder:
        bundle = FileBundle(Path(folder), CODE)
        site = make_site(relay.service, None)
        resource = BundlesResource(
            DictBundleCache(ABC234=bundle), _InlineThreads(), 30.0, None, relay.service.access
        )
        site.resource.putChild(b"bundles", resource)
        said = _converse(site, relay.clock, raw, 4096)
        _promise(bundle.users == 0, "a bundle stays in use")
    _see_answers(said, raw)
    if raw.startswith(b"GET /bundles/ABC234") and said.startswith(b"HTTP/1.1 20"):
        _see_bundle(said, bundle)


def _see_bundle(said: bytes, bundle: FileBundle) -> None:
    head, _, body = said.partition(b"\r\n\r\n")
    fields = _fields(head)
    coding = fields.get("content-encoding", "identity")
    whole = bundle.form(coding)
    _promise(DECODE[coding](whole) == CODE, "a wrong coding")
    length = int(fields["content-length"])
    body = body[:length]
    _promise(len(body) == length, "a body that is cut")
    if b" 206 " in head.partition(b"\r\n")[0]:
        span, _, total = fields["content-range"].removeprefix("bytes ").partition("/")
        begin, _, last = span.partition("-")
        _promise(int(total) == len(whole), "a wrong total")
        _promise(body == whole[int(begin) : int(last) + 1] != b"", "a wrong range")
    else:
        _promise(body == whole, "a wrong body")


class _InlineThreads(Clock):
    """Threads that do at once what they are given."""

    def getThreadPool(self) -> "_InlineThreads":
        return self

    def callInThreadWithCallback(
        self, done: Callable[[bool, Any], None], function: Callable[..., Any], *args: Any, **kw: Any
    ) -> None:
        try:
            result = function(*args, **kw)
        except Exception:
            done(False, Failure())
        else:
            done(True, result)

    def callFromThread(self, function: Callable[..., Any], *args: Any) -> None:
        function(*args)


def _converse(site: Any, clock: Clock, raw: bytes, step: int) -> bytes:
    """All that is said to ``raw``, on a connection that then is lost."""
    site.startFactory()
    transport: Any = StringTransport(peerAddress=_PEER)
    channel = transport.protocol = site.buildProtocol(_PEER)
    channel.makeConnection(transport)
    for at in range(0, len(raw), step):
        if transport.disconnecting or transport.disconnected:
            break
        # A WebSocket takes the channel's place.
        transport.protocol.dataReceived(raw[at : at + step])
        clock.advance(0)
    said: bytes = transport.value()
    transport.protocol.connectionLost(Failure(ConnectionDone()))
    clock.advance(60)
    site.stopFactory()
    return said


def _see_answers(said: bytes, raw: bytes) -> None:
    if not said:
        return
    head, _, body = said.partition(b"\r\n\r\n")
    line = head.partition(b"\r\n")[0].split(b" ")
    _promise(line[0] in (b"HTTP/1.1", b"HTTP/1.0") and line[1].isdigit(), f"no HTTP: {line!r}")
    status = int(line[1])
    _promise(status < 500, f"status {status}")
    fields = _fields(head)
    if status == 101:
        _promise(b"sec-websocket-key" in raw.lower(), "got in without a key")
    elif "application/json" in fields.get("content-type", "") and not raw.startswith(b"HEAD"):
        length = int(fields["content-length"])
        json.loads(body[:length])


def _fields(head: bytes) -> dict[str, str]:
    fields = {}
    for line in head.decode("latin-1").split("\r\n")[1:]:
        name, colon, value = line.partition(": ")
        _promise(bool(colon) and name.replace("-", "").isalnum(), f"no header: {line!r}")
        fields[name.lower()] = value
    return fields


@contextmanager
def _calm() -> Iterator[None]:
    """Nothing may be logged as an error."""
    errors: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event.get("isError") or "log_failure" in event:
            errors.append(event)

    globalLogPublisher.addObserver(observe)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observe)
    _promise(not errors, f"logged: {[str(e.get('log_failure') or e) for e in errors]}")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "frames": frames,
    "deflate": deflate,
    "handshake": handshake,
    "http": http,
}


def corpus(target: str) -> list[Path]:
    """The saved inputs of a target."""
    return sorted((CORPUS / target).iterdir())
