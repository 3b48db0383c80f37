"""`managed.protocol.batches`: what shares an event, in which order, and what is dropped."""

import json

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.protocol.batches import Batch, Batches, Fate, Urgency, may_share
from apptuner_relay.managed.protocol.numbered_events import (
    DESKTOP,
    MOST_N,
    PHONES,
    Recipients,
    encode_event,
    is_to,
    parse_event,
)
from tests.machines import run_machine

TAG = "9f2c00112233"
PHONE = f"mobile:{TAG}:a"
OTHER_PHONE = f"mobile:{TAG}:b"
CLI = f"cli:{TAG}:"
DASHBOARD = f"dashboard:{TAG}:"
EVERYBODY = (PHONE, OTHER_PHONE, CLI, DASHBOARD)
EPOCH = "0a1b2c3d"

URGENT, ORDINARY, LOG = Urgency.URGENT, Urgency.ORDINARY, Urgency.LOG


def message(n: int, size: int = 0) -> bytes:
    """A message of at least ``size`` bytes."""
    return json.dumps({"type": "x", "n": n, "pad": "x" * size}).encode()


def log(n: int, size: int = 0) -> bytes:
    """A console log of at least ``size`` bytes."""
    payload = {"level": "log", "args": [n, "x" * size], "timestamp": 7}
    return json.dumps({"type": "console_log", "payload": payload}).encode()


def numbers(batch: Batch | None) -> list[object]:
    """Which messages those are."""
    assert batch is not None
    found = []
    for one in batch.messages:
        fields = json.loads(one)
        found.append(fields["n"] if "n" in fields else fields["payload"]["args"][0])
    return found


def data_bytes(batch: Batch) -> int:
    """How long the data of the longest event with that is."""
    return len(encode_event(EPOCH, MOST_N, batch.to, batch.messages).encode())


class Joining(SynchronousTestCase):
    def setUp(self) -> None:
        self.batches = Batches(9000, 100_000)

    def test_logs_share_an_event(self) -> None:
        for n in range(5):
            self.assertIs(self.batches.add(DESKTOP, log(n), LOG), Fate.WAITS)
        self.assertFalse(self.batches.is_due)
        batch = self.batches.take(0)
        assert batch is not None
        self.assertEqual((batch.to, numbers(batch), batch.logs), (DESKTOP, [0, 1, 2, 3, 4], 5))
        self.assertIsNone(self.batches.take(0))
        self.assertFalse(self.batches)

    def test_what_is_urgent_overtakes_and_takes_others_along(self) -> None:
        self.batches.add(DESKTOP, log(1), LOG)
        self.batches.add(DESKTOP, message(2), ORDINARY)
        self.batches.add(DESKTOP, message(3), URGENT)
        self.batches.add(DESKTOP, message(4), URGENT)
        self.assertTrue(self.batches.is_due)
        self.assertEqual(numbers(self.batches.take(0)), [3, 4, 1, 2])

    def test_what_is_ordinary_does_not_wait_and_does_not_overtake(self) -> None:
        self.batches.add(DESKTOP, log(1), LOG)
        self.assertFalse(self.batches.is_due)
        self.batches.add(DESKTOP, message(2), ORDINARY)
        self.assertTrue(self.batches.is_due)
        self.assertEqual(numbers(self.batches.take(0)), [1, 2])

    def test_what_is_for_others_is_another_event(self) -> None:
        self.batches.add(DESKTOP, log(1), LOG)
        self.batches.add(PHONES, message(2), ORDINARY)
        self.batches.add(DESKTOP, log(3), LOG)
        self.batches.add(PHONES, message(4), ORDINARY)
        self.assertEqual(numbers(self.batches.take(0)), [1, 3])
        self.assertEqual(numbers(self.batches.take(0)), [2, 4])

    def test_nothing_overtakes_what_is_for_some_of_the_same(self) -> None:
        self.batches.add(DESKTOP, message(1), ORDINARY)
        self.batches.add((CLI,), message(2), ORDINARY)
        self.batches.add((PHONE,), message(3), ORDINARY)
        self.batches.add(DESKTOP, message(4), ORDINARY)
        taken = [numbers(self.batches.take(0)) for _ in range(4)]
        self.assertEqual(taken, [[1], [2], [3], [4]])

    def test_an_event_is_as_long_as_it_may_be(self) -> None:
        for n in range(20):
            self.batches.add(DESKTOP, message(n, 1000), ORDINARY)
        self.assertTrue(self.batches.is_full_event)
        batch = self.batches.take(0)
        assert batch is not None
        self.assertLessEqual(data_bytes(batch), 9000)
        self.assertGreater(data_bytes(batch), 8000)
        self.assertEqual(numbers(self.batches.take(0))[0], len(batch.messages))

    def test_many_short_ones(self) -> None:
        for n in range(3000):
            self.batches.add(DESKTOP, b'{"n":%d}' % (n % 10), ORDINARY)
        batch = self.batches.take(0)
        assert batch is not None
        self.assertTrue(8990 < data_bytes(batch) <= 9000)

    def test_what_is_urgent_and_did_not_fit_is_not_overtaken(self) -> None:
        self.batches.add(DESKTOP, message(1), ORDINARY)
        self.batches.add(DESKTOP, message(2, 6000), URGENT)
        self.batches.add(DESKTOP, message(3, 6000), URGENT)
        self.assertEqual(numbers(self.batches.take(0)), [2])
        self.assertEqual(numbers(self.batches.take(0)), [3, 1])

    def test_the_longest_message_fits(self) -> None:
        message_bytes = 9000 - len(encode_event(EPOCH, MOST_N, DESKTOP, ()))
        size = message_bytes - len(message(1))
        self.assertIs(self.batches.add(DESKTOP, message(1, size), ORDINARY), Fate.WAITS)
        self.assertIs(self.batches.add(DESKTOP, message(1, size + 1), ORDINARY), Fate.TOO_LONG)
        batch = self.batches.take(0)
        assert batch is not None
        self.assertEqual(data_bytes(batch), 9000)

    def test_bytes_count_rather_than_characters(self) -> None:
        wide = json.dumps({"type": "x", "pad": "é" * 4400}, ensure_ascii=False).encode()
        self.assertIs(self.batches.add(DESKTOP, wide, ORDINARY), Fate.WAITS)
        self.assertIs(self.batches.add(DESKTOP, wide * 2, ORDINARY), Fate.MALFORMED)
        more = wide.replace("é".encode(), "éé".encode())
        self.assertIs(self.batches.add(DESKTOP, more, ORDINARY), Fate.TOO_LONG)

    def test_a_long_log_is_cut(self) -> None:
        self.assertIs(self.batches.add(DESKTOP, log(1, 50_000), LOG), Fate.CUT)
        batch = self.batches.take(0)
        assert batch is not None
        self.assertLessEqual(data_bytes(batch), 9000)
        self.assertIn(b"bytes]", batch.messages[0])
        self.assertIs(self.batches.add(DESKTOP, message(1, 50_000), LOG), Fate.TOO_LONG)

    def test_what_would_spoil_an_event_is_refused(self) -> None:
        for bad in (b"", b"[]", b"{}{}", b'{"a":\xff}', b'{"a":1'):
            self.assertIs(self.batches.add(DESKTOP, bad, ORDINARY), Fate.MALFORMED)
        self.assertFalse(self.batches)

    def test_a_clients_messages(self) -> None:
        self.batches.add(None, log(1), LOG)
        self.batches.add(None, message(2), URGENT)
        batch = self.batches.take(0)
        self.assertEqual(numbers(batch), [2, 1])


class Dropping(SynchronousTestCase):
    def setUp(self) -> None:
        self.batches = Batches(9000, 10_000)

    def test_the_oldest_logs_go_first_and_that_is_said(self) -> None:
        for n in range(30):
            self.batches.add(DESKTOP, log(n, 1000), LOG)
        self.batches.add(PHONES, message(99), ORDINARY)
        self.assertLessEqual(self.batches.waiting_bytes, 10_000)
        self.assertGreater(self.batches.dropped, 20)
        batch = self.batches.take(1764412800000)
        assert batch is not None
        notice, *logs = batch.messages
        payload = json.loads(notice)["payload"]
        self.assertEqual(payload["timestamp"], 1764412800000)
        self.assertEqual(
            payload["args"],
            [
                f"AppTuner relay: {self.batches.dropped} log messages were dropped: more than the "
                "channel takes"
            ],
        )
        self.assertEqual(len(logs), batch.logs)
        self.assertEqual(numbers(batch)[1], self.batches.dropped)
        # Once.
        self.assertEqual(numbers(self.batches.take(0))[0], 99 if batch.logs == 9 else 29)

    def test_an_event_with_that_is_no_longer(self) -> None:
        for n in range(300):
            self.batches.add(DESKTOP, log(n % 10), LOG)
        batch = self.batches.take(0)
        assert batch is not None
        self.assertIn(b"were dropped", batch.messages[0])
        self.assertTrue(8900 < data_bytes(batch) <= 9000)

    def test_what_is_no_log_is_kept_as_long_as_there_is_room(self) -> None:
        self.batches.add(DESKTOP, log(1, 1000), LOG)
        for n in range(5):
            self.assertIs(self.batches.add(DESKTOP, message(n, 1900), ORDINARY), Fate.WAITS)
        self.assertEqual(self.batches.dropped, 1)
        self.assertIs(self.batches.add(DESKTOP, message(9, 1900), URGENT), Fate.FULL)
        self.assertIs(self.batches.add(DESKTOP, log(9, 1900), LOG), Fate.FULL)
        self.assertEqual(self.batches.dropped, 2)
        batch = self.batches.take(0)
        assert batch is not None
        self.assertIn(b"2 log messages were dropped", batch.messages[0])

    def test_it_is_said_even_if_nothing_is_left(self) -> None:
        self.batches.add(DESKTOP, log(1, 5000), LOG)
        self.batches.add(PHONES, message(2, 6000), ORDINARY)
        self.assertEqual(numbers(self.batches.take(0)), [2])
        self.assertTrue(self.batches)
        batch = self.batches.take(0)
        assert batch is not None
        self.assertEqual((batch.to, len(batch.messages)), (DESKTOP, 1))
        self.assertIn(b"1 log message was dropped", batch.messages[0])
        self.assertFalse(self.batches)

    def test_who_has_left_gets_nothing(self) -> None:
        self.batches.add((PHONE,), message(1), ORDINARY)
        self.batches.add((PHONE, OTHER_PHONE), message(2), ORDINARY)
        self.batches.add((PHONE,), message(3), URGENT)
        self.batches.add((PHONE,), log(4), LOG)
        self.batches.forget(PHONE)
        self.assertEqual(len(self.batches), 1)
        self.assertEqual(numbers(self.batches.take(0)), [2])
        self.assertEqual(self.batches.waiting_bytes, 0)

    def test_all_of_it(self) -> None:
        self.batches.add(DESKTOP, log(1), LOG)
        self.batches.add(DESKTOP, message(2), URGENT)
        self.assertEqual(self.batches.clear(), 2)
        self.assertEqual((len(self.batches), self.batches.waiting_bytes), (0, 0))
        self.assertIsNone(self.batches.take(0))


class Sharing(SynchronousTestCase):
    def test_it_is_that_somebody_is_among_both(self) -> None:
        some: list[Recipients] = [PHONES, DESKTOP, (PHONE,), (CLI,), (OTHER_PHONE, DASHBOARD)]
        for one in some:
            for other in some:
                both = any(is_to(one, who) and is_to(other, who) for who in EVERYBODY)
                self.assertEqual(may_share(one, other), both, (one, other))


class Machine(RuleBasedStateMachine):
    """Whatever is added and taken: events fit, what waits is bounded, nothing is lost in silence,
    and nobody gets anything out of order but what is urgent."""

    def __init__(self) -> None:
        super().__init__()
        self.batches = Batches(1024, 4000)
        self.came = 0
        self.added: dict[int, tuple[Recipients, Urgency]] = {}
        self.seen: set[int] = set()
        self.told = 0

    @rule(
        to=st.sampled_from([PHONES, DESKTOP, (PHONE,), (CLI,), (PHONE, CLI)]),
        urgency=st.sampled_from(Urgency),
        size=st.integers(0, 500),
    )
    def add(self, to: Recipients, urgency: Urgency, size: int) -> None:
        self.came += 1
        one = log(self.came, size) if urgency is LOG else message(self.came, size)
        fate = self.batches.add(to, one, urgency)
        assert fate is Fate.WAITS or fate is Fate.FULL
        if fate is Fate.WAITS:
            self.added[self.came] = (to, urgency)

    @rule()
    def take(self) -> None:
        batch = self.batches.take(0)
        if batch is None:
            assert not self.batches
            return
        assert batch.messages
        assert data_bytes(batch) <= 1024
        parse_event(encode_event(EPOCH, 1, batch.to, batch.messages))
        for n in numbers(batch):
            if not isinstance(n, int):
                self.told += int(str(n).split()[2])
                continue
            assert self.added[n][0] == batch.to
            self.check_order(n)
            self.seen.add(n)

    def check_order(self, n: int) -> None:
        to, urgency = self.added[n]
        for later in self.seen:
            other, its_urgency = self.added[later]
            in_one_line = (urgency is URGENT) == (its_urgency is URGENT)
            assert later < n or not in_one_line or not may_share(to, other)

    @invariant()
    def is_bounded(self) -> None:
        assert self.batches.waiting_bytes <= 4000

    def teardown(self) -> None:
        while self.batches:
            self.take()
        logs = {n for n, (_, urgency) in self.added.items() if urgency is LOG}
        lost = set(self.added) - self.seen
        assert lost <= logs
        assert self.told == self.batches.dropped
        assert self.told >= len(lost)


class AnyOrder(SynchronousTestCase):
    def test_machine(self) -> None:
        run_machine(self, Machine, 60, 40)
