"""`apptuner_relay.client.lan_relay`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.address import Relay
from apptuner_relay.client.lan_relay import seen_from_phones


class SeenFromPhonesTests(SynchronousTestCase):
    def seen(self, url: str, address: str | None = "192.168.1.20") -> str:
        return str(seen_from_phones(Relay.parse(url), lambda: address))

    def test_loopback_becomes_the_address(self) -> None:
        self.assertEqual(self.seen("ws://127.0.0.1:3000/x"), "ws://192.168.1.20:3000/x")
        self.assertEqual(self.seen("wss://localhost:3000"), "wss://192.168.1.20:3000")

    def test_others_stay(self) -> None:
        self.assertEqual(self.seen("wss://relay.example", None), "wss://relay.example:443")

    def test_a_machine_without_a_network(self) -> None:
        self.assertEqual(self.seen("ws://127.0.0.1:3000", None), "None")
