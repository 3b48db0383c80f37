"""A relay with a spool, on transports and a disk in memory, and what its tests say often."""

import hashlib
import json
import random
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.frames import CONTINUATION, TEXT, Frame
from tests.memory import Client, Relay, masked
from tests.memory_store import MemoryStore


def sha256(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def some_code(length: int, seed: int = 1) -> str:
    """Code that deflate can't do much with."""
    source = random.Random(seed)
    return "".join(source.choices('abcdefghijklmnopqrstuvwxyz\n"\\é0123456789', k=length))


def brief(text: bytes) -> bytes:
    """The text, or what tells it from others."""
    return text if len(text) < 200 else b"%b... %d %d" % (text[:40], len(text), zlib.crc32(text))


class Spooled(SynchronousTestCase):
    settings: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        self.relay = Relay(MemoryStore, **self.settings)
        store = self.relay.store
        assert isinstance(store, MemoryStore)
        self.store = store
        self.disk = store.disk

    def connect(self, role: str, query: str = "", **more: Any) -> Client:
        return self.relay.connect(f"/{role}/ABC234?{query}", **more)

    def bundle(self, cli: Client, code: str) -> bytes:
        """Send a bundle in one message."""
        return cli.send(type="bundle_update", payload={"code": code}, timestamp=1)

    def chunks(self, cli: Client, code: str, count: int) -> list[bytes]:
        """Send a bundle in chunks."""
        sent = self.start_chunks(cli, code, count)
        return sent + [self.chunk(cli, code, count, i) for i in range(count)]

    def start_chunks(self, cli: Client, code: str, count: int) -> list[bytes]:
        return [cli.send(type="bundle_start", totalChunks=count, totalSize=len(code))]

    def chunk(self, cli: Client, code: str, count: int, index: int) -> bytes:
        size = -(-len(code) // count)
        data = code[index * size : (index + 1) * size]
        return cli.send(type="bundle_chunk", index=index, totalChunks=count, data=data)

    def texts(self, client: Client) -> list[bytes]:
        """The messages that came since the last call, as they came."""
        client.read()
        taken, client.messages = client.messages, []
        return taken

    def assertTexts(self, got: list[bytes], expected: list[bytes]) -> None:
        self.assertEqual([brief(text) for text in got], [brief(text) for text in expected])

    def half(self, cli: Client, code: str) -> bytes:
        """Send the first half of a bundle; returns what is left to send."""
        text = json.dumps({"type": "bundle_update", "payload": {"code": code}}).encode()
        cut = len(text) // 2
        cli.send_raw(masked(TEXT, text[:cut], fin=False))
        return masked(CONTINUATION, text[cut:])


class Sips:
    """A phone that takes no more than it is given room for.

    :param room: bytes.
    """

    def __init__(self, client: Client, room: int = 0) -> None:
        self.client = client
        self.room: int | None = room
        client.protocol.offer = self._offer
        client.protocol.takes_parts = True

    def sip(self, room: int | None) -> None:
        """Take so many bytes more; None for all that come."""
        self.room = room
        sink = self.client.protocol.frame_handler.sink
        if sink.full:
            sink.resumeProducing()

    def _offer(self, parts: Sequence[Frame]) -> int:
        data = b"".join(parts)
        taken = len(data) if self.room is None else min(len(data), self.room)
        if self.room is not None:
            self.room -= taken
        self.client.transport.write(data[:taken])
        return taken


class SlowCase(Spooled):
    """What it takes for a phone to be slow, beside a quick one."""

    settings: ClassVar[dict[str, Any]] = {"max_message": 50_000_000}

    def setUp(self) -> None:
        super().setUp()
        self.cli = self.connect("cli")
        self.quick = self.connect("mobile")
        self.cli.received()
        self._sips: dict[Client, Sips] = {}

    def join_slow(self, query: str = "", room: int = 0, **more: Any) -> Client:
        """A phone that takes ``room`` bytes, and nothing more."""
        slow = self.connect("mobile", query, **more)
        self._sips[slow] = Sips(slow, room)
        return slow

    def sip(self, slow: Client, room: int = 10_000) -> None:
        """Take a little."""
        self._sips[slow].sip(room)

    def drink(self, slow: Client) -> list[bytes]:
        """Take everything."""
        self._sips[slow].sip(None)
        while self.disk.reads:
            self.disk.give()
        return self.texts(slow)

    def assertNotHeld(self) -> None:
        """The CLI is read from, if perhaps a moment later."""
        if self.cli.transport.producerState != "producing":
            self.relay.clock.advance(0.05)
        self.assertEqual(self.cli.transport.producerState, "producing")

    def send_in_frames(self, text: bytes, opcode: int = TEXT) -> Iterator[None]:
        """Send a message in frames of 50 kB. The CLI is not held before any of them."""
        for at in range(0, len(text), 50_000):
            self.assertNotHeld()
            end = at + 50_000 >= len(text)
            self.cli.send_raw(masked(CONTINUATION if at else opcode, text[at : at + 50_000], end))
            yield

    def leave_behind(self, text: bytes, slow: Client, opcode: int = TEXT) -> None:
        """Send a message, of which ``slow`` takes a little now and then."""
        for number, _ in enumerate(self.send_in_frames(text, opcode)):
            if number % 3 == 0:
                self.sip(slow)
        self.assertNotHeld()
