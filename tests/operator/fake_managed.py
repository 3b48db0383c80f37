"""A managed service as the meters see it, without one behind it."""

from apptuner_relay.operator.managed_counters import ManagedCounters
from apptuner_relay.operator.managed_view import ServiceRefusal


class MadeManaged:
    """A service with three clients in two channels."""

    def __init__(self) -> None:
        self.is_up = True
        self.away_since_s: float | None = None
        self.refusal: ServiceRefusal | None = None
        self.members_count = 3
        self.counters = ManagedCounters()
        self.counters.connections = 1
        self.channels_count = 2

    def go_away(self, since_s: float) -> None:
        self.is_up, self.away_since_s = False, since_s

    def come_back(self) -> None:
        self.is_up, self.away_since_s, self.refusal = True, None, None
