"""Which of Twisted's own log lines say nothing to an operator: that a factory starts, that a port
is closed, which reactor there is. The relay's first line says what matters of that. Pure.

It goes by the text that Twisted has in its code, never by what is filled in, and never leaves out
anything above the level of information.
"""

import re

from twisted.logger import LogEvent, LogLevel

_FORMATS = frozenset(
    (
        "Starting factory {factory!r}",
        "Stopping factory {factory!r}",
        "twistd {version} ({exe} {pyVersion}) starting up.",
        "reactor class: {reactor}.",
        "Main loop terminated.",
    )
)
_LEGACY = "{log_text}"
"""The format of events of ``twisted.python.log``, which are text from the start."""
_LEGACY_TEXTS = re.compile(
    r"Log opened\.|\S+ starting on \S+|\((?:[A-Z]+ )?Port \S+ Closed\)", re.ASCII
)


def is_noise(event: LogEvent) -> bool:
    """Whether an event says nothing to an operator."""
    if event.get("log_level") not in (None, LogLevel.info) or event.get("isError"):
        return False
    if "log_failure" in event:
        return False
    text = event.get("log_format")
    if text == _LEGACY:
        return _LEGACY_TEXTS.fullmatch(str(event.get("log_text"))) is not None
    return text in _FORMATS
