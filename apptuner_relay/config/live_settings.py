"""The settings that are in force now. Few options can change while the relay runs; the parts whose
limits they are read them here, or are called when they change.
"""

import dataclasses
from collections.abc import Callable, Iterable

from apptuner_relay.config.option import Option
from apptuner_relay.config.settings import OPTIONS, Settings

LIVE = frozenset(
    (
        *("admin_token", "connect_rate", "failed_joins", "failed_joins_total"),
        *("sessions_per_address", "max_mobiles", "max_pages", "log_level", "log_bundles"),
    )
)
"""The options that take effect in a running relay, by the names of their settings."""


def value_of(settings: Settings, option: Option) -> object:
    """An option's value in settings."""
    return getattr(getattr(settings, option.group), option.setting)


def changed_options(before: Settings, after: Settings) -> list[Option]:
    """The options that differ, in the order of the table."""
    return [one for one in OPTIONS if value_of(before, one) != value_of(after, one)]


class LiveSettings:
    """The settings of one relay."""

    def __init__(self, settings: Settings) -> None:
        self._now = settings
        self._calls: list[Callable[[Settings], None]] = []

    @property
    def now(self) -> Settings:
        """Those in force. Of the options that are not `LIVE`, those at the start."""
        return self._now

    def subscribe(self, call: Callable[[Settings], None]) -> None:
        """Have ``call`` called with the settings whenever they have changed."""
        self._calls.append(call)

    def change(self, wanted: Settings) -> tuple[list[Option], list[Option]]:
        """Take from other settings what can take effect now.

        :return: the options that have changed, and those that would need a restart.
        """
        changed = changed_options(self._now, wanted)
        live = [one for one in changed if one.setting in LIVE]
        if live:
            self._now = _replace(self._now, wanted, live)
            for call in self._calls:
                call(self._now)
        return live, [one for one in changed if one.setting not in LIVE]


def _replace(before: Settings, after: Settings, options: Iterable[Option]) -> Settings:
    fields: dict[str, dict[str, object]] = {}
    for one in options:
        fields.setdefault(one.group, {})[one.setting] = value_of(after, one)
    groups = {
        name: dataclasses.replace(getattr(before, name), **changed)
        for name, changed in fields.items()
    }
    return dataclasses.replace(before, **groups)
