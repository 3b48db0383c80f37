"""The last bundle of a session that another relay hands over: recorded whole, or not at all."""

import hashlib
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apptuner_relay.cluster.bridge.bundle_receiver import BundleReceiver
from apptuner_relay.cluster.bridge.handover_messages import BundleDescription
from apptuner_relay.flow.series import Series
from apptuner_relay.flow.source import Source
from apptuner_relay.spool.bundle import StoredForm
from apptuner_relay.spool.recorder import Recorder
from apptuner_relay.wire.frames import COMPRESSED, CONTINUATION, TEXT
from tests.cluster.harness import KEY
from tests.flow.parts import WINDOW, nobody
from tests.memory import deflated
from tests.memory_store import code_of
from tests.spool.cases import Spooled

LONGEST = 10_000_000


def update(code: str) -> list[bytes]:
    """A bundle in one message."""
    return [json.dumps({"type": "bundle_update", "payload": {"code": code}}).encode()]


def chunks(code: str, count: int) -> list[bytes]:
    """A bundle in chunks."""
    size = -(-len(code) // count)
    first = {"type": "bundle_start", "totalChunks": count, "totalSize": len(code)}
    parts = [
        {
            "type": "bundle_chunk",
            "index": n,
            "totalChunks": count,
            "data": code[n * size : (n + 1) * size],
        }
        for n in range(count)
    ]
    return [json.dumps(one).encode() for one in (first, *parts)]


class ReceiverCase(Spooled):
    def receive(
        self,
        messages: list[bytes],
        count: int = 1,
        deflates: bool = False,
        chunked: int | None = None,
    ) -> None:
        """Take messages, each in so many frames."""
        self.source = Source(nobody, nobody, WINDOW)
        self.refused: list[Any] = []
        recorder = Recorder(
            self.store,
            KEY,
            self.source,
            self.relay.service.logs,
            True,
            lambda code, reason: self.refused.append((code, reason)),
        )
        description = BundleDescription(StoredForm(Series(chunked), None, 1), 0, 7.0)
        self.receiver = BundleReceiver(recorder, self.source, description, LONGEST)
        self.sha256 = hashlib.sha256()
        for text in messages:
            payload = deflated(text) if deflates else text
            self.sha256.update(payload)
            size = max(1, -(-len(payload) // count))
            for at in range(0, len(payload), size):
                opcode = (TEXT | COMPRESSED if deflates else TEXT) if at == 0 else CONTINUATION
                self.receiver.take(opcode, at + size >= len(payload), payload[at : at + size])
                self.source.flush()
        self.source.send_early()

    def stored(self, sha256: str | None = None) -> Any:
        """Why it isn't; None where it is."""
        said: list[Any] = []
        now_s = self.relay.clock.seconds()
        self.receiver.when_stored(sha256 or self.sha256.hexdigest(), now_s, said.append)
        self.relay.wait(1)
        [why] = said
        return why

    def code(self) -> bytes | None:
        """The code that is cached."""
        bundle: Any = self.store.latest(KEY)
        return None if bundle is None else code_of(bundle.path)


class Whole(ReceiverCase):
    @settings(max_examples=30, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, 60_000), st.integers(1, 7), st.booleans(), st.none() | st.integers(1, 5))
    def test_in_whatever_frames_it_comes(
        self, size: int, count: int, deflates: bool, chunked: int | None
    ) -> None:
        self.setUp()
        code = "x" * size
        messages = update(code) if chunked is None else chunks(code, chunked)
        self.receive(messages, count, deflates, chunked)
        self.assertIsNone(self.stored())
        self.assertEqual(self.code(), code.encode())

    def test_its_time_goes_on_from_where_it_was(self) -> None:
        self.receive(update("abc"))
        self.assertIsNone(self.stored())
        bundle: Any = self.store.latest(KEY)
        self.assertAlmostEqual(bundle.last_use_s, self.relay.clock.seconds() - 8.0)


class NotWhole(ReceiverCase):
    def test_its_hash_is_another(self) -> None:
        self.receive(update("abc"))
        self.assertIn("whole", self.stored("0" * 64))
        self.assertIsNone(self.code())

    def test_chunks_are_missing(self) -> None:
        self.receive(chunks("abcdef", 3)[:-1], chunked=3)
        self.assertIn("whole", self.stored())
        self.assertIsNone(self.code())

    def test_what_is_no_bundle(self) -> None:
        self.receive([b'{"type":"talk"}', b"[1]", b'{"type":"bundle_chunk"}'])
        self.assertIsNotNone(self.stored())
        self.assertIsNone(self.code())

    def test_its_relay_goes(self) -> None:
        for keep in (False, True):
            self.setUp()
            self.receive(chunks("abcdef", 3)[:-1], chunked=3)
            self.receiver.end(keep)
            self.relay.wait(1)
            self.assertIsNone(self.code())

    def test_the_disk_fails(self) -> None:
        self.disk.error = OSError(28, "No space left on device")
        self.receive(update("abc" * 10_000))
        self.assertIn("disk", self.stored())
        self.assertIsNone(self.code())
