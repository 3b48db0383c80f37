"""`apptuner_relay.support.client_address`: whose word is taken for where a client is."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.support.client_address import NOBODY, TrustedProxies, host_of, read_address

parse = TrustedProxies.parse
BALANCER, CLIENT, OTHER = "10.0.0.1", "203.0.113.9", "198.51.100.7"

addresses = st.ip_addresses().map(str)
forms = st.one_of(
    addresses,
    st.ip_addresses(v=4).map("{}:4711".format),
    st.ip_addresses(v=6).map("[{}]".format),
    st.ip_addresses(v=6).map("[{}]:4711".format),
)
whatever = st.one_of(forms, st.text(max_size=20), st.sampled_from(["unknown", "_hidden", "", " "]))
fields = st.lists(st.lists(whatever, max_size=4).map(",".join), max_size=3)


class Client(SynchronousTestCase):
    def test_nobody_is_believed_by_default(self) -> None:
        self.assertEqual(NOBODY.client(CLIENT, [OTHER]), CLIENT)
        self.assertEqual(NOBODY.client("127.0.0.1", [OTHER]), "127.0.0.1")
        self.assertIsNone(NOBODY.client(None, [OTHER]))

    def test_what_a_trusted_proxy_adds(self) -> None:
        trusted = parse("10.0.0.0/8")
        self.assertEqual(trusted.client(BALANCER, [CLIENT]), CLIENT)
        self.assertEqual(trusted.client(BALANCER, [f"{OTHER}, {CLIENT}"]), CLIENT)
        self.assertEqual(trusted.client(BALANCER, [OTHER, CLIENT]), CLIENT)
        self.assertEqual(trusted.client(BALANCER, [f", {CLIENT} ,"]), CLIENT)
        self.assertEqual(trusted.client(OTHER, [CLIENT]), OTHER)

    def test_several_proxies(self) -> None:
        trusted = parse("10.0.0.0/8 2001:db8::/32")
        chain = f"{OTHER}, {CLIENT}, 2001:db8::5, 10.9.9.9"
        self.assertEqual(trusted.client(BALANCER, [chain]), CLIENT)
        self.assertEqual(trusted.client(BALANCER, ["10.1.1.1, 10.2.2.2"]), "10.1.1.1")

    def test_a_proxy_that_says_nothing_speaks_for_itself(self) -> None:
        for said in ([], [""], [" , "]):
            self.assertEqual(parse(BALANCER).client(BALANCER, said), BALANCER)

    def test_a_proxy_that_names_no_address(self) -> None:
        for said in ("unknown", "_hidden", "relay.example", "300.1.1.1", "[nonsense"):
            self.assertIsNone(parse(BALANCER).client(BALANCER, [f"{CLIENT}, {said}"]), said)

    def test_unix_sockets(self) -> None:
        trusted = parse("unix")
        self.assertEqual(trusted.client(None, [CLIENT]), CLIENT)
        self.assertIsNone(trusted.client(None, []))
        self.assertEqual(trusted.client(OTHER, [CLIENT]), OTHER)
        self.assertIsNone(parse("10.0.0.0/8").client(None, [CLIENT]))

    def test_ipv4_in_ipv6(self) -> None:
        for trusted in (parse("10.0.0.0/8"), parse("::ffff:10.0.0.0/104")):
            self.assertEqual(trusted.client("::ffff:10.0.0.1", [CLIENT]), CLIENT)
            self.assertEqual(trusted.client("10.0.0.1", [f"::ffff:{CLIENT}"]), CLIENT)
        self.assertEqual(NOBODY.client("::ffff:10.0.0.1", []), "10.0.0.1")
        self.assertEqual(NOBODY.client("fe80::1%eth0", []), "fe80::1")

    @given(addresses, fields)
    def test_from_others_nothing_counts(self, peer: str, said: list[str]) -> None:
        expected = read_address(peer)
        self.assertEqual(NOBODY.client(peer, said), str(expected))

    @given(fields, st.lists(st.ip_addresses(v=4, network="10.0.0.0/8").map(str), max_size=4))
    def test_whatever_the_client_sent(self, said: list[str], proxies: list[str]) -> None:
        """It does not matter what stands before what the proxies have added."""
        trusted = parse("10.0.0.0/8")
        added = ", ".join([CLIENT, *proxies])
        self.assertEqual(trusted.client(BALANCER, [*said, added]), CLIENT)
        self.assertEqual(trusted.client(BALANCER, [",".join([*said, added])]), CLIENT)

    @given(st.none() | addresses, fields)
    def test_an_address_or_nothing(self, peer: str | None, said: list[str]) -> None:
        client = parse("0.0.0.0/1, 128.0.0.0/1, ::/1, 8000::/1, unix").client(peer, said)
        if client is not None:
            self.assertEqual(client, str(ip_address(client)))


class Addresses(SynchronousTestCase):
    def test_forms(self) -> None:
        for text in ("192.0.2.1", "192.0.2.1:4711", "::ffff:192.0.2.1", "[::ffff:192.0.2.1]:80"):
            self.assertEqual(str(read_address(text)), "192.0.2.1")
        for text in ("2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:4711", "2001:DB8::1%eth0"):
            self.assertEqual(str(read_address(text)), "2001:db8::1")
        for text in ("", "unknown", "192.0.2", "192.0.2.1.5", "[", "a:b", "1:2"):
            self.assertIsNone(read_address(text), text)

    @given(st.text(max_size=40))
    def test_any_text(self, text: str) -> None:
        read_address(text)

    def test_twisteds(self) -> None:
        self.assertEqual(host_of(IPv4Address("TCP", "10.0.0.1", 1)), "10.0.0.1")
        self.assertEqual(host_of(IPv6Address("TCP", "::1", 1)), "::1")
        self.assertIsNone(host_of(UNIXAddress(b"/run/relay.sock")))


class Parsing(SynchronousTestCase):
    def test_lists(self) -> None:
        trusted = parse("10.0.0.0/8,192.0.2.1  ,unix 2001:db8::/32")
        shown = [str(network) for network in trusted.networks]
        self.assertEqual(shown, ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"])
        self.assertTrue(trusted.unix)

    def test_none(self) -> None:
        for text in ("none", "None", "", "  "):
            self.assertEqual(parse(text), NOBODY, text)

    def test_what_is_no_network(self) -> None:
        for text in ("10.0.0.1/8", "nginx", "10.0.0.0/33", "none,10.0.0.1", "10.0.0.0-10.0.0.9"):
            with self.assertRaisesRegex(ValueError, "^must be addresses or networks"):
                parse(text)

    def test_everybody(self) -> None:
        for text in ("0.0.0.0/0", "10.0.0.0/8 ::/0"):
            with self.assertRaisesRegex(ValueError, "everybody"):
                parse(text)

    @given(st.text(max_size=60))
    def test_any_text(self, text: str) -> None:
        try:
            parse(text)
        except ValueError as wrong:
            self.assertNotIn("\n", str(wrong))
