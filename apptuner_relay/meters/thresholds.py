"""The thresholds that `Meters` watches: sessions, loop lag, memory, descriptors, the spool, the
certificate, the log. The directory of a cluster is watched by `cluster`.
"""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from apptuner_relay.clocks import WallClock
from apptuner_relay.meters.amounts import show_count, show_memory
from apptuner_relay.meters.worries import Level, Worries

if TYPE_CHECKING:
    from apptuner_relay.meters.meters import Meters

MEMORY_SHARE = 0.9
"""Memory is worth a worry above this share of its limit."""
SPOOL_SHARE = 0.9
"""So is the spool above this share of its budget."""
_SOON_S = 60.0
"""What may end the process is told sooner than what is a matter of planning."""
_DAY_S = 86400.0


class Spool(Protocol):
    """Where bundles are kept: `store.Store`."""

    off: str | None
    """Why nothing is kept; None while it works."""
    failures: int
    evicted: int
    """Bundles that had to go for want of room."""
    limit_bytes: int

    @property
    def bundles(self) -> int: ...

    @property
    def used_bytes(self) -> int: ...

    @property
    def backlog_bytes(self) -> int: ...


def watch_spool(
    worries: Worries, spool: Spool, seconds: Callable[[], float], recent_s: float
) -> None:
    """Have ``worries`` watch the disk that bundles are kept on, and their budget.

    :param recent_s: for how long it counts that a bundle had to go for want of room.
    """
    evicted, evicted_s = spool.evicted, -math.inf

    def off() -> str | None:
        if not spool.failures:
            return None
        return f"The spool is off: {spool.off}. No bundle is kept until the relay is restarted"

    def budget() -> str | None:
        nonlocal evicted, evicted_s
        if spool.evicted != evicted:
            evicted, evicted_s = spool.evicted, seconds()
        limit = show_memory(spool.limit_bytes)
        if spool.used_bytes > SPOOL_SHARE * spool.limit_bytes:
            return (
                f"Kept bundles take {show_memory(spool.used_bytes)}, above {SPOOL_SHARE:.0%} of "
                f"--spool-limit, {limit}: some go before their time"
            )
        # Where few fit, one that goes takes the spool far below its limit.
        if seconds() - evicted_s < recent_s:
            return f"--spool-limit, {limit}, is too little: some bundles go before their time"
        return None

    worries.watch("spool", off)
    worries.watch("spool_budget", budget, level=Level.NOTICE)


class Certificate(Protocol):
    """What TLS clients are shown: `renewal.Renewal`."""

    @property
    def refused(self) -> str | None:
        """Why what is in its files now was not taken; None where it was."""

    @property
    def reloads(self) -> Mapping[str, int]:
        """How often files that had changed were ``taken`` and ``refused``."""

    @property
    def expires_s(self) -> float:
        """When it expires, in seconds since the epoch."""

    @property
    def expires(self) -> str:
        """Likewise, as a date."""

    @property
    def shown(self) -> str:
        """Its names, for people."""


def watch_certificate(
    worries: Worries, certificate: Certificate, wall_s: WallClock, days: int
) -> None:
    """Have ``worries`` watch the certificate: that it is renewed in time, ``days`` before it
    expires, and that what it is renewed with can be used."""

    def expiry() -> str | None:
        left_s = certificate.expires_s - wall_s()
        if left_s >= days * _DAY_S:
            return None
        if left_s <= 0:
            when = f"has expired on {certificate.expires}: clients refuse it"
        else:
            left = show_count(math.floor(left_s / _DAY_S), "day")
            when = f"expires in {left}, on {certificate.expires}"
        return f"The TLS certificate of {certificate.shown} {when}"

    def renewal() -> str | None:
        if certificate.refused is None:
            return None
        return (
            f"The new TLS certificate is refused: {certificate.refused}. The old one goes on "
            f"until {certificate.expires}"
        )

    worries.watch("certificate", expiry)
    worries.watch("certificate_renewal", renewal)


class Log(Protocol):
    """Where lines are logged: `log_writer.LogWriter`."""

    dropped: int
    """Lines that could not be written."""

    @property
    def trouble(self) -> str | None:
        """What is wrong with it now, for people."""


def watch_log(worries: Worries, log: Log) -> None:
    """Have ``worries`` watch that somebody reads the log."""

    def trouble() -> str | None:
        what = log.trouble
        return what and what[0].upper() + what[1:]

    worries.watch("log", trouble)


class Descriptors(Protocol):
    """How many are left for clients: `descriptors.Descriptors`."""

    @property
    def limit(self) -> int:
        """How many the process may have."""

    @property
    def kept(self) -> int:
        """How many of them are not for clients."""

    @property
    def are_used_up(self) -> bool:
        """Whether clients are refused, or nearly so."""


def watch_descriptors(worries: Worries, descriptors: Callable[[], Descriptors]) -> None:
    """Have ``worries`` watch that clients are not refused for want of descriptors."""

    def used_up() -> str | None:
        now = descriptors()
        if not now.are_used_up:
            return None
        return (
            f"New clients are refused, or soon will be: of {now.limit} file descriptors the last "
            f"{now.kept} are kept for the relay itself. Raise the limit (ulimit -n, LimitNOFILE)"
        )

    worries.watch("descriptors_used_up", used_up, degrades=True)


def watch_thresholds(meters: "Meters") -> None:
    """Have ``meters.worries`` watch what the settings say."""
    settings = meters.settings

    def sessions_notice() -> str | None:
        return _sessions(settings.notice_sessions, "plan the next size")

    def sessions_warning() -> str | None:
        return _sessions(settings.warning_sessions, "optimise or scale out")

    def _sessions(most: int, advice: str) -> str | None:
        fewest = meters.fewest_sessions
        if fewest <= most:
            return None
        return f"{show_count(fewest, 'session')}, consistently above {most}: {advice}"

    def loop_lag() -> str | None:
        lag_ms = meters.loop_lag_ms
        if lag_ms <= settings.lag_limit * 1000:
            return None
        return f"The event loop is {lag_ms:.0f} ms late, above {settings.lag_limit * 1000:g} ms"

    def memory() -> str | None:
        limit = meters.memory_limit
        if limit is None or meters.memory_bytes <= MEMORY_SHARE * limit:
            return None
        used, most = show_memory(meters.memory_bytes), show_memory(limit)
        return f"{used} of memory, above {MEMORY_SHARE:.0%} of its limit, {most}"

    def descriptors() -> str | None:
        most = settings.descriptors_limit * meters.descriptors_limit
        if meters.descriptors <= most:
            return None
        return (
            f"{meters.descriptors} file descriptors are open, above "
            f"{settings.descriptors_limit:.0%} of the limit, {meters.descriptors_limit}"
        )

    watch = meters.worries.watch
    planned_s = settings.worry_time
    soon_s = min(_SOON_S, planned_s)
    watch("sessions_notice", sessions_notice, level=Level.NOTICE, for_s=planned_s)
    watch("sessions_warning", sessions_warning, for_s=planned_s)
    watch("loop_lag", loop_lag, for_s=soon_s, degrades=True)
    watch("memory", memory, for_s=soon_s, degrades=True)
    watch("descriptors", descriptors, for_s=soon_s, degrades=True)
