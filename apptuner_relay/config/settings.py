"""All that an operator can set, in groups: each part of the relay is given the groups it needs."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from apptuner_relay.config.groups.access_settings import AccessSettings
from apptuner_relay.config.groups.bundle_settings import BundleSettings
from apptuner_relay.config.groups.cluster_settings import ClusterSettings
from apptuner_relay.config.groups.forwarding_settings import ForwardingSettings
from apptuner_relay.config.groups.limit_settings import LimitSettings
from apptuner_relay.config.groups.listening_settings import ListeningSettings
from apptuner_relay.config.groups.log_settings import LogSettings
from apptuner_relay.config.groups.managed_settings import ManagedSettings
from apptuner_relay.config.groups.slow_client_settings import SlowClientSettings
from apptuner_relay.config.groups.warning_settings import WarningSettings
from apptuner_relay.config.option import Option, options_of


@dataclass(frozen=True)
class Settings:
    """The options, validated. Without arguments it has their defaults."""

    listening: ListeningSettings = field(default_factory=ListeningSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    bundles: BundleSettings = field(default_factory=BundleSettings)
    slow: SlowClientSettings = field(default_factory=SlowClientSettings)
    warnings: WarningSettings = field(default_factory=WarningSettings)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    managed: ManagedSettings = field(default_factory=ManagedSettings)
    forwarding: ForwardingSettings = field(default_factory=ForwardingSettings)
    logs: LogSettings = field(default_factory=LogSettings)


_DEFAULTS = Settings()
OPTIONS: tuple[Option, ...] = tuple(
    option
    for group in dataclasses.fields(Settings)
    for option in options_of(group.name, getattr(_DEFAULTS, group.name))
)
"""Every option, group by group. The name of a setting is in one group only."""

_GROUPS = {option.setting: option.group for option in OPTIONS}


def make_settings(**values: Any) -> Settings:
    """Settings of which ``values``, by name, are not the defaults: ``make_settings(window=65536)``
    has it in ``limits``.

    :raises KeyError: there is no setting of such a name.
    """
    groups: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        groups.setdefault(_GROUPS[name], {})[name] = value
    changed = {
        group: dataclasses.replace(getattr(_DEFAULTS, group), **fields)
        for group, fields in groups.items()
    }
    return dataclasses.replace(_DEFAULTS, **changed)
