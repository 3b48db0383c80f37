"""A relay with a spool, on transports and a disk in memory, and what its tests say often."""

import hashlib
import json
import random
import zlib
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.frames import CONTINUATION, TEXT
from tests.memory import Client, Relay, masked
from tests.spool import MemoryStore


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
    settings: dict[str, Any] = {}

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


class SlowCase(Spooled):
    """What it takes for a phone to be slow."""

    settings = {"slow_rate": 1_000_000, "slow_time": 2.0, "max_message": 50_000_000}

    def setUp(self) -> None:
        super().setUp()
        self.cli = self.connect("cli")
        self.quick = self.connect("mobile")
        self.cli.received()

    def join_slow(self, query: str = "", **more: Any) -> Client:
        slow = self.connect("mobile", query, **more)
        slow.transport.producer.pauseProducing()
        return slow

    def sip(self, slow: Client) -> None:
        """Take what waits, and be full again."""
        slow.transport.producer.resumeProducing()
        slow.transport.producer.pauseProducing()

    def wait(self, slow: Client) -> None:
        """Long enough to be found slow, while taking a little."""
        self.relay.clock.advance(1)
        slow.protocol._end.sink.written += 10
        self.relay.clock.advance(1)

    def drink(self, slow: Client) -> list[bytes]:
        """Take everything."""
        slow.transport.producer.resumeProducing()
        while self.disk.reads:
            self.disk.give()
        return self.texts(slow)

    def leave_in_mid_message(self, text: bytes, slow: Client, opcode: int = TEXT) -> None:
        """Send a message in pieces, in the middle of which ``slow`` is found slow."""
        frames = [
            masked(
                opcode if not at else CONTINUATION,
                text[at : at + 50_000],
                fin=at + 50_000 >= len(text),
            )
            for at in range(0, len(text), 50_000)
        ]
        half = len(frames) // 2
        for data in frames[:half]:
            self.cli.send_raw(data)
            self.sip(slow)
        rest = frames[half:]
        while self.cli.transport.producerState == "producing":
            self.cli.send_raw(rest.pop(0))
        self.assertTrue(rest)
        self.wait(slow)
        self.assertEqual(self.cli.transport.producerState, "producing")
        for data in rest:
            self.cli.send_raw(data)
