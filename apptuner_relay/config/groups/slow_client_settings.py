"""When the relay closes a client that reads too slowly."""

from dataclasses import dataclass
from typing import ClassVar

from apptuner_relay.config.option import option
from apptuner_relay.config.parsers import MIB, duration, size


@dataclass(frozen=True)
class SlowClientSettings:
    """When the relay closes a client that reads too slowly.

    ``slow_rate`` is in bytes per second, ``slow_time`` in seconds.
    """

    HEADING: ClassVar[str] = "Slow clients"

    slow_rate: int = option(
        "16KiB",
        size(1, 1024 * MIB),
        "Bytes per second below which a client that holds up others is too slow: one for which "
        "more waits in memory than --tune window allows. A client that reads a file holds up "
        "nobody",
    )
    slow_time: float = option(
        "30s",
        duration(1, 3600),
        "Close (1013) a client for which more than --tune window waits in memory when it has read "
        "nothing for this time, or less than --slow-rate while others could have read more (when "
        "it has read nothing while others could: after 2s). Drop a download that reads nothing "
        "for this time",
    )
