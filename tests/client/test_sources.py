"""`apptuner_relay.client.sources`: `report` and `plan` ask relays, some of which misbehave."""

from __future__ import annotations

import json
import os
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.web.server import Site

from apptuner_relay.client import operator_api, sources
from apptuner_relay.client.outcome import Exit

from .cases import DAYS, TOKEN, Asked, OperatorCommandCase
from .little_relay import Recorder


class FromRelayTest(OperatorCommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.asked = Asked()
        site = Site(self.asked)
        site.noisy = False
        site.log = lambda request: None
        self.port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.url = f"http://127.0.0.1:{self.port.getHost().port}"

    @inlineCallbacks
    def ask(self, *arguments: str, code: Exit = Exit.DONE) -> Any:
        running, screen = self.begin(*arguments, "--from", self.url)
        ended = yield running.done
        self.assertEqual(ended, code, screen.err.getvalue())
        self.assertEqual(self.time.clock.getDelayedCalls(), [])
        return screen

    @inlineCallbacks
    def test_report(self) -> Any:
        screen = yield self.ask("report", "month", "--format", "json")
        said = json.loads(screen.out.getvalue())
        self.assertEqual([day["date"] for day in said["days"]], sorted(DAYS)[1:])
        self.assertEqual(self.asked.paths, [b"/api/status"])
        self.assertEqual(self.asked.tokens, [None])

    @inlineCallbacks
    def test_below_a_path(self) -> Any:
        self.url += "/relay"
        yield self.ask("report")
        self.assertEqual(self.asked.paths, [b"/relay/api/status"])

    @inlineCallbacks
    def test_the_token(self) -> Any:
        file = self.directory / "token"
        file.write_text(f"{TOKEN}\n")
        yield self.ask("report", "--admin-token", f"@{file}")
        os.environ["APPTUNER_ADMIN_TOKEN"] = TOKEN
        screen = yield self.ask("report")
        self.assertEqual(self.asked.tokens, [f"Bearer {TOKEN}"] * 2)
        self.assertNotIn(TOKEN, screen.out.getvalue() + screen.err.getvalue())
        self.assertNotIn("unencrypted", screen.err.getvalue())

    @inlineCallbacks
    def test_a_plan_says_what_is_measured(self) -> Any:
        screen = yield self.ask("plan", "--users", "60", "--format", "json")
        figures = json.loads(screen.out.getvalue())["figures"]
        origins = {name: figure["from"] for name, figure in figures.items()}
        measured = {name for name, origin in origins.items() if origin == "measured"}
        self.assertEqual(
            measured, {"bundle_bytes", "copies", "bundles_per_day", "session_memory_bytes"}
        )
        self.assertEqual(origins["peak_share"], "assumed")
        self.assertEqual(figures["bundle_bytes"]["value"], 15_000_000)
        self.assertEqual(figures["copies"]["value"], 2)
        self.assertEqual(figures["bundles_per_day"]["value"], 25)
        self.assertEqual(figures["session_memory_bytes"]["value"], 100_000)

    @inlineCallbacks
    def test_a_plan_with_the_number_of_users(self) -> Any:
        screen = yield self.ask("plan", "--users", "60", "--users-now", "40", "--bundle-mb", "3")
        text = screen.out.getvalue()
        self.assertRegex(text, r"there at the peak +50% +measured: 3 days with 40\s+users")
        self.assertRegex(text, r"a bundle, as it is sent +3 MB +given")

    @inlineCallbacks
    def test_refusals(self) -> Any:
        for status_code, body, token, words in (
            (401, b"{}", [], "asks for a token: --admin-token, or $APPTUNER_ADMIN_TOKEN"),
            (401, b"{}", ["--admin-token", TOKEN], "does not take this token"),
            (403, b'{"error":"Not from there"}', [], "403: Not from there (without a token"),
            (404, b"{}", [], "has no /api/status"),
            (500, b"oops", [], "answers with 500"),
            (503, b'{"error":"\\u001b[2J"}', [], "503: \\x1b[2J"),
            (200, b"oops", [], "not as a relay of this version does: it is no JSON"),
            (200, b'{"days":[]}', [], "today is no JSON object"),
            (200, b"[" * (operator_api.MAX_ANSWER_BYTES + 1), [], "too long"),
        ):
            self.asked.code, self.asked.body = status_code, body
            for command in ("report", "plan"):
                screen = yield self.ask(command, *token, code=Exit.FAILED)
                self.assertIn(words, screen.err.getvalue())
                self.assertEqual(screen.out.getvalue(), "")

    @inlineCallbacks
    def test_nobody_there(self) -> Any:
        yield self.port.stopListening()
        # Connecting has timers of its own, between one address and the next.
        self.patch(self.time, "callLater", reactor.callLater)
        screen = yield self.ask("report", code=Exit.NO_CONNECTION)
        self.assertIn(f"could not ask {self.url}: ", screen.err.getvalue())

    @inlineCallbacks
    def test_hosts_that_there_can_not_be(self) -> Any:
        for host in ("a b", "..", "x" * 64 + ".\u00fc"):
            running, screen = self.begin("report", "--from", f"http://{host}:1/")
            self.assertEqual((yield running.done), Exit.USAGE)
            self.assertIn(f"http://{host}:1: there can be no host", screen.err.getvalue())

    @inlineCallbacks
    def test_no_answer(self) -> Any:
        self.asked.body = None
        running, screen = self.begin("report", "--from", self.url)
        yield self.asked.came
        self.time.clock.advance(operator_api.ANSWER_SECONDS)
        self.assertEqual((yield running.done), Exit.NO_CONNECTION)
        self.assertIn("did not answer in 20 s", screen.err.getvalue())

    @inlineCallbacks
    def test_an_answer_that_stops_halfway(self) -> Any:
        self.asked.stalls = True
        head_came: Deferred[None] = Deferred()
        receive = operator_api.receive_body

        def receiving(*arguments: Any) -> Any:
            reactor.callLater(0, head_came.callback, None)
            return receive(*arguments)

        self.patch(operator_api, "receive_body", receiving)
        running, screen = self.begin("report", "--from", self.url)
        yield head_came
        self.time.clock.advance(operator_api.ANSWER_SECONDS)
        self.assertEqual((yield running.done), Exit.NO_CONNECTION)
        self.assertIn("did not answer in 20 s", screen.err.getvalue())

    @inlineCallbacks
    def test_interrupted(self) -> Any:
        self.asked.body = None
        running, screen = self.begin("plan", "--from", self.url)
        yield self.asked.came
        running.leave(Exit.INTERRUPTED)
        self.assertEqual((yield running.done), Exit.INTERRUPTED)
        self.assertEqual(screen.out.getvalue() + screen.err.getvalue(), "")
        self.assertEqual(self.time.clock.getDelayedCalls(), [])

    def test_a_bug_ends_the_command(self) -> None:
        def show(_: object) -> Exit:
            raise ZeroDivisionError

        running = sources.Inquiry(succeed(None), show, Recorder())
        self.assertEqual(self.successResultOf(running.done), Exit.FAILED)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
