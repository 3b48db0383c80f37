"""What the relay logs, and what it keeps for its operator."""

from dataclasses import dataclass
from typing import ClassVar

from apptuner_relay.config.option import option
from apptuner_relay.config.parsers import choice, duration, state_directory


@dataclass(frozen=True)
class LogSettings:
    """What the relay logs, and what it keeps for its operator."""

    HEADING: ClassVar[str] = "Logs and state"

    log_format: str = option(
        "text",
        choice("text", "json"),
        "text for people, or json for one JSON object per line. json goes to standard output or "
        "to the file of twistd's --logfile, not to syslog",
    )
    log_level: str = option(
        "info",
        choice("debug", "info", "warn"),
        "The least level of the lines that are logged. debug adds a line of each connection: what "
        "was negotiated, and each refusal. POST /api/log-level and SIGUSR2 change it for a time",
    )
    log_bundles: str = option(
        "on",
        choice("on", "failed", "off"),
        "Whether the relay logs a line for each bundle: how it came, which phones got it, and what "
        "they answered. failed: only for bundles that a phone could not run or did not get whole, "
        "or that were cut short other than by a newer one",
    )
    log_interval: float = option(
        "60s",
        duration(1, 86400),
        "Interval at which the relay logs a line with its metrics, where something has changed; at "
        "least one an hour",
        tune=True,
    )
    """In seconds."""
    state_dir: str = option(
        "auto",
        state_directory,
        "Directory for days.json, which has the metrics of each of the last 400 days, and for "
        "claims. auto: $STATE_DIRECTORY, else $XDG_STATE_HOME/apptuner-relay, else "
        "~/.local/state/apptuner-relay; where that can't be used, the relay warns. off: keep "
        "nothing. One that is given and can't be used, or that another relay has, is refused; "
        "with systemd: endpoints the other relay is waited for",
    )
    """An absolute path, ``auto`` or ``off``."""
