"""What the tests of commands stand on: of commands that ask a relay, with a clock and days, and of
commands that join a session, over real sockets."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from apptuner_relay.client import main as main_module
from apptuner_relay.client import report
from apptuner_relay.client.bundles import ReadBundle
from apptuner_relay.client.carriers import MessageCarrier
from apptuner_relay.client.connection import ConnectionFactory
from apptuner_relay.client.member_connection import ClientPings, Target
from apptuner_relay.client.membership import Membership
from apptuner_relay.client.outcome import Exit
from apptuner_relay.client.policy import Patience
from apptuner_relay.client.projection import Figures
from apptuner_relay.client.pushing import Order, Push
from apptuner_relay.client.reactor_run import start

from .little_relay import Recorder, RelayTestCase
from .schema import check_output

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp()
TOKEN = "swordfish-1"


def counts(scale: int = 1) -> dict[str, int]:
    return {
        "peak_sessions": 4 * scale,
        "peak_connections": 9 * scale,
        "bundles": 100 * scale,
        "bundle_bytes": 1_500_000_000 * scale,
        "bytes_out": 3_000_000_000 * scale,
        "connections": 70 * scale,
    }


DAYS = {"2026-10-31": counts(5), "2026-11-21": counts(1), "2026-11-22": counts(2),
        "2026-11-23": counts(1)}  # fmt: skip


def status(**changes: object) -> dict[str, object]:
    past = [{"date": day, **DAYS[day]} for day in sorted(DAYS, reverse=True)[1:]]
    return {
        "now_ms": int(NOW * 1000),
        "days": past,
        "today": {"date": "2026-11-23", **DAYS["2026-11-23"]},
        "sessions": 40,
        "memory_bytes": int(Figures().base_memory_bytes) + 40 * 100_000,
        "version": "7",
        **changes,
    }


class Asked(Resource):
    """Answers with what it was told to, and keeps what it was asked."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.code = 200
        self.stalls = False
        self.body: bytes | None = json.dumps(status()).encode()
        self.paths: list[bytes] = []
        self.uris: list[bytes] = []
        self.posts: list[str] = []
        self.post: tuple[int, object] = (200, {})
        self.tokens: list[str | None] = []
        self.came: Deferred[None] = Deferred()

    def render_GET(self, request: Any) -> Any:
        self.paths.append(request.path)
        self.uris.append(request.uri)
        self.tokens.append(request.getHeader("authorization"))
        request.setResponseCode(self.code)
        if self.stalls:
            request.setHeader("content-length", "100")
            request.write(b"{")
            self.came.callback(None)
            return NOT_DONE_YET
        if not self.came.called:
            self.came.callback(None)
        return NOT_DONE_YET if self.body is None else self.body

    def render_POST(self, request: Any) -> Any:
        self.posts.append(request.path.decode())
        self.uris.append(request.uri)
        code, body = self.post
        request.setResponseCode(code)
        return json.dumps(body).encode()


class Time:
    """The reactor, with a clock that is turned by hand."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.seconds = self.clock.seconds
        self.callLater = self.clock.callLater

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


class OperatorCommandCase(TestCase):
    """Of commands that ask a relay, or read what it has saved."""

    timeout = 30

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        (self.directory / "days.json").write_text(json.dumps({"days": DAYS, "run": {}}))
        self.time = Time()
        self.patch(report, "wall_s", lambda: NOW)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("APPTUNER_")}
        self.patch(os, "environ", environment)

    def begin(self, *arguments: str, quiet: bool = False) -> tuple[Any, Recorder]:
        screen = Recorder(quiet=quiet)
        parsed = main_module.make_parser(main_module.commands()).parse_args(arguments)
        if "--json" in arguments:
            self.addCleanup(lambda: check_output(screen.out.getvalue()))
        return start(parsed, self.time, screen), screen

    def run_command(self, *arguments: str, code: Exit = Exit.DONE) -> Recorder:
        running, screen = self.begin(*arguments)
        self.assertEqual(self.successResultOf(running.done), code, screen.err.getvalue())
        return screen

    def report(self, *arguments: str, code: Exit = Exit.DONE) -> Recorder:
        return self.run_command("report", *arguments, "--state-dir", str(self.directory), code=code)


def now(tries: int = 10) -> Patience:
    """Patience that does not wait."""
    return Patience(tries, 0, 0, forgiving=False)


def said(screen: Recorder, words: str, times: int = 1) -> Deferred[None]:
    """Fires when these words were printed so often."""
    found: Deferred[None] = Deferred()

    def look() -> None:
        if found.called:
            return  # The test was given up.
        if (screen.out.getvalue() + screen.err.getvalue()).count(words) >= times:
            found.callback(None)
        else:
            reactor.callLater(0.01, look)

    reactor.callLater(0, look)
    return found


class MemberCommandCase(RelayTestCase):
    """Of commands that join a session."""

    def setUp(self) -> None:
        super().setUp()
        self.here = Path(self.mktemp())
        self.here.mkdir()

    def file(self, text: str | bytes, name: str = "bundle.js") -> str:
        path = self.here / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(path)

    def member(self, role: str, patience: Patience, heartbeat: ClientPings | None = None) -> Any:
        screen = Recorder()
        query = None if role == "cli" else {"deviceId": "phone"}
        target = Target(self.relay.address, role, "ABC234", query)
        factory = ConnectionFactory(reactor, target, heartbeat or ClientPings(60))
        membership = Membership(reactor, factory, patience, screen)

        def stop() -> Deferred[Exit] | None:
            if not membership.done.called:
                membership.leave(Exit.INTERRUPTED)
                return membership.done
            return None

        self.addCleanup(stop)
        return membership, screen

    def pusher(self, code: str, patience: Patience, **order: Any) -> tuple[Membership, Recorder]:
        membership, screen = self.member("cli", patience)
        self.start_push(code, membership, screen, **order)
        return membership, screen

    def start_push(self, code: str, membership: Membership, screen: Recorder, **order: Any) -> None:
        carrier = MessageCarrier(ReadBundle(code), membership)
        push = Push(Order(**order), carrier, membership, reactor, screen)
        membership.start(push)
        self.addCleanup(push.tidy)
