"""The thresholds that `Meters` watches by itself: sessions, loop lag, memory, descriptors."""

from typing import TYPE_CHECKING

from apptuner_relay.meters.amounts import show_bytes, show_count
from apptuner_relay.meters.worries import Level

if TYPE_CHECKING:
    from apptuner_relay.meters.meters import Meters

MEMORY_SHARE = 0.9
"""Memory is worth a worry above this share of its limit."""
_SOON_S = 60.0
"""What may end the process is told sooner than what is a matter of planning."""


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
        used, most = show_bytes(meters.memory_bytes), show_bytes(limit)
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
