"""`Health`: whether a load balancer should send clients to this relay, and why not."""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from apptuner_relay.operator.conditions import Change, Conditions
from apptuner_relay.operator.process import ProcessUse
from apptuner_relay.support.clocks import WallClock

RESTARTS = "The relay restarts"
DRAINS = "The relay drains: its operator wants it to take no new sessions"


class DrainView(Protocol):
    """Whether a relay drains: `RelayView`."""

    @property
    def is_draining(self) -> Callable[[], bool]: ...

    @property
    def is_stopping(self) -> Callable[[], bool]: ...


class Health:
    """Checks the conditions that are watched.

    :param session_count: how many sessions there are now.
    :param draining: whether the relay drains, and whether that is to stop.
    :param clock: the monotonic clock.
    :param wall_s: the time of day.
    """

    def __init__(
        self,
        process: ProcessUse,
        session_count: Callable[[], int],
        draining: DrainView,
        clock: IReactorTime,
        wall_s: WallClock,
    ) -> None:
        self.conditions = Conditions()
        self._process = process
        self._session_count = session_count
        self._draining = draining
        self._clock = clock
        self._wall_s = wall_s
        self._fewest_sessions = 0

    def check(self) -> list[Change]:
        """Check every condition; returns those that have started or ended."""
        self._process.measure()
        changes = self.conditions.check(self._clock.seconds(), self._wall_s())
        self._fewest_sessions = self._session_count()
        return changes

    def note_sessions(self) -> None:
        """There may be fewer sessions than before."""
        self._fewest_sessions = self.fewest_sessions

    @property
    def fewest_sessions(self) -> int:
        """The fewest sessions that there were at once since the last `check`."""
        return min(self._fewest_sessions, self._session_count())

    @property
    def draining(self) -> bool:
        """Whether the relay takes no new sessions: it shuts down, or its operator wants it so."""
        return self._draining.is_draining()

    @property
    def reasons(self) -> list[str]:
        """Why the relay is not ``ok``."""
        reasons = []
        if self.draining:
            reasons.append(RESTARTS if self._draining.is_stopping() else DRAINS)
        return reasons + [one.text for one in self.conditions.active if one.degrades]

    @property
    def diverts(self) -> bool:
        """Whether a load balancer should send clients elsewhere."""
        return self.draining or any(
            one.degrades and not one.is_everywhere for one in self.conditions.active
        )

    @property
    def state(self) -> str:
        """``ok``, ``degraded`` or ``draining``."""
        if self.draining:
            return "draining"
        return "degraded" if self.reasons else "ok"
