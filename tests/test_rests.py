"""`apptuner_relay.rests`: what is left of a block is copied once, and reaches each whole."""

import tracemalloc
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.flow import Frame, Sink, Source
from apptuner_relay.passage import Passage
from apptuner_relay.slow import SlowSinks


class Outlet:
    """Takes so many bytes of what is offered, in all."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.got = b""

    def offer(self, parts: Sequence[Frame]) -> int:
        data = b"".join(parts)
        taken = data[: self.room]
        self.room -= len(taken)
        self.got += taken
        return len(taken)

    def write(self, data: bytes) -> None:
        self.got += data

    def unsent(self) -> int:
        return 0


def _cut(code: int, reason: str) -> None:
    raise AssertionError(f"cut with {code}: {reason}")


def sink_of(outlet: Outlet) -> Sink:
    return Sink(outlet, _cut, 1 << 20, SlowSinks(0, 1e9, lambda: 0.0))


def no_op() -> None: ...


class WhatIsLeft(SynchronousTestCase):
    @given(
        st.lists(st.binary(min_size=3, max_size=40), min_size=1, max_size=6),
        st.lists(st.integers(0, 200), min_size=1, max_size=5),
        st.lists(st.integers(1, 30), min_size=1, max_size=20),
        st.booleans(),
    )
    def test_reaches_each_whole(
        self, payloads: list[bytes], rooms: list[int], sips: list[int], notice: bool
    ) -> None:
        source = Source(no_op, no_op)
        outlets = [Outlet(room) for room in rooms]
        sinks = [sink_of(outlet) for outlet in outlets]
        passage = Passage(source, sinks)
        buffer = bytearray(b"".join(payloads))
        view = memoryview(buffer)
        expected = bytes(buffer)
        at = 0
        for i, payload in enumerate(payloads):
            stop = at + len(payload)
            passage.send(view[at:stop], 2, i == len(payloads) - 1)
            at = stop
        source.flush()
        # The next block is received over this one.
        buffer[:] = bytes(len(buffer))
        if notice:
            sinks[0].say(b"notice")
        for sink, outlet in zip(sinks, outlets, strict=True):
            for sip in (*sips, 1 << 20):
                outlet.room += sip
                if sink.full:
                    sink.resumeProducing()
            told = b"notice" if notice and sink is sinks[0] else b""
            self.assertEqual(outlet.got, expected + told)
            self.assertFalse(sink.waiting)
        self.assertFalse(source.held)

    def test_five_phones_that_read_nothing_cost_one_copy(self) -> None:
        source = Source(no_op, no_op)
        outlets = [Outlet(room) for room in (300, 200, 400, 301, 0)]
        sinks = [sink_of(outlet) for outlet in outlets]
        passage = Passage(source, sinks)
        buffer = bytearray(500_000)
        tracemalloc.start()
        try:
            passage.send(memoryview(buffer), 10, False)
            source.flush()
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertEqual(sum(sink.waiting for sink in sinks), 5 * 500_000 - 1201)
        self.assertLess(held, 600_000)

    def test_closing_with_some_left_sends_the_rest_of_it(self) -> None:
        source = Source(no_op, no_op)
        outlet = Outlet(5)
        sink = sink_of(outlet)
        passage = Passage(source, [sink])
        passage.send(memoryview(bytearray(b"0123456789")), 2, True)
        source.flush()
        sink.close()
        self.assertEqual(outlet.got, b"0123456789")
