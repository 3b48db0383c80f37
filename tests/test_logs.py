"""`apptuner_relay.logs`: one JSON object for each event, whatever is in it."""

import io
import json
import signal
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import FileLogObserver, ILogObserver, Logger, LogPublisher
from twisted.python import log as legacy
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from apptuner_relay.logs import json_line, json_observer

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=9),
    lambda some: st.lists(some) | st.dictionaries(st.text() | st.integers(), some),
    max_leaves=10,
)


class Awkward:
    def __str__(self) -> str:
        raise RuntimeError("no")


class LineTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.out = io.StringIO()
        self.publisher = LogPublisher(FileLogObserver(self.out, json_line))
        self.log = Logger(namespace="relay", observer=self.publisher)

    def line(self) -> dict[str, Any]:
        (line,) = self.out.getvalue().splitlines()
        value = json.loads(line)
        assert isinstance(value, dict)
        return value

    def test_an_event(self) -> None:
        self.log.info("session {session}: {role} connected", session="1a2b3c4d", role="cli")
        line = self.line()
        self.assertRegex(line.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(
            line,
            {
                "level": "info",
                "logger": "relay",
                "message": "session 1a2b3c4d: cli connected",
                "session": "1a2b3c4d",
                "role": "cli",
            },
        )

    def test_what_the_message_says_is_said_once(self) -> None:
        self.log.info("{line}", line="3 connections", connections=3, roles={"cli": 1})
        line = self.line()
        self.assertNotIn("line", line)
        self.assertEqual((line["connections"], line["roles"]), (3, {"cli": 1}))

    def test_a_failure(self) -> None:
        try:
            raise ZeroDivisionError("über")
        except ZeroDivisionError:
            self.log.failure("it broke")
        line = self.line()
        self.assertEqual((line["level"], line["message"]), ("critical", "it broke"))
        self.assertIn("ZeroDivisionError: über", line["traceback"])

    def test_events_of_the_old_log(self) -> None:
        observed = legacy.LogPublisher(publishPublisher=self.publisher)
        observed.msg("Site starting on 3000", system="twisted.web")
        line = self.line()
        self.assertEqual(line["message"], "Site starting on 3000")
        self.assertEqual(line["logger"], "twisted.web")
        self.assertEqual(set(line), {"time", "level", "logger", "message"})

    def test_newlines_forge_no_line(self) -> None:
        self.log.warn("{why}", why='x\n{"level":"info"}\u2028\r')
        # As text readers break lines: at more than newlines.
        self.assertEqual(len(self.out.getvalue().splitlines()), 1)

    def test_own_fields_are_not_replaced(self) -> None:
        self.log.info("a", message="b", time="d", logger="e", traceback="f")
        line = self.line()
        self.assertEqual((line["message"], line["logger"]), ("a", "relay"))
        self.assertNotEqual(line["time"], "d")
        self.assertNotIn("traceback", line)

    def test_what_json_has_not(self) -> None:
        deep: list[Any] = []
        deep.append(deep)
        self.log.info(
            "x", nan=float("nan"), data=b"1", awkward=Awkward(), deep=deep, half="\ud800", s={1, 2}
        )
        line = self.line()
        self.assertEqual(line["nan"], "nan")
        self.assertIn("Awkward", line["awkward"])

    @given(st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), VALUES), st.text())
    def test_whatever_an_event_has(self, fields: dict[str, Any], text: str) -> None:
        event = {**fields, "log_format": text, "log_namespace": "x"}
        line = json_line(event)
        self.assertTrue(line.endswith("\n"))
        self.assertEqual(len(line.splitlines()), 1)

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is no JSON")

        json.loads(line.encode("utf-8"), parse_constant=refuse)


class PlaceTest(SynchronousTestCase):
    def test_a_file(self) -> None:
        before = signal.getsignal(signal.SIGUSR1)
        self.addCleanup(signal.signal, signal.SIGUSR1, before)
        path = Path(self.mktemp()).resolve()
        observer = json_observer({"nodaemon": True, "logfile": str(path)}, None)
        verifyObject(ILogObserver, observer)
        observer({"log_format": "hello", "log_namespace": "x"})
        self.assertEqual(json.loads(path.read_text())["message"], "hello")

    def test_where_json_can_not_go(self) -> None:
        self.assertRaises(ValueError, json_observer, {"syslog": True}, None)
        self.assertRaises(ValueError, json_observer, {"nodaemon": False, "logfile": "-"}, None)
