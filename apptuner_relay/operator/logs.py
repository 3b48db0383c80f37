"""The log, as text or as JSON, to where twistd's options say, through a `LogWriter`, which never
blocks.

`json_line` makes one JSON object a line, for programs that read logs. Text looks as twistd's own.
"""

import atexit
import json
import sys
import syslog
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from twisted.logger import (
    FileLogObserver,
    LogEvent,
    LogLevel,
    eventAsText,
)
from twisted.python.failure import Failure

from apptuner_relay.operator.classic_line import classic_line, event_text
from apptuner_relay.operator.log_targets import (
    DescriptorTarget,
    FileTarget,
    SyslogTarget,
    open_target,
)
from apptuner_relay.operator.log_threshold import LogThreshold
from apptuner_relay.operator.log_writer import LogTarget, LogWriter
from apptuner_relay.operator.twisted_noise import is_noise
from apptuner_relay.support.lazy_text import LazyText

_OWN_FIELDS = ("time", "level", "logger", "message", "traceback")
_LEGACY_FIELDS = frozenset(
    {"format", "isError", "failure", "why", "system", "printed", "logLevel", "log_legacy"}
)
"""Fields that ``twisted.python.log`` adds to events for its own purposes."""
_PRIORITIES = {
    LogLevel.debug: syslog.LOG_DEBUG,
    LogLevel.info: syslog.LOG_INFO,
    LogLevel.warn: syslog.LOG_WARNING,
    LogLevel.error: syslog.LOG_ERR,
    LogLevel.critical: syslog.LOG_ALERT,
}
"""The priorities of syslog(3); twistd's own observer has LOG_ALERT for failures, too."""
_DEPTH = 4
_MOST_ITEMS = 1000


def json_line(event: LogEvent) -> str:
    """``{"time":…,"level":…,"logger":…,"message":…}`` and the event's own fields, such as
    ``session`` (never more of it than logs may show), in one line."""
    message = event_text(event)
    level = event.get("log_level")
    line: dict[str, object] = {
        "time": _show_time(event.get("log_time")),
        "level": getattr(level, "name", "info"),
        "logger": _logger(event),
        "message": message,
    }
    legacy = "isError" in event
    for name, value in event.items():
        if name.startswith("log_") or name in _OWN_FIELDS:
            continue
        if isinstance(value, str) and value == message:
            continue
        if isinstance(value, LazyText) or (legacy and name in _LEGACY_FIELDS):
            continue
        line[name] = _plain(value)
    failure = event.get("log_failure")
    if isinstance(failure, Failure):
        line["traceback"] = failure.getTraceback()
    # All ASCII: the locale may be anything, and some readers end lines at more than newlines.
    return json.dumps(line, separators=(",", ":")) + "\n"


def _logger(event: LogEvent) -> str:
    namespace = event.get("log_namespace")
    # Events of twisted.python.log all have the same one, and say more in their system.
    if namespace in (None, "log_legacy"):
        namespace = event.get("log_system") or "-"
    return str(namespace)


def _show_time(seconds: object) -> str | None:
    if not isinstance(seconds, int | float):
        return None
    when = datetime.fromtimestamp(seconds, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(value: Any, depth: int = _DEPTH) -> object:
    """``value`` as JSON can have it; anything that JSON has no type for as text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        # JSON has no NaN nor infinity.
        return value if abs(value) < float("inf") else str(value)
    if depth and isinstance(value, Mapping):
        items = list(value.items())[:_MOST_ITEMS]
        return {str(key): _plain(one, depth - 1) for key, one in items}
    if depth and isinstance(value, list | tuple):
        return [_plain(one, depth - 1) for one in value[:_MOST_ITEMS]]
    try:
        return str(value)
    except Exception as wrong:
        return f"<{type(value).__name__}: {type(wrong).__name__}>"


def syslog_line(event: LogEvent) -> str:
    """An event as `SyslogTarget` takes it: each line with its priority."""
    text = eventAsText(event, includeTimestamp=False)
    priority = _PRIORITIES.get(event.get("log_level"), syslog.LOG_INFO)
    return "".join(f"<{priority}>{line}\n" for line in text.replace("\n", "\n\t").splitlines())


@dataclass(frozen=True)
class RelayLog:
    """The log of a process: the observer that twistd gives events to, and what writes them."""

    observer: FileLogObserver
    writer: LogWriter
    file: FileTarget | None
    """None where the log is no file."""

    def rotate(self) -> None:
        """Begin a new file, and number the ones before."""
        if self.file is not None:
            self.writer.call(self.file.rotate)

    def reopen(self) -> None:
        """Open the file anew, as something else may have rotated it."""
        if self.file is not None:
            self.writer.call(self.file.reopen)


def make_log(
    twistd: Mapping[str, Any], form: str, threshold: LogThreshold | None = None
) -> RelayLog:
    """The log, to where ``twistd``'s options say: standard output, a file, syslog.

    :param form: ``text`` or ``json``.
    :param threshold: decides on events; None for all of them.
    :raises ValueError: the options contradict each other; the text says how.
    :raises OSError: the file can't be opened.
    """
    nodaemon, path = twistd.get("nodaemon"), twistd.get("logfile")
    target: LogTarget
    encoding = "utf-8"
    line: Callable[[LogEvent], str] = json_line if form == "json" else classic_line
    if twistd.get("syslog"):
        if form == "json":
            raise ValueError("json does not go to syslog")
        target, line = SyslogTarget(twistd.get("prefix") or ""), syslog_line
    elif path == "-" and not nodaemon:
        raise ValueError("a daemon has no standard output to log to")
    elif path == "-" or (nodaemon and not path):
        target = _standard_output()
        encoding = getattr(sys.stdout, "encoding", None) or encoding
    else:
        target = open_target(path or "twistd.log")
    writer = LogWriter(target, lambda count: line(_dropped(count)), encoding)
    if not nodaemon:
        writer.hold()
    atexit.register(writer.finish_at_exit)

    def shown(event: LogEvent) -> str:
        passes = threshold is None or threshold.passes(event)
        return line(event) if passes and not is_noise(event) else ""

    observer = FileLogObserver(writer, shown)  # type: ignore[arg-type]
    return RelayLog(observer, writer, target if isinstance(target, FileTarget) else None)


def _standard_output() -> DescriptorTarget:
    if sys.stdout is None:
        # It was closed: descriptor 1 may be something else by now.
        target = open_target("/dev/null")
        assert isinstance(target, DescriptorTarget)
        return target
    return DescriptorTarget(sys.stdout.fileno())


def _dropped(count: int) -> LogEvent:
    """The event that reports dropped lines."""
    return {
        "log_level": LogLevel.warn,
        "log_namespace": __name__,
        "log_time": time.time(),
        "log_format": "dropped {count} log lines that could not be written",
        "count": count,
    }
