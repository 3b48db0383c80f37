"""`apptuner_relay.client.session_url`: URLs that name a session, and command lines with them."""

from __future__ import annotations

import argparse
import io
import os
import string
import sys
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.tokens import sign_token
from apptuner_relay.client.address import Relay
from apptuner_relay.client.main import commands, make_parser
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.session_url import SessionUrl
from apptuner_relay.session.session import session_hash

KEY = "0123456789abcdef+SECRET/"
TOKEN = sign_token(KEY, session_hash("ABC234"), 1_800_000_000)
OTHER = sign_token(KEY, session_hash("ABC234"), 1_900_000_000)
RELAY = Relay(False, "relay.test", 3000)
IDS = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=64)
HOSTS = st.sampled_from(["127.0.0.1", "::1", "relay.example.com", "192.168.1.20", "fe80::1"])
PREFIXES = st.sampled_from(["", "/tuner", "/a/b", "/mobile/x", "/bundles", "/s"])


class ParseTest(SynchronousTestCase):
    def refused(self, text: str) -> str:
        return str(self.assertRaises(ValueError, SessionUrl.parse, text))

    @given(
        st.builds(Relay, st.booleans(), HOSTS, st.integers(1, 65_535), PREFIXES),
        st.sampled_from(["cli", "dashboard", "desktop", "mobile", "bundles"]),
        IDS,
        st.sampled_from([None, TOKEN]),
        st.sampled_from([None, KEY]),
    )
    def test_the_way_back(
        self, relay: Relay, role: str, session: str, token: str | None, key: str | None
    ) -> None:
        """What is written with a relay's own means is read as it was meant."""
        said = {name: value for name, value in (("token", token), ("key", key)) if value}
        url = str(relay).removesuffix(relay.prefix) + relay.resource(role, session, said)
        self.assertEqual(SessionUrl.parse(url), SessionUrl(relay, session, token, key))

    @given(st.text(max_size=80) | st.text("ws:/?#[]@&=%token.mobilecli1", max_size=80))
    def test_anything_is_read_or_refused_in_words(self, text: str) -> None:
        for url in (text, f"ws://h/mobile/A{text}", f"ws://h{text}/mobile/A"):
            try:
                SessionUrl.parse(url)
            except ValueError as error:
                self.assertTrue(str(error))

    def test_addresses_of_a_session(self) -> None:
        there = SessionUrl(RELAY, "ABC234")
        for text in (
            "ws://relay.test:3000/mobile/ABC234",
            "http://relay.test:3000/cli/ABC234/",
            "http://relay.test:3000/bundles/ABC234",
            f"http://relay.test:3000/bundles/ABC234/{'0a' * 32}",
            "http://relay.test:3000/s#ABC234",
        ):
            self.assertEqual(SessionUrl.parse(text), there, text)
        secure = SessionUrl.parse("https://relay.test/below/s/#ABC234")
        self.assertEqual(secure.relay, Relay(True, "relay.test", 443, "/below"))

    def test_what_else_a_phone_may_say_is_named(self) -> None:
        url = SessionUrl.parse("ws://relay.test/mobile/A?name=Ann&deviceId=x&token=" + TOKEN)
        self.assertEqual((url.token, url.ignored), (TOKEN, ("name", "deviceId")))

    def test_what_is_no_such_url(self) -> None:
        for text, words in (
            ("", "does not start with ws://"),
            ("ABC234", "does not start with ws://"),
            ("ftp://relay.test/mobile/A", "does not start with ws://"),
            ("ws://", "names no host"),
            ("ws://relay.test", "names no session"),
            ("ws://relay.test/tablet/A", "names no session"),
            ("ws://relay.test/mobile", "names no session"),
            ("ws://relay.test/mobile/", "no session id"),
            ("ws://relay.test/mobile/A%20B", "no session id"),
            ("ws://relay.test/mobile/A#B", "names no session"),
            ("http://relay.test/s#", "names no session"),
            ("http://relay.test/s#A/B", "no session id"),
            ("ws://relay.test:0x/mobile/A", "ws://relay.test:0x"),
            ("ws://ann@relay.test/mobile/A", "more than a host"),
            ("ws://relay.test/mobile/A?token=", "no join token"),
            (f"ws://relay.test/mobile/A?token={TOKEN[:-1]}", "no join token"),
            (f"ws://relay.test/mobile/A?token={TOKEN}&token={TOKEN}", "the same thing twice"),
            ("ws://relay.test/mobile/A?key=short", "the URL's key: a session's secret is 16"),
            ("ws://relay.test/mobile/A?name=%ff", "can't be read"),
            ("ws://relay.test/mobile/A?" + "a=1&" * 40, "can't be read"),
            ("ws://relay.test/mobile/" + "A" * 5000, "longer than 4,096 characters"),
        ):
            self.assertIn(words, self.refused(text), text)

    def test_no_refusal_shows_a_secret(self) -> None:
        for text in (
            f"ws://relay.test/tablet/A?key={KEY}",
            f"ws://relay.test/mobile/A?key={KEY}%20",
            f"ws://relay.test/mobile/A?token={KEY}",
            f"ws://relay.test/mobile/A?key={KEY}&key={KEY}",
            f"ws://relay.test/mobile/A?key={KEY}&name=%ff",
        ):
            self.assertNotIn("SECRET", self.refused(text))


class CommandLineTest(SynchronousTestCase):
    URL = f"ws://relay.test:3000/mobile/ABC234?token={TOKEN}"

    def setUp(self) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("APPTUNER_")}
        self.patch(os, "environ", environment)

    def parse(self, *arguments: str) -> argparse.Namespace:
        return make_parser(commands([arguments[0]])).parse_args(arguments)

    def refused(self, *arguments: str) -> str:
        err = io.StringIO()
        self.patch(sys, "stderr", err)
        ended: Any = self.assertRaises(SystemExit, self.parse, *arguments)
        self.assertEqual(ended.code, Exit.USAGE)
        return err.getvalue()

    def located(self, *arguments: str) -> tuple[Relay, str]:
        parsed = self.parse(*arguments)
        return parsed.relay, parsed.session

    def test_every_command_of_a_session_takes_it(self) -> None:
        for name in ("join", "watch", "fetch", "share"):
            self.assertEqual(self.located(name, self.URL), (RELAY, "ABC234"))
        self.assertEqual(self.parse("join", self.URL).token, TOKEN)
        self.assertEqual(self.located("push", "x.js", self.URL), (RELAY, "ABC234"))

    def test_wherever_it_stands(self) -> None:
        for arguments in (
            ("push", "x.js", self.URL, "--single"),
            ("push", "x.js", "--single", self.URL),
            ("push", "--single", "x.js", self.URL),
            ("push", "--timeout", "5", "x.js", "--single", self.URL, "--retries", "1"),
            ("join", "--once", self.URL),
        ):
            self.assertEqual(self.located(*arguments), (RELAY, "ABC234"), arguments)

    def test_what_is_left_over_is_refused(self) -> None:
        for arguments in (["join", self.URL, "y"], ["push", "x", "--single", self.URL, "y"]):
            self.assertIn("unrecognized arguments: y", self.refused(*arguments))
        self.assertIn("argument URL: 'y'", self.refused("push", "x", "--single", "y"))
        said = self.refused("push", self.URL, "app.js")
        self.assertIn("argument FILE: that is a URL, and the file comes first", said)
        self.assertNotIn(TOKEN, said)
        self.assertIn("unrecognized arguments: --dance", self.refused("join", self.URL, "--dance"))

    def test_who_names_no_session(self) -> None:
        for arguments in (["join"], ["push", "x.js"], ["join", "--relay", "ws://x"]):
            self.assertIn("--session, or a URL", self.refused(*arguments))

    def test_options_that_say_the_same(self) -> None:
        parsed = self.parse("join", self.URL, "--session", "ABC234", "--token", TOKEN)
        self.assertEqual((parsed.session, parsed.token), ("ABC234", TOKEN))

    def test_options_that_say_something_else(self) -> None:
        for option, value, both in (
            ("--relay", "ws://elsewhere", "--relay and the URL name different relays"),
            ("--session", "DEF567", "--session and the URL name different sessions"),
            ("--token", OTHER, "--token and the URL name different tokens"),
        ):
            said = self.refused("join", self.URL, option, value)
            self.assertIn(both, said)
            self.assertNotIn(TOKEN, said)
        said = self.refused("watch", f"ws://h/cli/A?key={KEY}", "--key", "x" * 20)
        self.assertIn("--key and the URL name different secrets", said)
        self.assertNotIn(KEY, said)

    def test_the_environment_gives_way(self) -> None:
        os.environ |= {"APPTUNER_RELAY": "ws://elsewhere", "APPTUNER_TOKEN": OTHER}
        parsed = self.parse("join", self.URL)
        self.assertEqual((parsed.relay, parsed.token), (RELAY, TOKEN))
        parsed = self.parse("join", f"ws://h/cli/A?key={KEY}")
        self.assertEqual((parsed.token, parsed.key), (None, KEY))

    def test_what_is_worth_a_note(self) -> None:
        self.assertEqual(self.parse("join", self.URL).url_notes, [])
        [note] = self.parse("watch", self.URL).url_notes
        self.assertIn("the URL's token is left out", note)
        [note] = self.parse("watch", f"ws://h/cli/A?key={KEY}").url_notes
        self.assertIn("others on this machine can see the URL's secret", note)
        [note] = self.parse("join", "ws://h/mobile/A?name=Ann&deviceId=x").url_notes
        self.assertTrue(note.endswith(": deviceId, name"), note)
