"""Who a client is to its session, and what is known of it when it comes in. Pure; the modules about
sessions stand on it.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Generic, NamedTuple, Protocol, TypeVar


class Role(Enum):
    """What a client is to its session; the value stands in the URL and in the welcome."""

    CLI = "cli"
    DASHBOARD = "dashboard"
    DESKTOP = "desktop"
    MOBILE = "mobile"

    @property
    def replaced_reason(self) -> str:
        """The close reason for the one whose place a newcomer takes."""
        name = "CLI" if self is Role.CLI else self.value.capitalize()
        return f"New {name} connected for this project"


class Arrival(Enum):
    """How a client comes into its session here."""

    NEW = "new"
    MOVED = "moved"
    """With a session that came from another relay, and nothing was lost on the way: to those who
    came with it there is nothing to be told."""
    RECOVERED = "recovered"
    """From a relay that has failed. It isn't welcomed twice; but as messages may have been lost,
    everybody is told of everybody, so that bundles are sent again."""


@dataclass(frozen=True)
class Device:
    """What a phone says of itself in its query string."""

    device_id: str
    name: str | None
    platform: str | None
    connected_at_ms: int
    chunks: bool = False
    """Whether it wants big bundles in chunks."""
    replay: bool = False
    """Whether it wants the session's last bundle when it joins, whoever else is there."""
    have: str | None = None
    """The hex SHA-256 of the code that it has."""
    announce: bool = False
    """Whether it wants to be told where bundles are, rather than to get them."""

    def describe(self) -> dict[str, object]:
        """As ``mobile_connected`` and ``mobile_disconnected`` show it."""
        return {"deviceId": self.device_id, "deviceName": self.name, "platform": self.platform}

    def row(self) -> dict[str, object]:
        """As ``device_list`` shows it."""
        return {
            "deviceId": self.device_id,
            "name": self.name,
            "platform": self.platform,
            "connectedAt": self.connected_at_ms,
        }


@dataclass(frozen=True)
class Admission:
    """Who may come in, and where to."""

    role: Role
    session_hash: str
    device: Device | None
    """Set for a mobile."""
    bundles_url: str
    """Where the session's bundles are found over HTTP."""
    deflates: bool = False
    """Whether permessage-deflate is negotiated with the client."""
    arrival: Arrival = Arrival.NEW
    through: str | None = None
    """The relay to which the client is connected, where that is another."""
    client: str = ""
    """Names the client's connection, wherever its session is."""
    since_ms: int = 0
    """When that was made."""
    address: str | None = None
    """The client's IP address, as `TrustedProxies.client` has it."""
    authorized: bool = False
    """Whether it has shown the session's secret, or a join token that is signed with it."""
    claims: bool = False
    """Whether it is the first of its session to show one."""
    tokens: bool = False
    """Whether it has phones without a join token sent away."""
    lost_ms: int = 0
    """When it lost its session, where it is `Arrival.RECOVERED`; by this relay's clock."""
    proof: str = ""
    """The public key of the claim whose secret or token it has shown."""


class HasRole(Protocol):
    """What a session needs of a member."""

    @property
    def role(self) -> Role: ...

    @property
    def device(self) -> Device | None:
        """Set for a mobile, None for the desktop side."""

    @property
    def admission(self) -> Admission: ...

    @property
    def said_s(self) -> float | None:
        """When its last message came, in seconds of any clock; None for one that said nothing."""

    @property
    def heard_s(self) -> float:
        """When it was heard last, be it by a pong."""


M = TypeVar("M", bound=HasRole)


class Notice(NamedTuple, Generic[M]):
    """A message of the relay's own (JSON text) and the member whom it is for."""

    to: M
    message: bytes


def came_together(one: HasRole, other: HasRole) -> bool:
    """Whether they know of each other from where their session was before."""
    return one.admission.arrival is other.admission.arrival is Arrival.MOVED


def device_of(member: HasRole) -> Device:
    """The device of a phone."""
    device = member.device
    if device is None:
        raise TypeError("a mobile member has a device")
    return device
