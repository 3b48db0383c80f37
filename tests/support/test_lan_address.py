"""`apptuner_relay.support.lan_address`: how phones in the same network reach this machine."""

from ipaddress import IPv4Address

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.support.lan_address import find_lan_address, is_loopback, own_addresses


class LanAddress(SynchronousTestCase):
    def test_the_first_that_others_can_reach(self) -> None:
        for addresses, expected in (
            (["192.168.1.20", "10.0.0.1"], "192.168.1.20"),
            (["127.0.0.1", "0.0.0.0", "10.0.0.1"], "10.0.0.1"),
            (["127.0.0.1", "127.0.1.1"], None),
            ([], None),
        ):
            self.assertEqual(find_lan_address(addresses), expected)

    def test_the_addresses_of_this_machine(self) -> None:
        addresses = list(own_addresses())
        for address in addresses:
            IPv4Address(address)
        self.assertEqual(find_lan_address(), find_lan_address(addresses))

    def test_what_only_this_machine_can_use(self) -> None:
        for host in ("localhost", "LOCALHOST.", "app.localhost", "127.0.0.1", "127.9.9.9", "::1",
                     "::ffff:127.0.0.1", "0.0.0.0", "::"):  # fmt: skip
            self.assertTrue(is_loopback(host), host)
        for host in ("relay.example", "192.168.1.20", "2001:db8::7", "localhost.example",
                     "128.0.0.1"):  # fmt: skip
            self.assertFalse(is_loopback(host), host)
