"""Conditions that an operator is warned of: each has a name, starts and ends. Pure.

`thresholds`, `cluster_view` and `managed_view` add theirs with `Conditions.watch`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from apptuner_relay.operator.condition_states import (
    TRANSITIONS,
    ConditionEvent,
    ConditionState,
)
from apptuner_relay.support.clocks import in_ms

Probe = Callable[[], str | None]
"""Returns what is wrong now, as a sentence for people; None if nothing is."""


MOST_PAST = 50
"""How many conditions that are over are remembered."""


class Level(Enum):
    """How serious a condition is."""

    NOTICE = "notice"
    """Something to plan for."""
    WARNING = "warning"
    """Something to act on."""


@dataclass(frozen=True)
class Condition:
    """A condition that is active."""

    name: str
    level: Level
    since_ms: int
    text: str
    degrades: bool
    is_everywhere: bool = False
    """Whether other relays are degraded by it as well, so that clients needn't go elsewhere."""
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
    """A condition has started or ended."""

    started: bool
    condition: Condition
    """Of one that has ended, as it was last."""
    lasted_s: float
    """For how long a condition that has ended was active; 0.0 for one that has started."""


class Past(NamedTuple):
    """A condition that is over."""

    condition: Condition
    """As it was last."""
    until_ms: int

    def row(self) -> dict[str, object]:
        """As JSON shows it."""
        return self.condition.row() | {"until_ms": self.until_ms}


class _Watched:
    def __init__(
        self,
        probe: Probe,
        level: Level,
        for_s: float,
        degrades: bool,
        is_everywhere: bool,
        below: str | None,
    ) -> None:
        self._probe = probe
        self.level = level
        self._for_s = for_s
        self.degrades = degrades
        self.is_everywhere = is_everywhere
        self.below = below
        self.state = ConditionState.CLEAR
        self._since_s = 0.0
        """Since when every check has found something wrong, by the monotonic clock."""
        self.text = ""
        """What was wrong last."""
        self.active: Condition | None = None
        """The condition as it was last, while it is active and nothing above it is."""

    def look(self, now_s: float) -> None:
        """Find out what is wrong now."""
        text = self._probe()
        if text is None:
            self._happens(ConditionEvent.GONE)
            return
        self.text = text
        if self._happens(ConditionEvent.FOUND):
            self._since_s = now_s
        if now_s - self._since_s >= self._for_s:
            self._happens(ConditionEvent.LASTED)

    def _happens(self, event: ConditionEvent) -> bool:
        """Whether ``event`` has changed the state."""
        before = self.state
        self.state = TRANSITIONS.get((before, event), before)
        return self.state is not before


class Conditions:
    """The conditions that are watched, and those of them that are active."""

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = {}
        self.past: deque[Past] = deque(maxlen=MOST_PAST)
        """The last conditions that are over, in the order in which they ended."""

    def watch(
        self,
        name: str,
        probe: Probe,
        *,
        level: Level = Level.WARNING,
        for_s: float = 0.0,
        degrades: bool = False,
        is_everywhere: bool = False,
        below: str | None = None,
    ) -> None:
        """Call ``probe`` at each `check` from now on.

        :param name: for metrics and alerts: a word such as ``redis`` or ``spool``.
        :param for_s: the condition starts once every check of so many seconds has found something
            wrong; it ends with the first check that finds nothing.
        :param degrades: whether the relay is degraded meanwhile: a load balancer should send
            clients elsewhere, unless it ``is_everywhere``.
        :param is_everywhere: whether other relays are degraded by it as well.
        :param below: the name of a condition that says the same and more: while that is active,
            this one is not.
        :raises ValueError: the name is taken.
        """
        if name in self._watched:
            raise ValueError(f"{name} is watched already")
        self._watched[name] = _Watched(probe, level, for_s, degrades, is_everywhere, below)

    @property
    def levels(self) -> dict[str, Level]:
        """The level of every condition that is watched, active or not, by name."""
        return {name: watched.level for name, watched in self._watched.items()}

    @property
    def degrading(self) -> frozenset[str]:
        """The names of the conditions that degrade the relay while they are active."""
        return frozenset(name for name, watched in self._watched.items() if watched.degrades)

    @property
    def active(self) -> list[Condition]:
        """The conditions that are active, in the order in which they were declared."""
        return [watched.active for watched in self._watched.values() if watched.active is not None]

    def check(self, now_s: float, wall_s: float) -> list[Change]:
        """Call every probe; returns the conditions that have started or ended since the last time.

        :param now_s: the monotonic clock's time, by which it is decided.
        :param wall_s: the time of day, for people.
        """
        for watched in self._watched.values():
            watched.look(now_s)
        changes = []
        for name, watched in self._watched.items():
            before, above = watched.active, self._watched.get(watched.below or "")
            is_hidden = above is not None and above.state is ConditionState.ACTIVE
            if watched.state is not ConditionState.ACTIVE or is_hidden:
                watched.active = None
                if before is not None:
                    self.past.append(Past(before, in_ms(wall_s)))
                    changes.append(Change(False, before, now_s - before.began_s))
            elif before is not None:
                watched.active = replace(before, text=watched.text)
            else:
                watched.active = Condition(
                    name,
                    watched.level,
                    in_ms(wall_s),
                    watched.text,
                    watched.degrades,
                    watched.is_everywhere,
                    began_s=now_s,
                )
                changes.append(Change(True, watched.active, 0.0))
        return changes
