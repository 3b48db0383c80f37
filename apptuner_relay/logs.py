"""The log as JSON, one object a line, for programs that read logs. As text it is twistd's own.

`json_line` makes the line and is pure; `json_observer` gives it to the file that twistd's own
observer would have written to.
"""

import json
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from twisted.logger import FileLogObserver, LogEvent, formatEvent
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile

_OWN_FIELDS = ("time", "level", "logger", "message", "traceback")
_LEGACY_FIELDS = frozenset(
    {"format", "isError", "failure", "why", "system", "printed", "logLevel", "log_legacy"}
)
"""What ``twisted.python.log`` puts into events for its own purposes."""
_DEPTH = 4
_MOST_ITEMS = 1000


def json_line(event: LogEvent) -> str:
    """``{"time":…,"level":…,"logger":…,"message":…}`` and the event's own fields, such as
    ``session`` (never more of it than logs may show), in one line."""
    message = formatEvent(event)
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
        if legacy and name in _LEGACY_FIELDS:
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
    """``value`` as JSON has it; what that is nothing of is shown as text."""
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


def json_observer(twistd: Mapping[str, Any], reactor: Any) -> FileLogObserver:
    """Where ``twistd``'s options say that the log goes: a file, which SIGUSR1 rotates as twistd
    does, or standard output.

    :raises ValueError: JSON can't go there; the text says why.
    """
    if twistd.get("syslog"):
        raise ValueError("json does not go to syslog")
    nodaemon, path = twistd.get("nodaemon"), twistd.get("logfile")
    if path == "-" and not nodaemon:
        raise ValueError("a daemon has no standard output to log to")
    if path == "-" or (nodaemon and not path):
        return FileLogObserver(sys.stdout, json_line)
    file = LogFile.fromFullPath(path or "twistd.log")
    if not signal.getsignal(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(file.rotate))
    return FileLogObserver(file, json_line)
