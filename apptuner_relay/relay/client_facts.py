"""What operators and session pages are shown of a client, beside its role and its device."""

from apptuner_relay.relay.frame_handler import Connection
from apptuner_relay.session.roles import Admission
from apptuner_relay.spool.delivery import Delivery
from apptuner_relay.support.round_trip import RoundTrip


class ClientFacts:
    """A base class of those that have an admission and a connection; see `observed.ClientView`."""

    __slots__ = ()

    admission: Admission
    connection: Connection
    delivery: Delivery | None = None
    has_left = False
    """Whether its connection is over, or about to be."""

    @property
    def label(self) -> str:
        """How logs name its session."""
        return self.admission.session_hash[:8]

    @property
    def agent(self) -> str | None:
        """The program that it is, and its version, as it says."""
        return self.admission.agent

    @property
    def since_ms(self) -> int:
        """When it connected, in ms since the epoch."""
        return self.admission.since_ms

    @property
    def round_trip(self) -> RoundTrip | None:
        """The last one that was measured between it and the relay that it is connected to."""
        return self.connection.round_trip

    @property
    def round_trip_s(self) -> float | None:
        """How long that took, in seconds."""
        round_trip = self.connection.round_trip
        return None if round_trip is None else round_trip.took_s

    @property
    def is_behind(self) -> bool:
        """Whether it is a phone that has yet to get something of a bundle."""
        return self.delivery is not None and self.delivery.busy
