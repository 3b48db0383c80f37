"""Log events as lines of text, as twistd's own log has them.

Twisted formats by Python code that allows calls in a format (``{name()}``). Nearly all formats have
none, and for these `str.format_map` gives the same.
"""

from functools import lru_cache

from twisted.logger import LogEvent, formatEvent, formatEventAsClassicLogText, formatTime

_NOT_PLAIN = ("log_failure", "log_flattened", "log_system")
"""Fields of events of which more than their format is shown."""


def event_text(event: LogEvent) -> str:
    """The message of an event."""
    form = event.get("log_format")
    if isinstance(form, str) and "()" not in form and "log_flattened" not in event:
        try:
            return form.format_map(event)
        except Exception:
            # Twisted says what is wrong.
            return formatEvent(event)
    return formatEvent(event)


def classic_line(event: LogEvent) -> str:
    """An event as twistd's own log has it; "" for one without a message."""
    when_s, level = event.get("log_time"), event.get("log_level")
    if any(name in event for name in _NOT_PLAIN) or not isinstance(when_s, float) or level is None:
        return formatEventAsClassicLogText(event) or ""
    text = event_text(event)
    if not text:
        return ""
    if "\n" in text:
        text = text.replace("\n", "\n\t")
    namespace = event.get("log_namespace", "-")
    return f"{_show_second(int(when_s))} [{namespace}#{level.name}] {text}\n"


@lru_cache(maxsize=2)
def _show_second(when_s: int) -> str:
    """A time, as Twisted shows it. Its offset from UTC may differ from that of another second."""
    return formatTime(when_s)
