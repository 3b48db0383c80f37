"""`apptuner_relay.config.routes`: which paths are another program's."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.config.routes import OWN, Routes, is_own, origin_form
from apptuner_relay.web.guard import Guard
from apptuner_relay.web.site import make_api, make_site
from tests.memory import Relay

UPSTREAM = "http://127.0.0.1:4000"


class Finding(SynchronousTestCase):
    def found(self, routes: str, target: str) -> str | None:
        route = Routes.parse(routes).find(target.encode())
        return None if route is None else route.upstream

    def test_the_longest_prefix(self) -> None:
        routes = f"/api/={UPSTREAM} /api/builds/=http://a:1 /=http://b:2 /app=http://c:3"
        for target, upstream in [
            ("/api/builds/7?x=1", "http://a:1"),
            ("/api/builds", UPSTREAM),
            ("/api/", UPSTREAM),
            ("/api", "http://b:2"),
            ("/app", "http://c:3"),
            ("/app/x", "http://c:3"),
            ("/app?x", "http://c:3"),
            ("/application", "http://b:2"),
            ("/x/../api/builds", "http://b:2"),
            ("http://relay.example/api/x", UPSTREAM),
            ("HTTP://relay.example", None),
            ("*", None),
        ]:
            self.assertEqual(self.found(routes, target), upstream, target)

    def test_the_relays_own(self) -> None:
        for target in (
            *("/", "/?x=1", "/cli/ABC234", "/cli", "/mobile/X?replay=1", "/bundles/X/1", "/peer/x"),
            *("/health", "/health/x", "/metrics", "/static/x.js", "http://relay/cli/X"),
            *("/api/status", "/api/status?x", "/api/sessions/1/close", "/api/%73tatus", "/%63li/X"),
            *("/s", "/s?x", "/s/", "/session/state", "/session/replay", "/session/qr", "/%73"),
        ):
            self.assertIsNone(self.found(f"/={UPSTREAM} /api/={UPSTREAM}", target), target)
        for target in ("/s/x", "/ss", "/session", "/session/", "/session/x", "//"):
            self.assertEqual(self.found(f"/={UPSTREAM}", target), UPSTREAM, target)

    def test_all_of_the_sites_paths_are_its_own(self) -> None:
        relay = Relay().service
        root = make_site(relay).resource
        self.assertLessEqual(set(root.listStaticNames()), set(OWN))
        guard = Guard(
            lambda: None, relay.clock.seconds, relay.wall_s, relay.settings.listening.trusted_proxy
        )
        seconds = OWN[b"api"]
        assert seconds is not None
        self.assertEqual(set(make_api(relay, guard).listStaticNames()), seconds)
        session: Any = root.children[b"session"]
        self.assertEqual(set(session.listStaticNames()), OWN[b"session"])

    @given(st.binary(max_size=20))
    def test_whatever_comes(self, target: bytes) -> None:
        routes = Routes.parse(f"/api/={UPSTREAM}")
        found = routes.find(target)
        self.assertEqual(
            found is not None,
            origin_form(target).startswith(b"/api/") and not is_own(target.partition(b"?")[0]),
        )


class Parsing(SynchronousTestCase):
    def test_none(self) -> None:
        for text in ("", "none", " "):
            self.assertFalse(Routes.parse(text))

    def test_urls(self) -> None:
        for url in ("http://[::1]:4000", "https://api.example.com", "http://localhost/"):
            [route] = Routes.parse(f"/api/={url}").routes
            self.assertEqual(route.upstream, url.rstrip("/"))

    def test_wrong(self) -> None:
        for text, why in [
            ("/api/", "PREFIX=URL"),
            (UPSTREAM, "PREFIX=URL"),
            (f"api/={UPSTREAM}", "PREFIX=URL"),
            (f"/a?b={UPSTREAM}", "PREFIX=URL"),
            (f"/cli/={UPSTREAM}", "/cli/ is the relay's own"),
            (f"/health={UPSTREAM}", "/health is the relay's own"),
            (f"/api/status/={UPSTREAM}", "/api/status/ is the relay's own"),
            (f"/api/%73tatus={UPSTREAM}", "the relay's own"),
            ("/api/=127.0.0.1:4000", "must have a URL"),
            ("/api/=ftp://127.0.0.1", "must have a URL"),
            ("/api/=http://user:word@host", "must have a URL"),
            ("/api/=http://", "must have a URL"),
            ("/api/=http://host:99999", "must have a URL"),
            ("/api/=http://host/v1/", "without a path"),
            ("/api/=http://host?x", "without a path"),
            (f"/api/={UPSTREAM} /api/=http://other:1", "each prefix once"),
        ]:
            with self.assertRaises(ValueError, msg=text) as caught:
                Routes.parse(text)
            self.assertIn(why, str(caught.exception), text)
