"""docs/man/: the manual's pages, from the parser of `apptuner-relay` and the relay's options."""

import argparse
import re
from collections.abc import Iterable, Iterator

from apptuner_relay import __version__
from apptuner_relay.client.command import PassedOnCommand
from apptuner_relay.client.outcome import EXIT_CODES_HELP, PROGRAM
from apptuner_relay.config.help import (
    CHECK_DOC,
    CONFIG_DOC,
    INTRODUCTION,
    TUNE_DOC,
    TUNE_HEADING,
    facts_of,
    headings,
    tunes,
)
from apptuner_relay.config.option import Option
from docs_lib.commands import (
    ENVIRONMENT,
    CommandEntry,
    entries,
    meaning,
    of_no_machine,
    usage,
    value,
    whole_parser,
)
from docs_lib.roff import ManPage, bold, escaped, italic

FOLDER = "docs/man"
SERVER = f"{PROGRAM}-server"
_VERSION = f"AppTuner Relay {__version__}"
_COMMANDS_MANUAL, _SERVER_MANUAL = "AppTuner Relay", "AppTuner Relay: the server"


def pages() -> Iterator[tuple[str, str]]:
    """Each page: its path from the repository's root, and its source."""
    commands = entries()
    yield f"{FOLDER}/{PROGRAM}.1", _program(commands)
    for entry in commands:
        yield f"{FOLDER}/{PROGRAM}-{entry.name}.1", _command(entry)
    yield f"{FOLDER}/{SERVER}.8", of_no_machine(_server())


def _program(commands: Iterable[CommandEntry]) -> str:
    page = ManPage(PROGRAM, 1, _VERSION, _COMMANDS_MANUAL)
    parser = whole_parser()
    _name(page, PROGRAM, "run an AppTuner relay, and play its clients")
    page.heading("Synopsis")
    page.line(f"{bold(PROGRAM)} {italic('COMMAND')} [{italic('argument')} ...]")
    page.line(f"{bold(PROGRAM)} [{bold('--version')}] [{bold('--help')}]")
    page.heading("Description")
    page.text(parser.description or "")
    page.heading("Commands")
    for entry in commands:
        page.item(f"{bold(f'{PROGRAM}-{entry.name}')}(1)", f"{_sentence(entry.summary)}.")
    page.heading("Environment")
    for names, text in ENVIRONMENT:
        page.item(", ".join(bold(name) for name in names), f"{_sentence(text)}.")
    _exit_status(page)
    page.heading("See also")
    page.line(f"{bold(SERVER)}(8)")
    return page.render()


def _command(entry: CommandEntry) -> str:
    page = ManPage(f"{PROGRAM}-{entry.name}", 1, _VERSION, _COMMANDS_MANUAL)
    _name(page, f"{PROGRAM}-{entry.name}", entry.summary)
    page.heading("Synopsis")
    program, name, *rest = usage(entry.parser).split(" ")
    page.line(" ".join([bold(program), bold(name), *(_marked(word) for word in rest)]))
    page.heading("Description")
    page.text(entry.parser.description or "")
    if isinstance(entry.parser.get_default("command"), PassedOnCommand):
        page.text(f"The options are in {SERVER}(8), and --logfile FILE logs to a file.")
    else:
        page.heading("Arguments")
        _arguments(page, entry.parser)
    _exit_status(page)
    page.heading("See also")
    page.line(f"{bold(PROGRAM)}(1), {bold(SERVER)}(8)")
    return page.render()


def _server() -> str:
    page = ManPage(SERVER, 8, _VERSION, _SERVER_MANUAL)
    _name(page, SERVER, "the relay of AppTuner's CLI and phones")
    page.heading("Synopsis")
    option = f"[{italic('option')} ...]"
    page.line(f"{bold('twistd -n apptuner-relay')} {option}")
    page.line(f"{bold('apptuner-relay serve')} {option}")
    page.heading("Description")
    page.text(INTRODUCTION)
    page.text(
        "`-n`, `--logfile` and `--pidfile` are options of `twistd`, and stand before "
        "`apptuner-relay`. SIGTERM and Ctrl-C stop the relay; SIGHUP has it read its certificate "
        "again, and open its log anew."
    )
    page.heading("Options")
    for heading, options in headings():
        page.subheading(heading)
        for one in options:
            _relay_option(page, one, f"{bold(f'--{one.name}')} {_marked(one.parse.metavar)}")
    page.subheading(TUNE_HEADING)
    page.item(f"{bold('--tune')} {italic('NAME=VALUE')}", f"{TUNE_DOC}.")
    for one in tunes():
        _relay_option(page, one, f"{bold(one.name)}={_marked(one.parse.metavar)}")
    page.subheading("Other")
    page.item(f"{bold('--config')} {italic('FILE')}", f"{CONFIG_DOC}.")
    page.item(bold("--check"), f"{CHECK_DOC}.")
    page.item(bold("--version"), "Print the relay's version and commit, and exit.")
    page.item(bold("--help"), "Print the options and exit.")
    page.heading("Exit status")
    page.item("0", "The relay was stopped, or --check found nothing wrong.")
    page.item("1", "An option is wrong, a port or a file can't be had, or --check found that.")
    page.heading("See also")
    page.line(f"{bold(PROGRAM)}(1), {bold(f'{PROGRAM}-doctor')}(1), {bold('twistd')}(1)")
    return page.render()


def _relay_option(page: ManPage, option: Option, tag: str) -> None:
    page.item(tag, f"{option.doc}.")
    page.more(f"[{facts_of(option)}]")


def _arguments(page: ManPage, parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        behind = value(action)
        if action.option_strings:
            names = ", ".join(bold(name) for name in action.option_strings)
            tag = f"{names}{f' {_marked(behind.strip())}' if behind else ''}"
        else:
            tag = _marked(behind.strip())
        page.item(tag, f"{_sentence(meaning(parser, action))}.")


def _name(page: ManPage, name: str, summary: str) -> None:
    page.heading("Name")
    page.line(f"{escaped(name)} \\- {escaped(summary)}")


def _exit_status(page: ManPage) -> None:
    page.heading("Exit status")
    for code, text in re.findall(r"(?m)^  (\d+) +(.*(?:\n       .*)*)", EXIT_CODES_HELP):
        page.item(code, f"{_sentence(text)}.")


def _marked(text: str) -> str:
    """An argument: names of values in italics, the rest as it is."""
    return re.sub(r"\b[A-Za-z][A-Za-z0-9_]*\b", lambda word: f"\\fI{word[0]}\\fR", escaped(text))


def _sentence(text: str) -> str:
    text = text.strip().rstrip(".")
    return text if text.startswith(("`", "--")) else text[:1].upper() + text[1:]
