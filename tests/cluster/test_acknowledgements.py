"""Acknowledgements between relays: from phones and to a CLI that are connected to others than the
relay that has the session."""

from typing import Any

from tests.cluster.harness import ClusterCase, ClusterClient, ClusterRelay
from tests.cluster.test_versions import VersionsCase
from tests.memory_store import MemoryStore


class AcksCase(ClusterCase):
    """The session is a's."""

    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.relays("ab", MemoryStore)
        self.turn(5)
        self.phones = {"ann": self.connect(self.a, "mobile?deviceId=ann&name=Ann")}
        self.assertEqual(self.owner, "a")
        self.phones["bob"] = self.connect(self.b, "mobile?deviceId=bob&name=Bob")

    def row(self, relay: ClusterRelay) -> dict[str, Any]:
        (session,) = relay.service.sessions
        row: dict[str, Any] = relay.service.meters.bundles.rows(session)[0]
        return row

    def acks(self, cli: ClusterClient) -> list[dict[str, Any]]:
        return [one for one in cli.received() if one["type"] == "bundle_ack"]


class BridgedAcksTest(AcksCase):
    def test_each_phone_is_recorded_where_its_session_is(self) -> None:
        for relay in (self.a, self.b):
            with self.subTest(cli_at=relay.name):
                cli = self.cluster.connect(relay, "/cli/ABC234?acks=1")
                self.turn()
                cli.send(type="bundle_update", payload={"code": "x"})
                self.turn(1)
                self.phones["ann"].send(type="bundle_ack", success=True)
                self.phones["bob"].send(type="bundle_ack", success=False, error="no")
                self.turn(1)
                phones = {one["deviceId"]: one for one in self.row(self.a)["phones"]}
                self.assertEqual(phones["ann"]["state"], "acknowledged")
                self.assertEqual((phones["bob"]["state"], phones["bob"]["error"]), ("failed", "no"))
                self.assertTrue(self.row(self.a)["settled"])
                named = {one["deviceId"]: one["deviceName"] for one in self.acks(cli)}
                self.assertEqual(named, {"ann": "Ann", "bob": "Bob"})
                cli.lose()
                self.turn(1)

    def test_who_does_not_ask_gets_it_as_it_came(self) -> None:
        cli = self.cluster.connect(self.b, "/cli/ABC234")
        self.turn()
        cli.received()
        self.phones["bob"].send(type="bundle_ack", success=True)
        self.turn(1)
        self.assertEqual(self.acks(cli), [{"type": "bundle_ack", "success": True}])


class MovingTest(AcksCase):
    def setUp(self) -> None:
        super().setUp()
        self.settled: dict[str, list[int]] = {}
        for relay in (self.a, self.b):
            numbers = self.settled[relay.name] = []
            relay.service.meters.bundles.subscribe(
                lambda record, numbers=numbers: numbers.append(record.number)  # type: ignore[misc]
            )
        self.cli = self.cluster.connect(self.b, "/cli/ABC234?acks=1")
        self.turn()

    def push(self, code: str) -> None:
        self.cli.send(type="bundle_update", payload={"code": code})
        self.turn(1)

    def move(self) -> None:
        """Relay a stops, and b has the session."""
        self.phones.pop("ann").lose()
        self.turn(1)
        self.a.service.stopService()
        self.turn(5)
        self.assertEqual(self.owner, "b")
        self.cli.received()

    def test_the_new_owner_hears_the_answer(self) -> None:
        self.push("one")
        for phone in self.phones.values():
            phone.send(type="bundle_ack", success=True)
        self.turn(1)
        self.push("two")
        self.assertEqual(self.settled, {"a": [1], "b": []})
        self.move()
        second, first = self.b.service.meters.bundles.rows(*self.b.service.sessions)
        self.assertEqual((first["id"], first["settled"], first["state"]), (1, True, "whole"))
        states = {one["deviceId"]: one["state"] for one in second["phones"]}
        self.assertEqual((states, second["settled"]), ({"ann": "left", "bob": "sent"}, False))
        self.phones["bob"].send(type="bundle_ack", success=False, error="no")
        self.turn(1)
        (acked,) = self.acks(self.cli)
        self.assertEqual((acked["deviceName"], acked["error"]), ("Bob", "no"))
        phones = {one["deviceId"]: one for one in self.row(self.b)["phones"]}
        self.assertEqual((phones["bob"]["state"], phones["bob"]["error"]), ("failed", "no"))
        self.push("three")
        self.assertEqual(self.row(self.b)["id"], 3)
        # It is settled once, where the session is.
        self.turn(40)
        self.assertEqual(self.settled, {"a": [1], "b": [2, 3]})

    def test_who_never_answers_there_is_settled_by_the_clock(self) -> None:
        self.push("one")
        self.move()
        self.turn(40)
        self.assertEqual(self.settled, {"a": [], "b": [1]})

    def test_who_joins_there_late_is_in_the_record(self) -> None:
        self.push("one")
        self.move()
        late = self.cluster.connect(self.b, "/mobile/ABC234?deviceId=late&replay=1")
        self.turn(1)
        self.assertIn("bundle_update", late.types())
        phones = {one["deviceId"]: one for one in self.row(self.b)["phones"]}
        self.assertEqual((phones["late"]["source"], phones["late"]["state"]), ("kept", "sent"))

    def test_the_old_owner_keeps_none(self) -> None:
        self.push("one")
        (session,) = self.a.service.sessions
        self.move()
        self.assertEqual(self.a.service.meters.bundles.rows(session), [])


class EarlierOwnerTest(VersionsCase):
    def test_a_cli_of_a_session_that_an_earlier_relay_has_is_served(self) -> None:
        earlier, current = self.earlier("a"), self.current("b")
        self.turn(5)
        phone = self.connect(earlier, "mobile?deviceId=ann")
        self.assertEqual(self.owner, "a")
        cli = self.cluster.connect(current, "/cli/ABC234?acks=1")
        self.turn()
        cli.received()
        phone.send(type="bundle_ack", success=True)
        self.turn(1)
        acks = [one for one in cli.received() if one["type"] == "bundle_ack"]
        self.assertEqual(acks, [{"type": "bundle_ack", "success": True}])
