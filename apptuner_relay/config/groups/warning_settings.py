"""What the relay warns its operator of, and where it posts the warnings."""

from dataclasses import dataclass
from typing import ClassVar

from apptuner_relay.config.option import option
from apptuner_relay.config.parsers import (
    NONE,
    count,
    duration,
    memory_limit,
    or_off,
    share,
    web_url,
)


@dataclass(frozen=True)
class WarningSettings:
    """What the relay warns its operator of, and where it posts the warnings.

    Times are in seconds. None is for no such warning.
    """

    HEADING: ClassVar[str] = "Warnings"

    notice_sessions: int | None = option(
        "off",
        or_off(count(0, 1_000_000), None),
        "Note when there are consistently more sessions",
    )
    warning_sessions: int | None = option(
        "off",
        or_off(count(0, 1_000_000), None),
        "Warn when there are consistently more sessions",
    )
    notice_cpu: float | None = option(
        "50%",
        or_off(share, None),
        "Note when the event loop consistently takes more of a core, or the whole relay more of "
        "the cores that it may use",
        tune=True,
    )
    warning_cpu: float | None = option(
        "80%",
        or_off(share, None),
        "Warn of the same above this share",
        tune=True,
    )
    warning_time: float = option(
        "10m",
        duration(1, 86400),
        "Time for which there have to be more sessions than --notice-sessions or "
        "--warning-sessions, and more CPU taken than notice-cpu or warning-cpu",
        tune=True,
        former="worry-time",
    )
    lag_limit: float | None = option(
        "250ms",
        or_off(duration(0.001, 60), None),
        "Warn, and be degraded in /health, when the event loop is later than this for a minute",
        tune=True,
    )
    memory_limit: int | None = option(
        "cgroup",
        memory_limit,
        "Warn, and be degraded in /health, when the process uses more than 90% of this memory. "
        "cgroup: the limit of the process's control group",
    )
    """0 for none; None for that of the control group."""
    descriptors_limit: float | None = option(
        "80%",
        or_off(share, None),
        "Warn, and be degraded in /health, when the process uses more of its file descriptors "
        "(ulimit -n)",
        tune=True,
    )
    """A share of RLIMIT_NOFILE."""
    tls_expiry_days: int | None = option(
        "14",
        or_off(count(0, 365), None),
        "Warn when the TLS certificate expires within this number of days",
    )
    alert_url: str | None = option(
        NONE,
        web_url,
        "URL to which the relay POSTs every warning when it starts and when it ends, as JSON",
        secret=True,
    )
