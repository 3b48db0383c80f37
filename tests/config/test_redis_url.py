"""What ``--redis`` takes, and that no password is ever shown."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.redis_url import Credentials, Host, RedisUrl, parse_redis_url

SECRET = "s3cr3t/@:#?%"
ENCODED = "s3cr3t%2F%40%3A%23%3F%25"


class GoodUrls(SynchronousTestCase):
    def test_tcp(self) -> None:
        self.assertEqual(parse_redis_url("redis://r"), RedisUrl(hosts=(Host("r", 6379),)))
        self.assertEqual(
            parse_redis_url("redis://10.0.0.1:7000/3"),
            RedisUrl(hosts=(Host("10.0.0.1", 7000),), db=3),
        )
        self.assertEqual(parse_redis_url("redis://[::1]:7").hosts, (Host("::1", 7),))
        self.assertEqual(parse_redis_url("redis://r/?db=4").db, 4)

    def test_credentials(self) -> None:
        url = parse_redis_url(f"rediss://me:{ENCODED}@r:1/2")
        self.assertEqual(url.credentials, Credentials("me", SECRET))
        self.assertTrue(url.tls)
        self.assertEqual(parse_redis_url("redis://:pw@r").credentials, Credentials(None, "pw"))
        # As people type it.
        self.assertEqual(parse_redis_url("redis://:a@b@r").credentials, Credentials(None, "a@b"))

    def test_unix(self) -> None:
        self.assertEqual(parse_redis_url("unix:/run/r%20s.sock").path, "/run/r s.sock")
        url = parse_redis_url("unix://me:pw@/run/r.sock?db=2")
        self.assertEqual(
            url, RedisUrl(path="/run/r.sock", db=2, credentials=Credentials("me", "pw"))
        )

    def test_sentinel(self) -> None:
        url = parse_redis_url(
            "rediss+sentinel://:pw@a:1,b,[::2]/relay/5?sentinel_user=s&sentinel_password=t+u"
        )
        self.assertEqual(url.hosts, (Host("a", 1), Host("b", 26379), Host("::2", 26379)))
        self.assertEqual((url.service, url.db, url.tls), ("relay", 5, True))
        self.assertEqual(url.sentinel_credentials, Credentials("s", "t+u"))

    def test_what_is_shown_can_be_read_again(self) -> None:
        for text in (
            "redis://r:6379",
            "rediss://[::1]:6379/2",
            "unix:/run/r.sock",
            "unix:/run/r.sock?db=2",
            "redis+sentinel://a:1,b:2/relay/3",
        ):
            self.assertEqual(str(parse_redis_url(text)), text)


class BadUrls(SynchronousTestCase):
    def test_what_is_wrong_is_said(self) -> None:
        for text, reason in (
            ("", "must be a URL"),
            ("r:6379", "must be a URL"),
            ("http://r", "must be a URL"),
            ("redis:r", "needs // behind"),
            ("redis://", "needs a host"),
            ("redis://r:0", "port from 1"),
            ("redis://r:65536", "port from 1"),
            ("redis://a,b", "more than one host"),
            ("redis://r/x", "database number"),
            ("redis://r/65536", "database number"),
            ("redis://r/1?db=2", "twice"),
            ("redis://r?db=1&db=2", "twice"),
            ("redis://r?ssl=no", "nothing else"),
            ("redis://me@r", "without a password"),
            ("redis://a b", "percent-encoded"),
            ("redis+sentinel://a:1", "service's name"),
            ("redis+sentinel://a:1,,b/s", "needs a host"),
            ("redis+sentinel://a/s?sentinel_user=x", "without sentinel_password"),
            ("unix:run/r.sock", "absolute path"),
            ("unix://host/run/r.sock", "names a host"),
        ):
            wrong = self.assertRaises(ValueError, parse_redis_url, text)
            self.assertIn(reason, str(wrong), text)

    def test_a_password_is_never_shown(self) -> None:
        for text in (
            "redis://me:hunter2@r:99999",
            "redis://me:hunter2@r/x",
            "redis://me:hunter2/@r",
            "redis://me:hunter2 @r",
            "redi://me:hunter2@r",
            "redis://me:hunter2@r?hunter2=1",
            "redis://me:hunter2?@r:1",
            "redis://me:hunter2#@r:1",
            "redis://hunter2@r",
            "unix://me:hunter2@h/run",
        ):
            wrong = self.assertRaises(ValueError, parse_redis_url, text)
            self.assertNotIn("hunter2", str(wrong))
        url = parse_redis_url(
            "redis+sentinel://me:hunter2@r/service?sentinel_password=hunter2&sentinel_user=me"
        )
        for shown in (str(url), repr(url), f"{url.credentials} {url.credentials!r}"):
            self.assertNotIn("hunter2", shown)

    @given(st.text(alphabet="redis+sntl:/@?&=%,[]0129.ab -_#", max_size=60))
    def test_whatever_comes_it_is_a_url_or_a_value_error(self, tail: str) -> None:
        for scheme in ("redis://", "redis+sentinel://", "unix:", ""):
            try:
                url = parse_redis_url(scheme + tail)
            except ValueError:
                continue
            shown = parse_redis_url(str(url))
            self.assertEqual((shown.hosts, shown.db), (url.hosts, url.db))
            self.assertEqual((shown.path, shown.service), (url.path, url.service))
