"""The configuration file of ``--config``: TOML whose keys are the names of options.

    listen = ["tcp:3000", "tls:tcp:443"]
    max-mobiles = 8
    compression = false
    [tune]
    window = "1MiB"

A value is what one would type, as a string. Numbers may stand without quotes; true and false are
``on`` and ``off``. An option that can be repeated takes an array of strings.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

TUNE_TABLE = "tune"


class BadFile(ValueError):
    """The file can't be used. The text says why, and where in the file."""


@dataclass(frozen=True)
class ConfigFile:
    """What a configuration file has."""

    path: str = ""
    """As it was given."""
    options: dict[str, str] = field(default_factory=dict)
    """Texts as one would type them, by key. Those of an array have spaces between them."""
    tunes: dict[str, str] = field(default_factory=dict)
    """Those of the table ``tune``."""
    endpoints: tuple[str, ...] = ()
    """The array of ``listen``: an endpoint in it may have spaces."""

    def source(self, key: str) -> str:
        """How messages name the place of ``key``."""
        return f"{self.path}: {key}"


def read_config_file(path: str, arrays: Collection[str]) -> ConfigFile:
    """Read a file.

    :param arrays: the keys whose value may be an array.
    :raises BadFile: it can't be read, is no TOML, or has a value that no option takes.
    """
    # Most relays have no such file.
    import tomllib

    try:
        text = Path(path).expanduser().read_text("utf-8")
    except UnicodeDecodeError as wrong:
        raise BadFile(f"{path}: not UTF-8, at byte {wrong.start}") from None
    except (OSError, ValueError, RuntimeError) as wrong:
        why = getattr(wrong, "strerror", None) or "it can't be read"
        raise BadFile(f"{path}: {why}") from None
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        raise BadFile(f"{path}: not TOML: {wrong}") from None
    tunes = content.pop(TUNE_TABLE, {})
    if not isinstance(tunes, dict):
        raise BadFile(f"{path}: {TUNE_TABLE} must be a table: [{TUNE_TABLE}]")
    listen = content.get("listen")
    return ConfigFile(
        path,
        {key: _text(path, key, value, arrays) for key, value in content.items()},
        {key: _text(path, f"{TUNE_TABLE}.{key}", value, ()) for key, value in tunes.items()},
        tuple(map(str, listen)) if isinstance(listen, list) else (),
    )


def _text(path: str, key: str, value: object, arrays: Collection[str]) -> str:
    if isinstance(value, list):
        if key in arrays:
            return " ".join(_texts(path, key, value))
        raise BadFile(f"{path}: {key} takes one value, not an array")
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, dict):
        raise BadFile(f"{path}: {key} is a table: options stand at the top, details in [tune]")
    raise BadFile(f"{path}: {key} must be a string, a number, true or false")


def _texts(path: str, key: str, values: Iterable[object]) -> Iterable[str]:
    for value in values:
        if not isinstance(value, str):
            raise BadFile(f"{path}: {key} must be an array of strings")
        yield value
