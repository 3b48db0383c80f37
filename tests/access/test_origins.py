"""`apptuner_relay.access.origins` and `authority`."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.authority import Authority, read_authority
from apptuner_relay.access.origins import Origins

ODD = ("null", "file://", "", "http://", "https:", "http://fd00::1:3000", "chrome-extension://ab")


class Allowed(SynchronousTestCase):
    def assertAllows(self, allowed: str, *origins: str) -> None:
        for origin in origins:
            self.assertTrue(Origins.parse(allowed).allow(origin), (allowed, origin))

    def assertRefuses(self, allowed: str, *origins: str) -> None:
        for origin in origins:
            self.assertFalse(Origins.parse(allowed).allow(origin), (allowed, origin))

    def test_any(self) -> None:
        self.assertAllows("any", *ODD)

    @given(st.text())
    def test_any_whatever_it_is(self, origin: str) -> None:
        self.assertAllows("any", origin)
        self.assertRefuses("https://dash.example.com:8443", origin)

    def test_files(self) -> None:
        for allowed in ("null", "file://", "https://a.example, NULL"):
            self.assertAllows(allowed, "null", "file://", "FILE:///android_asset/index.html")
            self.assertRefuses(allowed, "", "http://", "https://b.example", "null.example")
        self.assertRefuses("https://a.example", "null", "file://", "", "https://")

    def test_ports_that_go_without_saying(self) -> None:
        self.assertAllows("https://a.example", "https://A.example:443", "https://a.example:")
        self.assertRefuses("https://a.example", "https://a.example:444", "http://a.example")

    def test_ipv6(self) -> None:
        self.assertAllows(
            "http://[fd00::1]:3000",
            "http://[FD00:0::1]:3000",
            "http://fd00::1:3000",
        )
        self.assertAllows("http://[fd00::1]", "http://fd00::1", "http://[fd00::1]:80")
        self.assertRefuses("http://[fd00::1]:3000", "http://fd00::2:3000", "http://[fd00::1]")

    def test_names_below(self) -> None:
        self.assertAllows("https://*.example.com", "https://a.b.example.com")
        self.assertRefuses("https://*.example.com", "https://example.com", "https://a.example.org")

    def test_the_option(self) -> None:
        for text in ("http://", "a.example", "http://a:99999", "http://a/path", "http://[::1"):
            with self.assertRaises(ValueError):
                Origins.parse(text)


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
