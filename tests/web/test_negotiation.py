"""`apptuner_relay.web.negotiation`: Accept-Encoding."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.web.negotiation import PREFERENCE, names_coding, preferred_coding

names = st.sampled_from([*PREFERENCE, "*", "deflate", "compress"])
weights = st.integers(0, 1000)


class Negotiation(SynchronousTestCase):
    def test_what_clients_send(self) -> None:
        for field, expected in (
            (None, "identity"),
            ("", "identity"),
            ("gzip", "gzip"),  # OkHttp
            ("gzip, deflate, br", "br"),  # NSURLSession
            ("deflate, gzip, br, zstd", "zstd"),  # curl --compressed
            ("gzip, deflate, br, zstd", "zstd"),  # browsers
            ("identity", "identity"),  # Range requests of browsers
            ("*", "zstd"),
            ("deflate", "identity"),
            ("x-gzip", "gzip"),
            ("GZip;Q=0.5", "gzip"),
        ):
            self.assertEqual(preferred_coding(field), expected, field)

    def test_one_that_has_to_be_named(self) -> None:
        for field, expected in (
            ("gzip, deflate, br, zstd, dcb, dcz", "dcz"),  # browsers with a dictionary
            ("identity, dcb, dcz", "dcz"),
            ("DCZ", "dcz"),
            ("zstd, dcz;q=0.9", "zstd"),
            ("zstd, dcz;q=0", "zstd"),
            ("dcz;q=0.001, *;q=0", "dcz"),
            ("*", "zstd"),
            ("gzip", "gzip"),
            ("", "identity"),
            (None, "identity"),
        ):
            self.assertEqual(preferred_coding(field, "dcz"), expected, field)
        for field, named in (("gzip, dcz", True), ("dcz;q=0", False), ("*", False), (None, False)):
            self.assertIs(names_coding(field, "dcz"), named, field)
        self.assertEqual(preferred_coding("dcz, gzip"), "gzip")
        self.assertEqual(preferred_coding("dcz"), "identity")

    def test_weights(self) -> None:
        for field, expected in (
            ("gzip;q=1.0, br;q=0.9", "gzip"),
            ("gzip;q=0.001", "gzip"),
            ("gzip;q=0", "identity"),
            ("gzip;q=0.5, identity", "identity"),
            ("gzip;q=0.5, *;q=0.1", "gzip"),
            ("identity;q=0.5, *;q=0.5", "zstd"),
            ("zstd;q=0, br;q=0.000, *", "gzip"),
            ("br ; q=0.2 , gzip ;q=0.3", "gzip"),
            ("identity;q=0, gzip;q=0.1", "gzip"),
            ("*;q=0, br", "br"),
            ("gzip;q=1.000,br;q=1.", "br"),
        ):
            self.assertEqual(preferred_coding(field), expected, field)

    def test_nothing_acceptable(self) -> None:
        for field in ("identity;q=0", "*;q=0", "identity;q=0, deflate", "identity;q=0, gzip;q=0.0"):
            self.assertIsNone(preferred_coding(field), field)

    def test_what_breaks_the_grammar_does_not_count(self) -> None:
        for field in ("gzip;q=2", "gzip;q=", "gzip;q=0.1234", "gzip;level=9", "gzip;", "gzip br"):
            self.assertEqual(preferred_coding(field), "identity", field)
        self.assertEqual(preferred_coding("br;q=x, gzip;q=0.1, ,"), "gzip")

    @given(st.dictionaries(names, weights), st.booleans())
    def test_agrees_with_the_rfc(self, listed: dict[str, int], spaced: bool) -> None:
        semicolon, comma = (" ; ", "\t, ") if spaced else (";", ",")
        field = comma.join(f"{name}{semicolon}q={q / 1000:.3f}" for name, q in listed.items())
        chosen = preferred_coding(field)
        other = listed.get("*", 0)
        liked = {name: listed.get(name, other) for name in PREFERENCE}
        if chosen is None:
            self.assertEqual(set(liked.values()), {0})
            self.assertTrue("identity" in listed or "*" in listed)
        elif not any(liked.values()):
            self.assertEqual(chosen, "identity")
            self.assertFalse("identity" in listed or "*" in listed)
        else:
            best = max(liked.values())
            self.assertEqual(chosen, next(name for name in PREFERENCE if liked[name] == best))

    @given(st.text(st.characters(codec="latin-1")))
    def test_anything(self, field: str) -> None:
        self.assertIn(preferred_coding(field), (None, *PREFERENCE))
