"""`apptuner_relay.config.authority`: a host with its port."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.authority import Authority, read_authority


class Authorities(SynchronousTestCase):
    def test_readings(self) -> None:
        for text, expected in [
            ("Name:3000", [("name", "3000")]),
            ("name:", [("name", "")]),
            ("name", [("name", "")]),
            ("[FD00:0::1]:03000", [("[fd00::1]", "3000")]),
            ("[fd00::1]", [("[fd00::1]", "")]),
            ("fd00::1:3000", [("[fd00::1]", "3000"), ("[fd00::1:3000]", "")]),
            ("fd00::1", [("[fd00::1]", "")]),
            ("::1:3000", [("[::1]", "3000"), ("[::1:3000]", "")]),
            ("name:port", []),
            ("name:70000", []),
            ("[::1", []),
            ("", []),
        ]:
            self.assertEqual(read_authority(text), [Authority(*pair) for pair in expected], text)

    @given(st.ip_addresses(v=6), st.integers(1, 65535))
    def test_without_brackets(self, address: object, port: int) -> None:
        with_port = Authority(f"[{address}]", str(port))
        self.assertIn(with_port, read_authority(f"{address}:{port}"))
        self.assertEqual(read_authority(f"[{address}]:{port}"), [with_port])
