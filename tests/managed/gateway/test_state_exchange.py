"""`managed.gateway.state_exchange`, and bundles, which don't pass through channels."""

import hashlib
from typing import Any

from apptuner_relay.session.session import Role
from tests.managed.gateway.gateway_case import KEY, OPTIONS, PUBLIC_URL, SESSION, GatewayCase
from tests.memory import Client
from tests.memory_store import MemoryStore

CODE = "console.log('hello');" * 1000
SHA256 = hashlib.sha256(CODE.encode()).hexdigest()
AVAILABLE = {
    "type": "bundle_available",
    "url": f"{PUBLIC_URL}/bundles/{{session}}/{SHA256}",
    "sha256": SHA256,
    "size": len(CODE),
}


class BundleCase(GatewayCase):
    store = MemoryStore

    def push(self) -> Client:
        """A CLI of the relay sends a bundle."""
        cli = self.relay.connect(f"/cli/{SESSION}")
        cli.send(type="bundle_update", payload={"code": CODE})
        self.turn()
        return cli

    def told(self, message: dict[str, Any]) -> dict[str, Any]:
        """A message without its time."""
        return {name: value for name, value in message.items() if name != "timestamp"}


class Bundles(BundleCase):
    def test_a_phone_is_told_of_a_bundle(self) -> None:
        phone = self.come()
        self.push()
        (message,) = phone.received()
        self.assertEqual(self.told(message), AVAILABLE)

    def test_a_phone_that_comes_later_is_told_of_the_last_one(self) -> None:
        self.push().lose()
        phone = self.user()
        phone.come()
        self.gateway.ready(KEY)
        self.turn(0.5)
        self.assertEqual([self.told(one) for one in phone.received()][-1], AVAILABLE)

    def test_a_state_has_the_last_one(self) -> None:
        self.push()
        phone, dashboard = self.come(), self.come(Role.DASHBOARD, "d")
        for one in (phone, dashboard):
            one.received()
            one.send({"type": "state_wanted"})
        self.turn(0.5)
        for one in (phone, dashboard):
            (state,) = one.received()
            self.assertEqual(self.told(state["bundle"]), AVAILABLE)

    def test_what_the_phone_has_already(self) -> None:
        self.push().lose()
        phone = self.user(have=SHA256)
        phone.come()
        self.gateway.ready(KEY)
        self.turn(0.5)
        # It may have got other code since it was let in.
        self.assertEqual(phone.types(), ["connected", "bundle_available"])


class WithoutSpool(GatewayCase):
    def test_a_bundle_that_can_not_be_had_is_skipped(self) -> None:
        phone = self.come()
        cli = self.relay.connect(f"/cli/{SESSION}")
        cli.send(type="bundle_update", payload={"code": CODE * 20})
        cli.send(type="reload")
        self.turn(1)
        self.assertEqual(phone.types(), ["reload"])
        self.assertEqual(self.gateway.counters.dropped["large"], 1)


class ShortEvents(BundleCase):
    options = OPTIONS._replace(event_limit=1000)

    def test_a_state_that_is_too_long_for_an_event_has_the_bundle_at_least(self) -> None:
        self.push()
        phones = [self.come(tag=tag, name="Pixel " + 50 * "9") for tag in "abcde"]
        self.turn(2)
        phones[0].received()
        phones[0].send({"type": "state_wanted"})
        self.turn(0.5)
        (state,) = phones[0].received()
        self.assertIsNone(state["devices"])
        self.assertEqual(self.told(state["bundle"]), AVAILABLE)
