"""What ``--help`` says of the options: the table in words."""

import dataclasses
import textwrap
from collections.abc import Iterator

from apptuner_relay.config.option import Option, variable_of
from apptuner_relay.config.settings import OPTIONS, Settings

TUNE_VARIABLE = variable_of("tune")
INTRODUCTION = (
    "Relays React Native bundles from AppTuner's CLI to the phones of its session. "
    "Each option is also an environment variable, which stands below it in brackets, and a key of "
    "the file of --config; the command line wins over a variable, and that over the file. A SIZE "
    "takes B, kB, MB, GB (powers of 1000), KiB, MiB or GiB (of 1024); without a unit it is in "
    "bytes. A TIME takes ms, s, m, h or d; without a unit it is in seconds."
)
TUNE_DOC = (
    "Change a detail that few operators need. NAME is one of those below. Repeat the option for "
    "more, or put spaces between them, as in the variable"
)
CHECK_DOC = (
    "Try out what the options name (ports, files, Redis, servers), print what is found and which "
    "options are in force, and exit: with 1 if something would fail. Nobody is served, and a relay "
    "that runs is not disturbed"
)
TUNE_HEADING = "Details"
CONFIG_VARIABLE = variable_of("config")
CONFIG_DOC = (
    "File with options, as TOML: max-mobiles = 8. Its keys are the names of options, without the "
    "dashes; details stand in its table [tune]"
)


def headings() -> Iterator[tuple[str, list[Option]]]:
    """The heading of each group, and the options below it; without those of ``--tune``."""
    for group in dataclasses.fields(Settings):
        heading: str = getattr(Settings(), group.name).HEADING
        yield heading, [one for one in OPTIONS if one.group == group.name and not one.tune]


def tunes() -> list[Option]:
    """The options of ``--tune``, by name."""
    return sorted((one for one in OPTIONS if one.tune), key=lambda one: one.name)


def facts_of(option: Option) -> str:
    """The values it takes, its default and its variable: ``1 to 1000; default: 5;
    APPTUNER_MAX_MOBILES``."""
    facts = [option.parse.accepts] if option.parse.accepts else []
    facts.append(f"default: {option.default or 'none'}")
    if not option.tune:
        facts.append(option.variable)
    return "; ".join(facts)


def format_help(width: int) -> str:
    """All of them, as ``--help`` prints them below the synopsis.

    :param width: of a line, in characters.
    """
    lines = ["", *textwrap.wrap(INTRODUCTION, width)]
    for heading, options in headings():
        lines += ["", f"{heading}:"]
        for one in options:
            lines += _entry(f"--{one.name}={one.parse.metavar}", one.doc, facts_of(one), width)
    lines += ["", f"{TUNE_HEADING}:"]
    lines += _entry("--tune=NAME=VALUE", TUNE_DOC, TUNE_VARIABLE, width)
    for one in tunes():
        lines += _entry(f"{one.name}={one.parse.metavar}", one.doc, facts_of(one), width, "    ")
    lines += ["", "Other:"]
    lines += _entry("--config=FILE", CONFIG_DOC, CONFIG_VARIABLE, width)
    lines += _entry("--check", CHECK_DOC, "", width)
    lines += _entry("--version", "Print the relay's version and commit, and exit", "", width)
    lines += _entry("--help", "Print this and exit", "", width)
    return "\n".join(lines) + "\n"


def _entry(head: str, doc: str, facts: str, width: int, indent: str = "  ") -> list[str]:
    inner = indent + "    "
    wrapper = textwrap.TextWrapper(
        max(width, 40),
        initial_indent=inner,
        subsequent_indent=inner,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [
        f"{indent}{head}",
        *wrapper.wrap(f"{doc}."),
        *wrapper.wrap(f"[{facts}]" if facts else ""),
    ]
