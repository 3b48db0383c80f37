"""Connections to Redis that are lost, or given up, while somebody waits for a reply."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership.redis_link import (
    CommandLink,
    LinkLost,
    ServerRefused,
)
from apptuner_relay.config.redis_url import parse_redis_url
from tests.cluster.ownership.test_redis_errors import AT, RUNNING
from tests.fake_redis import FakeRedis

URL = parse_redis_url("redis://127.0.0.1:6379")
SESSIONS = [f"{n:064x}" for n in range(40)]
READONLY = "-READONLY You can't write against a read only replica."
ANSWER_S = 2.0


class LinkTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.reply: Any = None
        self.redis = FakeRedis(self.clock, lambda words: self.reply)
        self.downs: list[str] = []
        self.link: Any = CommandLink(self.redis, URL, self.clock, ANSWER_S)
        self.link.on_disconnected = self.downs.append
        self.link.start()
        self.clock.advance(0)
        self.assertTrue(self.link.is_up)

    def test_who_asks_again_at_once_hears_that_there_is_no_connection(self) -> None:
        """Those who wait are told one after the other, and may do anything then."""
        again: list[Deferred[Any]] = []
        waiting = [self.link.run("script", n) for n in range(3)]
        for one in waiting:
            one.addErrback(lambda _: again.append(self.link.run("script")))
        self.redis.die()
        self.assertEqual(len(again), 3)
        for asked in again:
            self.failureResultOf(asked, LinkLost)
        self.assertEqual(len(self.downs), 1)

    def test_any_refusal_gives_the_connection_up(self) -> None:
        for text in (
            "READONLY You can't write against a read only replica.",
            RUNNING + AT + READONLY,
            RUNNING + AT + "-OOM command not allowed when used memory > 'maxmemory'.",
            "MISCONF Redis is configured to save RDB snapshots",
            "NOPERM this user has no permissions to run the 'eval' command",
            "ERR unknown command 'EVAL'",
        ):
            self.downs.clear()
            self.reply = Exception(text)
            asked = self.link.run("script")
            self.clock.advance(0)
            refusal = self.failureResultOf(asked, ServerRefused)
            self.assertEqual(str(refusal.value), text)
            self.clock.advance(0)
            self.assertEqual(self.downs, [text])
            self.clock.pump([0.1] * 60)
            self.assertTrue(self.link.is_up)

    def test_what_an_operator_has_to_mend_is_not_tried_so_often(self) -> None:
        def count(text: str) -> int:
            self.reply = Exception(text)
            before = len(self.redis.connections)
            self.link.on_connected = lambda: self.link.run("script").addErrback(lambda _: None)
            self.link.on_connected()
            self.clock.pump([0.1] * 600)
            return len(self.redis.connections) - before

        self.assertGreater(count(RUNNING + AT + READONLY), 90)
        self.assertLess(count(RUNNING + AT + "-NOPERM you may not"), 30)
