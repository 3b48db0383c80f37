"""`apptuner_relay.support.lan_address`: how phones in the same network reach this machine."""

from ipaddress import IPv4Address

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.support.lan_address import find_lan_address, own_addresses


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
