"""Handing a session over to another relay: whatever that answers, or doesn't."""

import json
from typing import Any

from twisted.internet.defer import Deferred

from apptuner_relay.cluster.bridge.handover import ANSWER_S, Handover, NotHandedOver, Refused
from apptuner_relay.cluster.bridge.handover_messages import BundleDescription, write_message
from apptuner_relay.cluster.bridge.link import open_handover
from apptuner_relay.cluster.bridge.roster import MigratingClient
from apptuner_relay.flow.series import Series
from apptuner_relay.session.session import Role
from apptuner_relay.spool.bundle import StoredForm
from apptuner_relay.wire.frames import BINARY, frame
from tests.cluster.harness import KEY, SECRET, ClusterCase
from tests.cluster.network import Wire
from tests.memory import server_frames
from tests.memory_store import MemoryStore


class HandoverCase(ClusterCase):
    """Relay a has the session and a bundle, and hands it over to b; what b says may be changed."""

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.relays("ab", MemoryStore)
        self.cli = self.connect(self.a, "cli")
        self.cli.send(type="bundle_update", payload={"code": "x" * 2_000_000})
        self.turn()
        self.epoch = self.a.placement.directory.held()[0].epoch
        opening = open_handover(self.a.service, "ws://127.0.0.1:98", SECRET, "a", "b", KEY)
        self.turn()
        self.link = self.successResultOf(opening)
        self.handover = Handover(self.link, self.cluster.clock, "a")

    @property
    def bundle(self) -> Any:
        assert self.a.store is not None
        return self.a.store.last(KEY)

    def do(self, work: Any) -> "Deferred[Any]":
        doing = Deferred.fromCoroutine(work)
        self.turn()
        return doing

    def offer(self) -> "Deferred[Any]":
        kept = BundleDescription(self.bundle.form, self.bundle.size, 0.0)
        return self.do(self.handover.offer(kept))

    def until_s(self, seconds: float = 10) -> float:
        return self.cluster.clock.seconds() + seconds

    def say_instead(self, *messages: bytes) -> None:
        """Have b answer this."""

        def change(wire: Wire, data: bytes) -> bytes:
            if data[0] & 0x7F != BINARY or b'"type"' not in data:
                return data
            [(_, _, payload)] = server_frames(data)
            said = json.loads(payload)["type"] in ("ready", "kept", "taken")
            return b"".join(messages) if said else data

        self.network.tamper = change

    def assertGivesUp(self, doing: "Deferred[Any]", why: str) -> None:
        failure = self.failureResultOf(doing, NotHandedOver)
        self.assertIn(why, str(failure.value))


class Answered(HandoverCase):
    def test_all_of_it(self) -> None:
        self.assertIsNone(self.successResultOf(self.offer()))
        sending = self.do(self.handover.send_bundle(self.bundle, self.until_s()))
        self.turn(1)
        self.assertIsNone(self.successResultOf(sending))
        client = MigratingClient("c1", Role.CLI, None)
        self.successResultOf(self.do(self.handover.hand_over(self.epoch, [client])))
        self.assertEqual(self.owner, "b")
        self.handover.report_absent(["c1"])
        link = self.handover.close()
        self.turn(1)
        self.assertFalse(link.is_delivering)
        self.assertNotIn(KEY, self.b.placement.barriers)
        assert self.b.store is not None
        self.assertTrue(self.b.store.keeps(KEY))

    def test_it_takes_no_bundle(self) -> None:
        kept = BundleDescription(StoredForm(Series(None), None, 0), 10**15, 0.0)
        why = self.successResultOf(self.do(self.handover.offer(kept)))
        self.assertIn("--spool-limit", why)

    def test_it_says_no(self) -> None:
        self.successResultOf(self.do(self.handover.offer(None)))
        doing = self.do(self.handover.hand_over(self.epoch + 1, []))
        self.failureResultOf(doing, Refused)
        self.assertEqual(self.owner, "a")


class NotAnswered(HandoverCase):
    def test_nothing_comes(self) -> None:
        for ask in (self.offer, lambda: self.do(self.handover.hand_over(1, []))):
            self.setUp()
            self.network.part("a", "b")
            doing = ask()
            self.turn(ANSWER_S - 0.2)
            self.assertNoResult(doing)
            self.turn(0.2)
            self.assertGivesUp(doing, "in time")

    def test_the_bundle_does_not_pass(self) -> None:
        self.successResultOf(self.offer())
        for wire in self.cluster.wires:
            wire.is_stuck = True
        sending = self.do(self.handover.send_bundle(self.bundle, self.until_s(3)))
        self.turn(2.5)
        self.assertNoResult(sending)
        self.turn(1)
        self.assertGivesUp(sending, "no time")

    def test_no_more_of_the_bundle_than_the_window_waits_in_memory(self) -> None:
        self.successResultOf(self.offer())
        for wire in self.cluster.wires:
            wire.is_stuck = True
        sending = self.do(self.handover.send_bundle(self.bundle, self.until_s(3)))
        self.assertLess(self.handover.sink.waiting, self.a.service.settings.limits.window + 400_000)
        self.turn(4)
        self.failureResultOf(sending, NotHandedOver)

    def test_the_connection_is_lost(self) -> None:
        self.successResultOf(self.offer())
        for wire in self.cluster.wires:
            wire.is_stuck = True
        sending = self.do(self.handover.send_bundle(self.bundle, self.until_s()))
        self.network.reset("a", "b")
        self.turn()
        self.assertGivesUp(sending, "lost")
        # And so is everything after it.
        self.failureResultOf(self.do(self.handover.hand_over(self.epoch, [])), NotHandedOver)

    def test_it_was_given_up_here(self) -> None:
        doing = Deferred.fromCoroutine(self.handover.offer(None))
        self.handover.abort()
        self.assertGivesUp(doing, "aborted")
        self.turn()
        self.assertTrue(all(wire.is_over for wire in self.cluster.wires))


class WronglyAnswered(HandoverCase):
    def test_something_else(self) -> None:
        self.say_instead(write_message("kept", why=None))
        self.assertGivesUp(self.offer(), "'kept' instead of 'ready'")

    def test_no_message(self) -> None:
        self.say_instead(frame(BINARY, b"{"))
        self.assertGivesUp(self.offer(), "JSON")
        self.turn()
        self.assertTrue(all(wire.is_over for wire in self.cluster.wires))

    def test_a_text_is_not_for_it(self) -> None:
        self.say_instead(frame(1, b'{"type":"talk"}'), write_message("ready", keeps=None))
        self.assertIsNone(self.successResultOf(self.offer()))
