"""How everybody in a session stops before it moves: what is under way arrives, and nothing more is
taken in."""

import json
from typing import Any

from twisted.internet.defer import Deferred

from apptuner_relay.cluster.bridge.link import MOVED
from apptuner_relay.cluster.bridge.quiescing import Quiescing
from apptuner_relay.session.session import Role
from apptuner_relay.wire.frames import CONTINUATION, TEXT
from tests.cluster.harness import KEY, ClusterCase, ClusterClient
from tests.memory import masked

HALF = b'{"type":"talk","n":1,"x":"' + b"y" * 100_000
REST = b'"}'


class QuiescingCase(ClusterCase):
    """A session of relay a, with clients of a and of b."""

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.relays("ab")
        self.cli = self.connect(self.a, "cli")
        self.phone = self.connect(self.b, "mobile?deviceId=far")
        self.quiescing = Quiescing(self.a.service, self.a.service.sessions[KEY])

    def stop(self, within_s: float = 5, everybody: bool = True) -> "Deferred[bool]":
        """Have them stop, from now on."""
        until_s = self.cluster.clock.seconds() + within_s
        stop = self.quiescing.stop if everybody else self.quiescing.stop_desktop_side
        stopping = Deferred.fromCoroutine(stop(until_s))
        self.turn()
        return stopping

    def member(self, device: str | None) -> Any:
        """The one with that device; the CLI for None."""
        for one in self.a.service.sessions[KEY].members:
            if (one.device and one.device.device_id) == device:
                return one
        raise AssertionError(device)


class Idle(QuiescingCase):
    """Nothing is under way."""

    def test_all_stop_at_once(self) -> None:
        self.assertTrue(self.successResultOf(self.stop()))
        self.talk(self.cli, 1)
        self.talk(self.phone, 2)
        self.turn(1)
        self.assertEqual((self.heard(self.phone), self.heard(self.cli)), ([], []))
        self.assertEqual(self.cli.transport.producerState, "paused")
        self.assertEqual(self.phone.transport.producerState, "paused")

    def test_the_desktop_side_alone(self) -> None:
        self.assertTrue(self.successResultOf(self.stop(everybody=False)))
        self.talk(self.cli, 1)
        self.talk(self.phone, 2)
        self.turn(1)
        self.assertEqual((self.heard(self.phone), self.heard(self.cli)), ([], [2]))

    def test_nobody_is_there(self) -> None:
        for one in (self.cli, self.phone):
            one.lose()
        self.turn(1)
        self.assertTrue(self.successResultOf(self.stop()))
        self.assertEqual(self.quiescing.list_clients(), [])


class UnderWay(QuiescingCase):
    """What is under way arrives first."""

    def test_what_another_relay_has_sent_already(self) -> None:
        for wire in self.cluster.wires:
            wire.delay_s = 0.3
        self.talk(self.phone, 1, 2)
        stopping = self.stop()
        self.assertNoResult(stopping)
        self.turn(1)
        self.assertTrue(self.successResultOf(stopping))
        self.assertEqual(self.heard(self.cli), [1, 2])

    def test_a_long_message(self) -> None:
        for from_here in (True, False):
            clients = (self.cli, self.phone)
            sender, receiver = clients if from_here else reversed(clients)
            sender.send_raw(masked(TEXT, HALF, fin=False))
            self.turn()
            stopping = self.stop()
            self.assertNoResult(stopping)
            sender.send_raw(masked(CONTINUATION, REST))
            self.talk(sender, 2)
            self.turn()
            self.assertTrue(self.successResultOf(stopping))
            # Its rest has come, and what was sent behind it waits.
            self.assertEqual(self.heard(receiver), [1])
            self.setUp()

    def chunk(self, cli: ClusterClient, index: int) -> None:
        cli.send(type="bundle_chunk", index=index, totalChunks=2, data="abc")

    def test_a_bundle_in_chunks_of_a_client_here(self) -> None:
        self.cli.send(type="bundle_start", totalChunks=2, totalSize=6)
        self.chunk(self.cli, 0)
        stopping = self.stop()
        self.assertNoResult(stopping)
        self.chunk(self.cli, 1)
        self.turn()
        self.assertTrue(self.successResultOf(stopping))
        indices = [one.get("index") for one in self.phone.received()]
        self.assertEqual(indices[-2:], [0, 1])

    def test_a_bundle_that_another_relays_client_begins_as_it_is_asked_to_stop(self) -> None:
        self.cli.lose()
        cli = self.connect(self.b, "cli")
        phone = self.connect(self.a, "mobile?deviceId=here")
        for wire in self.cluster.wires:
            wire.delay_s = 0.2
        cli.send(type="bundle_start", totalChunks=2, totalSize=6)
        self.chunk(cli, 0)
        stopping = self.stop()
        self.turn(0.5)
        # It has been held in the middle of it, and is to go on.
        self.turn(0.5)
        self.assertNoResult(stopping)
        self.chunk(cli, 1)
        self.turn(2)
        self.assertTrue(self.successResultOf(stopping))
        indices = [one.get("index") for one in phone.received() if one["type"] == "bundle_chunk"]
        self.assertEqual(indices, [0, 1])

    def test_who_comes_in_meanwhile_stops_as_well(self) -> None:
        self.cli.send_raw(masked(TEXT, HALF, fin=False))
        stopping = self.stop()
        late = self.connect(self.b, "mobile?deviceId=late")
        self.cli.send_raw(masked(CONTINUATION, REST))
        self.turn()
        self.assertTrue(self.successResultOf(stopping))
        self.talk(late, 1)
        self.turn()
        self.assertEqual(self.heard(self.cli), [])


class TooLate(QuiescingCase):
    """Those who have not stopped in time."""

    def test_it_says_so(self) -> None:
        self.cli.send_raw(masked(TEXT, HALF, fin=False))
        stopping = self.stop(1)
        self.turn(0.8)
        self.assertNoResult(stopping)
        self.turn(0.2)
        self.assertFalse(self.successResultOf(stopping))

    def test_a_relay_that_does_not_answer(self) -> None:
        self.network.part("a", "b")
        stopping = self.stop(1)
        self.turn(1)
        self.assertFalse(self.successResultOf(stopping))
        clients = {one.role: one.is_gone for one in self.quiescing.list_clients()}
        self.assertEqual(clients, {Role.CLI: False, Role.MOBILE: True})

    def test_they_are_closed_and_the_others_come_along(self) -> None:
        here = self.connect(self.a, "mobile?deviceId=here")
        self.cli.send_raw(masked(TEXT, HALF, fin=False))
        self.turn()
        stopping = self.stop(1)
        self.turn(1)
        self.assertFalse(self.successResultOf(stopping))
        clients = self.quiescing.list_clients()
        gone = {one.device and one.device.device_id: one.is_gone for one in clients}
        # The phones have part of its message, and can't be moved in the middle of it.
        self.assertEqual(gone, {None: True, "far": True, "here": True})
        self.quiescing.dismiss(True)
        self.turn()
        self.assertEqual([self.closed(one) for one in (self.cli, here)], [1012, 1011])


class Dismissing(QuiescingCase):
    def test_clients_of_other_relays_are_sent_back_and_those_here_are_kept(self) -> None:
        self.successResultOf(self.stop())
        self.assertEqual(self.quiescing.count_by_relay(), {"b": 1})
        far = self.member("far")
        self.quiescing.list_clients()
        kept = self.quiescing.dismiss(True)
        self.assertEqual([one.role for one in kept], [Role.CLI])
        self.assertEqual(far.connection.closing.code, MOVED)
        self.assertEqual(list(self.a.service.sessions[KEY].mobiles), [])
        # Nobody was told that anybody has gone.
        self.assertEqual(self.cli.types(), [])

    def test_who_has_gone_since_the_list_was_made(self) -> None:
        self.successResultOf(self.stop())
        clients = self.quiescing.list_clients()
        self.assertEqual(self.quiescing.list_absent(), [])
        self.phone.lose()
        self.turn()
        [far] = [one.client for one in clients if one.role is Role.MOBILE]
        self.assertEqual(self.quiescing.list_absent(), [far])
        self.assertEqual([one.role for one in self.quiescing.dismiss(True)], [Role.CLI])

    def test_one_that_comes_back_on_another_connection_is_another_one(self) -> None:
        self.successResultOf(self.stop())
        self.quiescing.list_clients()
        again = self.connect(self.a, "mobile?deviceId=far")
        self.turn()
        self.assertEqual(len(self.quiescing.list_absent()), 1)
        self.quiescing.dismiss(True)
        self.turn()
        self.assertEqual(self.closed(again), 1012)

    def test_dropped_logs_are_told_of_before(self) -> None:
        self.make_cluster()
        [self.a] = self.relays("a", message_rate=2)
        self.cli = self.connect(self.a, "cli")
        phone = self.connect(self.a, "mobile?deviceId=here")
        for n in range(200):
            payload = {"level": "log", "args": [n], "timestamp": 1}
            phone.send(type="console_log", payload=payload)
        self.quiescing = Quiescing(self.a.service, self.a.service.sessions[KEY])
        self.turn()
        self.cli.received()
        self.successResultOf(self.stop())
        self.quiescing.list_clients()
        self.quiescing.dismiss(True)
        phone.read()
        told = [json.loads(one) for one in phone.messages]
        self.assertIn("error", [one["type"] for one in told])
