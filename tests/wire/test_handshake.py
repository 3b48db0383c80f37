"""`apptuner_relay.wire.handshake`: what Autobahn gets to see."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.wire.handshake import END, read_opening, write_head

NAMES = st.sampled_from([b"Host", b"ORIGIN", b"Sec-WebSocket-Extensions", b"X-Other"])
VALUES = st.binary(max_size=20).map(lambda value: value.replace(b"\r", b"").replace(b"\n", b""))


class Openings(SynchronousTestCase):
    def read(self, *lines: bytes) -> tuple[list[bytes], str | None]:
        opening = read_opening(b"\r\n".join([b"GET / HTTP/1.1", *lines]) + END)
        return opening.head.removesuffix(END).split(b"\r\n")[1:], opening.origin

    def test_what_is_not_looked_at(self) -> None:
        lines = [b"Upgrade: websocket", b"X-Forwarded-For: 192.0.2.1, 192.0.2.2"]
        self.assertEqual(self.read(*lines), (lines, None))

    def test_origins(self) -> None:
        for origin in (b"null", b"file://", b"", b"http://", b"http://fd00::1:3000", b"\xff"):
            self.assertEqual(self.read(b"origin: " + origin), ([], origin.decode("latin-1")))

    def test_one_field_stays_one(self) -> None:
        for breaks in (b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\r", b"\n"):
            sent = b"X-Device: \xc3" + breaks + b"Y: z"
            self.assertEqual(self.read(sent)[0], [b"X-Device: \xc3 Y: z"])

    def test_hosts(self) -> None:
        for host in (b"fd00::1:3000", b"name:", b"[::1]", b"name:port"):
            self.assertEqual(self.read(b"host:" + host), ([b"Host: relay"], None))

    def test_offers_of_several_fields(self) -> None:
        lines = [
            b"Sec-WebSocket-Extensions: permessage-deflate; x",
            b"sec-websocket-extensions: permessage-deflate; client_max_window_bits=9",
        ]
        self.assertEqual(self.read(*lines)[0], [b"Sec-WebSocket-Extensions: permessage-deflate"])
        self.assertEqual(self.read(lines[0])[0], [])

    def test_subprotocols(self) -> None:
        lines = [b"Sec-WebSocket-Protocol: a, b,, a", b"Sec-WebSocket-Protocol: c d"]
        self.assertEqual(self.read(*lines)[0], [b"Sec-WebSocket-Protocol: a, b"])

    @given(st.lists(st.tuples(NAMES, st.lists(VALUES, min_size=1, max_size=2)), max_size=5))
    def test_nothing_else_is_added(self, fields: list[tuple[bytes, list[bytes]]]) -> None:
        opening = read_opening(write_head(b"/cli/X", fields))
        self.assertTrue(opening.head.startswith(b"GET /cli/X HTTP/1.1\r\n"))
        self.assertEqual(opening.head.count(END), 1)
        lines = opening.head.split(b"\r\n")
        self.assertEqual(
            opening.head.decode("latin-1").splitlines(),
            [line.decode("latin-1") for line in lines[:-1]],
        )
        kept = [line for line in lines if line.startswith(b"X-Other")]
        self.assertEqual(len(kept), sum(name == b"X-Other" for name, _ in fields))
