"""What a request has when it is forwarded: see tests/live/test_forward.py for the rest."""

from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request
from twisted.web.test.requesthelper import DummyChannel

from apptuner_relay.support.client_address import NOBODY, TrustedProxies
from apptuner_relay.web.upstream import make_headers


def forwarded(trusted: TrustedProxies, *fields: tuple[str, str]) -> dict[bytes, list[bytes]]:
    """The fields of a request from 192.0.2.7, as an upstream gets them."""
    request = Request(DummyChannel())
    request.client = IPv4Address("TCP", "192.0.2.7", 5000)
    for name, value in fields:
        request.requestHeaders.addRawHeader(name, value)
    headers = make_headers(request, trusted, "relay")
    return {name.lower(): lines for name, lines in headers.getAllRawHeaders()}


class HeadersTest(SynchronousTestCase):
    def test_a_client_that_says_who_it_is(self) -> None:
        said = ("X-Forwarded-For", "X_Forwarded_For", "X-Real-IP", "X_Real-IP", "Forwarded")
        fields = forwarded(NOBODY, *((name, "192.0.2.1") for name in said))
        self.assertEqual(fields.pop(b"x-forwarded-for"), [b"192.0.2.7"])
        self.assertEqual(set(fields), {b"x-forwarded-proto", b"via"})

    def test_a_proxy_that_says_who_its_client_is(self) -> None:
        trusted = TrustedProxies.parse("192.0.2.7")
        said = ("X-Forwarded-For", "X_Forwarded_For", "X-Real-IP", "X_Real_IP")
        fields = forwarded(trusted, *((name, "192.0.2.1") for name in said))
        self.assertEqual(fields[b"x-forwarded-for"], [b"192.0.2.1, 192.0.2.7"])
        self.assertEqual(fields[b"x-real-ip"], [b"192.0.2.1"])
        self.assertEqual(
            set(fields), {b"x-forwarded-for", b"x-real-ip", b"x-forwarded-proto", b"via"}
        )

    def test_other_fields(self) -> None:
        fields = forwarded(NOBODY, ("X_Custom_Id", "1"), ("Content_Length", "5"), ("Host", "a"))
        self.assertEqual(fields[b"x_custom_id"], [b"1"])
        self.assertEqual(fields[b"host"], [b"a"])
        self.assertEqual(fields[b"via"], [b"1.1 relay"])
        self.assertNotIn(b"content_length", fields)
