"""ops/relay.toml: every option of the relay, commented out, as ``--config`` reads it."""

import re
import textwrap
from collections.abc import Iterator

from apptuner_relay.config.help import TUNE_HEADING, headings, tunes
from apptuner_relay.config.option import Option

PATH = "ops/relay.toml"

HEAD = """\
# The configuration of an AppTuner relay, for --config FILE. Every option stands here with its
# default: remove the # in front of a line to change it. The command line and the environment win
# over this file. A value is what the option takes, in quotes; whole numbers, true (on) and false
# (off) need none. Made by ops/docs/run.
"""
_ARRAYS = ("listen", "allowed-origin", "forward")
_WIDTH = 98
_BARE = re.compile(r"[0-9]+")
_WORDS = {"on": "true", "off": "false"}


def render() -> str:
    """The file."""
    lines = [HEAD]
    for heading, options in headings():
        lines += [f"# {heading}", ""]
        for option in options:
            lines += _entry(option)
    lines += [f"# {TUNE_HEADING}: few operators need them.", "[tune]", ""]
    for option in tunes():
        lines += _entry(option)
    return "\n".join(lines)


def _entry(option: Option) -> Iterator[str]:
    accepts = option.parse.accepts
    text = f"{option.doc}.{f' [{accepts}]' if accepts else ''}"
    yield textwrap.fill(
        text,
        _WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield f"#{option.name} = {_value(option)}"
    yield ""


def _value(option: Option) -> str:
    default = re.sub(r"^(/var/tmp/\w+_)[0-9]+$", r"\1UID", option.default) or "none"
    if option.name in _ARRAYS and default != "none":
        return f'["{default}"]'
    if default in _WORDS:
        return _WORDS[default]
    return default if _BARE.fullmatch(default) else f'"{default}"'
