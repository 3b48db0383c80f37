"""The order of the checks, and the time that all of them take, whatever hangs."""

from __future__ import annotations

import socket
from threading import Event
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.protocol import Factory, Protocol

from apptuner_relay.client.address import Relay
from apptuner_relay.client.doctor import dialing
from apptuner_relay.client.doctor.dialing import look_up
from apptuner_relay.client.doctor.examination import TOTAL_S, Complaint, Examination
from apptuner_relay.client.doctor.finding import TITLES, CheckState, Finding
from apptuner_relay.client.doctor.judge_way import LookedUp, LookupProblem
from apptuner_relay.client.doctor.time_limit import TimeLimit
from apptuner_relay.config.managed_url import parse_managed_url
from tests.client.little_relay import RelayTestCase


class Mute(Protocol):
    """Takes connections, and says nothing."""


class ExaminationCase(RelayTestCase):
    def examine(
        self, relay: Relay, *, total_s: float = TOTAL_S, **complaint: Any
    ) -> tuple[Examination, list[Finding], Deferred[None]]:
        told: list[Finding] = []
        examination = Examination(
            Complaint(relay, **complaint), reactor, told.append, lambda _: None, total_s
        )
        return examination, told, Deferred.fromCoroutine(examination.run())

    def mute(self) -> Relay:
        factory = Factory.forProtocol(Mute)
        factory.noisy = False
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        return Relay(False, "127.0.0.1", port.getHost().port)


class OrderTest(ExaminationCase):
    def test_plans(self) -> None:
        managed = parse_managed_url("relay://key")
        all_of_them = Complaint(
            Relay(True, "x", 1), "ABC234", token="x", managed=managed, patience_s=1
        ).plan
        self.assertEqual(all_of_them, list(TITLES))
        few = Complaint(Relay(False, "x", 1)).plan
        self.assertEqual(few, [name for name in all_of_them if name in few])

    @inlineCallbacks
    def test_another_kind_of_relay(self) -> Any:
        """One without `/health`, compression and the other things of this project's."""
        examination, told, done = self.examine(self.relay.address)
        yield done
        states = {one.name: one.state for one in told}
        self.assertEqual(states["websocket"], CheckState.OK)
        self.assertEqual(states["compression"], CheckState.WARNING)
        self.assertEqual(states["transfer"], CheckState.OK)
        self.assertEqual([one.name for one in told], Complaint(self.relay.address).plan)
        self.assertEqual(told, examination.findings)
        self.assertFalse(examination.never_connected)
        self.assertEqual({peer.role for peer in self.relay.all_peers}, {"cli", "mobile"})
        self.assertEqual(len({peer.session for peer in self.relay.all_peers}), 1)
        self.assertEqual(self.relay.peers, [])

    @inlineCallbacks
    def test_pings_that_nobody_answers(self) -> Any:
        self.relay.answers_pings = False
        _, told, done = self.examine(self.relay.address)
        yield done
        [pings] = [one for one in told if one.name == "round_trip"]
        self.assertEqual(pings.state, CheckState.FAILED)
        self.assertEqual(pings.figures["pings"], 2)

    @inlineCallbacks
    def test_no_welcome(self) -> Any:
        self.relay.welcomes = False
        _, told, done = self.examine(self.relay.address)
        yield done
        [upgrade] = [one for one in told if one.name == "websocket"]
        self.assertEqual(upgrade.state, CheckState.FAILED)
        self.assertIn("but no welcome", upgrade.text)

    @inlineCallbacks
    def test_a_bundle_that_is_changed_on_its_way(self) -> Any:
        def change(peer: Any) -> None:
            peer.messages[-1]["_raw"] = b""

        self.relay.on("bundle_update", change)
        original = type(self.relay).of_role

        def of_role(relay: Any, role: str) -> Any:
            return [_Changed(peer) if role == "mobile" else peer for peer in original(relay, role)]

        self.patch(type(self.relay), "of_role", of_role)
        _, told, done = self.examine(self.relay.address)
        yield done
        [transfer] = [one for one in told if one.name == "transfer"]
        self.assertEqual(transfer.state, CheckState.FAILED)
        self.assertIn("others came down", transfer.text)

    @inlineCallbacks
    def test_no_time(self) -> Any:
        _, told, done = self.examine(self.mute(), total_s=0)
        yield done
        self.assertEqual([one.name for one in told], Complaint(self.mute()).plan)
        self.assertIn("took all the time", told[-1].text)

    @inlineCallbacks
    def test_less_time_than_it_takes(self) -> Any:
        _, told, done = self.examine(self.mute(), total_s=0.3)
        yield done
        [http] = [one for one in told if one.name == "http"]
        self.assertEqual(http.state, CheckState.FAILED)

    @inlineCallbacks
    def test_cancelled(self) -> Any:
        for secure in (False, True):
            mute = self.mute()
            examination, told, done = self.examine(
                Relay(secure, mute.host, mute.port), session="ABC234"
            )
            while not any(one.name == "tcp" for one in told):
                yield _a_turn()
            done.cancel()
            yield done
            self.assertEqual(told[-1].text, "not checked: interrupted")
            self.assertEqual(
                {one.name for one in told},
                {*Complaint(self.mute(), "A").plan} | ({"tls"} if secure else set()),
            )
            self.assertFalse(examination.never_connected)


class _Changed:
    """A phone to which a changed bundle is passed on."""

    def __init__(self, peer: Any) -> None:
        self._peer = peer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._peer, name)

    def pass_on(self, payload: bytes) -> None:
        self._peer.pass_on(payload.replace(b'"code":"', b'"code":"x'))


def _a_turn() -> Deferred[None]:
    turn: Deferred[None] = Deferred()
    reactor.callLater(0, turn.callback, None)  # type: ignore[attr-defined]
    return turn


class LookupTest(ExaminationCase):
    def look(self, resolver: Any, host: str = "relay.test") -> Deferred[LookedUp]:
        limit = TimeLimit(reactor, 10)  # type: ignore[arg-type]
        return Deferred.fromCoroutine(look_up(reactor, limit, host, 3000, 0.2, resolver))

    @inlineCallbacks
    def test_addresses(self) -> Any:
        def resolver(host: str, port: int, **_: object) -> Any:
            rows = [(socket.AF_INET6, (f"2001:db8::{n}", port, 0, 0)) for n in range(9)]
            rows[1:1] = [(socket.AF_INET, ("192.0.2.4", port)), rows[0]]  # type: ignore[list-item]
            return [(family, 1, 6, "", address) for family, address in rows]

        found = yield self.look(resolver)
        self.assertEqual(len(found.addresses), dialing.MAX_ADDRESSES)
        self.assertEqual(
            [one.text for one in found.addresses[:3]], ["2001:db8::0", "192.0.2.4", "2001:db8::1"]
        )
        self.assertEqual([one.is_v6 for one in found.addresses[:2]], [True, False])

    @inlineCallbacks
    def test_problems(self) -> Any:
        for error, problem in (
            (socket.gaierror(socket.EAI_NONAME, "unknown"), LookupProblem.UNKNOWN),
            (socket.gaierror(socket.EAI_AGAIN, "again"), LookupProblem.AWAY),
            (socket.gaierror(socket.EAI_FAIL, "fail"), LookupProblem.OTHER),
            (UnicodeError("label too long"), LookupProblem.OTHER),
        ):

            def resolver(*_: object, error: Exception = error, **__: object) -> Any:
                raise error

            found = yield self.look(resolver)
            self.assertEqual(found.problem, problem)
            self.assertTrue(found.words)

    @inlineCallbacks
    def test_a_resolver_that_hangs(self) -> Any:
        over = Event()
        self.addCleanup(over.set)
        found = yield self.look(lambda *_, **__: over.wait())
        self.assertEqual(found.problem, LookupProblem.SLOW)

    @inlineCallbacks
    def test_literals(self) -> Any:
        for host, is_v6 in (("192.0.2.4", False), ("::1", True), ("fe80::1%lo", True)):
            found = yield self.look(None, host)
            self.assertTrue(found.is_literal)
            self.assertEqual([one.is_v6 for one in found.addresses], [is_v6])
