"""`managed.gateway.outbox`."""

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.managed.gateway.outbox import (
    LOG_DELAY_S,
    MOST_WAITING_BYTES,
    Outbox,
    OutboxOptions,
)
from apptuner_relay.managed.protocol.numbered_events import NumberedEvent, parse_event
from apptuner_relay.managed.protocol.user_ids import UserId
from apptuner_relay.operator.managed_counters import ManagedCounters
from apptuner_relay.session.session import Role

PHONE, OTHER, CLI, RELAY = (
    UserId(role, tag * 12, device)
    for role, tag, device in (
        (Role.MOBILE, "a", "d1"),
        (Role.MOBILE, "b", "d2"),
        (Role.CLI, "c", ""),
        (None, "d", "node"),
    )
)
LIMIT = 1000


def log(text: str) -> bytes:
    """A console log."""
    return b'{"type":"console_log","payload":{"args":["%b"]}}' % text.encode()


class OutboxCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[NumberedEvent] = []
        self.takes = True
        self.present = {str(one): one for one in (PHONE, OTHER, CLI, RELAY)}
        self.counters = ManagedCounters()
        self.skipped: list[int] = []
        options = OutboxOptions(self.clock, lambda: 0.0, self.counters, LIMIT)
        self.outbox = Outbox(options, self.present, self.publish, self.skipped.append)
        self.outbox.is_open = True

    def publish(self, name: str, data: str) -> bool:
        if self.takes:
            self.assertLessEqual(len(data.encode()), LIMIT)
            self.events.append(parse_event(data))
        return self.takes

    def taken(self) -> list[Any]:
        """Whom the events were to, and their messages, since the last call."""
        events, self.events = self.events, []
        return [(event.to, list(event.messages)) for event in events]


class Recipients(OutboxCase):
    def test_a_whole_side(self) -> None:
        for one in (PHONE, OTHER):
            self.outbox.say(str(one), b"{}")
        self.clock.advance(0)
        self.assertEqual(self.taken(), [("phones", [b"{}"])])

    def test_one_alone_is_named(self) -> None:
        self.outbox.say(str(CLI), b"{}")
        self.clock.advance(0)
        self.assertEqual(self.taken(), [((str(CLI),), [b"{}"])])

    def test_who_has_left_is_told_nothing(self) -> None:
        self.outbox.say(str(CLI), b"{}")
        self.outbox.say(str(OTHER), log("one"))
        del self.present[str(CLI)]
        self.clock.advance(0)
        self.outbox.forget(str(OTHER))
        self.clock.advance(LOG_DELAY_S)
        self.assertEqual(self.taken(), [])

    def test_who_has_just_come_is_not_meant(self) -> None:
        third = UserId(Role.MOBILE, "e" * 12, "d3")
        for one in (PHONE, OTHER):
            self.outbox.say(str(one), b"{}")
        self.present[str(third)] = third
        self.clock.advance(0)
        self.assertEqual(self.taken(), [((str(PHONE), str(OTHER)), [b"{}"])])


class Joining(OutboxCase):
    def test_urgent_messages_overtake_logs(self) -> None:
        self.outbox.say(str(CLI), log("one"))
        self.outbox.say(str(CLI), b'{"type":"bundle_ack"}')
        self.clock.advance(0)
        self.assertEqual(self.taken(), [((str(CLI),), [b'{"type":"bundle_ack"}', log("one")])])

    def test_an_event_is_no_longer_than_it_may_be(self) -> None:
        logs = [log("x" * 300 + str(n)) for n in range(5)]
        for text in logs:
            self.outbox.say(str(CLI), text)
        self.clock.advance(0)
        self.clock.advance(LOG_DELAY_S)
        taken = self.taken()
        self.assertEqual([text for _, texts in taken for text in texts], logs)
        self.assertEqual(len(taken), 3)

    def test_a_log_that_is_too_long_is_cut(self) -> None:
        self.outbox.say(str(CLI), log("x" * 2000))
        self.outbox.flush()
        ((_, (text,)),) = self.taken()
        self.assertIn("[cut: ", text.decode())

    def test_another_message_that_is_too_long_is_skipped(self) -> None:
        self.outbox.say(str(CLI), b'{"text":"%b"}' % (b"x" * 2000))
        self.outbox.flush()
        self.assertEqual((self.taken(), self.skipped), ([], [2011]))

    def test_what_is_no_message_spoils_no_event(self) -> None:
        for text in (b'{"type":"half', b"[]", b'{"type":"whole"}'):
            self.outbox.say(str(CLI), text)
        self.clock.advance(0)
        self.assertEqual(self.taken(), [((str(CLI),), [b'{"type":"whole"}'])])

    def test_events_are_numbered(self) -> None:
        for _ in range(3):
            self.outbox.say(str(CLI), b"{}")
            self.clock.advance(0)
        self.assertEqual([event.n for event in self.events], [1, 2, 3])


class Refusal(OutboxCase):
    def test_what_the_service_does_not_take_now_it_takes_later(self) -> None:
        self.takes = False
        self.outbox.say(str(CLI), b'{"n":1}')
        self.clock.advance(0)
        self.takes = True
        self.outbox.say(str(CLI), b'{"n":2}')
        self.clock.pump([0.1] * 10)
        taken = [text for _, texts in self.taken() for text in texts]
        self.assertEqual(taken, [b'{"n":1}', b'{"n":2}'])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_while_it_is_away_the_oldest_logs_are_dropped(self) -> None:
        self.outbox.is_open = False
        text = "x" * 500
        count = MOST_WAITING_BYTES // 500
        for n in range(count):
            self.outbox.say(str(CLI), log(f"{n} {text}"))
            self.clock.advance(0)
        self.outbox.is_open = True
        self.outbox.flush()
        taken = [message for _, texts in self.taken() for message in texts]
        notices = [message for message in taken if b"dropped" in message]
        self.assertIn(f"{count - 1} x".encode(), taken[-1])
        self.assertEqual(self.counters.dropped["away"], count - len(taken) + 1)
        self.assertIn(f"{count - len(taken) + 1} log messages were dropped".encode(), notices[0])

    def test_who_misses_another_message_finds_a_gap(self) -> None:
        self.outbox.say(str(CLI), b"{}")
        self.clock.advance(0)
        self.takes = False
        for _ in range(MOST_WAITING_BYTES // 900 + 2):
            self.outbox.say(str(CLI), b'{"text":"%b"}' % (b"x" * 900))
            self.clock.advance(0)
        self.takes = True
        self.outbox.flush()
        first, second = self.events[:2]
        self.assertEqual(first.n, 1)
        self.assertGreater(second.n, 2)
