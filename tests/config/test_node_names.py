"""`apptuner_relay.config.node_names`: what nodes of a cluster may be called, and where they are."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.node_names import check_address, check_node


class Names(SynchronousTestCase):
    def test_nodes_and_addresses(self) -> None:
        for good in ("relay-1.example_com", "a" * 64):
            self.assertEqual(check_node(good), good)
        for good in ("wss://[::1]:3000", "ws://10.0.0.5:3000", "wss://relay-1"):
            self.assertEqual(check_address(good), good)
        for bad in ("", "a b", "a/b", "é", "a" * 65, "a\n"):
            self.assertRaises(ValueError, check_node, bad)
        for bad in ("", "10.0.0.1:3000", "http://a", "ws://", "ws://a/b", "ws://a b", "ws://a\n"):
            self.assertRaises(ValueError, check_address, bad)
