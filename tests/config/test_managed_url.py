"""What ``--managed`` takes, and that no secret is ever shown."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.managed_url import (
    ManagedUrl,
    PublishBy,
    ServiceAllowance,
    ServiceHost,
    ServiceUrl,
    Vendor,
    check_channel_prefix,
    parse_managed_url,
)


def service_of(text: str) -> ServiceUrl:
    """The service that a URL names."""
    service = parse_managed_url(text).service
    assert service is not None
    return service


class GoodUrls(SynchronousTestCase):
    def test_a_server_of_ones_own(self) -> None:
        host = ServiceHost("soketi.example", 6001, True, "/ws")
        self.assertEqual(
            parse_managed_url("pusher://app-key@soketi.example:6001/app-id?prefix=/ws/&tls=on"),
            ManagedUrl(
                "app-key",
                ServiceUrl(Vendor.OWN, "app-id", host, host, PublishBy.CLIENT),
                ServiceAllowance(),
            ),
        )

    def test_tls_and_port(self) -> None:
        for text, host, port, tls in (
            ("s.example", "s.example", 443, True),
            ("s.example:6001", "s.example", 6001, True),
            ("[2001:db8::1]", "2001:db8::1", 443, True),
            ("127.0.0.1", "127.0.0.1", 80, False),
            ("127.1.2.3:6001", "127.1.2.3", 6001, False),
            ("localhost:1", "localhost", 1, False),
            ("[::1]:6001", "::1", 6001, False),
        ):
            place = service_of(f"pusher://k@{text}/1").websocket
            self.assertEqual((place.host, place.port, place.tls), (host, port, tls))
        self.assertEqual(service_of("pusher://k@s/1?tls=off").api, ServiceHost("s", 80, False))
        self.assertTrue(service_of("pusher://k@localhost/1?tls=on").api.tls)

    def test_pushers_own(self) -> None:
        one = parse_managed_url("pusher://k@pusher:eu/12")
        service = one.service
        assert service is not None
        self.assertEqual(service.websocket, ServiceHost("ws-eu.pusher.com", 443, True))
        self.assertEqual(service.api, ServiceHost("api-eu.pusher.com", 443, True))
        self.assertEqual((service.app_id, service.publish_by), ("12", PublishBy.HTTP))
        self.assertEqual((one.limits.client_events_per_s, one.name), (10, "Pusher"))
        for other in ("pusher://k@/12?cluster=eu", "pusher://k@pusher/12?cluster=eu"):
            self.assertEqual(parse_managed_url(other), one)

    def test_ably(self) -> None:
        one = parse_managed_url("pusher://aBc-1.dEf_2@ably")
        service = one.service
        assert service is not None
        self.assertEqual(service.websocket, ServiceHost("main.pusher.ably.net", 443, True))
        self.assertEqual(service.api, service.websocket)
        self.assertEqual((service.app_id, service.publish_by), ("aBc-1", PublishBy.CLIENT))
        self.assertEqual((one.limits.channels, one.limits.events_per_s), (200, 50))
        self.assertEqual(service_of("pusher://a.b@ably/other").app_id, "other")

    def test_how_to_publish(self) -> None:
        for text, way in (("client", PublishBy.CLIENT), ("http", PublishBy.HTTP)):
            for host in ("s/1", "pusher:eu/1", "ably/1"):
                service = service_of(f"pusher://a.b@{host}?events={text}")
                self.assertIs(service.publish_by, way)

    def test_the_relay_itself(self) -> None:
        one = parse_managed_url(" relay://app-key ")
        self.assertEqual(one, ManagedUrl("app-key", None))
        self.assertTrue(one.is_local)
        self.assertFalse(one.uses_tls)
        self.assertEqual((str(one), one.name), ("relay://app-key", "this relay"))

    def test_addresses(self) -> None:
        service = service_of("pusher://k@[::1]:6001/1?prefix=/a/b")
        self.assertEqual(
            service.websocket_url("k", "1.2.3"),
            "ws://[::1]:6001/a/b/app/k?protocol=7&client=apptuner-relay&version=1.2.3",
        )
        self.assertEqual(service.api_path, "/a/b/apps/1")
        self.assertEqual(service.api.url("http"), "http://[::1]:6001/a/b")
        one = parse_managed_url("pusher://k@s.example/1")
        self.assertEqual(str(one), "wss://s.example:443/app/k")
        self.assertIn("s.example", one.name)
        self.assertTrue(one.uses_tls)


class BadUrls(SynchronousTestCase):
    def test_what_is_wrong_is_said(self) -> None:
        for text, reason in (
            ("", "must be the URL"),
            ("k@s/1", "must be the URL"),
            ("https://k@s/1", "must be the URL"),
            ("pusher:k@s/1", "must be the URL"),
            ("pusher://s/1", "no key"),
            ("pusher://@s/1", "needs the application's key"),
            ("pusher://k y@s/1", "a space"),
            ("pusher://k/@s/1", "no key"),
            ("pusher://k@s", "application's id"),
            ("pusher://k@s/", "application's id"),
            ("pusher://k@s/1/2", "application's id"),
            ("pusher://k@/1", "needs a host"),
            ("pusher://k@s:0/1", "port from 1"),
            ("pusher://k@s:65536/1", "port from 1"),
            ("pusher://k@s:x/1", "port from 1"),
            ("pusher://k@a,b/1", "needs a host"),
            ("pusher://k@s/1?cluster=eu", "only one of them"),
            ("pusher://k@pusher:/1", "name of a cluster"),
            ("pusher://k@pusher:EU.x/1", "name of a cluster"),
            ("pusher://k@pusher/1", "name of a cluster"),
            ("pusher://k@pusher:6001/1", "name of a cluster"),
            ("pusher://k@/1?cluster=", "name of a cluster"),
            ("pusher://k@pusher:eu/1?cluster=eu", "twice"),
            ("pusher://k@pusher:eu", "application's id"),
            ("pusher://k@pusher:eu/1?tls=off", "Pusher and Ably don't"),
            ("pusher://a.b@ably?prefix=/x", "Pusher and Ably don't"),
            ("pusher://a.b@ably?cluster=eu", "Pusher and Ably don't"),
            ("pusher://ab@ably", "APP.KEY"),
            ("pusher://k@s/1?tls=yes", "on or off"),
            ("pusher://k@s/1?prefix=x", "a path"),
            ("pusher://k@s/1?prefix=/../x", "a path"),
            ("pusher://k@s/1?prefix=//x", "a path"),
            ("pusher://k@s/1?events=rest", "client or http"),
            ("pusher://k@s/1?events=http&events=http", "twice"),
            ("pusher://k@s/1?ssl=on", "nothing else"),
            ("pusher://k@s/1#x", "a #"),
            ("pusher://ключ@s/1", "beyond ASCII"),
            ("relay://", "application's key"),
            ("relay://k@s/1", "relay://KEY"),
            ("relay://k?tls=on", "relay://KEY"),
        ):
            wrong = self.assertRaises(ValueError, parse_managed_url, text)
            self.assertIn(reason, str(wrong), text)

    def test_a_secret_in_it_is_refused_with_advice(self) -> None:
        for text in ("pusher://k:hunter2@s/1", "pusher://a.b:hunter2@ably", "relay://k:hunter2"):
            wrong = self.assertRaises(ValueError, parse_managed_url, text)
            self.assertIn("--managed-secret", str(wrong))

    def test_a_secret_is_never_shown(self) -> None:
        for text in (
            "pusher://k:hunter2@s/1",
            "pusher://k:hunter2@s:99999/x",
            "pusher://k:hunter2@x@s/1",
            "pusher://k:hunter2 @s/1",
            "pusher://k:hunter2/@s/1",
            "push://k:hunter2@s/1",
            "pusher://k@s/1?secret=hunter2",
            "pusher://k@s/1?hunter2=1",
            "pusher://k@s/1?tls=hunter2",
            "pusher://k@s/hunter2/",
            "relay://hunter2@",
        ):
            wrong = self.assertRaises(ValueError, parse_managed_url, text)
            self.assertNotIn("hunter2", str(wrong))

    @given(st.text(alphabet="pusherably:relay/@?&=%,[]012.k-_#\n", max_size=60))
    def test_whatever_comes_it_is_a_url_or_a_value_error(self, tail: str) -> None:
        for start in ("pusher://", "pusher://k@", "pusher://k@s/1?", "relay://", ""):
            try:
                url = parse_managed_url(start + tail)
            except ValueError:
                continue
            self.assertTrue(str(url).isprintable())
            if url.service is not None:
                self.assertTrue(1 <= url.service.api.port <= 65535)


class Prefixes(SynchronousTestCase):
    def test_what_channels_begin_with(self) -> None:
        for good in ("apptuner", "A-z_0", "x" * 64, "cache"):
            self.assertEqual(check_channel_prefix(good), good)
        for wrong in ("", "a.b", "a b", "x" * 65, "cache-x", "é", "a\n"):
            self.assertRaises(ValueError, check_channel_prefix, wrong)
