"""`apptuner_relay.edge.tls_transport`: what comes and goes over TLS, however it is cut, without a
network."""

import contextlib
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from apptuner_relay.edge.certificate_reload import CertificateReload
from apptuner_relay.edge.tls_transport import SecureTransport
from apptuner_relay.flow.receive_buffer import ReceiveBuffer
from tests.certificates import Authority, Live

MESSAGES = st.lists(st.binary(min_size=1, max_size=40_000), max_size=5)
CUTS = st.lists(st.integers(0, 200_000), max_size=8)


class Ends(SynchronousTestCase):
    """A client of TLS, and the relay's end of the connection."""

    def setUp(self) -> None:
        live = Live(Path(self.mktemp()))
        pair = Authority().issue()
        live.install(pair.chain, pair.key)
        self.renewal = CertificateReload(live.chain, live.key, Clock(), 60)
        self.buffer = ReceiveBuffer()

    def connect(self) -> None:
        self.clock = Clock()
        factory = TLSMemoryBIOFactory(self.renewal, False, Factory(), self.clock)
        self.web = Web()
        self.secure: Any = SecureTransport(factory, self.web)
        self.wire = StringTransport()
        self.client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        self.client.set_connect_state()
        self.secure.makeConnection(self.wire)
        for _ in range(3):
            with contextlib.suppress(SSL.WantReadError):
                self.client.do_handshake()
            self.give(self.sent_by_client())
            self.take()
        self.blocks: list[bytes] = []
        self.secure.receive_blocks(self.buffer, self.block_received)

    def block_received(self, length: int) -> None:
        self.blocks.append(bytes(self.buffer.room[:length]))

    def sent_by_client(self) -> bytes:
        try:
            return self.client.bio_read(1 << 20)
        except SSL.WantReadError:
            return b""

    def give(self, data: bytes) -> None:
        if data:
            self.secure.dataReceived(data)

    def take(self) -> bytes:
        """What the client makes of what the relay has sent."""
        if self.wire.value():
            self.client.bio_write(self.wire.value())
            self.wire.clear()
        got = b""
        try:
            while True:
                got += self.client.recv(1 << 16)
        except SSL.WantReadError:
            return got

    @settings(deadline=None, max_examples=50)
    @given(MESSAGES, CUTS)
    def test_what_comes(self, messages: list[bytes], cuts: list[int]) -> None:
        self.connect()
        for message in messages:
            self.client.sendall(message)
        data = self.sent_by_client()
        edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        for at, until in pairwise(edges):
            self.give(data[at:until])
        self.assertEqual(b"".join(self.blocks), b"".join(messages))
        self.assertEqual(self.web.data, b"")

    @settings(deadline=None, max_examples=50)
    @given(MESSAGES)
    def test_what_goes(self, messages: list[bytes]) -> None:
        self.connect()
        for message in messages:
            self.secure.write(message)
        self.clock.advance(0)
        self.assertEqual(self.take(), b"".join(messages))

    def test_records_that_come_together_are_one_block(self) -> None:
        self.connect()
        self.client.sendall(b"x" * 100_000)
        self.give(self.sent_by_client())
        self.assertEqual([len(block) for block in self.blocks], [100_000])

    def test_the_end(self) -> None:
        self.connect()
        self.client.sendall(b"the last")
        self.client.shutdown()
        self.give(self.sent_by_client())
        self.assertEqual(self.blocks, [b"the last"])
        self.assertTrue(self.wire.disconnecting)

    def test_the_end_of_one_side(self) -> None:
        """For a protocol that knows of such, in HTTP."""
        self.connect()
        self.secure.receive_no_more()
        ended: list[bool] = []
        directlyProvides(self.web, IHalfCloseableProtocol)
        self.web.readConnectionLost = lambda: ended.append(True)  # type: ignore[attr-defined]
        self.client.sendall(b"the last")
        self.client.shutdown()
        self.give(self.sent_by_client())
        self.assertEqual((self.web.data, ended), (b"the last", [True]))
        self.assertFalse(self.wire.disconnecting)
        # Behind the close_notify comes the end below.
        self.secure.readConnectionLost()
        self.secure.write(b"an answer")
        self.clock.advance(0)
        self.client.bio_write(self.wire.value())
        self.assertEqual(self.client.recv(100), b"an answer")
        self.secure.loseConnection()
        self.assertTrue(self.wire.disconnecting)

    def test_what_is_broken(self) -> None:
        self.connect()
        self.client.sendall(b"good")
        good = self.sent_by_client()
        self.client.sendall(b"bad")
        bad = bytearray(self.sent_by_client())
        bad[-1] ^= 1
        self.give(good + bytes(bad))
        self.assertEqual(self.blocks, [b"good"])
        self.assertTrue(self.wire.disconnecting)

    def test_blocks_no_more(self) -> None:
        self.connect()
        self.secure.receive_no_more()
        self.client.sendall(b"late")
        self.give(self.sent_by_client())
        self.assertEqual((self.blocks, self.web.data), ([], b"late"))


class Web(Protocol):
    """Who has the connection until it asks for blocks."""

    data = b""

    def dataReceived(self, data: bytes) -> None:
        self.data += data
