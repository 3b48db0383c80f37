"""How a node finds out what it is called, and where others reach it."""

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.node import NoAddress, find_address, find_own_address, name_node
from apptuner_relay.config.node_names import check_address, check_node
from apptuner_relay.config.redis_url import parse_redis_url


class Finding(SynchronousTestCase):
    def test_one_address(self) -> None:
        for address, expected in (
            (IPv4Address("TCP", "127.0.0.1", 3001), "ws://127.0.0.1:3001"),
            (IPv6Address("TCP", "::1", 3001), "ws://[::1]:3001"),
            (IPv4Address("TCP", "0.0.0.0", 3001), "ws://10.0.0.5:3001"),
            (IPv6Address("TCP", "::", 3001), "ws://10.0.0.5:3001"),
        ):
            found = find_address("10.0.0.5", [UNIXAddress(b"/run/x.sock"), None, address])
            self.assertEqual(check_address(found), expected)

    def test_no_address(self) -> None:
        with self.assertRaisesRegex(NoAddress, "--node-address"):
            find_address("10.0.0.5", [UNIXAddress(b"/run/x.sock")])

    def test_this_machine_as_redis_sees_it(self) -> None:
        for url in ("redis://127.0.0.1:6379", "unix:/run/redis.sock"):
            self.assertEqual(find_own_address(parse_redis_url(url)), "127.0.0.1")

    def test_a_server_that_is_nowhere(self) -> None:
        with self.assertRaisesRegex(NoAddress, "nowhere.invalid:6379 can't be looked up"):
            find_own_address(parse_redis_url("redis://nowhere.invalid"))

    def test_a_name(self) -> None:
        for address in ("ws://127.0.0.1:3001", "ws://[::1]:3001"):
            name = check_node(name_node(address))
            self.assertTrue(name.endswith("-3001"), name)
