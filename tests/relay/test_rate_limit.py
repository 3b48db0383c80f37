"""`apptuner_relay.relay.rate_limit`: what clients send beyond ``--message-rate``, with the protocol
on transports in memory."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay.rate_limit import MOST_BYTES, Line, LogQueue
from apptuner_relay.wire.frames import COMPRESSED, CONTINUATION, TEXT
from tests.memory import Relay, deflated, masked
from tests.relay.logging_case import LoggingCase


class Waiting(SynchronousTestCase):
    @given(
        st.lists(st.tuples(st.booleans(), st.integers(0, MOST_BYTES + 1) | st.integers(0, 9))),
        st.integers(0, 9),
    )
    def test_the_last_of_either_kind_in_their_order(
        self, lines: list[tuple[bool, int]], most: int
    ) -> None:
        queue = LogQueue(most)
        dropped = 0
        for number, (serious, size) in enumerate(lines):
            dropped += queue.add(Line(number, bytes(size)), serious)
        self.assertEqual(len(queue) + dropped, len(lines))
        left = queue.take()
        self.assertEqual(left, sorted(left))
        for kind in (False, True):
            came = [number for number, (serious, _) in enumerate(lines) if serious is kind]
            kept = [line for line in left if lines[line.opcode][0] is kind]
            self.assertEqual([line.opcode for line in kept], came[len(came) - len(kept) :])
            self.assertLessEqual(sum(len(line.payload) for line in kept), MOST_BYTES)
            if not kind:
                self.assertLessEqual(len(kept), most)
        self.assertEqual(queue.take(), [])
        self.assertFalse(queue)


class Messages(LoggingCase):
    def test_logs_are_dropped_and_counted(self) -> None:
        cli, phone = self.session()
        for n in range(80):
            self.log(phone, n)
        self.assertEqual(self.logged(cli), list(range(50)))
        phone.send(type="bundle_ack", success=True)
        self.assertEqual(cli.types(), ["bundle_ack"])
        self.relay.wait(1)
        notice, *last = self.logged(cli)
        self.assertIn("20 log messages were dropped: more than 10 messages a second", notice)
        self.assertEqual(last, list(range(70, 80)))
        (error,) = phone.received()
        self.assertEqual((error["type"], "20 log" in error["error"]), ("error", True))
        self.assertEqual(self.relay.service.meters.counters.traffic.dropped_logs, 20)
        self.relay.wait(1)
        self.log(phone, 99)
        self.assertEqual(self.logged(cli), [99])

    def test_logs_that_only_had_to_wait_need_no_notice(self) -> None:
        cli, phone = self.session()
        for n in range(57):
            self.log(phone, n)
        self.assertEqual(self.logged(cli), list(range(50)))
        self.relay.wait(1)
        self.assertEqual(self.logged(cli), list(range(50, 57)))
        self.assertEqual(phone.received(), [])

    def test_errors_and_warnings_are_not_dropped_for_others(self) -> None:
        """Of 1,500 lines with five errors among them, one arrived once."""
        cli, phone = self.session()
        serious = {100: "error", 400: "warn", 700: "error", 1000: "warn", 1499: "error"}
        for n in range(1500):
            self.log(phone, n, serious.get(n, "debug"))
        self.relay.wait(1)
        got = self.logged(cli)
        self.assertEqual(got[:50], list(range(50)))
        self.assertIn("log messages were dropped", got[50])
        self.assertEqual(got[51:], [100, 400, 700, 1000, *range(1489, 1500)])

    def test_errors_without_end_are_dropped_too(self) -> None:
        cli, phone = self.session()
        for n in range(300):
            self.log(phone, n, "error")
        self.relay.wait(1)
        # 50, 50 more, as they are errors, and the last of a second.
        got = self.logged(cli)
        self.assertEqual([*got[:50], *got[51:]], [*range(100), *range(290, 300)])
        self.assertEqual(self.relay.service.meters.counters.traffic.dropped_logs, 190)

    def test_long_and_compressed_logs_count_as_well(self) -> None:
        cli, phone = self.session(deflate=True)
        for n in range(80):
            text = b'{"type":"console_log","payload":{"level":"%b","n":%d,"text":"%b"}}'
            text %= (b"error" if n == 60 else b"log", n, b"x" * 1000)
            if n % 2:
                phone.send_raw(masked(TEXT | COMPRESSED, deflated(text)))
            else:
                phone.send_raw(masked(TEXT, text[:300], False) + masked(CONTINUATION, text[300:]))
        self.assertEqual(self.logged(cli), list(range(50)))
        self.relay.wait(1)
        notice, *last = self.logged(cli)
        self.assertIn("19 log messages", notice)
        self.assertEqual(last, [60, *range(70, 80)])

    def test_a_log_that_is_too_long_to_wait_is_dropped(self) -> None:
        cli, phone = self.session()
        for n in range(53):
            self.log(phone, n, text="x" * (200_000 if n == 51 else 1))
        self.relay.wait(1)
        got = self.logged(cli)
        self.assertEqual(got[:50], list(range(50)))
        self.assertIn("1 log messages were dropped", got[50])
        self.assertEqual(got[51:], [50, 52])

    def test_what_a_phone_logs_of_a_bundle_does_not_count(self) -> None:
        """Released phones log two lines for each message of a bundle."""
        cli, phone = self.session()
        for n in range(45):
            self.log(phone, n)
        cli.send(type="bundle_start", totalChunks=61, totalSize=61)
        for index in range(61):
            cli.send(type="bundle_chunk", index=index, totalChunks=61, data="x")
            for line in range(2):
                self.log(phone, 100 + 2 * index + line)
        for n in range(5):
            self.log(phone, n)
        self.assertEqual(self.logged(cli), [*range(45), *range(100, 222), *range(5)])
        self.assertEqual(self.relay.service.meters.counters.traffic.dropped_logs, 0)

    def test_other_messages_wait(self) -> None:
        cli, phone = self.session()
        for n in range(75):
            phone.send(type="state", n=n)
        got = [one["n"] for one in cli.received()]
        self.assertEqual(got, list(range(len(got))))
        self.assertIn(len(got), (50, 51))
        self.assertEqual(phone.transport.producerState, "paused")
        self.relay.wait(12)
        got += [one["n"] for one in cli.received()]
        self.assertEqual(got, list(range(75)))
        self.assertGreater(self.relay.service.meters.counters.traffic.throttled, 0)
        self.assertNotEqual(phone.transport.producerState, "paused")

    def test_a_bundle_always_passes(self) -> None:
        cli, phone = self.session()
        for n in range(49):
            cli.send(type="hint", n=n)
        phone.received()
        cli.send(type="bundle_start", totalChunks=200, totalSize=200)
        for n in range(200):
            cli.send(type="bundle_chunk", index=n, totalChunks=200, data="x" * (n % 2 * 600))
        self.assertEqual(phone.types(), ["bundle_start"] + ["bundle_chunk"] * 200)

    def test_one_floods_and_another_does_not_notice(self) -> None:
        cli, phone = self.session()
        other = self.relay.connect("/mobile/ABC234?deviceId=other")
        for n in range(200):
            phone.send(type="console_log", payload={"n": n})
        cli.received()
        other.send(type="console_log", payload={"n": "mine"})
        self.assertIn({"n": "mine"}, [one.get("payload") for one in cli.received()])

    def test_who_floods_with_logs_may_still_say_something_else(self) -> None:
        cli, phone = self.session()
        for n in range(80):
            self.log(phone, n)
        for n in range(10):
            phone.send(type="state", n=n)
        self.logged(cli)
        self.assertNotEqual(phone.transport.producerState, "paused")
        phone.send(type="state", n=10)
        self.assertEqual(phone.transport.producerState, "paused")
        self.relay.wait(2)
        self.assertNotEqual(phone.transport.producerState, "paused")
        self.assertEqual(len(self.logged(cli)), 11)

    def test_no_limit(self) -> None:
        self.relay = Relay(message_rate=0)
        cli, phone = self.session()
        for n in range(2000):
            phone.send(type="console_log", payload={"n": n})
        self.assertEqual(len(cli.received()), 2000)
