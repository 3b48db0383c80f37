"""What `operator` reads of the rest of the relay, as protocols.

The parts that are read are above this part, so it names what it needs of them, and they are passed
in: by the relay in a `RelayView`, and by ``tap`` and the cluster through the ``watch_`` methods of
`Meters`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from apptuner_relay.flow.sink import Sink
from apptuner_relay.flow.slow_consumers import SlowConsumers
from apptuner_relay.flow.source import Source
from apptuner_relay.operator.descriptors import DescriptorReserve
from apptuner_relay.session.session import Admission, Device, Role
from apptuner_relay.support.round_trip import RoundTrip


class ClientView(Protocol):
    """A client: `relay.member.Member`, or one whose session another relay owns."""

    @property
    def role(self) -> Role: ...

    @property
    def through(self) -> str | None:
        """The relay that the client is connected to, where that is not this one."""

    @property
    def admission(self) -> Admission: ...

    @property
    def device(self) -> Device | None: ...

    @property
    def session(self) -> "SessionView | None":
        """None where another relay owns it."""

    @property
    def source(self) -> Source: ...

    @property
    def sink(self) -> Sink: ...

    @property
    def bytes_in(self) -> int:
        """Bytes received from the client."""

    @property
    def agent(self) -> str | None:
        """The program that it is, and its version, as it says: printable ASCII."""

    @property
    def since_ms(self) -> int:
        """When it connected, in ms since the epoch."""

    @property
    def round_trip(self) -> RoundTrip | None:
        """The last one that was measured, between it and the relay that it is connected to."""

    @property
    def round_trip_s(self) -> float | None:
        """How long that took, in seconds."""

    @property
    def is_behind(self) -> bool:
        """Whether it is a phone that has yet to get something of a bundle."""


class SessionView(Protocol):
    """A session that this relay owns: `session.session.Session`."""

    since_s: float
    last_activity_s: float
    bytes_in: int
    """Bytes that clients which have disconnected had sent."""
    bytes_out: int
    """Bytes that clients which have disconnected were sent."""

    @property
    def label(self) -> str: ...

    @property
    def members(self) -> Sequence[ClientView]: ...

    @property
    def clis(self) -> Sequence[ClientView]: ...

    @property
    def mobiles(self) -> Sequence[ClientView]: ...


class AccessCounters(Protocol):
    """Counts the clients that were refused, and why: `access_control.Access`."""

    @property
    def limited(self) -> Mapping[str, int]:
        """Clients that exceeded a limit, by the option that sets it."""

    @property
    def denied(self) -> Mapping[str, int]:
        """Clients without the right credentials, by `access_control.DENIALS`."""

    @property
    def failed_joins(self) -> int:
        """Attempts to join sessions that don't exist, and wrong secrets."""


class SpoolState(Protocol):
    """The cache of bundles on disk: `store.Store`."""

    evicted: int
    """Bundles that were evicted for want of room."""
    limit_bytes: int

    @property
    def off(self) -> str | None:
        """Why no new bundle is cached; None while the spool works."""

    @property
    def failures(self) -> int: ...

    @property
    def bundles(self) -> int: ...

    @property
    def used_bytes(self) -> int: ...

    @property
    def backlog_bytes(self) -> int: ...


class ClaimsFileState(Protocol):
    """The file of a single relay's claims: `journal.Journal`."""

    @property
    def trouble(self) -> str | None:
        """Why claims are not kept over restarts now; None while they are."""

    @property
    def bad_lines(self) -> int:
        """How many lines of the file were none of a claim, and were put into another one."""


class CertificateState(Protocol):
    """The certificate that TLS clients are shown: `certificate_reload.CertificateReload`."""

    @property
    def refused(self) -> str | None:
        """Why the files as they are now were not loaded; None where they were."""

    @property
    def reloads(self) -> Mapping[str, int]:
        """How often files that had changed were ``taken`` and ``refused``."""

    @property
    def expires_s(self) -> float:
        """When the certificate expires, in seconds since the epoch."""

    @property
    def expires(self) -> str:
        """Likewise, as a date."""

    @property
    def shown(self) -> str:
        """The certificate's names, for people."""


@dataclass(frozen=True)
class RelayView:
    """All of a relay that `Meters` reads."""

    clients: Collection[ClientView]
    """Every client that is connected, be its session here or on another relay."""
    sessions: Mapping[str, SessionView]
    """The sessions that this relay owns, by hash."""
    slow: SlowConsumers
    access: AccessCounters
    spool: SpoolState | None
    """None for a relay that caches no bundles."""
    descriptors: Callable[[], DescriptorReserve]
    is_draining: Callable[[], bool]
    """Whether the relay takes no new sessions: it shuts down, or an operator wants it so."""
    is_stopping: Callable[[], bool]
    """Whether it shuts down."""
