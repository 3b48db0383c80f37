"""Saves at random, as patches and whole, right and wrong, by CLIs that take over from each other,
while phones come, go and ask for the whole, and the worker answers late: in the end every phone has
the code that was saved last, and so has the relay.

Others each time, and more of them: ``HYPOTHESIS_PROFILE=random``.
"""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from apptuner_relay.spool.code import bundle_messages
from apptuner_relay.wire.frames import TEXT
from tests.memory import Client, masked
from tests.memory_store import code_of as code_on_disk
from tests.relay.test_sent_patches import SenderCase, code_of, patch_text
from tests.spool.cases import sha256, some_code
from tests.spool.test_delivery_of_patches import Phone

CODE = some_code(6_000)
CHUNK_BYTES = 2_000

STEPS = st.lists(
    st.sampled_from(
        [
            "patch",
            "patch",
            "patch",
            "whole",
            "chunks",
            "unfinished",
            "wrong",
            "take over",
            "answer",
            "answer",
            "join",
            "join with the last",
            "leave",
            "want whole",
            "something unknown",
        ]
    ),
    min_size=3,
    max_size=25,
)


class Cli:
    """Sends patches of what it was told is kept, else the whole."""

    def __init__(self, case: "AtRandom") -> None:
        self.case = case
        self.client: Client = case.connect("cli", "patch=1")
        self.texts: dict[str, str] = {}
        """What it has sent, by SHA-256. A real one keeps the last."""
        self.kept: str | None = None
        self.last = ""

    def save(self, code: str, how: str) -> None:
        """Send ``code``."""
        self.last, self.texts[sha256(code)] = code, code
        base = self.texts.get(self.kept or "")
        if how == "patch" and base is not None:
            self.client.send_raw(masked(TEXT, patch_text(base, code)))
        elif how == "chunks":
            self.case.chunks(self.client, code, 3)
        else:
            self.case.bundle(self.client, code)

    def listen(self) -> None:
        """Hear what is kept, and send what is wanted whole."""
        for message in self.client.received():
            if message["type"] == "bundle_kept":
                self.kept = message["sha256"]
            elif message["type"] == "bundle_wanted":
                self.kept = None
                self.case.bundle(self.client, self.last)


class AtRandom(SenderCase):
    @given(STEPS)
    def test_everybody_has_what_was_saved_last(self, steps: list[str]) -> None:
        self.patch(bundle_messages, "CHUNK_BYTES", CHUNK_BYTES)
        # There are many, and each has files open.
        self.store.stopService()
        self.setUp()
        self.cli.lose()
        self.number = 0
        self.one = Cli(self)
        self.released = [Phone(self.connect("mobile"))]
        self.phones = [self.phone()]
        self.parts: dict[Phone, list[dict[str, Any]]] = {}
        """The messages of the series that a phone got, or gets."""
        self.one.save(self.next_code(), "whole")
        self.listen()
        self.store.offload.patient = True
        for step in steps:
            self.do(step)
            self.turn()
            self.listen()
        self.assertAllHaveTheLast()
        self.one.save(self.next_code(), "patch")
        self.assertAllHaveTheLast()
        last = self.store.last(next(iter(self.relay.service.sessions)))
        assert last is not None
        last.need()
        self.settle()
        self.assertEqual(code_on_disk(last.path).decode(), self.one.last)
        codes = {".identity", last.path.suffix}
        self.assertLessEqual({path.suffix for path in self.store.files()}, codes)

    def assertAllHaveTheLast(self) -> None:
        """Once the worker has nothing to do."""
        self.settle()
        for phone in self.phones:
            self.assertEqual((phone.code, phone.label), (self.one.last, sha256(self.one.last)))
        for phone in self.released:
            self.assertEqual(phone.code, self.one.last)

    def next_code(self) -> str:
        self.number += 1
        return f"{CODE}\n🛒 {self.number} 🛍\n{CODE}"

    def do(self, step: str) -> None:
        match step:
            case "patch" | "whole" | "chunks":
                self.one.save(self.next_code(), step)
            case "unfinished":
                self.start_chunks(self.one.client, CODE, 3)
                self.chunk(self.one.client, CODE, 3, 0)
                self.listen()
                # It goes on with another save, as a real one does.
                self.one.save(self.next_code(), "patch")
            case "wrong":
                self.one.client.send(type="bundle_patch", base="0" * 64, edits=[])
            case "something unknown":
                page = self.connect("dashboard")
                page.send(type="bundle_delta")
                page.lose()
                self.listen()
                # What phones run is known again with the next save.
                self.one.save(self.next_code(), "patch")
            case "take over":
                former, self.one = self.one, Cli(self)
                former.client.lose()
                self.one.save(self.next_code(), "whole")
            case "answer":
                self.store.offload.answer()
            case "join":
                if len(self.released) < 2:
                    self.released.append(Phone(self.connect("mobile", "replay=1")))
            case "join with the last":
                if len(self.phones) < 3:
                    self.phones.append(self.phone("replay=1", self.one.last))
            case "leave":
                if self.phones:
                    self.phones.pop().client.lose()
            case "want whole":
                for phone in self.phones:
                    phone.client.send(type="bundle_wanted")

    def listen(self) -> None:
        self.one.listen()
        for phone in (*self.phones, *self.released):
            self.read(phone)
        # Who had part of a bundle of a CLI that has gone was closed.
        self.phones = [phone for phone in self.phones if phone.client.closed is None]
        self.released = [phone for phone in self.released if phone.client.closed is None]

    def read(self, phone: Phone) -> None:
        """Take in what came, chunks included."""
        for message in phone.client.received():
            if message["type"] == "bundle_start":
                self.parts[phone] = [message]
            elif message["type"] == "bundle_chunk":
                self.parts[phone].append(message)
                if len(self.parts[phone]) == 1 + message["totalChunks"]:
                    phone.code, phone.label = code_of(self.parts[phone])[0], None
            else:
                phone.take(message)

    def settle(self) -> None:
        """Until the worker has nothing to do."""
        for _ in range(50):
            while self.store.offload.waiting:
                self.store.offload.answer()
                self.turn()
                self.listen()
            self.turn()
            self.listen()
