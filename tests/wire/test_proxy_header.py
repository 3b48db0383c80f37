"""`apptuner_relay.wire.proxy_header`: both versions, wherever they are cut, and what is none."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import given
from hypothesis import strategies as st
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.proxy_header import V1_BYTES, V2_BYTES, BadHeader, Header, read_header

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
PORTS = st.integers(0, 65535)
# A zone is no part of an address on the wire.
ADDRESSES = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)),
    st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6)),
)

Address = IPv4Address | IPv6Address


def line(source: Address, to: Address, port: int, to_port: int) -> bytes:
    return f"PROXY TCP{source.version} {source} {to} {port} {to_port}\r\n".encode()


def binary(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(body).to_bytes(2, "big") + body


def addresses(source: Address, to: Address, port: int, to_port: int) -> bytes:
    return source.packed + to.packed + port.to_bytes(2, "big") + to_port.to_bytes(2, "big")


def family(source: Address) -> int:
    return 0x11 if source.version == 4 else 0x21


HEADERS = st.one_of(
    st.builds(lambda pair, *ports: line(*pair, *ports), ADDRESSES, PORTS, PORTS),
    st.builds(
        lambda pair, port, to_port, tlvs: binary(
            0x21, family(pair[0]), addresses(*pair, port, to_port) + tlvs
        ),
        *(ADDRESSES, PORTS, PORTS, st.binary(max_size=300)),
    ),
    st.builds(lambda body: binary(0x20, 0, body), st.binary(max_size=300)),
    st.just(b"PROXY UNKNOWN\r\n"),
)


class GoodHeaders(SynchronousTestCase):
    @given(ADDRESSES, PORTS, PORTS, st.binary(max_size=20))
    def test_a_line(
        self, pair: tuple[Address, Address], port: int, to_port: int, rest: bytes
    ) -> None:
        data = line(*pair, port, to_port)
        self.assertEqual(read_header(data + rest), Header(len(data), (pair[0], port)))

    @given(ADDRESSES, PORTS, PORTS, st.binary(max_size=300), st.binary(max_size=20))
    def test_a_binary_header(
        self, pair: tuple[Address, Address], port: int, to_port: int, tlvs: bytes, rest: bytes
    ) -> None:
        data = binary(0x21, family(pair[0]), addresses(*pair, port, to_port) + tlvs)
        self.assertEqual(read_header(data + rest), Header(len(data), (pair[0], port)))

    @given(st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)), PORTS, PORTS)
    def test_twisted_reads_the_same(
        self, pair: tuple[Address, Address], port: int, to_port: int
    ) -> None:
        data = line(*pair, port, to_port)
        theirs = V1Parser.parse(data.removesuffix(b"\r\n")).source
        self.assertEqual(self.client(data), (ip_address(theirs.host), theirs.port))
        data = binary(0x21, 0x11, addresses(*pair, port, to_port))
        theirs = V2Parser.parse(data).source
        self.assertEqual(self.client(data), (ip_address(theirs.host), theirs.port))

    def client(self, data: bytes) -> tuple[Address, int]:
        header = read_header(data)
        assert header is not None and header.client is not None
        return header.client

    @given(HEADERS)
    def test_every_cut(self, data: bytes) -> None:
        for at in range(len(data)):
            self.assertIsNone(read_header(data[:at]))
        whole = read_header(data)
        assert whole is not None
        self.assertEqual(whole.length, len(data))

    def test_a_proxy_that_speaks_for_itself(self) -> None:
        header = read_header(binary(0x20, 0x11, b"\0" * 12) + b"GET")
        self.assertEqual(header, Header(28, None, local=True))

    def test_a_client_that_is_not_said(self) -> None:
        for data in (
            b"PROXY UNKNOWN\r\n",
            b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n",
            binary(0x21, 0x00, b""),
            binary(0x21, 0x31, b"/run/x.sock".ljust(108, b"\0") * 2),
        ):
            self.assertEqual(read_header(data), Header(len(data), None))

    def test_the_longest(self) -> None:
        data = b"PROXY UNKNOWN".ljust(V1_BYTES - 2) + b"\r\n"
        self.assertEqual(read_header(data), Header(V1_BYTES, None))
        data = binary(0x20, 0, bytes(V2_BYTES - 16))
        self.assertEqual(read_header(data), Header(V2_BYTES, None, local=True))


class BadHeaders(SynchronousTestCase):
    def assertBad(self, data: bytes, why: str) -> None:
        self.assertIn(why, str(self.assertRaises(BadHeader, read_header, data)))

    def test_something_else(self) -> None:
        for data in (b"GET / HTTP/1.1\r\n", b"\x16\x03\x01", b"P ", b"PROXY\t", b"\r\n\r\nx", b"p"):
            self.assertBad(data, "no PROXY header")

    def test_lines(self) -> None:
        for words, why in [
            ("TCP4 192.0.2.1 192.0.2.2 1", "another form"),
            ("TCP4 192.0.2.1 192.0.2.2 1 2 3", "another form"),
            ("TCP4  192.0.2.1 192.0.2.2 1 2", "another form"),
            ("UDP4 192.0.2.1 192.0.2.2 1 2", "another form"),
            ("", "another form"),
            ("TCP4 192.0.2.256 192.0.2.2 1 2", "bad address"),
            ("TCP4 192.0.2.01 192.0.2.2 1 2", "bad address"),
            ("TCP4 2001:db8::1 2001:db8::2 1 2", "bad address"),
            ("TCP6 192.0.2.1 192.0.2.2 1 2", "bad address"),
            ("TCP6 fe80::1%\x1b[2J fe80::2 1 2", "bad address"),
            ("TCP4 relay.example 192.0.2.2 1 2", "bad address"),
            ("TCP4 192.0.2.1 192.0.2.2 65536 2", "bad port"),
            ("TCP4 192.0.2.1 192.0.2.2 01 2", "bad port"),
            ("TCP4 192.0.2.1 192.0.2.2 1 -2", "bad port"),
            ("TCP4 192.0.2.1 192.0.2.2 1 ", "bad port"),
        ]:
            self.assertBad(f"PROXY {words}\r\n".encode(), why)
        self.assertBad("PROXY TCP4 192.0.2.1 ü 1 2\r\n".encode(), "not ASCII")

    def test_a_line_that_is_too_long(self) -> None:
        self.assertBad(b"PROXY ".ljust(V1_BYTES, b"x"), "too long")
        self.assertBad(b"PROXY UNKNOWN".ljust(V1_BYTES - 1) + b"\r\n", "too long")

    def test_binary_headers(self) -> None:
        for command, family_, body, why in [
            (0x11, 0x11, bytes(12), "version"),
            (0x22, 0x11, bytes(12), "command"),
            (0x21, 0x12, bytes(12), "no stream"),
            (0x21, 0x41, bytes(12), "no stream"),
            (0x21, 0x11, bytes(11), "too short"),
            (0x21, 0x21, bytes(35), "too short"),
            (0x21, 0x31, bytes(215), "too short"),
            (0x20, 0x00, bytes(V2_BYTES - 15), "too long"),
        ]:
            self.assertBad(binary(command, family_, body), why)

    @given(st.binary(max_size=200), st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"!"]))
    def test_anything(self, noise: bytes, start: bytes) -> None:
        try:
            header = read_header(start + noise)
        except BadHeader:
            return
        if header is None:
            self.assertLess(len(start + noise), V2_BYTES)
        else:
            self.assertLessEqual(header.length, len(start + noise))

    @given(HEADERS, st.integers(0, 400), st.integers(0, 255))
    def test_a_byte_that_is_changed(self, data: bytes, at: int, byte: int) -> None:
        """It is read, awaited or refused; never taken for more than has come."""
        at %= len(data)
        changed = data[:at] + bytes([byte]) + data[at + 1 :]
        try:
            header = read_header(changed)
        except BadHeader:
            return
        if header is not None:
            self.assertLessEqual(header.length, len(changed))
            if header.client is not None:
                socket.inet_pton(
                    socket.AF_INET if header.client[0].version == 4 else socket.AF_INET6,
                    str(header.client[0]),
                )
