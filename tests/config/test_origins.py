"""`apptuner_relay.config.origins`: which web pages may connect."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.origins import ALL, Origins

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


class OriginList(SynchronousTestCase):
    def test_who_may(self) -> None:
        origins = Origins.parse("https://a.example.com, http://localhost:8080 https://*.b.com")
        for origin in (
            None,
            "https://a.example.com",
            "HTTPS://A.example.com:443",
            "http://localhost:8080",
            "https://x.b.com",
            "https://x.y.b.com",
        ):
            self.assertTrue(origins.allow(origin), origin)
        for origin in (
            "http://a.example.com",
            "https://a.example.com:444",
            "https://a.example.com.evil.com",
            "https://evil.com/https://a.example.com",
            "https://b.com",
            "https://.b.com",
            "https://evilb.com",
            "https://x.b.com:8443",
            "https://*.b.com",
            "http://localhost",
            "null",
            "",
            "https://a.example.com https://x.b.com",
        ):
            self.assertFalse(origins.allow(origin), origin)

    def test_all_and_null(self) -> None:
        self.assertEqual(Origins.parse("any"), ALL)
        self.assertTrue(ALL.allow("http://anything"))
        self.assertTrue(Origins.parse("null").allow("null"))

    def test_what_can_not_be(self) -> None:
        for text in ("example.com", "https://", "https://a/b", "*", "https://a:99999", "any null"):
            self.assertRaises(ValueError, Origins.parse, text)

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.text())
    def test_any_text(self, text: str) -> None:
        self.assertIn(Origins.parse("https://a.example.com").allow(text), (True, False))
