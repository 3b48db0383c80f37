"""`sessions` as a command: what it asks for, and what it makes of the answers of relays."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site

from apptuner_relay.client import screen as screen_module
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.session_records import ORDERS, in_order, read_sessions
from apptuner_relay.session.session import session_hash

from .cases import TOKEN, Asked, OperatorCommandCase
from .little_relay import Recorder

SINCE_MS = 1_795_000_000_000


def session(name: str = "8c640c4e", **changes: Any) -> dict[str, Any]:
    """A row as an older relay has it."""
    return {
        "session": name,
        "roles": ["cli", "mobile", "mobile"],
        "devices": [
            {"deviceId": "p9", "name": "Pixel 9", "platform": "android"},
            {"deviceId": "ann", "name": None, "platform": None},
        ],
        "clients": [{"role": "cli", "address": "192.0.2.4"}],
        "several_clis": False,
        "age_s": 7_500.4,
        "idle_s": 1.5,
        "bytes_in": 9_300_000,
        "bytes_out": 18_600_000,
        "slow": False,
        **changes,
    }


def newer(name: str = "8c640c4e", **changes: Any) -> dict[str, Any]:
    """A row as this version's relay has it."""
    bundle = {
        "id": 17,
        "began_ms": SINCE_MS + 7_500_400 - 125_000,
        "bytes": 9_300_000,
        "state": "whole",
        "acknowledged_s": 0.48,
    }
    fields = {"since_ms": SINCE_MS, "bundles": [bundle], "reload_s": 0.48, "failed": 0}
    return session(name, **{**fields, **changes})


class ReadTest(SynchronousTestCase):
    def test_what_is_no_list_of_sessions(self) -> None:
        for value, words in (
            (None, "sessions is no list"),
            ([], "sessions is no list"),
            ({"sessions": {}}, "sessions is no list"),
            ({"sessions": [7]}, "sessions[0] has no session"),
            ({"sessions": [session(session=7)]}, "sessions[0] has no session"),
            ({"sessions": [session(), session(age_s=None)]}, "sessions[1] has no age_s"),
            ({"sessions": [session(bytes_out=-1)]}, "no bytes_out"),
        ):
            wrong = self.assertRaises(ValueError, read_sessions, value)
            self.assertIn(words, str(wrong))

    def test_fields_that_are_not_what_they_should_be_are_not_known(self) -> None:
        odd = newer(since_ms="x", reload_s=True, failed=[], bundles=[{"began_ms": 1}], devices=[3])
        [read] = read_sessions({"sessions": [odd]})
        self.assertEqual(
            (read.since_ms, read.reload_s, read.failed, read.bundle, read.devices),
            (None, None, None, None, ()),
        )

    def test_every_order_takes_any_session(self) -> None:
        rows = [session("a" * 8), newer("b" * 8), newer("c" * 8, bundles=[], reload_s=None)]
        found = read_sessions({"sessions": rows})
        for order in ORDERS:
            self.assertEqual(len(in_order(found, order)), 3)

    def test_orders(self) -> None:
        rows = [
            newer("a" * 8, age_s=10, bytes_out=1, reload_s=None),
            newer("b" * 8, age_s=30, bytes_out=3, reload_s=9.0, roles=["cli"]),
            newer("c" * 8, age_s=20, bytes_out=2, failed=2, bundles=[]),
            newer("d" * 8, age_s=5, bytes_out=0, clients=[{"role": "mobile", "behind": True}]),
        ]
        found = read_sessions({"sessions": rows})
        for order, expected in (
            ("since", "bcad"),
            ("sent", "bcad"),
            ("reload", "bcda"),
            ("clients", "acdb"),
            ("trouble", "cdba"),
        ):
            said = "".join(one.session[0] for one in in_order(found, order))
            self.assertEqual(said, expected, order)


class SessionCommandCase(OperatorCommandCase):
    """With something that answers as a relay's `/api/` does."""

    command: str

    def setUp(self) -> None:
        super().setUp()
        self.asked = Asked()
        site = Site(self.asked)
        site.noisy = False
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}"

    def answer(self, *rows: object) -> None:
        self.asked.body = json.dumps({"sessions": rows}).encode()

    @inlineCallbacks
    def ask(self, *arguments: str, code: Exit = Exit.DONE) -> Any:
        running, screen = self.begin(self.command, *arguments, "--relay", self.url)
        ended = yield running.done
        self.assertEqual(ended, code, screen.err.getvalue())
        return screen


class SessionListTest(SessionCommandCase):
    command = "sessions"

    def setUp(self) -> None:
        super().setUp()
        # Wide enough that nothing is folded.
        self.patch(screen_module, "_WIDTH_ELSEWHERE", 160)

    def rows(self, screen: Recorder) -> list[list[str]]:
        lines = screen.out.getvalue().splitlines()
        cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
        return [row for row in cells if len(row) > 1]

    @inlineCallbacks
    def test_a_table(self) -> Any:
        self.answer(newer(), newer("ffff0000", age_s=5, failed=2, several_clis=True, devices=[]))
        screen = yield self.ask()
        titles, first, second = self.rows(screen)
        self.assertEqual(titles[:3], ["session", "since", "clients"])
        self.assertEqual(
            first,
            ["8c640c4e", "2 h 5 min", "cli, 2 mobiles", "Pixel 9, ann", "9.3 MB, 2 min ago",
             "0.48 s", "18.6 MB"],
        )  # fmt: skip
        self.assertEqual(second[-1], "2 failed, several CLIs")
        self.assertEqual(self.asked.uris, [b"/api/sessions"])

    @inlineCallbacks
    def test_an_older_relay(self) -> Any:
        self.answer(session(slow=True))
        screen = yield self.ask()
        _, row = self.rows(screen)
        self.assertEqual(row[-4:], ["–", "–", "18.6 MB", "behind"])

    @inlineCallbacks
    def test_names_can_do_nothing_to_a_terminal(self) -> Any:
        self.answer(newer(devices=[{"deviceId": "x", "name": "\x1b[2J\n\u202e", "platform": None}]))
        screen = yield self.ask()
        self.assertIn(r"\x1b[2J\n\u202e", screen.out.getvalue())

    @inlineCallbacks
    def test_one_of_them(self) -> Any:
        full = session_hash("ABC234")
        rows = [newer(full[:8]), newer("ffff0000")]
        for arguments, uri in (
            ([full[:5]], "/api/sessions"),
            (["--id", "ABC234"], f"/api/sessions?session={full}"),
            ([full], f"/api/sessions?session={full}"),
        ):
            # As an older relay does, which knows no filter.
            self.answer(*rows)
            screen = yield self.ask(*arguments, "--json")
            said = json.loads(screen.out.getvalue())
            self.assertEqual([one["session"] for one in said["sessions"]], [full[:8]])
            self.assertEqual(self.asked.uris[-1].decode(), uri)
            self.assertNotIn(b"ABC234", self.asked.uris[-1])

    @inlineCallbacks
    def test_no_such_session(self) -> Any:
        self.answer()
        screen = yield self.ask("--id", "ABC234", code=Exit.FAILED)
        prefix = session_hash("ABC234")[:8]
        self.assertEqual(screen.err.getvalue(), f"no session {prefix} is connected\n")
        screen = yield self.ask("8c64", "--json", code=Exit.FAILED)
        said = json.loads(screen.out.getvalue())
        self.assertEqual((said["sessions"], said["exit"]), ([], 1))
        self.assertEqual(said["error"], "no session 8c64 is connected")

    @inlineCallbacks
    def test_no_session_at_all(self) -> Any:
        self.answer()
        screen = yield self.ask()
        self.assertEqual(screen.out.getvalue(), "no session is connected\n")

    @inlineCallbacks
    def test_most(self) -> Any:
        self.answer(newer())
        yield self.ask("--most", "20", "--sort", "sent")
        self.assertEqual(self.asked.uris, [b"/api/sessions?most=20"])

    @inlineCallbacks
    def test_json_has_what_the_relay_has(self) -> Any:
        self.answer(newer(extra={"a": [1]}))
        screen = yield self.ask("--json")
        [line] = screen.out.getvalue().splitlines()
        self.assertEqual(json.loads(line)["sessions"], [newer(extra={"a": [1]})])

    @inlineCallbacks
    def test_refused(self) -> Any:
        self.asked.code = 401
        screen = yield self.ask("--json", code=Exit.FAILED)
        self.assertIn("asks for a token", json.loads(screen.out.getvalue())["error"])
        screen = yield self.ask("--admin-token", TOKEN, code=Exit.FAILED)
        self.assertIn("does not take this token", screen.err.getvalue())

    def test_arguments_that_can_not_be(self) -> None:
        wrong = self.assertRaises(UsageError, self.begin, "sessions", "8c64", "--id", "A")
        self.assertIn("give one of them", str(wrong))
        self.patch(sys, "stderr", io.StringIO())
        for arguments in (["8c6"], ["ABC234"], ["--most", "0"], ["--most", "x"], ["--id", "a b"]):
            ended: Any = self.assertRaises(SystemExit, self.begin, "sessions", *arguments)
            self.assertEqual(ended.code, Exit.USAGE)
