"""Whether Redis evicts keys."""

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.ownership.eviction import Eviction
from apptuner_relay.cluster.ownership.redis_link import LinkLost, ServerRefused


class EvictionTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.reply: Any = "noeviction"
        self.asked = 0
        self.lines: list[str] = []
        self.eviction = Eviction(self.run_script, self.clock, "redis")
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: LogEvent) -> None:
        self.lines.append(formatEvent(event))

    def run_script(self, script: str) -> Deferred[Any]:
        self.asked += 1
        return fail(self.reply) if isinstance(self.reply, Exception) else succeed(self.reply)

    def check(self, reply: Any) -> str | None:
        self.reply = reply
        self.successResultOf(Deferred.fromCoroutine(self.eviction.check()))
        return self.eviction.policy

    def test_a_policy_that_drops_keys_is_logged_once(self) -> None:
        self.assertEqual(self.check("allkeys-lru"), "allkeys-lru")
        self.assertEqual(self.check("allkeys-lru"), "allkeys-lru")
        self.assertEqual(len(self.lines), 1)
        self.assertIn("maxmemory-policy is allkeys-lru", self.lines[0])
        self.assertIsNone(self.check("noeviction"))
        self.check("volatile-lru")
        self.assertEqual(len(self.lines), 2)

    def test_what_is_safe_or_unknown(self) -> None:
        for reply in ("noeviction", "unknown"):
            self.assertIsNone(self.check(reply))
        self.assertEqual(self.lines, [])

    def test_the_last_answer_stays_while_there_is_none(self) -> None:
        self.check("allkeys-lru")
        for wrong in (LinkLost("lost"), ServerRefused("READONLY")):
            self.assertEqual(self.check(wrong), "allkeys-lru")

    def test_it_is_asked_again_unless_the_server_does_not_say(self) -> None:
        self.eviction.start()
        self.addCleanup(self.eviction.stop)
        self.clock.pump([30.0] * 4)
        self.assertEqual(self.asked, 2)
        self.check("unknown")
        self.clock.pump([30.0] * 10)
        self.assertEqual(self.asked, 3)
        # Another connection may be to another server.
        self.check("noeviction")
        self.clock.pump([30.0] * 2)
        self.assertEqual(self.asked, 5)

    def test_a_stop(self) -> None:
        self.eviction.start()
        self.eviction.stop()
        self.eviction.stop()
        self.clock.pump([30.0] * 10)
        self.assertEqual(self.asked, 0)
