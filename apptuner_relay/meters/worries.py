"""When to worry: conditions that start and end, each known by a name. Pure.

Other parts add theirs with `Worries.watch`: the spool its budget, a directory its Redis.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from apptuner_relay.clocks import in_ms

Probe = Callable[[], str | None]
"""Tells what is wrong now, as a sentence for people, or None."""


class Level(Enum):
    """How much to worry."""

    NOTICE = "notice"
    """Something to plan for."""
    WARNING = "warning"
    """Something to act on."""


@dataclass(frozen=True)
class Worry:
    """One that is on."""

    name: str
    level: Level
    since_ms: int
    text: str
    degrades: bool
    began_s: float = 0.0
    """By the monotonic clock."""

    def row(self) -> dict[str, object]:
        """As JSON shows it."""
        return {
            "name": self.name,
            "level": self.level.value,
            "since_ms": self.since_ms,
            "text": self.text,
        }


class Change(NamedTuple):
    """A worry has started or ended."""

    started: bool
    worry: Worry
    """As it was last, where it ended."""
    lasted_s: float
    """For how long it was on, where it ended."""


class _Watched:
    def __init__(self, probe: Probe, level: Level, for_s: float, degrades: bool) -> None:
        self.probe = probe
        self.level = level
        self.for_s = for_s
        self.degrades = degrades
        self.wrong_since_s: float | None = None
        self.worry: Worry | None = None


class Worries:
    """The conditions that are watched, and those of them that are on."""

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = {}

    def watch(
        self,
        name: str,
        probe: Probe,
        *,
        level: Level = Level.WARNING,
        for_s: float = 0.0,
        degrades: bool = False,
    ) -> None:
        """Ask ``probe`` at each `check` from now on.

        :param name: for metrics and alerts: a word such as ``redis`` or ``spool``.
        :param for_s: the worry starts once every check of so many seconds found something wrong;
            it ends with the first one that doesn't.
        :param degrades: whether a load balancer should send clients elsewhere meanwhile.
        :raises ValueError: the name is taken.
        """
        if name in self._watched:
            raise ValueError(f"{name} is watched already")
        self._watched[name] = _Watched(probe, level, for_s, degrades)

    @property
    def names(self) -> dict[str, Level]:
        """All that is watched, on or not."""
        return {name: watched.level for name, watched in self._watched.items()}

    @property
    def active(self) -> list[Worry]:
        """Those that are on, in the order in which they were declared."""
        return [watched.worry for watched in self._watched.values() if watched.worry is not None]

    def check(self, now_s: float, wall_s: float) -> list[Change]:
        """Ask every probe; returns what has started or ended since the last time.

        :param now_s: the monotonic clock's time, by which it is decided.
        :param wall_s: the time of day, for people.
        """
        changes = []
        for name, watched in self._watched.items():
            text = watched.probe()
            before = watched.worry
            if text is None:
                watched.wrong_since_s = watched.worry = None
                if before is not None:
                    lasted_s = now_s - before.began_s
                    changes.append(Change(False, before, lasted_s))
                continue
            if watched.wrong_since_s is None:
                watched.wrong_since_s = now_s
            if before is None and now_s - watched.wrong_since_s < watched.for_s:
                continue
            if before is not None:
                watched.worry = replace(before, text=text)
                continue
            watched.worry = Worry(
                name, watched.level, in_ms(wall_s), text, watched.degrades, began_s=now_s
            )
            changes.append(Change(True, watched.worry, 0.0))
        return changes
