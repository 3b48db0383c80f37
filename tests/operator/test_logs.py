"""`apptuner_relay.operator.logs`: one JSON object for each event, whatever is in it."""

import io
import json
import syslog
import threading
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    Logger,
    LogLevel,
    LogPublisher,
    textFileLogObserver,
)
from twisted.python import log as legacy
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from apptuner_relay.operator.classic_line import classic_line
from apptuner_relay.operator.logs import json_line, make_log

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
        for form in ("json", "text"):
            path = Path(self.mktemp()).resolve()
            log = make_log({"nodaemon": True, "logfile": str(path)}, form)
            verifyObject(ILogObserver, log.observer)
            log.observer({"log_format": "hello", "log_namespace": "x"})
            log.writer.finish_at_exit()
            text = path.read_text()
            self.assertIn("hello", json.loads(text)["message"] if form == "json" else text)

    def test_a_daemon_writes_nothing_before_it_has_forked(self) -> None:
        path = Path(self.mktemp()).resolve()
        log = make_log({"nodaemon": False, "logfile": str(path)}, "text")
        log.observer({"log_format": "hello", "log_namespace": "x"})
        threads = [thread.name for thread in threading.enumerate()]
        log.writer.start()
        log.writer.finish_at_exit()
        self.assertIn("hello", path.read_text())
        self.assertEqual(threads.count("log") + 1, count_threads("log"))

    def test_where_json_can_not_go(self) -> None:
        self.assertRaises(ValueError, make_log, {"syslog": True}, "json")
        self.assertRaises(ValueError, make_log, {"nodaemon": False, "logfile": "-"}, "json")

    def test_text_is_as_twistd_has_it(self) -> None:
        out = io.StringIO()
        event = {"log_format": "a\nb", "log_namespace": "x", "log_level": LogLevel.warn}
        textFileLogObserver(out)(event | {"log_time": 1e9, "log_system": "x#warn"})
        self.assertEqual(
            classic_line(event | {"log_time": 1e9, "log_system": "x#warn"}), out.getvalue()
        )

    def test_syslog(self) -> None:
        told: list[tuple[int, str]] = []
        self.patch(syslog, "syslog", lambda priority, text: told.append((priority, text)))
        self.patch(syslog, "openlog", lambda *_: None)
        log = make_log({"syslog": True, "prefix": "relay", "nodaemon": True}, "text")
        Logger(namespace="x", observer=log.observer).warn("one\ntwo\0")
        log.writer.finish_at_exit()
        self.assertEqual(
            told, [(syslog.LOG_WARNING, "[x#warn] one"), (syslog.LOG_WARNING, "\ttwo\\0")]
        )


def count_threads(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())
