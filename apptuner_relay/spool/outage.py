"""Turns the spool off when its disk fails, and on again when it works.

A disk has failed when it can't be written, is full, or is too slow. It is tried again every
`RETRY_S`, by writing a small file. Where it was full, bundles that nobody reads are removed before.
"""

from collections.abc import Callable
from errno import EDQUOT, ENOSPC
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from apptuner_relay.spool.disk import ThreadedDisk
from apptuner_relay.spool.outage_states import TRANSITIONS, OutageEvent, OutageState
from apptuner_relay.spool.spool_directory import PROBE_BYTES, SpoolDirectory

SLOW_S = 2.0
"""A disk is too slow when one write takes longer, or when too much has waited for longer."""
RETRY_S = 10.0
MOST_RETRY_S = 300.0
"""A disk that fails again soon is tried less often: the pause is doubled, up to this."""

_SOON_S = 60.0
_FULL = (ENOSPC, EDQUOT)


class Outage:
    """Watches the disk.

    :param parent: the directory in which each relay has one of its own.
    :param lost: called when the disk has failed.
    :param make_room: removes bundles that nobody reads, of at least so many bytes if there are as
        many.
    """

    log = Logger()

    def __init__(
        self,
        parent: Path,
        clock: IReactorTime,
        disk: ThreadedDisk,
        lost: Callable[[], None],
        make_room: Callable[[int], None],
    ) -> None:
        self.state = OutageState.STARTING
        self.failures = 0
        """How often it has failed."""
        self.directory: SpoolDirectory | None = None
        """This relay's directory, where it has one."""
        self._parent = parent
        self._clock = clock
        self._disk = disk
        self._tell_lost = lost
        self._make_room = make_room
        self._why = "The relay is starting"
        self._pause_s = RETRY_S
        self._next_s = 0.0
        self._on_s = 0.0
        self._wanted_bytes = 0

    @property
    def off(self) -> str | None:
        """Why no new bundles are cached; None while the disk works."""
        return None if self.state is OutageState.WORKING else self._why

    def start(self) -> None:
        """Make this relay's directory, and remove those of relays that were killed."""
        try:
            self.directory = directory = SpoolDirectory(self._parent)
        except OSError as error:
            self.fail(error)
            return
        self._happens(OutageEvent.STARTED)
        self.log.info(
            "caching each session's last bundle in {path}{cleared}",
            path=str(directory.path),
            cleared=f" ({directory.cleared} left by others cleared)" if directory.cleared else "",
        )

    def stop(self) -> None:
        """Cache nothing new from now on."""
        self._happens(OutageEvent.STOPPED)
        self._why = "The relay is stopping"

    def remove(self) -> None:
        """Remove the directory."""
        directory, self.directory = self.directory, None
        if directory is not None:
            directory.remove()

    def fail(self, error: OSError, wanted_bytes: int = 0) -> None:
        """The disk has failed.

        :param wanted_bytes: how many bytes were to be written.
        """
        if not self._happens(OutageEvent.FAILED):
            return
        self._why = error.strerror or str(error)
        now_s = self._clock.seconds()
        again = self.failures and now_s - self._on_s < _SOON_S
        self._pause_s = min(2 * self._pause_s, MOST_RETRY_S) if again else RETRY_S
        self._next_s = now_s + self._pause_s
        self._wanted_bytes = wanted_bytes + PROBE_BYTES if error.errno in _FULL else 0
        self.failures += 1
        self.log.critical(
            "THE SPOOL IS OFF: {why} ({path}). Bundles are relayed, but new ones are not cached "
            "for phones that join late or are slow, nor served over HTTP. The disk is tried again "
            "every {pause:g} s.",
            why=self._why,
            path=str(self._parent),
            pause=self._pause_s,
        )
        spares = self._disk.spares
        spares.is_wanted = False
        self._disk.run(spares.drop).addErrback(lambda failure: failure.trap(OSError))
        self._tell_lost()

    def look(self) -> None:
        """Turn the spool off if the disk is too slow, or try the disk again if that is due. To be
        called about every second."""
        if self.state is OutageState.WORKING:
            if max(self._disk.busy_s(), self._disk.behind_s()) > SLOW_S:
                self.fail(OSError("the disk is too slow"))
        elif self._clock.seconds() >= self._next_s and self._happens(OutageEvent.RETRIED):
            trying = Deferred.fromCoroutine(self._try())
            trying.addErrback(
                lambda failure: self.log.failure("failed to try the spool's disk", failure)
            )

    async def _try(self) -> None:
        """Find out whether the disk works, and turn the spool on if it does."""
        works = False
        try:
            if self._wanted_bytes and self.directory is not None:
                free_bytes = await self._disk.run(self.directory.free_bytes)
                if free_bytes < self._wanted_bytes and self.state is OutageState.TRYING:
                    self._make_room(self._wanted_bytes - free_bytes)
            directory, took_s = await self._disk.run(self._probe)
            self._replace(directory)
            works = took_s < SLOW_S
        except OSError as error:
            if self.state is OutageState.TRYING:
                self._why = error.strerror or str(error)
        finally:
            self._next_s = self._clock.seconds() + self._pause_s
            if not works:
                self._happens(OutageEvent.PROBE_FAILED)
            elif self._happens(OutageEvent.RECOVERED):
                self._turned_on()

    def _probe(self) -> tuple[SpoolDirectory, float]:
        """Write a small file; in a new directory, where this relay's was removed. Returns the
        directory, and how many seconds it took. In the thread that writes.

        :raises OSError: it can't be written.
        """
        started_s = self._clock.seconds()
        directory = self.directory
        if directory is None or not directory.path.is_dir():
            directory = SpoolDirectory(self._parent)
        directory.probe()
        return directory, self._clock.seconds() - started_s

    def _replace(self, directory: SpoolDirectory) -> None:
        before, self.directory = self.directory, directory
        if before is not None and before is not directory:
            before.remove()
        if self.state is OutageState.STOPPED:
            self.remove()

    def _happens(self, event: OutageEvent) -> bool:
        """Change the state. Returns whether the event meant anything."""
        state = TRANSITIONS.get((self.state, event))
        if state is None:
            return False
        self.state = state
        return True

    def _turned_on(self) -> None:
        self._on_s = self._clock.seconds()
        self._disk.spares.is_wanted = True
        self.log.info(
            "the spool is on again: new bundles are cached ({path})", path=str(self._parent)
        )
