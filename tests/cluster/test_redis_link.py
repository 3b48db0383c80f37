"""Connections to Redis that are lost, or given up, while somebody waits for a reply."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster import scripts
from apptuner_relay.cluster.directory import DirectoryAway, Events, Lease
from apptuner_relay.cluster.redis import RedisDirectory, Timing
from apptuner_relay.cluster.redis_link import CommandLink, LinkLost, NoticeLink, ServerRefused
from apptuner_relay.cluster.redis_url import parse_redis_url
from tests.cluster.test_redis_errors import AT, RUNNING
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
        self.link.on_down = self.downs.append
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
            self.link.on_up = lambda: self.link.run("script").addErrback(lambda _: None)
            self.link.on_up()
            self.clock.pump([0.1] * 600)
            return len(self.redis.connections) - before

        self.assertGreater(count(RUNNING + AT + READONLY), 90)
        self.assertLess(count(RUNNING + AT + "-NOPERM you may not"), 30)


class DirectoryTest(SynchronousTestCase):
    """A node's directory, with a server that answers beats and lets claims wait."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.redis = FakeRedis(self.clock, self.answer)
        self.claim: Any = None
        self.directory = RedisDirectory(
            CommandLink(self.redis, URL, self.clock, ANSWER_S),  # type: ignore[arg-type]
            NoticeLink(self.redis, URL, self.clock, ANSWER_S),  # type: ignore[arg-type]
            self.clock,
            "n1",
            "ws://n1:1",
            Events(),
            connections=lambda: 0,
            version="0",
            timing=Timing(),
        )
        self.directory.start()
        self.clock.pump([0.0] * 4)
        self.assertEqual(self.directory.state, "connected")

    def answer(self, words: Sequence[str]) -> Any:
        replies = {scripts.CLAIM: self.claim, scripts.BEAT: ["kept"]}
        return replies.get(words[0], [] if words[0] == scripts.NODES else "noeviction")

    def test_the_server_dies_while_claims_wait(self) -> None:
        claims = [self.directory.claim(session) for session in SESSIONS]
        self.clock.advance(0)
        self.redis.die()
        self.assertEqual(self.directory.state, "away")
        self.clock.pump([0.1] * 25)
        for claim in claims:
            self.failureResultOf(claim, DirectoryAway)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_the_server_dies_and_is_there_again_at_once(self) -> None:
        claims = [self.directory.claim(session) for session in SESSIONS]
        self.clock.advance(0)
        self.redis.die()
        self.redis.is_there, self.claim = True, "mine 1"
        self.clock.pump([0.1] * 10)
        for session, claim in zip(SESSIONS, claims, strict=True):
            self.assertEqual(self.successResultOf(claim), Lease(session, "n1", "ws://n1:1", 1))

    def test_a_server_that_was_demoted_and_keeps_its_connections(self) -> None:
        """What answers at the next connection may be the server to talk to."""
        self.claim = Exception(RUNNING + AT + READONLY)
        claim = self.directory.claim(SESSIONS[0])
        self.clock.pump([0.0] * 3)
        self.assertNoResult(claim)
        self.claim = "mine 1"
        self.clock.pump([0.1] * 10)
        self.assertEqual(self.successResultOf(claim).epoch, 1)

    def test_a_refusal_that_will_not_pass(self) -> None:
        self.claim = Exception("NOPERM this user has no permissions to run the 'eval' command")
        claim = self.directory.claim(SESSIONS[0])
        self.clock.pump([0.0] * 3)
        self.failureResultOf(claim, DirectoryAway)
        self.assertEqual(self.directory.state, "away")
