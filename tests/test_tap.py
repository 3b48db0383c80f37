"""`apptuner_relay.tap`: how the parts stop, and what systemd is shown. What needs a process is in
``tests.live.test_twistd``."""

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.settings import make_settings
from apptuner_relay.tap import Tree, make_store, show_status
from tests.memory import Relay


class Stopping(SynchronousTestCase):
    def tree(self) -> tuple[Tree, list[str], list[Deferred[None]]]:
        """Three services, the names of those that were told to stop, and what ends their stops."""
        tree, stopped, ends = Tree(None, lambda: None), list[str](), list[Deferred[None]]()
        for name in ("first", "second", "third"):

            class Part(Service):
                def stopService(self) -> Deferred[None]:
                    stopped.append(str(self.name))
                    ends.append(Deferred())
                    return ends[-1]

            part = Part()
            part.setName(name)
            part.setServiceParent(tree)
        return tree, stopped, ends

    def test_one_after_the_other_and_the_last_one_first(self) -> None:
        tree, stopped, ends = self.tree()
        stopping = tree.stopService()
        self.assertEqual(stopped, ["third"])
        ends[0].callback(None)
        self.assertEqual(stopped, ["third", "second"])
        ends[1].callback(None)
        self.assertNoResult(stopping)
        ends[2].callback(None)
        self.successResultOf(stopping)
        self.assertEqual(stopped, ["third", "second", "first"])

    def test_one_that_fails_holds_up_nobody(self) -> None:
        tree, stopped, ends = self.tree()
        stopping = tree.stopService()
        with capturedLogs() as events:
            ends[0].errback(RuntimeError("as it happens"))
        self.assertTrue(self.flushLoggedErrors(RuntimeError))
        self.assertIn("failed to stop", " ".join(str(formatEvent(one)) for one in events))
        ends[1].callback(None)
        ends[2].callback(None)
        self.successResultOf(stopping)
        self.assertEqual(len(stopped), 3)


class Status(SynchronousTestCase):
    def test_of_a_relay_that_runs_and_of_one_that_stops(self) -> None:
        relay = Relay()
        relay.connect("/cli/ABC234")
        relay.connect("/mobile/ABC234")
        self.assertEqual(show_status(relay.service), "1 sessions, 2 connections")
        relay.service.stopService()
        self.assertEqual(show_status(relay.service), "draining: closing, 2 clients left")


class Stores(SynchronousTestCase):
    def test_none_where_the_operator_wants_none(self) -> None:
        reactor: Any = Clock()
        self.assertIsNone(make_store(make_settings(spool_dir=None), reactor))
