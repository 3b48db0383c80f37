"""`apptuner_relay.access.journal` with real files: what is there after a restart, or worse."""

import os
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from apptuner_relay.access import claims_file, journal
from apptuner_relay.access.claims import Claim, MemoryClaims
from apptuner_relay.access.claims_file import BAD_FILE, FILE, lines_of, read_claims
from apptuner_relay.access.journal import RETRY_S, Journal
from apptuner_relay.access.journal_states import TRANSITIONS, JournalEvent, JournalState
from apptuner_relay.access.tokens import make_proof
from apptuner_relay.session.session import session_hash
from tests.memory import WallClock
from tests.web.serving import ClockedReactor

NAMES = [session_hash(name) for name in ("A", "B", "C")]
CLAIM = Claim(make_proof("0123456789abcdef", NAMES[0]))
TTL_S = 1000.0
START_S = 1_800_000_000.0


class JournalCase(TestCase):
    def setUp(self) -> None:
        self.here = Path(self.mktemp()).absolute()
        self.now_s = START_S
        self.warnings: list[str] = []
        self.patch(Journal, "log", self)

    def info(self, text: str, **values: object) -> None:
        pass

    def warn(self, text: str, **values: object) -> None:
        self.warnings.append(text.format(**values))

    def start(self, patience_s: float = 0.0) -> tuple[MemoryClaims, Journal, ClockedReactor]:
        clock = ClockedReactor()
        clock.advance(self.now_s)
        claims = MemoryClaims(TTL_S, clock.seconds)
        self.wall = WallClock(clock)
        kept = Journal(claims, self.here, clock, self.wall, patience_s)
        kept.startService()
        self.addCleanup(lambda: kept.running and kept.stopService())
        return claims, kept, clock

    async def stop(self, kept: Journal) -> None:
        over = kept.stopService()
        if over is not None:
            await over

    async def wrote(self, kept: Any) -> None:
        if kept._writing is not None:
            await kept._writing

    def found(self, claims: MemoryClaims) -> list[Claim | None]:
        return [claims.find(name) for name in NAMES]


class RestartTest(JournalCase):
    async def test_claims_are_there_again(self) -> None:
        claims, kept, _ = self.start()
        await claims.take(NAMES[0], CLAIM)
        await claims.take(NAMES[1], CLAIM)
        await claims.take(NAMES[1], CLAIM._replace(tokens=True))
        await self.stop(kept)
        self.assertEqual((self.here / FILE).stat().st_mode & 0o777, 0o600)
        self.now_s += TTL_S / 2
        claims, kept, _ = self.start()
        self.assertEqual(self.found(claims), [CLAIM, CLAIM._replace(tokens=True), None])
        await claims.take(NAMES[0], CLAIM)
        await self.stop(kept)
        self.now_s += TTL_S / 2
        claims, kept, _ = self.start()
        self.assertEqual(self.found(claims), [CLAIM, None, None], "its time goes on")
        self.assertEqual(self.warnings, [])

    async def test_a_claim_that_was_given_back_is_not(self) -> None:
        claims, kept, _ = self.start()
        for name in NAMES:
            await claims.take(name, CLAIM)
        await claims.give_back(NAMES[0], CLAIM)
        await claims.give_back(NAMES[1], Claim("somebody else's"))
        await self.stop(kept)
        claims, kept, _ = self.start()
        self.assertEqual(self.found(claims), [None, CLAIM, CLAIM])

    async def claim_and_step(self, step_s: float, stop: bool) -> None:
        """A claim is made, the wall clock is set ``step_s`` ahead, and the relay stops or is
        killed a second later."""
        claims, kept, clock = self.start()
        await claims.take(NAMES[0], CLAIM)
        self.wall.step(step_s)
        clock.advance(1)
        await self.wrote(kept)
        data = (self.here / FILE).read_bytes()
        await self.stop(kept)
        if not stop:
            (self.here / FILE).write_bytes(data)
        self.now_s += step_s + 1

    async def test_a_clock_that_was_set_forward_ages_no_claim(self) -> None:
        for stop in (True, False):
            await self.claim_and_step(10 * TTL_S, stop)
            claims, kept, _ = self.start()
            self.assertEqual(self.found(claims)[0], CLAIM)
            await self.stop(kept)

    async def test_a_clock_that_was_put_back_makes_no_claim_younger(self) -> None:
        for stop in (True, False):
            await self.claim_and_step(-TTL_S / 2, stop)
            self.now_s += TTL_S - 2
            claims, kept, _ = self.start()
            self.assertEqual(self.found(claims)[0], CLAIM)
            await self.stop(kept)
            self.now_s += 2
            claims, kept, _ = self.start()
            self.assertEqual(self.found(claims)[0], None)
            await self.stop(kept)

    async def test_after_a_crash(self) -> None:
        claims, kept, clock = self.start()
        await claims.take(NAMES[0], CLAIM)
        clock.advance(1)
        await self.wrote(kept)
        with (self.here / FILE).open("ab") as file:
            file.write(lines_of([(NAMES[1], CLAIM, self.now_s)], 0)[:-5])
        data = (self.here / FILE).read_bytes()
        await self.stop(kept)
        (self.here / FILE).write_bytes(data)
        claims, kept, _ = self.start()
        self.assertEqual(self.found(claims), [CLAIM, None, None])

    async def test_a_use_now_and_then_is_worth_a_line(self) -> None:
        claims, kept, clock = self.start()
        for _ in range(100):
            clock.advance(1)
            await claims.take(NAMES[0], CLAIM)
            await self.wrote(kept)
        await self.stop(kept)
        lines = (self.here / FILE).read_bytes().count(b"\n")
        self.assertTrue(5 <= lines <= 12, lines)

    async def test_a_long_file_is_written_anew(self) -> None:
        self.patch(journal, "_GROWTH_BYTES", 1500)
        claims, kept, clock = self.start()
        for n in range(100):
            await claims.take(NAMES[0], CLAIM._replace(tokens=bool(n % 2)))
            clock.advance(1)
            await self.wrote(kept)
        self.assertLess((self.here / FILE).stat().st_size, 2500)
        await self.stop(kept)
        claims, _, _ = self.start()
        self.assertEqual(claims.find(NAMES[0]), CLAIM._replace(tokens=True))


class SafeTest(JournalCase):
    """A claim counts once it is on the disk, which takes its time here."""

    def setUp(self) -> None:
        super().setUp()
        self.claims, self.kept, self.clock = self.start()
        self.writes: list[Callable[[], None]] = []
        self.patch(journal, "deferToThreadPool", self.defer)

    def defer(self, reactor: object, pool: object, function: Any, *args: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()

        def write() -> None:
            try:
                result = function(*args)
            except OSError:
                done.errback(Failure())
            else:
                done.callback(result)

        self.writes.append(write)
        return done

    def write(self) -> list[str]:
        """Let the disk do what it has been asked for; the sessions that it knows then."""
        writes, self.writes = self.writes, []
        for write in writes:
            write()
        with (self.here / FILE).open("rb") as file:
            return [session for session, _, _ in read_claims(file).claims]

    def test_a_new_claim(self) -> None:
        taking = self.claims.take(NAMES[0], CLAIM)
        self.assertNoResult(taking)
        self.assertEqual(self.claims.find(NAMES[0]), CLAIM, "nobody else gets it meanwhile")
        self.assertEqual(self.write(), NAMES[:1])
        self.assertEqual(self.successResultOf(taking), CLAIM)

    def test_the_same_claim_at_the_same_time(self) -> None:
        for begun in (False, True):
            name = NAMES[int(begun)]
            first = self.claims.take(name, CLAIM)
            if not begun:
                self.clock.advance(0.1)
            second = self.claims.take(name, CLAIM)
            self.assertNoResult(second)
            self.write()
            self.assertEqual(self.successResultOf(first), CLAIM)
            self.assertEqual(self.successResultOf(second), CLAIM)

    def test_what_comes_while_the_disk_writes_is_written_next(self) -> None:
        first = self.claims.take(NAMES[0], CLAIM)
        others = [self.claims.take(name, CLAIM) for name in NAMES[1:]]
        self.assertEqual(self.write(), NAMES[:1])
        self.successResultOf(first)
        for other in others:
            self.assertNoResult(other)
        self.assertEqual(len(self.writes), 1, "both at once")
        self.assertEqual(self.write(), NAMES)
        for other in others:
            self.successResultOf(other)

    def test_a_claim_that_is_there_waits_for_nothing(self) -> None:
        self.claims.take(NAMES[0], CLAIM)
        self.write()
        for _ in range(3):
            self.successResultOf(self.claims.take(NAMES[0], CLAIM))
            self.clock.advance(TTL_S / 5)
        taking = self.claims.take(NAMES[0], CLAIM._replace(tokens=True))
        self.write()
        self.write()
        self.successResultOf(taking)

    def test_a_change_is_waited_for(self) -> None:
        self.claims.take(NAMES[0], CLAIM)
        self.write()
        taking = self.claims.take(NAMES[0], CLAIM._replace(tokens=True))
        self.assertNoResult(taking)
        self.write()
        self.assertTrue(self.successResultOf(taking).tokens)

    def test_a_disk_that_hangs(self) -> None:
        taking = self.claims.take(NAMES[0], CLAIM)
        self.clock.advance(4.9)
        self.assertNoResult(taking)
        self.clock.advance(0.1)
        self.assertEqual(self.successResultOf(taking), CLAIM)
        self.assertIn("not on the disk within 5 s", self.warnings[0])
        self.assertEqual(self.write(), NAMES[:1])

    def test_a_disk_that_fails(self) -> None:
        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        self.patch(journal, "append", fail)
        takings = [self.claims.take(name, CLAIM) for name in NAMES]
        self.write()
        for taking in takings:
            self.assertEqual(self.successResultOf(taking), CLAIM)
        self.assertEqual(len(self.warnings), 1)
        self.assertIn("No space left", self.warnings[0])

    def test_a_relay_that_stops(self) -> None:
        takings = [self.claims.take(name, CLAIM) for name in NAMES]
        stopping = self.kept.stopService()
        assert stopping is not None
        self.assertEqual(self.write(), NAMES)
        self.successResultOf(stopping)
        for taking in takings:
            self.successResultOf(taking)


class WrongTest(JournalCase):
    async def test_another_relay_has_it_and_hands_over(self) -> None:
        old, kept, clock = self.start()
        await old.take(NAMES[0], CLAIM)
        clock.advance(1)
        await self.wrote(kept)
        claims, other, clock = self.start()
        self.assertIn("another relay has", self.warnings[0])
        self.assertEqual(self.found(claims), [CLAIM, None, None])
        await claims.take(NAMES[1], CLAIM)
        await old.take(NAMES[2], CLAIM)
        await old.take(NAMES[0], CLAIM._replace(tokens=True))
        clock.advance(1)
        await self.stop(kept)
        clock.advance(1)
        self.assertEqual(self.found(claims)[1:], [CLAIM, CLAIM])
        clock.advance(1)
        await self.wrote(other)
        await self.stop(other)
        claims, _, _ = self.start()
        self.assertEqual(self.found(claims)[1:], [CLAIM, CLAIM])
        self.assertEqual(len(self.warnings), 1)

    async def test_no_directory_to_be_had(self) -> None:
        self.here.write_text("a file")
        claims, kept, _ = self.start()
        self.assertIn("claims are not kept over restarts", self.warnings[0])
        await claims.take(NAMES[0], CLAIM)
        await self.stop(kept)

    async def test_a_full_disk(self) -> None:
        if not os.path.exists("/dev/full"):
            return
        claims, kept, clock = self.start()
        full = open("/dev/full", "r+b", buffering=0)  # noqa: SIM115 - the journal closes it
        kept._file.close()
        kept._file = full
        self.patch(claims_file, "is_at", lambda *_: True)
        await claims.take(NAMES[0], CLAIM)
        clock.advance(1)
        await self.wrote(kept)
        self.assertIn("No space left", self.warnings[0])
        await claims.take(NAMES[1], CLAIM)
        clock.advance(5)
        self.assertEqual(self.found(claims)[:2], [CLAIM, CLAIM])
        await self.stop(kept)

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.binary())
    def test_junk_is_left_out(self, junk: bytes) -> None:
        good = lines_of([(NAMES[0], CLAIM, 5.5)], 0)
        found = read_claims(BytesIO(good + junk + b"\n" + good))
        self.assertEqual((found.claims[0], found.claims[-1]), ((NAMES[0], CLAIM, 5.5),) * 2)
        # Nothing of it gets lost, whatever it is.
        count = junk.count(b"\n") + 3
        self.assertEqual(len(found.claims) + len(found.bad), count)


class BadLinesTest(JournalCase):
    def spoil(self, *junk: bytes) -> None:
        self.here.mkdir(parents=True, exist_ok=True)
        good = [lines_of([(name, CLAIM, self.now_s)], 0) for name in NAMES]
        (self.here / FILE).write_bytes(good[0] + b"".join(junk) + good[2])

    async def test_they_are_kept_counted_and_reported(self) -> None:
        self.spoil(b"\0\0\0\n", b"what is this\n")
        claims, kept, _ = self.start()
        self.assertEqual(self.found(claims), [CLAIM, None, CLAIM])
        self.assertEqual((self.here / BAD_FILE).read_bytes(), b"\0\0\0\nwhat is this\n")
        self.assertEqual((self.here / BAD_FILE).stat().st_mode & 0o777, 0o600)
        self.assertEqual(kept.bad_lines, 2)
        self.assertIn("2 bad lines of", self.warnings[0])
        await self.stop(kept)
        claims, kept, _ = self.start()
        self.assertEqual((kept.bad_lines, len(self.warnings)), (0, 1), "told once")
        self.assertEqual(self.found(claims), [CLAIM, None, CLAIM])
        await self.stop(kept)
        self.spoil(b"more\n")
        self.start()
        self.assertEqual((self.here / BAD_FILE).read_bytes(), b"\0\0\0\nwhat is this\nmore\n")

    async def test_while_another_relay_has_the_file_they_are_its_own(self) -> None:
        self.spoil()
        _, first, _ = self.start()
        with (self.here / FILE).open("ab") as file:
            file.write(b"junk\n")
        _, second, clock = self.start()
        self.assertFalse((self.here / BAD_FILE).exists())
        await self.stop(first)
        clock.advance(1)
        self.assertEqual((self.here / BAD_FILE).read_bytes(), b"junk\n")
        self.assertEqual(second.bad_lines, 1)

    async def test_the_file_is_not_rewritten_where_they_cannot_be_kept(self) -> None:
        self.spoil(b"junk\n")
        (self.here / BAD_FILE).mkdir()
        claims, kept, clock = self.start()
        self.assertIn(b"junk", (self.here / FILE).read_bytes())
        self.assertIsNotNone(kept.trouble)
        (self.here / BAD_FILE).rmdir()
        clock.advance(RETRY_S)
        self.assertIsNone(kept.trouble)
        self.assertEqual(self.found(claims), [CLAIM, None, CLAIM])
        self.assertNotIn(b"junk", (self.here / FILE).read_bytes())

    async def test_a_file_that_is_far_too_long(self) -> None:
        self.patch(claims_file, "_MOST_BYTES", 200)
        self.spoil(b"x" * 300)
        _, kept, _ = self.start()
        self.assertEqual(((self.here / FILE).read_bytes(), kept.bad_lines), (b"", 1))
        self.assertIn(b"xxx", (self.here / BAD_FILE).read_bytes())
        self.assertIn("too long", self.warnings[0])


class AgainTest(JournalCase):
    """A file that can't be used is tried again."""

    async def test_a_directory_that_comes_later(self) -> None:
        self.here.write_text("a file")
        claims, kept, clock = self.start()
        await claims.take(NAMES[0], CLAIM)
        self.assertIn(str(self.here), kept.trouble or "")
        clock.advance(RETRY_S)
        self.assertEqual(len(self.warnings), 1, "the same reason is told once")
        self.here.unlink()
        clock.advance(RETRY_S)
        self.assertIsNone(kept.trouble)
        self.assertIs(kept.state, JournalState.WRITING)
        await self.stop(kept)
        claims, _, _ = self.start()
        self.assertEqual(self.found(claims), [CLAIM, None, None])

    async def test_a_directory_that_is_removed(self) -> None:
        claims, kept, clock = self.start()
        await claims.take(NAMES[0], CLAIM)
        shutil.rmtree(self.here)
        await claims.take(NAMES[1], CLAIM)
        self.assertIn("removed", kept.trouble or "")
        clock.advance(RETRY_S)
        self.assertIsNone(kept.trouble)
        await self.stop(kept)
        claims, _, _ = self.start()
        self.assertEqual(self.found(claims), [CLAIM, CLAIM, None])

    async def test_what_was_forgotten_meanwhile_does_not_come_back(self) -> None:
        claims, kept, clock = self.start()
        await claims.take(NAMES[0], CLAIM)
        await claims.take(NAMES[1], CLAIM)
        os.rename(self.here, f"{self.here}.away")
        await claims.take(NAMES[2], CLAIM)
        self.assertIsNotNone(kept.trouble)
        await claims.give_back(NAMES[0], CLAIM)
        os.rename(f"{self.here}.away", self.here)
        clock.advance(RETRY_S)
        self.assertIsNone(kept.trouble)
        self.assertEqual(self.found(claims), [None, CLAIM, CLAIM])
        await self.stop(kept)
        claims, _, _ = self.start()
        self.assertEqual(self.found(claims), [None, CLAIM, CLAIM])

    async def test_a_relay_that_hands_over_is_waited_for(self) -> None:
        _, old, _ = self.start()
        _, kept, clock = self.start(patience_s=30.0)
        self.assertIsNone(kept.trouble)
        clock.advance(29)
        self.assertIsNone(kept.trouble)
        clock.advance(1)
        self.assertIn("another relay", kept.trouble or "")
        await self.stop(old)
        clock.advance(1)
        self.assertIsNone(kept.trouble)


class TableTest(TestCase):
    def test_every_pair(self) -> None:
        _, waiting, writing, failed, stopped = JournalState
        expected = {
            JournalEvent.TAKEN: (waiting, waiting, writing, waiting, stopped),
            JournalEvent.LOCKED: (writing, writing, writing, writing, stopped),
            JournalEvent.FAILED: (failed, failed, failed, failed, stopped),
            JournalEvent.STOPPED: (stopped,) * 5,
        }
        for event, states in expected.items():
            for before, after in zip(JournalState, states, strict=True):
                with self.subTest(before=before, event=event):
                    self.assertIs(TRANSITIONS.get((before, event), before), after)
