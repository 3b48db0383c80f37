"""`Health`: whether a load balancer should send clients to this relay, and why not."""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from apptuner_relay.operator.conditions import Change, Conditions
from apptuner_relay.operator.process import ProcessUse
from apptuner_relay.support.clocks import WallClock


class Health:
    """Checks the conditions that are watched.

    :param session_count: how many sessions there are now.
    :param is_draining: whether the relay shuts down.
    :param clock: the monotonic clock.
    :param wall_s: the time of day.
    """

    def __init__(
        self,
        process: ProcessUse,
        session_count: Callable[[], int],
        is_draining: Callable[[], bool],
        clock: IReactorTime,
        wall_s: WallClock,
    ) -> None:
        self.conditions = Conditions()
        self._process = process
        self._session_count = session_count
        self._is_draining = is_draining
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
        """Whether the relay shuts down, and takes no more clients."""
        return self._is_draining()

    @property
    def reasons(self) -> list[str]:
        """Why the relay is not ``ok``."""
        reasons = ["The relay restarts"] if self.draining else []
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
