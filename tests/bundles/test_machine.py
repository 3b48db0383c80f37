"""A session's life with a spool, at random: senders that send bundles in every form and other
messages, phones that join with any of the query options, stall, sip, ping, leave; a disk and a
worker that answer late. What every phone must see, and what must be left at the end.

The same examples each time; others, and more of them: ``RANDOM=1 EXAMPLES=3000``. ``NOSHRINK=1``
shows the first that fails as it is.
"""

import hashlib
import json
import os
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any, NamedTuple

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.bundles.bundle import Digest, NoCode
from apptuner_relay.bundles.disk import Spares, ThreadedDisk
from apptuner_relay.bundles.extraction import Extraction, Unreadable
from apptuner_relay.bundles.store import Store
from apptuner_relay.flow import Frame
from apptuner_relay.options import Settings
from apptuner_relay.wire.frames import COMPRESSED, CONTINUATION, TEXT
from tests.memory import Client, Relay, deflated, masked

WINDOW_BYTES = 16 * 1024
SPARE_BYTES = 1024 * 1024
ROUNDS = 2000
SELDOM = st.integers(0, 3).map(lambda n: n == 3)


class Reactor:
    """Keeps what a thread wants to be called, until `run`."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def callFromThread(self, function: Callable[..., object], *args: object) -> None:
        self.calls.append(lambda: function(*args))

    def run(self) -> None:
        while self.calls:
            self.calls.pop(0)()


class LateDisk(ThreadedDisk):
    """The real thing without its thread: it works when it is told to."""

    def __init__(self) -> None:
        self.reactor = Reactor()
        super().__init__(self.reactor, None, Spares(SPARE_BYTES))  # type: ignore[arg-type]
        self.reads: list[Callable[[], None]] = []

    def start(self) -> None: ...

    def stop(self) -> Deferred[None]:
        while self.work():
            pass
        return succeed(None)

    def read(self, fd: int, offset: int, length: int) -> Deferred[bytes]:
        data: Deferred[bytes] = Deferred()
        self.reads.append(lambda: data.callback(os.pread(fd, length, offset)))
        return data

    def write_one(self) -> bool:
        """Do one job, as the thread would. Its calls come later."""
        try:
            job = self._jobs.get_nowait()
        except Empty:
            return False
        if job is not None:
            job.run(self.reactor)  # type: ignore[arg-type]
            self._done_bytes += job.size
        return True

    def work(self) -> bool:
        """Do all there is now; whether that was anything."""
        worked = False
        while self.write_one():
            worked = True
        worked = worked or bool(self.reads or self.reactor.calls)
        self.reactor.run()
        reads, self.reads = self.reads, []
        for read in reads:
            read()
        return worked


class LateDigestion:
    def __init__(self, offload: "LateOffload", path: Path) -> None:
        self.result: Deferred[Digest] = Deferred()
        self._offload = offload
        self._path = path
        self._over = False

    def written(self, size: int) -> None: ...

    def finish(self) -> None:
        extraction = Extraction()
        try:
            code = b"".join(extraction.feed(self._path.read_bytes())) + extraction.finish()
        except Unreadable as why:
            error = NoCode(str(why))
            self._offload.waiting.append(lambda: self.tell(self.result.errback, error))
        else:
            digest = Digest(hashlib.sha256(code).hexdigest(), len(code))
            self._offload.waiting.append(lambda: self.tell(self.result.callback, digest))

    def cancel(self) -> None:
        self._over = True

    def tell(self, call: Callable[[Any], None], what: object) -> None:
        if not self._over:
            call(what)


class LateOffload:
    def __init__(self) -> None:
        self.waiting: list[Callable[[], object]] = []

    def digest(self, path: Path) -> LateDigestion:
        return LateDigestion(self, path)

    def make(self, path: Path, coding: str, output: Path) -> Deferred[int]:
        raise NotImplementedError

    def stop(self) -> Deferred[None]:
        return succeed(None)

    def answer(self) -> bool:
        waiting, self.waiting = self.waiting, []
        for answer in waiting:
            answer()
        return bool(waiting)


class LateStore(Store):
    disk: LateDisk

    def __init__(self, clock: Clock, options: Settings) -> None:
        self.parent_folder = Path(tempfile.mkdtemp(prefix="spool-", dir=os.getcwd()))
        self.offload = LateOffload()
        super().__init__(options, self.parent_folder, clock, LateDisk(), self.offload)


@dataclass
class Bundle:
    """What was sent as one."""

    code: str
    begun: int
    """When, counted in messages of all senders."""
    texts: list[bytes] = field(default_factory=list)
    ended: int | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.code.encode()).hexdigest()


def _nothing() -> None: ...


class Message(NamedTuple):
    """What a sender shall send next."""

    what: str
    size: int
    compress: bool
    split: int
    """How long its fragments are; 0 for a single frame."""
    spaces: bool
    pieces: int
    """How many chunks, for the start of a bundle."""


MESSAGES = st.builds(
    Message,
    st.sampled_from(
        ["note", "note", "bundle", "bundle", "start", "chunk", "chunk", "chunk", "bad"]
    ),
    st.sampled_from([1, 400, 700, 20_000, 90_000, 200_000]),
    st.booleans(),
    st.sampled_from([0, 0, 100, 30_000]),
    st.booleans(),
    st.integers(1, 4),
)


@dataclass(eq=False)
class Sender:
    client: Client
    deflates: bool
    frames: list[bytes] = field(default_factory=list)
    """What is left to send of the message in progress."""
    on_sent: Callable[[], None] = _nothing
    take_back: Callable[[], None] = _nothing
    """Undoes ``on_sent``."""
    bundle: Bundle | None = None
    """Chunks of which are still to come."""
    chunks: int = 0

    @property
    def protocol(self) -> Any:
        return self.client.protocol


@dataclass(eq=False)
class Phone:
    client: Client
    joined: int
    query: dict[str, str]
    room: int | None = None
    """How many bytes it still takes; None for all."""
    got: list[bytes] = field(default_factory=list)
    pings: int = 0
    pongs: int = 0
    shas: list[str] = field(default_factory=list)
    late: bool = False

    @property
    def protocol(self) -> Any:
        return self.client.protocol

    def offer(self, parts: Sequence[Frame]) -> int:
        data = b"".join(parts)
        taken = len(data) if self.room is None else min(len(data), self.room)
        if self.room is not None:
            self.room -= taken
        self.client.transport.write(data[:taken])  # type: ignore[no-untyped-call]
        return taken

    def drink(self, room: int | None) -> bool:
        """Take so many bytes more; whether the relay had been waiting for that."""
        self.room = room
        sink = self.protocol._end and self.protocol._end.sink
        if sink is None or sink.closed or not sink.full or room == 0:
            return False
        sink.resumeProducing()
        return True


class Session(RuleBasedStateMachine):
    """`settled` is where everything has been delivered that is ever going to be."""

    def __init__(self) -> None:
        super().__init__()
        self.relay = Relay(
            LateStore,
            window=WINDOW_BYTES,
            slow_rate=1000,
            slow_time=2.0,
            stall_timeout=1e6,
            session_timeout=1e6,
            ping_interval=1e6,
            bundle_ttl=1e6,
        )
        store = self.relay.store
        assert isinstance(store, LateStore)
        self.store = store
        self.disk = store.disk
        self.time = 0
        self.senders: dict[str, Sender] = {}
        self.phones: list[Phone] = []
        self.past: list[Phone] = []
        self.sent: list[Bundle] = []
        self.notes: dict[bytes, int] = {}
        """Others than bundles, and when they were sent."""
        self.by: dict[bytes, str] = {}
        self.whole: set[bytes] = set()
        """Those that the relay has been given whole."""

    @initialize(deflate=st.booleans(), phone=st.booleans())
    def somebody_is_there(self, deflate: bool, phone: bool) -> None:
        self.sender_joins("cli", deflate)
        if phone:
            self.phone_joins(deflate, False, False, "", {}, None)

    # Senders

    @precondition(lambda self: len(self.senders) < 2)
    @rule(role=st.sampled_from(["cli", "cli", "dashboard"]), deflate=st.booleans())
    def sender_joins(self, role: str, deflate: bool) -> None:
        if role in self.senders:
            return
        client = self.relay.connect(f"/{role}/ABC234", deflate=deflate)
        self.senders[role] = Sender(client, deflate)

    @precondition(lambda self: self.senders)
    @rule(data=st.data(), really=SELDOM)
    def sender_is_lost(self, data: st.DataObject, really: bool) -> None:
        if not really:
            return
        role = data.draw(st.sampled_from(sorted(self.senders)))
        sender = self.senders.pop(role)
        if sender.protocol._tail:
            # The relay hasn't read it all.
            sender.take_back()
        sender.client.lose()

    @precondition(lambda self: self.senders)
    @rule(
        data=st.data(),
        messages=st.lists(MESSAGES, min_size=1, max_size=8),
        last=st.sampled_from([1, 2, 10_000]),
    )
    def talks(self, data: st.DataObject, messages: list["Message"], last: int) -> None:
        """Send several messages, of the last one perhaps only a part; as far as the relay takes
        them."""
        for message in messages:
            role = data.draw(st.sampled_from(sorted(self.senders)))
            sender = self.senders[role]
            self._send(sender, 10_000)
            if not sender.frames and not sender.protocol._tail:
                self._begin(role, sender, message)
                self._send(sender, last if message is messages[-1] else 10_000)

    def _begin(self, role: str, sender: Sender, wanted: "Message") -> None:
        what, size, compress, split, spaces, pieces = wanted
        self.time += 1
        now = self.time
        filler = "".join(chr(97 + (now * 7 + i * i) % 26) for i in range(50)) * (size // 50 + 1)
        code = f"/*{now}*/{filler[:size]}é\n"
        message: dict[str, Any]
        if what == "note" or (what == "chunk" and sender.bundle is None):
            message = {"type": "note", "n": now, "pad": filler[:size]}
        elif what == "bad":
            message = {"type": "bundle_start", "totalChunks": 0, "n": now}
        elif what == "bundle":
            message = {"type": "bundle_update", "timestamp": now, "payload": {"code": code}}
        elif what == "start":
            message = {"type": "bundle_start", "totalChunks": pieces, "totalSize": now}
        else:
            assert sender.bundle is not None
            bundle = sender.bundle
            index = len(bundle.texts) - 1
            step = -(-len(bundle.code) // sender.chunks)
            part = bundle.code[index * step : (index + 1) * step]
            message = {"type": "bundle_chunk", "index": index, "data": part, "of": bundle.begun}
        text = json.dumps(
            message,
            separators=None if spaces else (",", ":"),
            ensure_ascii=not compress,
        ).encode()
        after = back = _nothing
        if message["type"] == "note" or what == "bad":
            if what == "bad":
                sender.bundle = None
            self.notes[text] = now
            self.by[text] = role
            after, back = lambda: self.whole.add(text), lambda: self.whole.discard(text)
        elif what == "bundle":
            sender.bundle = None
            bundle = Bundle(code, now, [text])
            self.by[text] = role
            self.sent.append(bundle)
            after, back = lambda: self._ended(bundle), lambda: self._not_ended(bundle)
        elif what == "start":
            sender.bundle = bundle = Bundle(code, now, [text])
            self.by[text] = role
            sender.chunks = pieces
            self.sent.append(bundle)
        else:
            bundle.texts.append(text)
            done = len(bundle.texts) == sender.chunks + 1
            if done:
                sender.bundle = None
                after, back = lambda: self._ended(bundle), lambda: self._not_ended(bundle)
        opcode, payload = TEXT, text
        if compress and sender.deflates:
            opcode, payload = TEXT | COMPRESSED, deflated(text, 1)
        step = split or len(payload)
        for at in range(0, len(payload), step):
            end = at + step >= len(payload)
            sender.frames.append(masked(opcode, payload[at : at + step], end))
            opcode = CONTINUATION
        sender.on_sent, sender.take_back = after, back

    def _ended(self, bundle: Bundle) -> None:
        self.time += 1
        bundle.ended = self.time

    def _not_ended(self, bundle: Bundle) -> None:
        bundle.ended = None

    @rule(data=st.data(), count=st.integers(1, 5))
    def send_more(self, data: st.DataObject, count: int) -> None:
        if self.senders:
            self._send(self.senders[data.draw(st.sampled_from(sorted(self.senders)))], count)

    def _send(self, sender: Sender, count: int) -> bool:
        sent = False
        while sender.frames and count and sender.client.transport.producerState == "producing":
            # Such as it is in the kernel's buffers: what was sent of several frames comes at once.
            size = 0
            block = b""
            while sender.frames and count and size < 400_000:
                block += sender.frames.pop(0)
                size = len(block)
                count -= 1
            sent = True
            if not sender.frames:
                sender.on_sent()
            sender.client.send_raw(block)
        return sent

    # Phones

    @precondition(lambda self: len(self.phones) < 4)
    @rule(
        deflate=st.booleans(),
        replay=st.booleans(),
        announce=st.sampled_from([False, False, True]),
        have=st.sampled_from(["", "", "other", "last"]),
        ios=st.sampled_from([{}, {}, {"platform": "ios"}, {"platform": "ios", "chunks": "1"}]),
        room=st.sampled_from([None, None, 0, 50_000]),
    )
    def phone_joins(
        self,
        deflate: bool,
        replay: bool,
        announce: bool,
        have: str,
        ios: dict[str, str],
        room: int | None,
    ) -> None:
        query = dict(ios)
        if replay:
            query["replay"] = "1"
        if announce:
            query["announce"] = "1"
        if have == "other":
            query["have"] = "0" * 64
        elif have and self.sent:
            query["have"] = self.sent[-1].sha256
        target = "/mobile/ABC234?" + "&".join(f"{key}={value}" for key, value in query.items())
        late = not any(
            role == "cli" or sender.protocol._end.sends_bundles
            for role, sender in self.senders.items()
        )
        client = self.relay.connect(target, deflate=deflate)
        self.time += 1
        phone = Phone(client, self.time, query, late=late)
        phone.protocol.offer = phone.offer
        self.phones.append(phone)
        phone.room = room

    @precondition(lambda self: self.phones)
    @rule(data=st.data(), really=SELDOM)
    def phone_leaves(self, data: st.DataObject, really: bool) -> None:
        if really:
            phone = data.draw(st.sampled_from(self.phones))
            self.phones.remove(phone)
            phone.client.lose()

    @rule(data=st.data(), room=st.sampled_from([0, 1, 300, 5_000, 60_000, None]))
    def phone_drinks(self, data: st.DataObject, room: int | None) -> None:
        if self.phones:
            data.draw(st.sampled_from(self.phones)).drink(room)

    @rule(data=st.data())
    def phone_pings(self, data: st.DataObject) -> None:
        if self.phones:
            phone = data.draw(st.sampled_from(self.phones))
            if phone.protocol._end and phone.client.transport.producerState == "producing":
                phone.pings += 1
                phone.client.send(type="ping", timestamp=1)

    # The others

    @rule(seconds=st.sampled_from([0, 1, 2, 3]))
    def time_passes(self, seconds: int) -> None:
        self.relay.wait(seconds)

    @rule(jobs=st.integers(1, 4))
    def disk_writes(self, jobs: int) -> None:
        for _ in range(jobs):
            self.disk.write_one()

    @rule()
    def thread_is_heard(self) -> None:
        self.disk.reactor.run()

    @rule()
    def disk_reads(self) -> None:
        reads, self.disk.reads = self.disk.reads, []
        for read in reads:
            read()

    @rule()
    def worker_answers(self) -> None:
        self.store.offload.answer()

    # What has to be

    @invariant()
    def the_store_works(self) -> None:
        assert self.store.off is None, self.store.off

    @invariant()
    def little_is_in_memory(self) -> None:
        for phone in self.phones:
            member = phone.protocol._end
            if member is not None:
                assert member.sink.waiting < 40 * WINDOW_BYTES + 1_000_000, member.sink.waiting

    def _settle(self) -> None:
        waited_s = 0
        for _ in range(ROUNDS):
            busy = self.disk.work()
            busy |= self.store.offload.answer()
            for phone in self.phones:
                busy |= phone.drink(None)
            for sender in self.senders.values():
                busy |= self._send(sender, 10_000)
            self.relay.clock.advance(0)
            busy |= bool(self.disk.reads)
            held = any(one.frames or one.protocol._tail for one in self.senders.values())
            if not busy and waited_s < 8 and held:
                # Someone is held for a phone that waits for something itself. That one is cut.
                waited_s += 1
                self.relay.wait(1)
            elif not busy:
                break
        else:
            raise AssertionError("it never comes to rest")

    @rule()
    def settles(self) -> None:
        """Everybody reads, and everything works, until there is nothing left to do."""
        self._settle()
        for role, sender in self.senders.items():
            assert not sender.frames, f"{role} is held for ever"
        chunked = any(sender.bundle for sender in self.senders.values())
        for phone in self.phones:
            self._check(phone, chunked)
        if not chunked:
            self._nothing_is_held()

    def _nothing_is_held(self) -> None:
        for phone in self.phones:
            member = phone.protocol._end
            if member is None:
                continue
            sink = member.sink
            assert not sink.waiting and not sink.holding, (
                f"something is left: {sink.closed} {sink._waiting} {sink._holding}"
            )
            left = [(lane.ended, lane.begun, len(lane.frames)) for lane in sink._queue]
            assert sink.closed or not sink.busy, f"something is left: {sink.full} {left}"
            assert member.playback is not None and not member.playback._followers
        for bundle in self.store._counted:
            assert not bundle.in_use, "somebody still uses a bundle"
        assert set(self.store._counted) == set(self.store._latest.values())
        assert not self.store._growing
        spares = {path for path, _ in self.disk.spares._files}
        kept = {bundle.path for bundle in self.store._latest.values()}
        assert set(self.store.parent_folder.glob("*/*.*")) == kept | spares
        assert not kept & spares and len(spares) == len(self.disk.spares._files)
        ours = str(self.store.parent_folder.resolve())
        descriptors = [
            name
            for fd in os.listdir("/proc/self/fd")
            if (name := _target(fd)).startswith(ours) and name.endswith(".frames")
        ]
        assert sorted(descriptors) == sorted(map(str, spares)), descriptors

    def _check(self, phone: Phone, chunked: bool) -> None:
        client = phone.client
        client.read()
        messages, client.messages = client.messages, []
        rechunked: list[dict[str, Any]] | None = None
        for text in messages:
            message = json.loads(text)
            kind = message["type"]
            if kind == "pong":
                phone.pongs += 1
            elif kind in ("bundle_unchanged", "bundle_available"):
                phone.shas.append(message["sha256"])
            elif text in self.notes or any(text in one.texts for one in self.sent):
                phone.got.append(text)
            elif kind == "bundle_start":
                assert "chunks" in phone.query
                rechunked = [message]
            elif kind == "bundle_chunk":
                assert rechunked is not None
                rechunked.append(message)
                if len(rechunked) == rechunked[0]["totalChunks"] + 1:
                    code = "".join(one["data"] for one in rechunked[1:])
                    [whole] = [one for one in self.sent if one.code == code]
                    phone.got += whole.texts
                    rechunked = None
            else:
                assert kind in ("desktop_connected", "desktop_disconnected", "error"), kind
        member = phone.protocol._end
        if client.closed:
            assert client.closed[0] in (1011, 1013), client.closed
            return
        assert member is not None, f"it was dropped: {phone.protocol._own_reason}"
        assert client._part is None, f"a message has no end: {client._part[:60]!r}"
        assert rechunked is None, f"{len(rechunked)} messages of chunks, and no more"
        self._check_order(phone)
        if chunked:
            return
        assert phone.pings == phone.pongs
        notes = [text for text in phone.got if text in self.notes]
        due = [text for text, when in self.notes.items() if when > phone.joined]
        missing = [text[:60] for text in due if text not in notes and text in self.whole]
        assert not missing, f"never came: {missing}"
        complete = [one for one in self.sent if one.ended is not None]
        if not complete:
            return
        owed = phone.late or "replay" in phone.query
        last = max(complete, key=lambda one: one.begun)
        if any(when > last.begun and b"bundle_start" in text for text, when in self.notes.items()):
            # One that nobody knows the end of has taken its place.
            return
        if last.begun > phone.joined or owed:
            came = all(text in phone.got for text in last.texts)
            assert came or last.sha256 in phone.shas, f"the last bundle never came: {last.begun}"
            if "announce" in phone.query and last.begun > phone.joined:
                assert last.sha256 in phone.shas

    def _check_order(self, phone: Phone) -> None:
        got = phone.got
        assert len(set(got)) == len(got), "something came twice"
        for sender in ("cli", "dashboard"):
            notes = [
                self.notes[text] for text in got if text in self.notes and self.by[text] == sender
            ]
            assert notes == sorted(notes), "messages out of order"
        for bundle in self.sent:
            places = [i for i, text in enumerate(bundle.texts) if text in got]
            came = [got.index(bundle.texts[i]) for i in places]
            assert came == sorted(came), "chunks out of order"
            assert places == list(range(len(places))), f"chunks are missing: {places}"
        self._check_mixtures(phone)
        self._check_notes_beside_bundles(phone)
        if "announce" in phone.query:
            raw = [
                text[:60]
                for one in self.sent
                for text in one.texts
                if text in got and one.ended is not None and one.begun > phone.joined
            ]
            assert not raw, f"announced and sent as well: {raw}"

    def _check_mixtures(self, phone: Phone) -> None:
        """Once another bundle has begun, nothing more comes of the one before."""
        of = {text: bundle for bundle in self.sent for text in bundle.texts}
        seen: list[Bundle] = []
        for text in phone.got:
            bundle = of.get(text)
            if bundle is not None and (not seen or seen[-1] is not bundle):
                assert bundle not in seen, f"{bundle.begun} goes on behind {seen[-1].begun}"
                seen.append(bundle)
            elif bundle is None and b"bundle_start" in text:
                seen.append(Bundle("", self.notes[text]))
        in_progress = [sender.bundle for sender in self.senders.values()]
        if seen and seen[-1].texts and seen[-1] not in in_progress:
            last = seen[-1]
            came = [text for text in last.texts if text in phone.got]
            assert last.ended is not None and len(came) == len(last.texts), (
                f"its rest never comes: {last.begun}"
            )

    def _check_notes_beside_bundles(self, phone: Phone) -> None:
        """Bundles that a phone saw begin stand where they were sent among what the same sender
        sent beside."""
        if "announce" in phone.query or "have" in phone.query:
            return
        at = {text: i for i, text in enumerate(phone.got)}
        for bundle in self.sent:
            if bundle.begun <= phone.joined or bundle.ended is None or bundle.texts[0] not in at:
                continue
            sender = self.by[bundle.texts[0]]
            first = at[bundle.texts[0]]
            last = max(at[text] for text in bundle.texts if text in at)
            for text, when in self.notes.items():
                if text in at and self.by[text] == sender:
                    if when < bundle.begun:
                        assert at[text] < first, "a bundle before an earlier message"
                    if when > bundle.ended:
                        assert at[text] > last, "a bundle behind a later message"

    def teardown(self) -> None:
        try:
            for sender in self.senders.values():
                sender.frames.clear()
                sender.client.lose()
            self.senders.clear()
            self._settle()
            self._nothing_is_held()
            for phone in self.phones:
                phone.client.lose()
            self.phones.clear()
            self._settle()
            self._nothing_is_held()
            assert not self.relay.service.members and not self.relay.service.sessions
        finally:
            self.store.stopService()
            for _, fd in self.disk.spares._files:
                os.close(fd)


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


class Machine(SynchronousTestCase):
    def test_a_session(self) -> None:
        try:
            run_state_machine_as_test(
                Session,
                settings=settings(
                    max_examples=int(os.environ.get("EXAMPLES", "300")),
                    stateful_step_count=int(os.environ.get("STEPS", "40")),
                    deadline=None,
                    report_multiple_bugs=False,
                    phases=[Phase.generate] if "NOSHRINK" in os.environ else list(Phase),
                    database=None,
                    derandomize="RANDOM" not in os.environ,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except Exception as error:
            # Trial prints neither where it was nor what led to it.
            where = traceback.extract_tb(error.__traceback__)[-1]
            raise self.failureException(
                f"{type(error).__name__}: {error} (line {where.lineno}: {where.line})\n"
                + "\n".join(getattr(error, "__notes__", ()))
            ) from error
