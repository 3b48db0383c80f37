"""The command line and the environment of the relay: `Options` makes `Settings` of them.

``--max-mobiles 8`` on the command line is ``APPTUNER_MAX_MOBILES=8`` in the environment, and
``max-mobiles = 8`` in the file of ``--config``; the command line wins over the environment, and
that over the file. Details that few operators need are set by ``--tune NAME=VALUE``. They were
options of their own once, and still are, with a warning.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from twisted.python import usage

from apptuner_relay.config.config_file import BadFile, ConfigFile, read_config_file
from apptuner_relay.config.help import (
    CHECK_DOC,
    CONFIG_DOC,
    CONFIG_VARIABLE,
    TUNE_DOC,
    TUNE_VARIABLE,
    format_help,
)
from apptuner_relay.config.option import ENVIRONMENT_PREFIX, Option, variable_of
from apptuner_relay.config.settings import OPTIONS, Settings, make_settings
from apptuner_relay.config.unused import find_unused
from apptuner_relay.support.version import release

_BY_NAME = {option.name: option for option in OPTIONS}
_LISTEN = _BY_NAME["listen"]
_TUNES = {option.name: option for option in OPTIONS if option.tune}
_FORMER_TUNES = {option.former: option for option in OPTIONS if option.tune and option.former}
_OTHER_VARIABLES = tuple(map(variable_of, ("relay", "key", "token", "test-patience-s")))
"""The companion program's, and the tests'."""
_REPEATABLE = ("listen", "allowed-origin", "forward", "tune")
_ARRAYS = ("listen", "allowed-origin", "forward", "trusted-proxy", "subprotocol")
"""The options that are arrays in a file, of texts that have spaces between them elsewhere."""
_UNKNOWN_OPTION = re.compile(r"option (-\S+) not recognized")
_BEFORE_A_TUNE = re.compile(r"\s+(?=[A-Za-z_-]+\s*=)")


class BadOption(usage.UsageError):
    """An invalid value; the text names the option or variable, and says why."""


class _Given(NamedTuple):
    """A value that an option was given."""

    source: str
    """Where, for error messages."""
    text: str
    is_old: bool = False
    """Whether that is an older spelling."""


class InForce(NamedTuple):
    """An option that isn't at its default."""

    option: Option
    source: str
    """Where it was given: ``--max-mobiles``, ``APPTUNER_TUNE window``, ``relay.toml: listen``."""
    shown: str
    """Its value as it was given; ``***`` for a secret."""


class Options(usage.Options):
    """The options of ``twistd apptuner-relay``."""

    synopsis = "[options]"
    optParameters = [
        [option.spelling, None, None, option.doc]
        for option in OPTIONS
        if option.name not in _REPEATABLE
    ] + [["config", None, None, CONFIG_DOC]]
    optFlags = [["check", None, CHECK_DOC]]

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._environment = os.environ if environment is None else environment
        self.update({name: [] for name in _REPEATABLE})
        self.settings = Settings()
        self.listen_source = "--listen"
        """Where the endpoints were given, for error messages."""
        self.old_spellings: list[tuple[str, str]] = []
        """The older spellings that were used, each with its name for ``--tune``."""
        self.in_force: list[InForce] = []
        """The options that aren't at their defaults, in the order of the table."""
        self.config_path: str | None = None
        """The file of ``--config``; None without one."""
        self._words: list[str] = []

    def opt_listen(self, endpoint: str) -> None:
        self["listen"].append(endpoint)

    def opt_allowed_origin(self, origin: str) -> None:
        self["allowed-origin"].append(origin)

    def opt_forward(self, route: str) -> None:
        self["forward"].append(route)

    def opt_tune(self, tunes: str) -> None:
        self["tune"].append(tunes)

    opt_listen.__doc__ = _LISTEN.doc
    opt_allowed_origin.__doc__ = _BY_NAME["allowed-origin"].doc
    opt_forward.__doc__ = _BY_NAME["forward"].doc
    opt_tune.__doc__ = TUNE_DOC

    def opt_help(self) -> None:
        """Print this and exit."""
        try:
            print(self, flush=True)
        except BrokenPipeError:
            # Whoever read it has seen enough. Python would complain when it flushes once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)

    def opt_version(self) -> None:
        """Print the relay's version and commit, and exit."""
        print(f"apptuner-relay {release()}")
        sys.exit(0)

    def getUsage(self, width: int | None = None) -> str:
        """See `usage.Options`. The options stand below the headings of their groups."""
        return format_help(width or shutil.get_terminal_size().columns)

    def parseArgs(self, *arguments: str) -> None:
        """There are none."""
        if arguments:
            raise BadOption(f"unexpected argument: {arguments[0]!r}")

    def parseOptions(self, options: list[str] | None = None) -> None:
        """As usage.Options does, but a wrong value is one line on stderr and exit status 1."""
        self._words = list(options or ())
        try:
            super().parseOptions(options)
        except usage.UsageError as wrong:
            unknown = _UNKNOWN_OPTION.fullmatch(str(wrong))
            if unknown is not None:
                spellings = [f"--{name}" for name in (*_BY_NAME, "tune", "config", "help")]
                wrong = _no_such(unknown[1], spellings)
            sys.exit(f"apptuner-relay: {wrong}")

    def read_again(self) -> "Options":
        """What the same command line and environment mean with the file as it is now.

        :raises usage.UsageError: something in it is wrong.
        """
        again = Options(self._environment)
        usage.Options.parseOptions(again, self._words)
        return again

    def postOptions(self) -> None:
        """Make `settings` of what was given.

        :raises BadOption: for an invalid value, one that would change nothing, or a variable or a
            key of the file that is not the relay's.
        """
        own = {option.variable for option in OPTIONS} | {TUNE_VARIABLE, CONFIG_VARIABLE}
        for variable in self._environment:
            is_known = variable in own or variable in _OTHER_VARIABLES
            if variable.startswith(ENVIRONMENT_PREFIX) and not is_known:
                raise _no_such(variable, own)
        file = self._read_file()
        tunes = _read_tunes("--tune", self["tune"])
        tunes_set = _read_tunes(TUNE_VARIABLE, [self._environment.get(TUNE_VARIABLE, "")])
        tunes_kept = _known_tunes(file.source("tune"), file.tunes.items())
        values: dict[str, object] = {}
        given: dict[str, _Given] = {}
        for option in OPTIONS:
            in_order = (
                tunes.get(option.name),
                self._typed(option),
                tunes_set.get(option.name),
                self._set(option),
                tunes_kept.get(option.name),
                _kept(option, file),
            )
            found = [one for one in in_order if one is not None]
            for one in found:
                if one.is_old:
                    self.old_spellings.append((one.source, option.name))
            if found:
                values[option.setting] = _parse(option, found[0])
                given[option.setting] = found[0]
        self._place_listen(values, given, file)
        self.settings = settings = make_settings(**values)
        self.in_force = list(_find_in_force(settings, given))
        self._check(settings, given)

    @staticmethod
    def _check(settings: Settings, given: Mapping[str, _Given]) -> None:
        """Check that the options go together.

        :raises BadOption: one lacks another, contradicts it, or would change nothing.
        """
        if settings.cluster.redis is not None and settings.cluster.cluster_secret is None:
            raise BadOption("--redis: needs --cluster-secret as well, the same on every relay")
        managed = settings.managed.managed
        if managed and not managed.is_local and settings.managed.managed_secret is None:
            raise BadOption("--managed: needs --managed-secret as well, the application's")
        notice, warning = settings.warnings.notice_sessions, settings.warnings.warning_sessions
        if notice is not None and warning is not None and notice > warning:
            raise BadOption(
                f"--notice-sessions: {notice} is above --warning-sessions, {warning}: the notice "
                "would never come"
            )
        for name, need in find_unused(settings):
            raise BadOption(f"{given[name].source}: has no effect without {need}")

    def _place_listen(
        self, values: dict[str, object], given: Mapping[str, _Given], file: ConfigFile
    ) -> None:
        """Put the endpoints into ``values`` where they were given."""
        # An endpoint may have spaces in it on the command line, and in an array of the file.
        if "listen" in given:
            self.listen_source = given["listen"].source
        if self["listen"]:
            values["listen"] = tuple(self["listen"])
        elif self.listen_source == file.source("listen") and file.endpoints:
            values["listen"] = file.endpoints
        elif not values.get("listen"):
            values.pop("listen", None)

    def _read_file(self) -> ConfigFile:
        """What the file of ``--config`` has; nothing where there is none.

        :raises BadOption: it can't be used, or has a key that is no option.
        """
        source, path = "--config", self["config"]
        if path is None:
            source, path = CONFIG_VARIABLE, self._environment.get(CONFIG_VARIABLE)
        if not path:
            return ConfigFile()
        self.config_path = path
        try:
            file = read_config_file(path, _ARRAYS)
        except BadFile as wrong:
            raise BadOption(f"{source}: {wrong}") from None
        for key in file.options:
            if key in _TUNES or key in _FORMER_TUNES:
                raise BadOption(f"{file.source(key)} is a detail: it stands below [tune]")
            if key not in _BY_NAME:
                raise _no_such(key, set(_BY_NAME) - set(_TUNES), file.source(key))
        return file

    def _typed(self, option: Option) -> _Given | None:
        """What the command line has under the option's own name."""
        text = self[option.spelling]
        if option.name in _REPEATABLE:
            text = " ".join(text) or None
        return None if text is None else _Given(f"--{option.spelling}", text, option.tune)

    def _set(self, option: Option) -> _Given | None:
        """What the environment has under the option's own name."""
        text = self._environment.get(option.variable)
        return None if text is None else _Given(option.variable, text, option.tune)


def _parse(option: Option, given: _Given) -> object:
    try:
        return option.parse(given.text)
    except ValueError as wrong:
        shown = given.source if option.secret else f"{given.source}: {given.text!r}"
        raise BadOption(f"{shown}: {wrong}") from None


def _find_in_force(settings: Settings, given: Mapping[str, _Given]) -> Iterator[InForce]:
    for option in OPTIONS:
        one = given.get(option.setting)
        value = getattr(getattr(settings, option.group), option.setting)
        if one is not None and value != option.parse(option.default):
            yield InForce(option, one.source, "***" if option.secret else one.text)


def _kept(option: Option, file: ConfigFile) -> _Given | None:
    """What the file has under the option's own name."""
    text = None if option.tune else file.options.get(option.name)
    return None if text is None else _Given(file.source(option.name), text)


def _no_such(name: str, known: Iterable[str], source: str | None = None) -> BadOption:
    """Says that ``name`` is no option, and which it may have been meant to be."""
    near = _nearest(name, known)
    meant = f"did you mean {near}?" if near else "--help lists them"
    return BadOption(f"{source or name}: no such option; {meant}")


def _nearest(name: str, known: Iterable[str]) -> str | None:
    """Which name was meant, if any looks like it."""
    # A relay that starts needs none of this.
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, known, 1)), None)


def _read_tunes(source: str, texts: Iterable[str]) -> dict[str, _Given]:
    """What ``--tune`` or its variable has, by the option's name; of two for one, the last.

    :raises BadOption: something in it is not the name of a detail, or has no value.
    """
    return _known_tunes(source, _split_tunes(source, texts))


def _known_tunes(source: str, tunes: Iterable[tuple[str, str]]) -> dict[str, _Given]:
    """Details by the option's name; see `_read_tunes`."""
    found = {}
    for name, value in tunes:
        option = _TUNES.get(name) or _FORMER_TUNES.get(name)
        if option is None:
            if name in _BY_NAME:
                raise BadOption(f"{source}: {name} is an option of its own: --{name}")
            near = _nearest(name, _TUNES)
            meant = f"; did you mean {near}?" if near else ""
            raise BadOption(f"{source}: {name!r} is none of {', '.join(sorted(_TUNES))}{meant}")
        found[option.name] = _Given(f"{source} {name}", value, name in _FORMER_TUNES)
    return found


def _split_tunes(source: str, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    for text in texts:
        for part in filter(None, _BEFORE_A_TUNE.split(text.strip())):
            name, equals, value = part.partition("=")
            if not equals:
                raise BadOption(f"{source}: {part!r} must be NAME=VALUE")
            yield name.strip().lower().replace("_", "-"), value
