"""`apptuner_relay.flow.transcoder`: its states, edge by edge; what it makes, at whose pace."""

from collections.abc import Iterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow import transcoder as transcriber_module
from apptuner_relay.flow.log import Log
from apptuner_relay.flow.log_block import Block
from apptuner_relay.flow.log_interfaces import LogFile
from apptuner_relay.flow.log_states import LogState
from apptuner_relay.flow.transcoder import INPUT_BYTES, STEP_BYTES, Transcoder
from apptuner_relay.flow.transcoder_states import TRANSITIONS, TranscoderEvent, TranscoderState
from apptuner_relay.flow.transforms import Deflated, InChunks, Inflated, Made
from apptuner_relay.wire.frames import COMPRESSED, CONTINUATION, TEXT, Frame, FrameError, frame
from apptuner_relay.wire.server_frames import ServerFrames
from tests.memory import deflated
from tests.tables import check_every_pair
from tests.workers import Inline

WINDOW = 1024 * 1024
LIMIT = 50 * 1024 * 1024


class Sender:
    """Whose message the original log holds."""

    def __init__(self) -> None:
        self.holders: set[object] = set()

    def hold(self, holder: object) -> None:
        self.holders.add(holder)

    def let_go(self, holder: object) -> None:
        self.holders.discard(holder)

    @property
    def root(self) -> "Sender":
        return self

    @property
    def is_over_window(self) -> bool:
        return False

    def count_memory(self, size: int) -> None: ...


class Phone:
    """Reads a log; takes all of it at once, unless it is told to stop."""

    def __init__(self, log: Log, takes: bool = True) -> None:
        self.offset = 0
        self.takes = takes
        self.got = b""
        self.ends: list[LogState] = []
        self.log = log
        log.attach(self)

    def appended(self, parts: Sequence[Frame], size: int) -> None:
        if self.takes and self.offset == self.log.size - size:
            self.got += b"".join(parts)
            self.offset += size

    def ended(self) -> None:
        self.ends.append(self.log.state)

    def catch_up(self) -> None:
        while self.offset < self.log.size:
            parts = self.log.read(self.offset, 1 << 20)
            assert parts is not None
            data = b"".join(parts)
            self.got += data
            self.offset += len(data)
        self.log.advanced()

    def leave(self) -> None:
        self.log.detach(self)

    @property
    def text(self) -> bytes:
        return b"".join(payload for _, _, payload in ServerFrames().feed(self.got))


class SlowFile:
    """A file of a disk that has to be waited for."""

    is_behind = False

    def __init__(self) -> None:
        self.data = b""
        self.written = 0
        self.fetching: list[tuple[int, int, Deferred[bytes]]] = []
        self.on_lost = lambda: None
        self.readers = 0
        self.error: OSError | None = None

    def when_written(self, call: object) -> None: ...

    def append(self, block: Block) -> None:
        self.data += b"".join(block.parts)
        self.written = len(self.data)
        block.release()

    def finish(self) -> None: ...

    def read(self, offset: int, length: int) -> memoryview | None:
        if self.error is not None:
            raise self.error
        return None

    def fetch(self, offset: int, length: int) -> "Deferred[bytes]":
        fetched: Deferred[bytes] = Deferred()
        self.fetching.append((offset, length, fetched))
        return fetched

    def arrive(self) -> None:
        offset, length, fetched = self.fetching.pop()
        fetched.callback(self.data[offset : offset + length])

    def unreadable(self) -> None: ...

    def retain(self) -> None:
        self.readers += 1

    def release(self) -> None:
        self.readers -= 1


class AsItIs:
    """A transform that passes on what it is fed, whatever that is, a piece at a time; or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.fed: list[int] = []
        self.error = error

    def feed(self, data: bytes) -> Iterator[Made]:
        self.fed.append(len(data))
        for at in range(0, len(data), 30_000):
            piece = data[at : at + 30_000]
            yield Made((piece,), len(piece), False, True)
        if self.error is not None:
            raise self.error


class TranscriberTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.sender = Sender()
        self.workers = Inline(at_once=False)
        self.refusals: list[tuple[int, str]] = []
        self.original = Log(self.sender, 64 * WINDOW)

    def refuse(self, code: int, reason: str) -> None:
        self.refusals.append((code, reason))

    def open(self, transform: object, window: int = WINDOW) -> Transcoder:
        return Transcoder(
            self.original,
            transform,  # type: ignore[arg-type]
            self.workers,
            lambda code, reason: self.refuse(code, reason),
            window,
        )

    def send(self, data: bytes, end: bool = False, log: Log | None = None) -> None:
        log = log or self.original
        log.add((data,), len(data), end)
        log.flush(None)

    def send_message(self, opcode: int, payload: bytes, piece: int = 65_536) -> None:
        self.original.begin_message()
        for at in range(0, len(payload), piece):
            end = at + piece >= len(payload)
            data = payload[at : at + piece]
            self.send(frame(CONTINUATION if at else opcode, data, end), end)


class Working(TranscriberTest):
    def test_inflated_while_it_comes(self) -> None:
        text = b"some text, %d;" * 300_000
        transcriber = self.open(Inflated(LIMIT))
        phone = Phone(transcriber.log)
        payload = deflated(text)
        self.original.begin_message()
        self.send(frame(TEXT | COMPRESSED, payload[:3000], False))
        self.workers.run()
        self.assertGreater(len(phone.got), 100_000)
        self.send(frame(CONTINUATION, payload[3000:]), True)
        self.original.complete()
        self.workers.run()
        self.assertEqual(phone.text, text)
        self.assertEqual(phone.ends, [LogState.COMPLETE])
        self.assertEqual(phone.log.whole, len(phone.got))
        self.assertEqual(phone.log.begun, 1)
        self.assertFalse(self.original.is_read)
        self.assertEqual(self.refusals, [])

    def test_what_is_there_already(self) -> None:
        keeper = Phone(self.original, takes=False)
        self.send_message(TEXT, b"x" * 1_000_000)
        self.original.complete()
        transcriber = self.open(Deflated(LIMIT))
        phone = Phone(transcriber.log)
        transcriber.start()
        self.workers.run()
        self.assertEqual(phone.ends, [LogState.COMPLETE])
        self.assertLess(len(phone.got), 20_000)
        self.assertEqual(keeper.offset, 0)

    def test_what_is_not_there_any_more(self) -> None:
        self.send_message(TEXT, b"x" * 1_000_000)
        self.assertRaises(ValueError, self.open, Deflated(LIMIT))

    def test_a_step_is_bounded(self) -> None:
        text = b"x" * 20_000_000
        transcriber = self.open(Inflated(LIMIT), 64 * WINDOW)
        phone = Phone(transcriber.log)
        self.send_message(TEXT | COMPRESSED, deflated(text))
        sizes = []
        before = 0
        while self.workers.run(1):
            sizes.append(len(phone.got) - before)
            before = len(phone.got)
        self.assertLess(max(sizes), 2 * STEP_BYTES)
        self.assertEqual(phone.text, text)

    def test_several_take_turns(self) -> None:
        phones = [Phone(self.open(Inflated(LIMIT), 64 * WINDOW).log) for _ in range(3)]
        self.send_message(TEXT | COMPRESSED, deflated(b"x" * 5_000_000))
        for _ in range(8):
            self.workers.run(3)
            sizes = {len(phone.got) for phone in phones}
            self.assertEqual(len(sizes), 1)
            self.assertGreater(sizes.pop(), 0)

    def test_it_takes_in_no_more_than_its_share(self) -> None:
        transform = AsItIs()
        transcriber = self.open(transform)
        phone = Phone(transcriber.log)
        sent = b""
        for _ in range(20):
            self.send(b"y" * 100_000)
            sent += b"y" * 100_000
        self.assertLessEqual(transcriber.offset, 100_000 + INPUT_BYTES)
        self.workers.run()
        self.assertEqual(phone.got, sent)
        self.assertLessEqual(max(transform.fed), INPUT_BYTES)

    def test_nothing_comes_twice_nor_is_left_out(self) -> None:
        transcriber = self.open(AsItIs())
        phone = Phone(transcriber.log)
        sent = b""
        for number in range(60):
            piece = bytes([number]) * (number * 7919 % 200_000 + 1)
            self.send(piece, True)
            sent += piece
            self.workers.run(number % 3)
        self.original.complete()
        self.workers.run()
        self.assertEqual(phone.got, sent)
        self.assertEqual(phone.ends, [LogState.COMPLETE])


class InAnyOrder(TranscriberTest):
    """Readers that come and stop and go on, work that is done now and then, a disk that fills."""

    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("send"), st.integers(1, 400_000)),
                st.tuples(st.just("work"), st.integers(1, 3)),
                st.tuples(st.sampled_from(["stop", "catch up", "hold", "let go"]), st.just(0)),
            ),
            max_size=40,
        ),
        st.booleans(),
    )
    @settings(max_examples=60, deadline=None)
    def test_all_of_it_comes_once(self, events: list[tuple[str, int]], cut: bool) -> None:
        self.setUp()
        self.patch(transcriber_module, "STEP_BYTES", 50_000)
        transcriber = self.open(AsItIs(), 300_000)
        phones = [Phone(transcriber.log), Phone(transcriber.log)]
        sent, disk = b"", object()
        for number, (event, count) in enumerate(events):
            match event:
                case "send":
                    piece = bytes([number]) * count
                    sent += piece
                    self.send(piece, True)
                case "work":
                    self.workers.run(count)
                case "stop":
                    phones[0].takes = False
                case "catch up":
                    phones[0].takes = True
                    phones[0].catch_up()
                case "hold":
                    transcriber.hold(disk)
                case "let go":
                    transcriber.let_go(disk)
            for phone in phones:
                self.assertEqual(phone.got, sent[: phone.offset])
        if cut:
            self.original.cut("gone")
        else:
            self.original.complete()
        transcriber.let_go(disk)
        while self.workers.run() or any(one.offset < phones[0].log.size for one in phones):
            for phone in phones:
                phone.catch_up()
        for phone in phones:
            self.assertEqual(phone.got, sent)
            self.assertEqual(phone.ends, [LogState.CUT if cut else LogState.COMPLETE])
        self.assertFalse(self.original.is_read)


class Held(TranscriberTest):
    def test_by_a_reader_that_takes_nothing(self) -> None:
        transcriber = self.open(Inflated(LIMIT))
        phone = Phone(transcriber.log, takes=False)
        text = b"x" * 20_000_000
        self.send_message(TEXT | COMPRESSED, deflated(text))
        self.original.complete()
        self.workers.run()
        self.assertLess(phone.log.size, WINDOW + 4 * STEP_BYTES)
        self.assertEqual(phone.log.state, LogState.GROWING)
        while phone.offset < phone.log.size:
            phone.catch_up()
            self.workers.run()
        self.assertEqual(phone.text, text)
        self.assertEqual(phone.ends, [LogState.COMPLETE])

    def test_by_the_disk(self) -> None:
        transcriber = self.open(AsItIs())
        phone = Phone(transcriber.log)
        disk = object()
        transcriber.hold(disk)
        self.send(b"abc", True)
        self.original.complete()
        self.assertEqual(self.workers.run(), 0)
        transcriber.let_go(disk)
        self.workers.run()
        self.assertEqual((phone.got, phone.ends), (b"abc", [LogState.COMPLETE]))


class Reading(TranscriberTest):
    def setUp(self) -> None:
        super().setUp()
        self.file = SlowFile()
        file: LogFile = self.file
        self.original = Log(self.sender, WINDOW, file)

    def test_the_disk_is_waited_for(self) -> None:
        self.send(b"abc", True)
        transcriber = self.open(AsItIs())
        phone = Phone(transcriber.log)
        transcriber.start()
        self.send(b"def", True)
        self.original.complete()
        self.assertEqual(self.workers.run(), 0)
        self.file.arrive()
        self.workers.run()
        self.file.arrive()
        self.workers.run()
        self.assertEqual((phone.got, phone.ends), (b"abcdef", [LogState.COMPLETE]))
        self.assertEqual(self.file.readers, 0)

    def test_what_cannot_be_read_cuts_it(self) -> None:
        self.send(b"abc", True)
        transcriber = self.open(AsItIs())
        phone = Phone(transcriber.log)
        transcriber.start()
        self.file.fetching.pop()[2].errback(OSError("gone"))
        self.assertEqual(phone.ends, [LogState.CUT])
        self.assertEqual(self.refusals, [])
        self.assertFalse(self.original.is_read)

    def test_what_cannot_be_read_at_once_likewise(self) -> None:
        self.send(b"abc", True)
        transcriber = self.open(AsItIs())
        phone = Phone(transcriber.log)
        self.file.error = OSError("gone")
        transcriber.start()
        self.assertEqual(phone.ends, [LogState.CUT])
        self.assertEqual(self.refusals, [])

    def test_nobody_waits_for_it_any_more(self) -> None:
        self.send(b"abc", True)
        transcriber = self.open(AsItIs())
        phone = Phone(transcriber.log)
        transcriber.start()
        phone.leave()
        self.file.arrive()
        self.assertEqual(self.workers.run(), 0)
        self.assertFalse(self.original.is_read)


class Ending(TranscriberTest):
    def test_cut_in_a_message(self) -> None:
        transcriber = self.open(Inflated(LIMIT))
        phone = Phone(transcriber.log)
        self.original.begin_message()
        self.send(frame(TEXT | COMPRESSED, deflated(b"x" * 900_000)[:500], False))
        self.workers.run()
        self.original.cut("its sender has gone")
        self.assertEqual(phone.ends, [LogState.CUT])
        self.assertEqual(phone.log.why, "its sender has gone")
        self.assertEqual(self.refusals, [])

    def test_cut_while_it_works(self) -> None:
        transcriber = self.open(AsItIs())
        phone = Phone(transcriber.log)
        self.send(b"abc")
        self.original.cut("its sender has gone")
        self.assertEqual(phone.ends, [LogState.CUT])
        self.workers.run()
        self.assertEqual((phone.got, phone.ends), (b"", [LogState.CUT]))

    def test_whole_messages_before_the_cut_arrive(self) -> None:
        transcriber = self.open(AsItIs())
        phone = Phone(transcriber.log)
        self.send(b"abc", True)
        self.send(b"de")
        self.original.cut("its sender has gone")
        self.assertEqual(phone.ends, [])
        self.workers.run()
        self.assertEqual(phone.got[:3], b"abc")
        self.assertEqual(phone.ends, [LogState.CUT])

    def test_complete_from_the_start(self) -> None:
        self.original.complete()
        transcriber = self.open(AsItIs())
        phone = Phone(transcriber.log)
        transcriber.start()
        self.assertEqual(phone.ends, [LogState.COMPLETE])

    def test_its_last_reader_leaves(self) -> None:
        transcriber = self.open(Inflated(LIMIT))
        phones = [Phone(transcriber.log) for _ in range(2)]
        self.send_message(TEXT | COMPRESSED, deflated(b"x" * 5_000_000))
        self.workers.run(1)
        phones[0].leave()
        self.workers.run(1)
        self.assertTrue(self.original.is_read)
        phones[1].leave()
        self.assertLessEqual(self.workers.run(), 1)
        self.assertFalse(self.original.is_read)
        self.assertEqual(phones[0].log.state, LogState.CUT)

    def test_its_last_reader_leaves_while_it_is_held(self) -> None:
        transcriber = self.open(Inflated(LIMIT))
        phone = Phone(transcriber.log, takes=False)
        self.send_message(TEXT | COMPRESSED, deflated(b"x" * 5_000_000))
        self.workers.run()
        phone.leave()
        self.assertFalse(self.original.is_read)
        self.assertEqual(self.workers.run(), 0)

    def test_its_last_reader_leaves_while_it_waits(self) -> None:
        transcriber = self.open(Inflated(LIMIT))
        phone = Phone(transcriber.log)
        self.send_message(TEXT | COMPRESSED, deflated(b"x"))
        self.workers.run()
        phone.leave()
        self.send_message(TEXT | COMPRESSED, deflated(b"x"))
        self.assertEqual(self.workers.run(), 0)
        self.assertFalse(self.original.is_read)

    def test_its_only_reader_leaves_at_once(self) -> None:
        transcriber = self.open(Inflated(LIMIT))
        Phone(transcriber.log).leave()
        self.send_message(TEXT | COMPRESSED, deflated(b"x" * 5_000_000))
        self.assertEqual(self.workers.run(), 0)
        self.assertFalse(self.original.is_read)

    def test_bad_data_after_a_whole_message(self) -> None:
        transcriber = self.open(Inflated(LIMIT))
        phone = Phone(transcriber.log)
        self.send_message(TEXT | COMPRESSED, deflated(b"good"))
        self.send_message(TEXT | COMPRESSED, b"\xff\xff\xff")
        self.workers.run()
        self.assertEqual(phone.got, frame(TEXT, b"good"))
        self.assertEqual(phone.ends, [LogState.CUT])
        self.assertEqual([code for code, _ in self.refusals], [1007])
        self.assertIn("inflated", phone.log.why)
        self.send_message(TEXT | COMPRESSED, b"\xff\xff\xff")
        self.original.cut("gone")
        self.assertEqual(self.workers.run(), 0)
        self.assertEqual(len(self.refusals), 1)

    def test_readers_have_what_was_made_before_its_sender_is_refused(self) -> None:
        transcriber = self.open(AsItIs(FrameError(1009, "too long")))
        phone = Phone(transcriber.log)
        got: list[bytes] = []
        self.refuse = lambda code, reason: got.append(phone.got)  # type: ignore[method-assign]
        self.send(b"abc")
        self.workers.run()
        self.assertEqual(got, [b"abc"])

    def test_what_has_no_such_form(self) -> None:
        transcriber = self.open(InChunks(0, LIMIT, None))
        phone = Phone(transcriber.log)
        self.send_message(TEXT, b'{"type":"bundle_update","payload":{"code":"abc')
        self.workers.run()
        self.assertEqual(phone.ends, [LogState.CUT])
        self.assertIn("the bundle has no end", phone.log.why)
        self.assertEqual(self.refusals, [])

    def test_a_fault_of_ours(self) -> None:
        transcriber = self.open(AsItIs(KeyError("oops")))
        phone = Phone(transcriber.log)
        self.send(b"abc")
        self.workers.run()
        self.assertEqual(phone.ends, [LogState.CUT])
        self.assertEqual(self.refusals, [])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)


class Table(TranscriberTest):
    def test_every_pair_of_state_and_event(self) -> None:
        def make() -> Transcoder:
            return Transcoder(
                Log(Sender(), WINDOW), AsItIs(), Inline(), lambda code, reason: None, WINDOW
            )

        check_every_pair(self, TRANSITIONS, TranscoderState, TranscoderEvent, make)

    def test_what_is_over_stays_so(self) -> None:
        for event in TranscoderEvent:
            self.assertNotIn((TranscoderState.OVER, event), TRANSITIONS)
