"""Phones that follow logs at any pace, at random: two senders, each with logs of one or many
messages, that complete, are cut, or are superseded, and small messages, notices and control frames
between; phones that stop, sip, read on, vanish, join; a file that writes late, reads late, is lost.
What every phone must see, and what must be left at the end.

The same examples each time; others, and more of them: ``RANDOM=1 EXAMPLES=3000``.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow.follower import Follower
from apptuner_relay.flow.follower_states import FollowerEnd
from apptuner_relay.flow.follower_states import FollowerState as Place
from apptuner_relay.flow.intake import LogIntake
from apptuner_relay.flow.log import Log
from apptuner_relay.flow.log_states import LogState
from apptuner_relay.flow.log_storage import LEAST_LENT_BYTES
from apptuner_relay.flow.slow_consumers import SlowConsumers
from apptuner_relay.wire.frames import PING, TEXT, frame
from tests.flow.parts import PLENTY, Buffer, Connection, LateFile, messages
from tests.machines import run_machine

LIMIT = 50 << 20
WINDOW = 40_000
SINK_WINDOW = 20_000
ROUNDS = 200
_NAME = re.compile(rb"<(\w+) (\d+) (\d+)>")
SIZES = st.sampled_from([300_000, 150_000, LEAST_LENT_BYTES, 35_000, 2000, 10, 0])
ROOMS = st.sampled_from([5000, 100, 70_000, 1, 200_000, 3, 0, PLENTY, 500_000])
SELDOM = st.integers(0, 3).map(lambda n: n == 3)


@dataclass
class Sent:
    """A log, and what its sender wrote."""

    name: int
    sender: int
    log: Log
    file: LateFile | None
    texts: list[bytes] = field(default_factory=list)
    """Its whole messages."""
    part: bytes = b""
    """What has come of the message in progress."""
    way: LogIntake | None = None
    """Where the message in progress goes."""


@dataclass
class Phone:
    name: int
    connection: Connection
    order: list[tuple[str, Any]] = field(default_factory=list)
    """What it is to get, in the order in which that began."""
    following: dict[int, Follower] = field(default_factory=dict)
    """By the names of logs."""
    ends: dict[int, FollowerEnd] = field(default_factory=dict)
    controls: list[bytes] = field(default_factory=list)
    before: list[tuple[bytes, int, int]] = field(default_factory=list)
    """Small messages, and what comes behind them: the messages of which log, from which on."""
    is_gone: bool = False

    @property
    def was_told_instead(self) -> bool:
        """Whether it got something in the place of a log."""
        return any(kind == "instead" for kind, _ in self.order)


class Paces(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.slow = SlowConsumers(1, 1e9, lambda: 0.0)
        self.buffer = Buffer()
        self.senders = [
            Connection(self.slow, PLENTY, self.clock, self.buffer, window=WINDOW) for _ in range(2)
        ]
        self.growing: dict[int, Sent] = {}
        self.logs: dict[int, Sent] = {}
        self.files: list[LateFile] = []
        self.phones: list[Phone] = []
        self.all_phones: list[Phone] = []
        self.unready: list[tuple[Phone, Follower]] = []
        self.by: dict[bytes, int] = {}
        """Small messages, and whose they are."""
        self.behind: dict[bytes, tuple[int, int]] = {}
        """Small messages: how many messages of which log of their sender's came before."""
        self.serial = 0
        self.has_disk = True
        self.is_cold = False

    @initialize(
        rooms=st.lists(ROOMS, min_size=2, max_size=3), most=st.sampled_from([0, 1, 1 << 30])
    )
    def begin(self, rooms: list[int], most: int) -> None:
        self.buffer._most = most
        for number, room in enumerate(rooms):
            self.join(number == 2, room)

    def next(self) -> int:
        self.serial += 1
        return self.serial

    def open_file(self) -> LateFile | None:
        if not self.has_disk:
            return None
        self.files.append(LateFile(most_waiting=20))
        self.files[-1].is_cold = self.is_cold
        return self.files[-1]

    # Phones

    @rule(tls=SELDOM, room=ROOMS, is_ready=st.booleans())
    def join(self, tls: bool, room: int = PLENTY, is_ready: bool = True) -> None:
        if len(self.phones) < 4:
            connection = Connection(
                self.slow, room, self.clock, self.buffer, not tls, window=SINK_WINDOW
            )
            phone = Phone(self.next(), connection)
            self.phones.append(phone)
            self.all_phones.append(phone)
            for sent in self.growing.values():
                if not sent.log.base:
                    self.follow(phone, sent, is_ready)

    @precondition(lambda self: len(self.phones) > 2)
    @rule(which=st.integers(0, 3), how=st.sampled_from(["vanish", "cut"]))
    def leave(self, which: int, how: str) -> None:
        phone = self.phones.pop(which % len(self.phones))
        phone.is_gone = True
        if how == "vanish":
            phone.connection.sink.stopProducing()
        else:
            phone.connection.sink.cut(1013, "too slow")
            _, _, rest = messages(phone.connection.got)
            at_boundary = phone.connection.wire.is_aborted or self.ends_frame(phone)
            assert at_boundary, rest[:100]

    @rule(rooms=st.lists(ROOMS, min_size=4, max_size=4))
    def read(self, rooms: list[int]) -> None:
        """Each phone has so much room from now on, and has read what came before."""
        for phone, room in zip(self.phones, rooms, strict=False):
            if phone.connection.wire.is_full:
                phone.connection.make_room(room)
            else:
                phone.connection.wire.room = room

    # What is sent

    def follow(self, phone: Phone, sent: Sent, is_ready: bool = True) -> None:
        def over(_follower: Follower, how: FollowerEnd) -> None:
            phone.ends[sent.name] = how

        follower = Follower(phone.connection.sink, sent.log, over, is_ready)
        phone.following[sent.name] = follower
        phone.order.append(("log", sent.name))
        if not is_ready:
            self.unready.append((phone, follower))
        source = self.senders[sent.sender].source if sent.file is None else None
        phone.connection.sink.follow(follower, source)

    @precondition(lambda self: self.unready)
    @rule(begin=st.booleans())
    def be_ready(self, begin: bool) -> None:
        phone, follower = self.unready.pop(0)
        if begin:
            follower.release()
        else:
            text = b"<instead %d 0>" % self.next()
            if follower.state is not Place.OVER:
                phone.order.append(("instead", text))
            follower.send_instead(frame(TEXT, text))

    def can_send(self, sender: int) -> bool:
        return not self.senders[sender].paused

    @rule(sender=st.integers(0, 1), kept=st.booleans(), supersedes=SELDOM, cold=st.booleans())
    def open(self, sender: int, kept: bool, supersedes: bool, cold: bool) -> None:
        self.is_cold = cold
        before = self.growing.get(sender)
        if before is not None and before.way is not None:
            return
        if before is not None:
            self.end(sender, "cut" if supersedes else "complete")
        file = self.open_file() if kept else None
        source = self.senders[sender].source
        name = self.next()
        log = Log(source, WINDOW, file, self.open_file)
        sent = self.growing[sender] = self.logs[name] = Sent(name, sender, log, file)
        for phone in self.phones:
            if supersedes:
                for other, follower in tuple(phone.following.items()):
                    if self.logs[other].sender == sender:
                        follower.supersede()
            self.follow(phone, sent)

    @precondition(lambda self: self.growing)
    @rule(
        sizes=st.lists(
            st.tuples(st.integers(0, 1), SIZES, st.booleans(), SELDOM), min_size=3, max_size=8
        )
    )
    def pieces(self, sizes: list[tuple[int, int, bool, bool]]) -> None:
        for sender, size, end, more in sizes:
            if self.growing:
                self.piece(sender, size, end, more)

    def piece(self, sender: int, size: int, end: bool, more: bool) -> None:
        """The next piece of a message of a log comes, and what comes in the same block."""
        if sender not in self.growing:
            sender = 1 - sender
        if not self.can_send(sender):
            return
        sent = self.growing[sender]
        source = self.senders[sender].source
        data = b"" if sent.way else b"<log %d %d>" % (sent.name, len(sent.texts))
        if sent.way is None:
            sent.way = LogIntake(source, sent.log, TEXT, LIMIT)
        data += b"%c" % (97 + self.next() % 26) * size
        sent.part += data
        sent.way.write(self.buffer.receive(data), end)  # type: ignore[arg-type]
        if end:
            sent.texts.append(sent.part)
            sent.part, sent.way = b"", None
        if more:
            self.put_small(sender)
        source.flush()
        self.buffer.over()

    @precondition(lambda self: self.growing)
    @rule(sender=st.integers(0, 1), how=st.sampled_from(["complete", "cut", "cut in a block"]))
    def end(self, sender: int, how: str) -> None:
        if sender not in self.growing:
            sender = 1 - sender
        sent = self.growing[sender]
        if how == "complete" and sent.way is not None:
            return
        source = self.senders[sender].source
        if how == "complete":
            sent.log.complete()
        else:
            if how == "cut in a block":
                data = b"x" * 100_000
                way = sent.way or LogIntake(source, sent.log, TEXT, LIMIT)
                way.write(self.buffer.receive(data), True)  # type: ignore[arg-type]
            sent.log.cut("gone")
            source.flush()
            self.buffer.over()
        del self.growing[sender]

    def put_small(self, sender: int) -> None:
        text = b"<small %d 0>" % self.next()
        source = self.senders[sender].source
        self.by[text] = sender
        if sender in self.growing:
            sent = self.growing[sender]
            self.behind[text] = sent.name, len(sent.texts)
        for phone in self.phones:
            phone.order.append(("small", text))
            if sender in self.growing and self.growing[sender].name in phone.following:
                sent = self.growing[sender]
                phone.before.append((text, sent.name, len(sent.texts) + (sent.way is not None)))
            phone.connection.sink.send(frame(TEXT, text), source)

    @rule(sender=st.integers(0, 1), count=st.integers(1, 3))
    def small(self, sender: int, count: int) -> None:
        sent = self.growing.get(sender)
        if self.can_send(sender) and (sent is None or sent.way is None):
            for _ in range(count):
                self.put_small(sender)
            self.senders[sender].source.flush()

    @rule(which=st.integers(0, 3))
    def notice(self, which: int) -> None:
        phone = self.phones[which % len(self.phones)]
        text = b"<notice %d 0>" % self.next()
        phone.order.append(("notice", text))
        phone.connection.sink.say(frame(TEXT, text))

    @rule(which=st.integers(0, 3))
    def control(self, which: int) -> None:
        phone = self.phones[which % len(self.phones)]
        phone.controls.append(b"%d" % self.next())
        phone.connection.sink.control(frame(PING, phone.controls[-1]), None)

    # Time and the disk

    @rule(seconds=st.sampled_from([0.001, 0.01]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @precondition(lambda self: self.files)
    @rule(most=st.integers(1, 5), how=st.sampled_from("wwwrrrch"))
    def disk(self, most: int, how: str) -> None:
        for file in self.files[-3:]:
            if how == "w":
                file.work(most)
            elif how == "r":
                for _ in range(most):
                    if file.reads:
                        file.answer()
            elif how == "c":
                file.is_cold = not file.is_cold
            else:
                file.at_most = 1 + (most * 7919) % 70_000

    @precondition(lambda self: self.files)
    @rule(which=st.integers(-3, -1), is_back=st.booleans(), really=SELDOM)
    def lose(self, which: int, is_back: bool, really: bool) -> None:
        if really:
            self.files[max(which, -len(self.files))].lose()
        self.has_disk = is_back

    # What must hold

    @invariant()
    def nobody_is_broken_without_need(self) -> None:
        for phone in self.phones[:]:
            broken = [name for name, how in phone.ends.items() if how is FollowerEnd.BROKEN]
            if not broken:
                assert phone.connection.closed is None
                continue
            assert len(broken) == 1
            assert (phone.connection.closed or (0,))[0] == 1011
            assert self.logs[broken[0]].log.state is LogState.CUT
            phone.is_gone = True
            self.phones.remove(phone)
            assert phone.connection.wire.is_aborted or self.ends_frame(phone)
        if not self.phones:
            self.join(False)

    def ends_frame(self, phone: Phone) -> bool:
        """Whether what it got ends where a frame ends."""
        wire, at = phone.connection.got, 0
        while at < len(wire):
            length = wire[at + 1] if at + 1 < len(wire) else 0
            extended = {126: 2, 127: 8}.get(length, 0)
            if extended:
                length = int.from_bytes(wire[at + 2 : at + 2 + extended], "big")
            at += 2 + extended + length
        return at == len(wire)

    @invariant()
    def memory_is_bounded(self) -> None:
        for sender in self.senders:
            kept = sender.source._kept_bytes
            assert kept >= 0
            assert kept <= WINDOW or sender.paused

    def check(self, phone: Phone) -> None:
        """What the phone got, against what it was to get."""
        got, controls, part = messages(phone.connection.got)
        at: dict[bytes, int] = {}
        for number, text in enumerate(got):
            found = _NAME.match(text)
            assert found, text[:50]
            assert found[0] not in at, f"{found[0]!r} came twice"
            at[found[0]] = number
            if found[1] == b"log":
                sent = self.logs[int(found[2])]
                assert text == sent.texts[int(found[3])]
        said = [data for _, data in controls]
        assert said == phone.controls[: len(said)]
        if phone.is_gone:
            return
        assert part == b"" and said == phone.controls
        for kind, value in phone.order:
            if kind != "log":
                assert value in at, f"{value!r} was lost"
                continue
            sent = self.logs[value]
            how = phone.ends.get(value)
            keys = [b"<log %d %d>" % (value, n) for n in range(len(sent.texts))]
            places = [at[key] for key in keys if key in at]
            assert places == sorted(places)
            assert set(keys[: len(places)]) <= set(at), "messages of a log are missing"
            if how is FollowerEnd.WHOLE and (places or not phone.was_told_instead):
                assert len(places) == len(keys)
        self.check_order(phone, at)

    def check_order(self, phone: Phone, at: dict[bytes, int]) -> None:
        """Notices stay in order; and so does what one sender sent before and after a log."""
        notices = [at[value] for kind, value in phone.order if kind == "notice"]
        assert notices == sorted(notices)
        for sender in range(2):
            smalls = [
                at[value]
                for kind, value in phone.order
                if kind == "small" and self.by[value] == sender
            ]
            assert smalls == sorted(smalls)
        for value, (name, count) in self.behind.items():
            if value in at:
                earlier = [at.get(b"<log %d %d>" % (name, number), -1) for number in range(count)]
                assert at[value] > max(earlier, default=-1), "a message before an earlier one"
        for value, name, count in phone.before:
            for number in range(count, len(self.logs[name].texts)):
                later = at.get(b"<log %d %d>" % (name, number), PLENTY)
                assert at[value] < later, "a message behind a later one"
        begun: list[int] = []
        for kind, value in phone.order:
            if kind == "small":
                begun.append(at[value])
            elif kind == "log":
                first = at.get(b"<log %d 0>" % value)
                assert first is None or not begun or first > max(begun), "a log before its turn"

    def teardown(self) -> None:
        self.settle()
        for phone in self.all_phones:
            self.check(phone)
        for phone in self.phones:
            assert not phone.connection.sink.busy
            assert phone.connection.sink.waiting == 0
            assert all(name in phone.ends for name in phone.following)
        for sender in self.senders:
            assert sender.source._kept_bytes == 0
            assert not sender.paused
        assert not any(file.users for file in self.files)
        assert self.buffer.is_back

    def settle(self) -> None:
        """All is read, all is written; what hasn't ended does."""
        while self.unready:
            self.be_ready(True)
        for sender in tuple(self.growing):
            self.end(sender, "cut" if self.growing[sender].way else "complete")
        for _ in range(ROUNDS):
            self.clock.advance(1)
            for file in self.files:
                file.at_most = 1 << 30
                file.work()
                while file.reads:
                    file.answer()
            for phone in self.phones:
                if phone.connection.wire.is_full:
                    phone.connection.make_room()
            self.nobody_is_broken_without_need()
            if not any(phone.connection.sink.busy for phone in self.phones) and not any(
                file.reads or file.waiting for file in self.files
            ):
                return


class AnyPace(SynchronousTestCase):
    def test_machine(self) -> None:
        run_machine(self, Paces, 150, 50)
