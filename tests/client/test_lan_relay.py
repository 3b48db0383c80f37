"""`apptuner_relay.client.lan_relay`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.address import Relay
from apptuner_relay.client.lan_relay import is_loopback, seen_from_phones


class LoopbackTests(SynchronousTestCase):
    def test_what_only_this_machine_can_use(self) -> None:
        for host in ("localhost", "LOCALHOST.", "app.localhost", "127.0.0.1", "127.9.9.9", "::1",
                     "::ffff:127.0.0.1", "0.0.0.0", "::"):  # fmt: skip
            self.assertTrue(is_loopback(host), host)
        for host in ("relay.example", "192.168.1.20", "2001:db8::7", "localhost.example",
                     "128.0.0.1"):  # fmt: skip
            self.assertFalse(is_loopback(host), host)


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
