"""The conditions of a relay by itself: sessions, CPU, loop lag, memory, file descriptors, the
spool, the state directory, the TLS certificate, the log. `cluster_view` has those of a cluster,
`managed_view` those of a managed service.
"""

import math
from collections.abc import Callable

from apptuner_relay.config.groups.warning_settings import WarningSettings
from apptuner_relay.operator.capacity import MEMORY_SHARE, Capacity
from apptuner_relay.operator.conditions import Conditions, Level
from apptuner_relay.operator.descriptors import DescriptorReserve
from apptuner_relay.operator.log_writer import LogWriter
from apptuner_relay.operator.observed import (
    CertificateState,
    ClaimsFileState,
    SpoolState,
)
from apptuner_relay.operator.process import ProcessUse
from apptuner_relay.support.clocks import WallClock
from apptuner_relay.support.units import show_count, show_memory

SPOOL_SHARE = 0.9
"""The share of its budget above which the spool is worth a notice."""
_SOON_S = 60.0
"""What may end the process is reported sooner than what is a matter of planning."""
_DAY_S = 86400.0


def watch_spool(
    conditions: Conditions, spool: SpoolState, seconds: Callable[[], float], recent_s: float
) -> None:
    """Have ``conditions`` watch the disk of the spool, and its budget.

    :param recent_s: for how long an eviction counts.
    """
    evicted, evicted_s = spool.evicted, -math.inf

    def off() -> str | None:
        if spool.off is None or not spool.failures:
            return None
        return f"The spool is off: {spool.off}. New bundles are not cached until that is fixed"

    def budget() -> str | None:
        nonlocal evicted, evicted_s
        if spool.evicted != evicted:
            evicted, evicted_s = spool.evicted, seconds()
        limit = show_memory(spool.limit_bytes)
        if spool.used_bytes > SPOOL_SHARE * spool.limit_bytes:
            return (
                f"Cached bundles take {show_memory(spool.used_bytes)}, above {SPOOL_SHARE:.0%} of "
                f"--spool-limit, {limit}: some are evicted early"
            )
        # Where few bundles fit, one eviction takes the spool far below its limit.
        if seconds() - evicted_s < recent_s:
            return f"--spool-limit, {limit}, is too small: some bundles are evicted early"
        return None

    conditions.watch("spool", off)
    conditions.watch("spool_budget", budget, level=Level.NOTICE)


def watch_claims_file(conditions: Conditions, file: ClaimsFileState) -> None:
    """Have ``conditions`` watch that claims outlive the relay."""

    def lost() -> str | None:
        why = file.trouble
        return why and f"Claims of sessions would be lost at a restart: {why}"

    # A relay that is alone goes on: clients have no other to go to.
    conditions.watch("claims_file", lost, degrades=True, is_everywhere=True)


def watch_days(conditions: Conditions, trouble: Callable[[], str | None]) -> None:
    """Have ``conditions`` watch that daily metrics are saved.

    :param trouble: tells why they are not.
    """

    def unsaved() -> str | None:
        why = trouble()
        return why and f"Daily metrics are not saved: {why}"

    # Mostly it is the directory, which has the claims as well.
    conditions.watch("state_dir", unsaved, below="claims_file")


def watch_certificate(
    conditions: Conditions, certificate: CertificateState, wall_s: WallClock, days: int | None
) -> None:
    """Have ``conditions`` watch that the certificate is renewed ``days`` before it expires (None
    for no matter when), and that the new one can be loaded."""

    def expiry() -> str | None:
        left_s = certificate.expires_s - wall_s()
        if days is None or left_s >= days * _DAY_S:
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
            f"The new TLS certificate is refused: {certificate.refused}. The old one is used "
            f"until it expires on {certificate.expires}"
        )

    conditions.watch("certificate", expiry)
    conditions.watch("certificate_renewal", renewal)


def watch_log(conditions: Conditions, log: LogWriter) -> None:
    """Have ``conditions`` watch that the log can be written."""

    def trouble() -> str | None:
        what = log.trouble
        return what and what[0].upper() + what[1:]

    conditions.watch("log", trouble)


def watch_descriptors(conditions: Conditions, descriptors: Callable[[], DescriptorReserve]) -> None:
    """Have ``conditions`` watch whether clients are refused for want of file descriptors."""

    def used_up() -> str | None:
        now = descriptors()
        if not now.are_used_up:
            return None
        return (
            f"New clients are refused, or soon will be: of {now.limit} file descriptors the last "
            f"{now.kept} are reserved for the relay itself. Raise the limit (ulimit -n, "
            "LimitNOFILE)"
        )

    conditions.watch("descriptors_used_up", used_up, degrades=True)


def watch_sessions(
    conditions: Conditions, fewest_sessions: Callable[[], int], settings: WarningSettings
) -> None:
    """Have ``conditions`` watch the number of sessions.

    :param fewest_sessions: the fewest that there were at once since the last check.
    """

    def above(most: int | None, option: str) -> str | None:
        fewest = fewest_sessions()
        if most is None or fewest <= most:
            return None
        return f"{show_count(fewest, 'session')}, consistently above {option}, {most}"

    def notice() -> str | None:
        return above(settings.notice_sessions, "--notice-sessions")

    def warning() -> str | None:
        return above(settings.warning_sessions, "--warning-sessions")

    time_s = settings.warning_time
    conditions.watch(
        "sessions_notice", notice, level=Level.NOTICE, for_s=time_s, below="sessions_warning"
    )
    conditions.watch("sessions_warning", warning, for_s=time_s)


def watch_cpu(
    conditions: Conditions,
    process: ProcessUse,
    capacity: Capacity,
    loop_lag_ms: Callable[[], float],
    settings: WarningSettings,
) -> None:
    """Have ``conditions`` watch how much of its CPU the relay takes."""

    def above(most: float | None, advice: str) -> str | None:
        cpu = process.cpu
        if most is None or not cpu.has_a_minute or cpu.busy <= most:
            return None
        if cpu.shares.loop >= cpu.busy:
            taken = f"The event loop takes {cpu.busy:.0%} of its core"
        else:
            cores = "core" if cpu.cores == 1 else f"{cpu.cores:g} cores"
            taken = f"The relay takes {cpu.busy:.0%} of the {cores} that it may use"
        said = f"{taken}, consistently above {most:.0%}, and is {loop_lag_ms():.0f} ms late"
        estimate = capacity.estimate
        if estimate is not None:
            said += f"; it carries about {estimate.sessions} sessions that do as much"
        return f"{said}: {advice}"

    def notice() -> str | None:
        return above(settings.notice_cpu, "plan another relay")

    def warning() -> str | None:
        return above(settings.warning_cpu, "start another relay")

    time_s = settings.warning_time
    conditions.watch("cpu_notice", notice, level=Level.NOTICE, for_s=time_s, below="cpu_warning")
    conditions.watch("cpu_warning", warning, for_s=time_s)


def watch_loop_lag(
    conditions: Conditions, loop_lag_ms: Callable[[], float], settings: WarningSettings
) -> None:
    """Have ``conditions`` watch how late the event loop is."""
    most_ms = math.inf if settings.lag_limit is None else settings.lag_limit * 1000

    def loop_lag() -> str | None:
        lag_ms = loop_lag_ms()
        if lag_ms <= most_ms:
            return None
        return f"The event loop is {lag_ms:.0f} ms late, above {most_ms:g} ms"

    conditions.watch("loop_lag", loop_lag, for_s=_soon_s(settings), degrades=True)


def watch_process(conditions: Conditions, process: ProcessUse, settings: WarningSettings) -> None:
    """Have ``conditions`` watch the memory and the file descriptors of the process."""

    def memory() -> str | None:
        limit = process.memory_limit
        if limit is None or process.memory_bytes <= MEMORY_SHARE * limit:
            return None
        used, most = show_memory(process.memory_bytes), show_memory(limit)
        return f"{used} of memory, above {MEMORY_SHARE:.0%} of its limit, {most}"

    def descriptors() -> str | None:
        share, limit = settings.descriptors_limit, process.descriptors_limit
        if share is None or process.descriptors <= share * limit:
            return None
        return (
            f"{process.descriptors} file descriptors are open, above {share:.0%} of the limit, "
            f"{limit}"
        )

    conditions.watch("memory", memory, for_s=_soon_s(settings), degrades=True)
    conditions.watch(
        "descriptors",
        descriptors,
        for_s=_soon_s(settings),
        degrades=True,
        below="descriptors_used_up",
    )


def _soon_s(settings: WarningSettings) -> float:
    return min(_SOON_S, settings.warning_time)
