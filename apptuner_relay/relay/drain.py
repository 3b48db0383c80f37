"""How a relay drains without stopping: it takes no new sessions until it is told to take them
again, and the others of its cluster take those that it has.

Sessions that stay go on as before, and their clients may come back. `Shutdown` is how one stops.
"""

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from apptuner_relay.relay.drain_states import TRANSITIONS, DrainEvent, DrainState
from apptuner_relay.relay.hooks import RelayHooks

DRAINS = "The relay drains: it takes no new sessions now"


class Drain:
    """Whether one relay drains.

    :param timeout_s: for how long sessions may take to move to other relays.
    """

    log = Logger()

    def __init__(self, hooks: RelayHooks, clock: IReactorTime, timeout_s: float) -> None:
        self.state = DrainState.SERVING
        self._hooks = hooks
        self._clock = clock
        self._timeout_s = timeout_s
        self._times = 0
        """How often it has begun: what an earlier one has moved says nothing of a later one."""

    @property
    def is_on(self) -> bool:
        """Whether the relay takes no new sessions."""
        return self.state is not DrainState.SERVING

    def set(self, on: bool) -> bool:
        """Drain, or take sessions again. Returns whether that changes anything."""
        if not self._happens(DrainEvent.ON if on else DrainEvent.OFF):
            return False
        placement = self._hooks.placement
        if on:
            self._times += 1
            self.log.info("draining without stopping: no new sessions are taken")
            if placement is None:
                self._happens(DrainEvent.HANDED_OVER)
            else:
                moving = placement.drain(self._clock.seconds() + self._timeout_s)
                moving.addCallback(self._handed_over, self._times)
        else:
            self.log.info("drains no more: new sessions are taken again")
            if placement is not None:
                placement.end_drain()
        return True

    def _handed_over(self, _: None, times: int) -> None:
        if times == self._times and self._happens(DrainEvent.HANDED_OVER):
            self.log.info("draining without stopping: sessions are handed over")

    def _happens(self, event: DrainEvent) -> bool:
        after = TRANSITIONS.get((self.state, event))
        if after is None:
            return False
        self.state = after
        return True
