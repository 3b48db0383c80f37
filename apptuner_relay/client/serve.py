"""`serve`: runs a relay as `twistd -n --pidfile= apptuner-relay` does, under a name that is easy
to remember. It imports nothing of the relay: twistd finds that by its plugin."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from apptuner_relay.client.command import PassedOnCommand
from apptuner_relay.client.outcome import Exit
from apptuner_relay.config.help import CHECK_DOC, CONFIG_DOC, TUNE_DOC, facts_of, headings, tunes

PLUGIN = "apptuner-relay"
_REPEATABLE = ("listen", "allowed-origin", "forward")


def twistd_arguments(words: Sequence[str]) -> list[str]:
    """The command line of twistd for what stands behind `serve`: `--logfile` is twistd's own
    option, all others are the relay's."""
    own, rest = ["-n", "--pidfile="], list[str]()
    taken = iter(words)
    for word in taken:
        if word == "--logfile":
            own += [f"--logfile={next(taken, '')}"]
        elif word.startswith("--logfile="):
            own.append(word)
        else:
            rest.append(word)
    return ["twistd", *own, PLUGIN, *rest]


def serve(words: Sequence[str]) -> Exit:
    """Run a relay with the options `words`, until it is stopped."""
    from twisted.scripts.twistd import run

    sys.argv = twistd_arguments(words)
    run()
    return Exit.DONE


def _add_arguments(parser: ArgumentParser) -> None:
    """The relay's options, for help and completion; the relay itself reads what is given."""
    parser.usage = "%(prog)s [option of the relay ...]"
    parser.add_argument(
        "--logfile", metavar="FILE", help="log to this file instead of the terminal"
    )
    parser.add_argument("--config", metavar="FILE", help=_escaped(CONFIG_DOC))
    parser.add_argument("--check", action="store_true", help=_escaped(CHECK_DOC))
    for heading, options in headings():
        group = parser.add_argument_group(heading)
        for option in options:
            group.add_argument(
                f"--{option.name}",
                metavar=option.parse.metavar,
                action="append" if option.name in _REPEATABLE else "store",
                help=_escaped(f"{option.doc} [{facts_of(option)}]"),
            )
    group = parser.add_argument_group("Details")
    names = ", ".join(one.name for one in tunes())
    group.add_argument(
        "--tune", metavar="NAME=VALUE", action="append", help=_escaped(f"{TUNE_DOC}: {names}")
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


COMMAND = PassedOnCommand(
    "serve",
    "Runs a relay in this terminal, until Ctrl-C or SIGTERM. Options are those of\n"
    "`twistd apptuner-relay`, which this runs; each is also a variable of the environment, and a\n"
    "key of the file of --config.",
    _add_arguments,
    serve,
)
