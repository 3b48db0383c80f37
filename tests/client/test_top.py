"""`top` as a command: samples, a relay that goes and comes back, keys, and how it ends."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site

from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.session_records import read_sessions
from apptuner_relay.client.top import ALL_ORDERS, INTERVAL_SECONDS, RateMeter
from apptuner_relay.client.top_frame import BUSY

from .cases import OperatorCommandCase, said
from .test_relay_figures import NEWER
from .test_session_list import newer


class Api(Resource):
    """Answers as `/api/` does."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.code = 200
        self.status: dict[str, Any] = dict(NEWER)
        self.sessions: list[dict[str, Any]] = [newer()]
        self.uris: list[str] = []

    def render_GET(self, request: Any) -> bytes:
        self.uris.append(request.uri.decode())
        request.setResponseCode(self.code)
        if request.path == b"/api/status":
            return json.dumps(self.status).encode()
        return json.dumps({"sessions": self.sessions}).encode()


class Drawn:
    """A terminal that keeps what was drawn."""

    width, height = 80, 24

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.is_started = self.is_gone = False

    def start(self) -> None:
        self.is_started = True

    def stop(self) -> None:
        self.is_started = False

    def draw(self, lines: Any) -> None:
        if self.is_gone:
            raise BrokenPipeError
        self.frames.append("\n".join(text for text, _ in lines))


class RateTest(SynchronousTestCase):
    def test_rates(self) -> None:
        meter = RateMeter()
        for now_s, sent, expected in (
            (10.0, {"a" * 8: 1000}, {}),
            (12.0, {"a" * 8: 5000, "b" * 8: 9}, {"a" * 8: 2000.0}),
            (12.0, {"a" * 8: 5000, "b" * 8: 9}, {}),
            # A session that has begun anew.
            (14.0, {"b" * 8: 3}, {"b" * 8: 0.0}),
        ):
            rows = [newer(name, bytes_out=count) for name, count in sent.items()]
            meter.take(read_sessions({"sessions": rows}), now_s)
            self.assertEqual(meter.rates, expected)


class TopTest(OperatorCommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.api = Api()
        self.listen()

    def listen(self, number: int = 0) -> None:
        site = Site(self.api)
        site.noisy = False
        self.port = reactor.listenTCP(number, site, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.url = f"http://127.0.0.1:{self.port.getHost().port}"
        # Connecting has timers of its own, between one address and the next.
        self.patch(self.time, "callLater", self.call_later)

    def call_later(self, delay: float, *arguments: Any) -> Any:
        """Only what the command itself waits for is told by the clock."""
        clock = self.time.clock if delay == INTERVAL_SECONDS else reactor
        return clock.callLater(delay, *arguments)

    def top(self, *arguments: str) -> tuple[Any, Any]:
        return self.begin("top", *arguments, "--relay", self.url)

    @inlineCallbacks
    def next_sample(self, screen: Any, words: str, times: int = 1) -> Any:
        """Wait for these words, and until the command waits for its next sample."""
        yield said(screen, words, times)
        yield self.waits()

    def waits(self) -> Deferred[None]:
        """Fires when the command waits for its next sample."""
        idle: Deferred[None] = Deferred()

        def look() -> None:
            if self.time.clock.getDelayedCalls():
                idle.callback(None)
            else:
                reactor.callLater(0.01, look)

        look()
        return idle

    def lines(self, screen: Any) -> list[dict[str, Any]]:
        return [json.loads(line) for line in screen.out.getvalue().splitlines()]

    @inlineCallbacks
    def test_without_a_terminal_once(self) -> Any:
        running, screen = self.top()
        self.assertEqual((yield running.done), Exit.DONE)
        text = screen.out.getvalue()
        self.assertIn("reload 0.48 s median", text)
        self.assertIn("8c640c4e", text)
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        self.assertEqual(self.api.uris, ["/api/status", "/api/sessions?most=50"])

    @inlineCallbacks
    def test_json(self) -> Any:
        running, screen = self.top("--json")
        yield self.next_sample(screen, '"sample"')
        self.api.sessions = [newer(bytes_out=newer()["bytes_out"] + 4_000)]
        self.api.status["events"] = [
            *NEWER["events"],
            {"id": 3, "at_ms": NEWER["events"][-1]["at_ms"], "text": "new"},
        ]
        self.time.clock.advance(INTERVAL_SECONDS)
        yield self.next_sample(screen, '"sample"', 2)
        running.leave(Exit.INTERRUPTED)
        self.assertEqual((yield running.done), Exit.DONE)
        first, second, end = self.lines(screen)
        self.assertEqual([one["event"] for one in (first, second)], ["sample", "sample"])
        self.assertEqual([one["id"] for one in first["events"]], [1, 2])
        self.assertEqual([one["id"] for one in second["events"]], [3])
        self.assertEqual(first["busiest"][0]["sending_bytes_per_s"], None)
        self.assertEqual(second["busiest"][0]["sending_bytes_per_s"], 2_000)
        self.assertEqual((end["event"], end["exit"]), ("result", 0))

    @inlineCallbacks
    def test_json_once(self) -> Any:
        running, screen = self.top("--json", "--once")
        self.assertEqual((yield running.done), Exit.DONE)
        self.assertEqual([one["event"] for one in self.lines(screen)], ["sample", "result"])

    @inlineCallbacks
    def test_a_relay_that_is_started_anew(self) -> Any:
        running, screen = self.top("--json")
        drawn = running.live = Drawn()
        yield self.next_sample(screen, '"sample"')
        number = self.port.getHost().port
        self.api.code = 503
        self.time.clock.advance(INTERVAL_SECONDS)
        yield self.next_sample(screen, '"away"')
        self.assertIn("no answer for 0 s, asking again every 2 s: ", drawn.frames[-1])
        # What was known last stays in sight.
        self.assertIn("8c640c4e", drawn.frames[-1])
        yield self.port.stopListening()
        self.api.code = 200
        self.api.status |= {"started_ms": NEWER["started_ms"] + 60_000, "uptime_s": 1.5}
        self.listen(number)
        self.time.clock.advance(INTERVAL_SECONDS)
        yield self.next_sample(screen, '"sample"', 2)
        self.assertNotIn("no answer", drawn.frames[-1])
        self.assertIn("the relay was started anew 1 s ago", drawn.frames[-1])
        running.leave(Exit.INTERRUPTED)
        yield running.done
        _, away, back, sample, _ = self.lines(screen)
        self.assertEqual((away["event"], back["event"]), ("away", "back"))
        self.assertIn("answers with 503", away["error"])
        self.assertEqual((back["away_s"], back["restarted"]), (2.0, True))
        # Its events are others now, whatever their numbers.
        self.assertEqual(len(sample["events"]), 2)

    @inlineCallbacks
    def test_a_relay_that_does_not_want_to_be_asked(self) -> Any:
        self.api.code = 401
        running, screen = self.top("--json")
        self.assertEqual((yield running.done), Exit.FAILED)
        [end] = self.lines(screen)
        self.assertIn("asks for a token", end["error"])

    @inlineCallbacks
    def test_a_token_that_is_taken_back(self) -> Any:
        running, screen = self.top("--json")
        yield self.next_sample(screen, '"sample"')
        self.api.code = 401
        self.time.clock.advance(INTERVAL_SECONDS)
        self.assertEqual((yield running.done), Exit.FAILED)
        self.assertIn("asks for a token", screen.err.getvalue())

    @inlineCallbacks
    def test_nobody_there(self) -> Any:
        yield self.port.stopListening()
        running, screen = self.top()
        self.assertEqual((yield running.done), Exit.NO_CONNECTION)
        self.assertIn(f"could not ask {self.url}: ", screen.err.getvalue())

    @inlineCallbacks
    def test_what_is_no_relay(self) -> Any:
        self.api.status = {"hello": "world"}
        running, screen = self.top()
        self.assertEqual((yield running.done), Exit.FAILED)
        self.assertIn("not as a relay of this version does", screen.err.getvalue())

    @inlineCallbacks
    def test_keys(self) -> Any:
        running, screen = self.top("--json")
        drawn = running.live = Drawn()
        yield self.next_sample(screen, '"sample"')
        for order in (*ALL_ORDERS[1:], BUSY):
            running.typed("s")
            self.assertIn(f"(now: {order})", drawn.frames[-1])
        running.typed("S")
        self.assertIn(f"(now: {ALL_ORDERS[-1]})", drawn.frames[-1])
        running.typed("x")
        running.typed("q")
        self.assertEqual((yield running.done), Exit.DONE)
        self.assertEqual(self.time.clock.getDelayedCalls(), [])

    @inlineCallbacks
    def test_a_terminal_that_is_gone(self) -> Any:
        running, screen = self.top("--json")
        drawn = running.live = Drawn()
        yield self.next_sample(screen, '"sample"')
        drawn.is_gone = True
        running.typed("s")
        self.assertEqual((yield running.done), Exit.DONE)

    @inlineCallbacks
    def test_interrupted(self) -> Any:
        for arguments, code in ((["--json", "--once"], 130), (["--json"], 0)):
            running, _ = self.top(*arguments)
            running.leave(Exit.INTERRUPTED)
            self.assertEqual((yield running.done), code)
        running, _ = self.top("--json")
        running.leave(Exit.TERMINATED)
        self.assertEqual((yield running.done), Exit.TERMINATED)

    @inlineCallbacks
    def test_the_busiest_first(self) -> Any:
        idle, busy = newer("a" * 8, bytes_out=10_000), newer("b" * 8, bytes_out=10)
        self.api.sessions = [idle, busy]
        running, screen = self.top("--json")
        yield self.next_sample(screen, '"sample"')
        self.api.sessions = [idle, {**busy, "bytes_out": 900}]
        self.time.clock.advance(INTERVAL_SECONDS)
        yield self.next_sample(screen, '"sample"', 2)
        running.leave(Exit.INTERRUPTED)
        yield running.done
        first, second, _ = self.lines(screen)
        self.assertEqual([one["session"][0] for one in first["busiest"]], ["a", "b"])
        self.assertEqual([one["session"][0] for one in second["busiest"]], ["b", "a"])
