"""Whether the directory's server is reachable: logs each change once, and has callers wait for the
server."""

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from apptuner_relay.cluster.ownership.availability_states import (
    USABLE,
    AvailabilityEvent,
    AvailabilityState,
    next_state,
)
from apptuner_relay.cluster.ownership.directory import DirectoryUnreachable, Events


class Availability:
    """Whether one server is reachable. At first it isn't, and no event is raised for that.

    :param patience_s: a server that has been unreachable for longer is not waited for.
    :param label: how the server is named in the log.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, events: Events, patience_s: float, label: str) -> None:
        self.unreachable_since_s: float | None = clock.seconds()
        self.first_attempt: Deferred[None] = Deferred()
        """Fires after the first attempt to reach it, whether that succeeds or not, and on
        `stop`."""
        self.state = AvailabilityState.UNTRIED
        self._clock, self._events = clock, events
        self._patience_s, self._label = patience_s, label
        self._waiting: set[Deferred[None]] = set()

    @property
    def is_unreachable(self) -> bool:
        """Whether it can't be used now."""
        return self.state not in USABLE

    @property
    def is_stopped(self) -> bool:
        """Whether it won't be used any more."""
        return self.state is AvailabilityState.STOPPED

    def start(self) -> None:
        """The attempts to reach it begin."""
        self.unreachable_since_s = self._clock.seconds()

    def stop(self) -> None:
        """It counts as unreachable for good. Those who wait for it fail."""
        self._advance(AvailabilityEvent.STOP)
        self._wake()

    def reached(self) -> None:
        """It is reachable, and all leases were compared with it."""
        before = self._advance(AvailabilityEvent.REACHED)
        if self.state is AvailabilityState.STOPPED:
            return
        since_s, self.unreachable_since_s = self.unreachable_since_s, None
        if before is AvailabilityState.UNREACHABLE and since_s is not None:
            for_s = self._clock.seconds() - since_s
            self.log.info(
                "{label}: reached again after {for_s:.1f} s", label=self._label, for_s=for_s
            )
            self._events.reachable()
        self._wake()

    def lost(self, reason: str) -> None:
        """An attempt to reach it has failed, or the connection was lost."""
        if self._advance(AvailabilityEvent.LOST) is not self.state:
            self.log.warn(
                "{label}: unreachable, trying again: {reason}", label=self._label, reason=reason
            )
            self._events.unreachable()
            self._attempted()

    def subscription_lost(self, reason: str) -> None:
        """The subscription to what other nodes publish was lost."""
        if self._advance(AvailabilityEvent.SUBSCRIPTION_LOST) is not self.state:
            self.log.warn(
                "{label}: not subscribed to other nodes, trying again: {reason}",
                label=self._label,
                reason=reason,
            )

    def _advance(self, event: AvailabilityEvent) -> AvailabilityState:
        """Returns the state before."""
        before, self.state = self.state, next_state(self.state, event)
        if self.is_unreachable and self.unreachable_since_s is None:
            self.unreachable_since_s = self._clock.seconds()
        return before

    async def wait(self, until_s: float) -> None:
        """Wait until it is reachable.

        :param until_s: the latest time, by the clock.
        :raises DirectoryUnreachable: it isn't by then, or has been unreachable for too long
            already.
        """
        while self.is_unreachable:
            now_s = self._clock.seconds()
            since_s = now_s if self.unreachable_since_s is None else self.unreachable_since_s
            is_long = now_s - since_s >= self._patience_s
            if self.is_stopped or now_s >= until_s or is_long:
                raise DirectoryUnreachable("the directory is unreachable")
            waiting: Deferred[None] = Deferred()
            self._waiting.add(waiting)
            try:
                await waiting.addTimeout(until_s - now_s, self._clock)
            except TimeoutError:
                raise DirectoryUnreachable("the directory is unreachable") from None
            finally:
                self._waiting.discard(waiting)
        if self._clock.seconds() >= until_s:
            raise DirectoryUnreachable("the directory did not answer in time")

    def _attempted(self) -> None:
        if not self.first_attempt.called:
            self.first_attempt.callback(None)

    def _wake(self) -> None:
        self._attempted()
        waiting, self._waiting = self._waiting, set()
        for each in waiting:
            each.callback(None)
