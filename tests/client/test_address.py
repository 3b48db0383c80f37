"""`apptuner_relay.client.address`: relays, paths, and the ids in them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client import address
from apptuner_relay.client.address import Relay


class AddressTests(SynchronousTestCase):
    def test_relays(self) -> None:
        for text, expected in {
            "ws://127.0.0.1:3000": Relay(False, "127.0.0.1", 3000),
            "http://localhost": Relay(False, "localhost", 80),
            "wss://relay.example.com": Relay(True, "relay.example.com", 443),
            "https://Relay.example.com:8443/": Relay(True, "relay.example.com", 8443),
            "wss://example.com/apptuner/": Relay(True, "example.com", 443, "/apptuner"),
            "ws://[::1]:3000": Relay(False, "::1", 3000),
        }.items():
            self.assertEqual(Relay.parse(text), expected)

    def test_what_is_no_relay(self) -> None:
        for text in (
            "", "relay.example.com", "localhost:3000", "ftp://x", "ws://", "ws://x:99999",
            "ws://x:y", "ws://x/?a=b", "ws://x/#y", "ws://user:secret@x", "ws://[::1",
        ):  # fmt: skip
            self.assertRaises(ValueError, Relay.parse, text)

    def test_how_a_relay_is_written(self) -> None:
        self.assertEqual(str(Relay(True, "::1", 443, "/a")), "wss://[::1]:443/a")
        self.assertEqual(Relay(False, "::1", 3000).host_header, "[::1]")

    def test_resources(self) -> None:
        relay = Relay(False, "x", 80, "/at")
        self.assertEqual(relay.resource("cli", "ABC234"), "/at/cli/ABC234")
        self.assertEqual(
            relay.resource("mobile", "A", {"deviceId": "a:b", "name": "Zoë's & co/😀"}),
            "/at/mobile/A?deviceId=a%3Ab&name=Zo%C3%AB%27s%20%26%20co%2F%F0%9F%98%80",
        )

    def test_ids(self) -> None:
        for good in ("ABC234", "a", "_-" * 32):
            self.assertEqual(address.session_id(good), good)
        for bad in ("", "a b", "a/b", "é", "x" * 65, "a\n", "../x"):
            self.assertRaises(ValueError, address.session_id, bad)
        self.assertEqual(address.device_id("a.b:c-d_e"), "a.b:c-d_e")
        for bad in ("", "a b", "x" * 65, "a/b", "a\n", 'a"b'):
            self.assertRaises(ValueError, address.device_id, bad)
        self.assertEqual(address.device_name("Zoë's phone 😀"), "Zoë's phone 😀")
        for bad in ("", "x" * 65, "a\x1b[m", "a\nb"):
            self.assertRaises(ValueError, address.device_name, bad)
