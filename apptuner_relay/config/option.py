"""`option` declares a field of a group of settings, with all that an operator is told of it.

A group is a frozen dataclass whose fields are options: the field has the name and the type, and
`option` the default, the parser and the help. So each of them stands in one place.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeVar

from apptuner_relay.config.parsers import Parser

ENVIRONMENT_PREFIX = "APPTUNER_"

T = TypeVar("T")
_KEY = "option"


@dataclass(frozen=True)
class Option:
    """What an operator can set."""

    group: str
    """The field of `Settings` that has its group."""
    setting: str
    """The field of the group."""
    default: str
    """What one would type to have what is had without the option."""
    parse: Parser[Any]
    doc: str
    """One sentence or more, the last without its full stop."""
    secret: bool
    """Whether its value is never shown."""
    tune: bool
    """Whether it is set by ``--tune NAME=VALUE``; it then has an older spelling, too."""
    former: str | None
    """What it was called, where it was called otherwise."""

    @property
    def name(self) -> str:
        """Without the dashes in front: of an option of its own, or of ``--tune``."""
        return self.setting.replace("_", "-")

    @property
    def spelling(self) -> str:
        """The name of an option of its own: for one of ``--tune`` the older spelling."""
        return self.former or self.name

    @property
    def variable(self) -> str:
        """The environment variable of its own: for one of ``--tune`` the older spelling."""
        return variable_of(self.spelling)


def variable_of(name: str) -> str:
    """The environment variable of an option, which is given without its dashes."""
    return ENVIRONMENT_PREFIX + name.replace("-", "_").upper()


def option(
    default: str,
    parse: Parser[T],
    doc: str,
    *,
    secret: bool = False,
    tune: bool = False,
    former: str | None = None,
) -> T:
    """A field of a group of settings; see `Option` for the parameters."""
    facts = {
        **{"default": default, "parse": parse, "doc": doc},
        **{"secret": secret, "tune": tune, "former": former},
    }
    # A dataclass has the field's default as the attribute of the class.
    field: Any = dataclasses.field(default=parse(default), repr=not secret, metadata={_KEY: facts})
    return field  # type: ignore[no-any-return]


def options_of(group: str, settings: Any) -> list[Option]:
    """The options of a group of settings, in their order.

    :param group: its name in `Settings`.
    :param settings: the group, or its class.
    """
    return [
        Option(group=group, setting=field.name, **field.metadata[_KEY])
        for field in dataclasses.fields(settings)
    ]
