"""What commands print with `--json` is what docs/reference/companion.schema.json says.

Everything that other tests of commands print in JSON is held against it, too: see `cases`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from twisted.internet.defer import inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client.command import Command
from apptuner_relay.client.json_output import usage_error
from apptuner_relay.client.main import commands
from apptuner_relay.client.outcome import Exit

from .cases import MemberCommandCase, OperatorCommandCase, said
from .schema import PATH, check_line, check_output, schema


class SchemaTest(SynchronousTestCase):
    def test_every_command_has_its_last_line(self) -> None:
        for command in commands():
            if isinstance(command, Command):
                self.assertIn(f"{command.name}_result", schema()["$defs"])

    def test_every_exit_code(self) -> None:
        self.assertEqual(schema()["$defs"]["exit"]["enum"], [int(code) for code in Exit])

    def test_the_page_names_every_event(self) -> None:
        page = PATH.with_name("companion-json.md").read_text("utf-8")
        for name, line in schema()["$defs"].items():
            event = line.get("properties", {}).get("event", {}).get("const")
            if event is not None:
                self.assertIn(f"`{event}`", page, name)
                for field in line["properties"] if event == "result" else ():
                    if not name.startswith("plan"):
                        self.assertIn(f"`{field}`", page, name)

    def test_the_examples_of_the_page(self) -> None:
        page = PATH.with_name("companion-json.md").read_text("utf-8")
        examples = re.findall(r"(?m)^    (\{.*\})$", page)
        self.assertGreater(len(examples), 5)
        for line in examples:
            check_line(line)

    def test_what_is_no_line(self) -> None:
        line = {"command": "join", "event": "bundle", "at_ms": 1, "bytes": 1, "sha256": "0" * 64,
                "output": None}  # fmt: skip
        check_line(json.dumps(line))
        for change in ({"bytes": "1"}, {"sha256": "x"}, {"event": "dance"}, {"more": 1}):
            self.assertRaises(AssertionError, check_line, json.dumps({**line, **change}))

    def test_a_command_line_that_can_not_be_read(self) -> None:
        check_line(usage_error(None, "no"))
        check_line(usage_error("push", "no"))


class MemberOutputTest(MemberCommandCase):
    @inlineCallbacks
    def test_push_and_join(self) -> Any:
        output = str(self.here / "got.js")
        opened = self.relay.once("open")
        join, joined = self.begin("join", "--json", "--output", output, "--once")
        yield opened
        push, pushed = self.begin("push", "--json", self.file("let x"))
        self.assertEqual((yield push.done), Exit.DONE)
        self.assertEqual((yield join.done), Exit.DONE)
        lines = check_output(pushed.out.getvalue())
        self.assertEqual(
            [one["event"] for one in lines],
            ["connected", "sending", "sent", "acknowledgement", "result"],
        )
        self.assertEqual((lines[-1]["acknowledged"], lines[-1]["failed"]), (1, 0))
        lines = check_output(joined.out.getvalue())
        self.assertEqual([one["event"] for one in lines], ["connected", "bundle", "result"])
        self.assertEqual((lines[2]["bundles"], lines[2]["failed"]), (1, 0))
        self.assertEqual(lines[1]["output"], str(Path(output).absolute()))

    @inlineCallbacks
    def test_a_bundle_that_does_not_arrive(self) -> Any:
        opened = self.relay.once("open")
        join, joined = self.begin("join", "--json", "--once")
        peer = yield opened
        peer.say("bundle_start", totalChunks=0, totalSize=0)
        self.assertEqual((yield join.done), Exit.FAILED)
        _, failed, result = check_output(joined.out.getvalue())
        self.assertIn("does not say how many chunks", failed["error"])
        self.assertIn(failed["error"], result["error"])

    @inlineCallbacks
    def test_a_relay_that_goes(self) -> Any:
        opened = self.relay.once("open")
        join, joined = self.begin("join", "--json")
        peer = yield opened
        yield said(joined, '"connected"')
        peer.transport.abortConnection()
        yield said(joined, '"reconnecting"')
        join.leave(Exit.INTERRUPTED)
        self.assertEqual((yield join.done), Exit.INTERRUPTED)
        *_, last = check_output(joined.out.getvalue())
        self.assertEqual((last["exit"], last["error"]), (130, "interrupted"))

    @inlineCallbacks
    def test_saves(self) -> Any:
        opened = self.relay.once("open")
        self.begin("join")
        yield opened
        push, pushed = self.begin("push", "--json", "--watch", self.file("let x"))
        yield said(pushed, '"save"')
        push.leave(Exit.INTERRUPTED)
        self.assertEqual((yield push.done), Exit.DONE)
        [save] = [one for one in check_output(pushed.out.getvalue()) if one["event"] == "save"]
        self.assertEqual([one["success"] for one in save["answers"]], [True])
        self.assertEqual((save["file"], save["missing"]), ("bundle.js", []))

    @inlineCallbacks
    def test_fetch(self) -> Any:
        self.relay.server.put(b"let x", "ABC234")
        fetch, fetched = self.begin("fetch", "--json", "--output", str(self.here / "got.js"))
        self.assertEqual((yield fetch.done), Exit.DONE)
        [result] = check_output(fetched.out.getvalue())
        self.assertEqual((result["bytes"], result["unchanged"]), (5, False))
        fetch, fetched = self.begin("fetch", "--json", "--output", "x", "--session", "OTHER")
        self.assertEqual((yield fetch.done), Exit.NO_BUNDLE)
        check_output(fetched.out.getvalue())


class OperatorOutputTest(OperatorCommandCase):
    def test_documents(self) -> None:
        for arguments in (["report", "month", "--state-dir", str(self.directory)], ["plan"]):
            screen = self.run_command(*arguments, "--json")
            [result] = check_output(screen.out.getvalue())
            self.assertEqual(result["command"], arguments[0])
