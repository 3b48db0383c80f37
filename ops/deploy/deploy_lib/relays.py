"""The relays of a host, and what restarts them."""

import re
from collections.abc import Sequence
from typing import NamedTuple

# One that has failed too often isn't started again until that is forgotten.
DEFAULT_RESTART = (
    "systemctl reset-failed apptuner-relay.service; systemctl restart apptuner-relay.service"
)
DEFAULT_HEALTH = "http://127.0.0.1:3000/health"


class Instance(NamedTuple):
    """A relay on the host."""

    url: str
    """Its ``/health``."""
    unit: str | None
    """Its unit of systemd, as far as the command says that restarts it."""


class Group(NamedTuple):
    """The relays that one command restarts."""

    restart: str
    instances: list[Instance]


def health_url(url: str) -> str:
    """Where a relay says what it is: beside ``/ready``, which says no more than that."""
    return re.sub(r"/(ready|live)$", "/health", url)


def units_in(restart: str) -> list[str]:
    """The units that a command has systemd restart."""
    found = re.findall(r"systemctl\s+(?:--?\S+\s+)*restart\s+([^;&|\n]+)", restart)
    names = [word for words in found for word in words.split()]
    return [name for name in names if re.fullmatch(r"[\w@:.\\-]+", name)]


def list_groups(restarts: Sequence[str] | None, urls: Sequence[str] | None) -> list[Group]:
    """What is restarted, one after the other.

    :param restarts: the commands; one for all URLs, or one for each. None for the default.
    """
    restarts = restarts or [DEFAULT_RESTART]
    urls = [health_url(url) for url in urls or [DEFAULT_HEALTH]]
    shares = [urls] if len(restarts) == 1 else [[url] for url in urls]
    groups = []
    for restart, share in zip(restarts, shares, strict=True):
        units: list[str | None] = [*units_in(restart)]
        if len(units) != len(share):
            # A unit that is restarted alone is that of all of them.
            units = [units[0] if len(units) == 1 else None] * len(share)
        together = zip(share, units, strict=True)
        groups.append(Group(restart, [Instance(url, unit) for url, unit in together]))
    return groups
