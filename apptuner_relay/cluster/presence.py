"""Whether the directory's server is there: says so once, and lets those wait who need it."""

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from apptuner_relay.cluster.directory import DirectoryAway, Events


class Presence:
    """Whether the server is there. At first it isn't, and nobody is told.

    :param patience_s: one that has been away for longer is not waited for.
    :param place: how the server is named in the log.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, events: Events, patience_s: float, place: str) -> None:
        self.away_since_s: float | None = clock.seconds()
        self.tried: Deferred[None] = Deferred()
        """Fires when it was found to be there or away for the first time, or on `stop`."""
        self.is_stopped = False
        self._clock, self._events = clock, events
        self._patience_s, self._place = patience_s, place
        self._told_away = False
        self._told_deaf = False
        self._waiting: set[Deferred[None]] = set()

    @property
    def is_away(self) -> bool:
        """Whether it is not there."""
        return self.away_since_s is not None

    def start(self) -> None:
        """From now on it is looked for."""
        self.away_since_s = self._clock.seconds()

    def stop(self) -> None:
        """From now on it is away for everybody."""
        self.is_stopped = True
        self._wake()

    def reached(self) -> None:
        """It is there, and all leases were compared."""
        since_s, self.away_since_s = self.away_since_s, None
        self._told_deaf = False
        if self._told_away and since_s is not None:
            self._told_away = False
            for_s = self._clock.seconds() - since_s
            self.log.info(
                "{place}: reached again after {for_s:.1f} s", place=self._place, for_s=for_s
            )
            self._events.back()
        self._wake()

    def lost(self, reason: str) -> None:
        """It could not be reached, or not any more."""
        if self.is_stopped:
            return
        if self.away_since_s is None:
            self.away_since_s = self._clock.seconds()
        if not self._told_away:
            self._told_away = True
            self.log.warn(
                "{place}: can't be used, trying on: {reason}", place=self._place, reason=reason
            )
            self._events.away()
        self._attempted()

    def deaf(self, reason: str) -> None:
        """It is there, but what other nodes say can't be heard."""
        if not (self.is_away or self.is_stopped or self._told_deaf):
            self._told_deaf = True
            self.log.warn(
                "{place}: other nodes can't be heard, trying on: {reason}",
                place=self._place,
                reason=reason,
            )

    async def wait(self, until_s: float) -> None:
        """Go on when it is there.

        :raises DirectoryAway: it isn't, and won't be in time.
        """
        while self.away_since_s is not None or self.is_stopped:
            now_s = self._clock.seconds()
            since_s = now_s if self.away_since_s is None else self.away_since_s
            is_long = now_s - since_s >= self._patience_s
            if self.is_stopped or now_s >= until_s or is_long:
                raise DirectoryAway("the directory is away")
            waiting: Deferred[None] = Deferred()
            self._waiting.add(waiting)
            try:
                await waiting.addTimeout(until_s - now_s, self._clock)
            except TimeoutError:
                raise DirectoryAway("the directory is away") from None
            finally:
                self._waiting.discard(waiting)
        if self._clock.seconds() >= until_s:
            raise DirectoryAway("the directory did not answer in time")

    def _attempted(self) -> None:
        if not self.tried.called:
            self.tried.callback(None)

    def _wake(self) -> None:
        self._attempted()
        waiting, self._waiting = self._waiting, set()
        for each in waiting:
            each.callback(None)
