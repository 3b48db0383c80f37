"""A session's life with a spool, at random: senders that send bundles in every form and other
messages, phones that join with any of the query options, stall, sip, ping, leave; a disk and a
worker that answer late. What every phone must see, and what must be left at the end.

The same examples each time; others, and more of them: ``RANDOM=1 EXAMPLES=3000``. ``NOSHRINK=1``
shows the first that fails as it is.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.follower import Follower
from apptuner_relay.flow.sink import Sink
from apptuner_relay.spool.bundle_file import BundleFile
from apptuner_relay.spool.bundle_log import BundleLog
from apptuner_relay.spool.file_states import Cut
from apptuner_relay.wire.frames import COMPRESSED, CONTINUATION, TEXT, Frame
from tests.machines import run_machine
from tests.memory import Client, Relay, deflated, masked
from tests.spool.late_store import LateStore
from tests.workers import Inline

WINDOW_BYTES = 16 * 1024
ROUNDS = 2000
SELDOM = st.integers(0, 3).map(lambda n: n == 3)


@dataclass
class Bundle:
    """What was sent as one."""

    code: str
    begun: int
    """When, counted in messages of all senders."""
    texts: list[bytes] = field(default_factory=list)
    ended: int | None = None
    lost: bool = False
    """Whether its file was given up: nobody gets it who comes late."""

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
    endless: bool = False
    """Whether chunks may come of which nobody has said how many there are."""

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
    falls_back: bool = False
    """Whether a sender has gone while it was there: it may get what that one's last bundle had
    taken the place of."""

    @property
    def protocol(self) -> Any:
        return self.client.protocol

    def offer(self, parts: Sequence[Frame]) -> int:
        data = b"".join(parts)
        if not self.protocol.takes_parts:
            # As with TLS: it takes all, and has enough then.
            self.client.transport.write(data)  # type: ignore[no-untyped-call]
            if self.room is not None:
                self.room = max(0, self.room - len(data))
                if not self.room:
                    self.protocol.frame_handler.sink.pauseProducing()
            return len(data)
        taken = len(data) if self.room is None else min(len(data), self.room)
        if self.room is not None:
            self.room -= taken
        self.client.transport.write(data[:taken])  # type: ignore[no-untyped-call]
        return taken

    def drink(self, room: int | None) -> bool:
        """Take so many bytes more; whether the relay had been waiting for that."""
        self.room = room
        sink = self.protocol.frame_handler and self.protocol.frame_handler.sink
        if sink is None or sink.closed or not sink.full or room == 0:
            return False
        sink.resumeProducing()
        return True


class Session(RuleBasedStateMachine):
    """`settled` is where everything has been delivered that is ever going to be."""

    def __init__(self) -> None:
        super().__init__()
        self.workers = Inline(at_once=False)
        self.relay = Relay(
            LateStore,
            workers=self.workers,
            window=WINDOW_BYTES,
            slow_rate=1000,
            slow_time=2.0,
            stall_timeout=1e6,
            session_timeout=1e6,
            ping_interval=1e6,
            ping_timeout=1e6,
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
        self.lost = False
        """Whether a file was given up."""
        self.failed = False
        """Whether the disk has failed."""

    @initialize(deflate=st.booleans(), phone=st.booleans())
    def somebody_is_there(self, deflate: bool, phone: bool) -> None:
        self.sender_joins("cli", deflate)
        if phone:
            self.phone_joins(deflate, False, True, False, "", {}, None)

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
        if sender.protocol._unread:
            # The relay hasn't read it all.
            sender.take_back()
        for phone in self.phones:
            phone.falls_back = True
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
            if not sender.frames and not sender.protocol._unread:
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
                sender.bundle, sender.endless = None, True
            self.notes[text] = now
            self.by[text] = role
            after, back = lambda: self.whole.add(text), lambda: self.whole.discard(text)
        elif what == "bundle":
            sender.bundle, sender.endless = None, False
            bundle = Bundle(code, now, [text], lost=self.store.off is not None)
            self.by[text] = role
            self.sent.append(bundle)
            after, back = lambda: self._ended(bundle), lambda: self._not_ended(bundle)
        elif what == "start":
            sender.endless = False
            sender.bundle = bundle = Bundle(code, now, [text], lost=self.store.off is not None)
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
        parts=st.booleans(),
        announce=st.sampled_from([False, False, True]),
        have=st.sampled_from(["", "", "other", "last"]),
        ios=st.sampled_from([{}, {}, {"platform": "ios"}, {"platform": "ios", "chunks": "1"}]),
        room=st.sampled_from([None, None, 0, 50_000]),
    )
    def phone_joins(
        self,
        deflate: bool,
        replay: bool,
        parts: bool,
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
            role == "cli" or sender.protocol.frame_handler.sends_bundles
            for role, sender in self.senders.items()
        )
        client = self.relay.connect(target, deflate=deflate)
        self.time += 1
        phone = Phone(client, self.time, query, late=late)
        phone.protocol.offer = phone.offer
        phone.protocol.takes_parts = parts
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
            if phone.protocol.frame_handler and phone.client.transport.producerState == "producing":
                phone.pings += 1
                phone.client.send(type="ping", timestamp=1)

    # The others

    @rule(seconds=st.sampled_from([0, 1, 2, 3, 12]))
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

    @rule(tasks=st.integers(1, 3))
    def workshop_works(self, tasks: int) -> None:
        self.workers.run(tasks)

    @precondition(lambda self: self.store.off is None)
    @rule(really=SELDOM)
    def disk_fails(self, really: bool) -> None:
        """It works again some time later."""
        if really:
            self.lost = self.failed = True
            for one in self.sent:
                one.lost = True
            self.store._outage.fail(OSError(28, "No space left on device"))

    @precondition(lambda self: self.store._growing)
    @rule(really=SELDOM)
    def file_is_lost(self, really: bool) -> None:
        """As there is no room for it."""
        if not really:
            return
        file = next(iter(self.store._growing.values()))
        self.lost = True
        assert isinstance(file.content, BundleLog)
        head = file.content._first.head.replace(b" ", b"")
        for one in self.sent:
            if b"/*%d*/" % one.begun in head or b'"totalSize":%d}' % one.begun in head:
                one.lost = True
        self.store._forget_growing(file)
        file.cut(Cut.STORE)

    # What has to be

    @invariant()
    def the_store_works(self) -> None:
        assert self.store.off is None or self.failed, self.store.off

    @invariant()
    def little_is_in_memory(self) -> None:
        for phone in self.phones:
            member = phone.protocol.frame_handler
            if member is not None:
                assert member.sink.waiting < 40 * WINDOW_BYTES + 1_000_000, member.sink.waiting

    @invariant()
    def nobody_is_held_by_a_phone(self) -> None:
        """But for small messages that pile up; a bundle without a file may be too much, too."""
        for sender in self.senders.values():
            member = sender.protocol.frame_handler
            for holder in member.source._holders if member is not None else ():
                if isinstance(holder, Sink):
                    assert holder._backlog.size_of(member.source) > WINDOW_BYTES
                elif holder is member.source:
                    assert self.lost, "held as bundles are kept in memory"
                else:
                    # For a moment who falls behind is waited for.
                    assert isinstance(holder, BundleFile) or holder == "briefly", holder

    def _settle(self) -> None:
        waited_s = 0
        for _ in range(ROUNDS):
            busy = self.disk.work()
            busy |= self.store.offload.answer()
            busy |= self.workers.run() > 0
            for phone in self.phones:
                busy |= phone.drink(None)
            for sender in self.senders.values():
                busy |= self._send(sender, 10_000)
            self.relay.clock.advance(0)
            busy |= bool(self.disk.reads)
            held = any(one.frames or one.protocol._unread for one in self.senders.values())
            if not busy and waited_s < 8 and held:
                # Someone is held for a phone that waits for something itself. That one is cut.
                waited_s += 1
                self.relay.wait(0.1 if waited_s < 3 else 1, 0.1)
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
        if not chunked and not any(sender.endless for sender in self.senders.values()):
            self._nothing_is_held()

    def _nothing_is_held(self) -> None:
        for phone in self.phones:
            member = phone.protocol.frame_handler
            if member is None:
                continue
            sink = member.sink
            assert not sink.waiting and not sink.holding, (
                f"something is left: {sink.closed} {sink.waiting} {sink.holding}"
            )
            left = [
                (one.state, one.offset, one.log.state, one.log.size)
                for one in sink._queue
                if isinstance(one, Follower)
            ]
            assert sink.closed or not sink.busy, f"something is left: {sink.full} {left}"
            assert sink.closed or not left, f"something is left: {left}"
            # One that has gone has no delivery any more.
            assert member.delivery is None or not member.delivery._following
            assert sink.closed or member.delivery is not None
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
        assert not descriptors, descriptors

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
        member = phone.protocol.frame_handler
        if client.closed:
            if client.closed[0] == 1011:
                assert phone.falls_back or self.lost, f"nothing was cut short: {client.closed}"
            else:
                assert client.closed[0] == 1013, client.closed
            self._check_order(phone)
            return
        assert member is not None, f"it was dropped: {phone.protocol.closing.reason}"
        assert client._part is None, f"a message has no end: {client._part[:60]!r}"
        assert rechunked is None, f"{len(rechunked)} messages of chunks, and no more"
        self._check_order(phone)
        self._check_its_rest(phone)
        if chunked:
            return
        assert phone.pings == phone.pongs
        notes = [text for text in phone.got if text in self.notes]
        # A bundle that another takes the place of needn't come.
        due = [
            text
            for text, when in self.notes.items()
            if when > phone.joined and b"bundle_start" not in text
        ]
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
            if last.lost and (last.begun < phone.joined or not came):
                # Nobody can have it who comes late, or waits for its digest.
                return
            assert came or last.sha256 in phone.shas, f"the last bundle never came: {last.begun}"
            if "announce" in phone.query and last.begun > phone.joined and not last.lost:
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
                if text in got
                and one.ended is not None
                and one.begun > phone.joined
                and not one.lost
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

    def _check_its_rest(self, phone: Phone) -> None:
        """It is not left with part of a bundle."""
        of = {text: bundle for bundle in self.sent for text in bundle.texts}
        seen = [of[text] for text in phone.got if text in of]
        behind = [text for text in phone.got if text in of or b"bundle_start" in text]
        if behind and behind[-1] not in of:
            return
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
                    if when > bundle.ended and not phone.falls_back:
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
            assert not self.relay.service.clients and not self.relay.service.sessions
        finally:
            self.store.stopService()


def _target(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


class Machine(SynchronousTestCase):
    def test_a_session(self) -> None:
        run_machine(self, Session, 300, 40)
