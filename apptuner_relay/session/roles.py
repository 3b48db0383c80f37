"""What a client is to its session, and what is known of it when it connects. Pure; the other
modules of this part build on it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from apptuner_relay.support.plain_enum import PlainEnum


class Role(PlainEnum):
    """What a client is to its session; the value of a `SOCKET_ROLES` stands in its URL and in its
    welcome."""

    CLI = "cli"
    DASHBOARD = "dashboard"
    DESKTOP = "desktop"
    MOBILE = "mobile"
    UPLOAD = "upload"
    """A bundle that is sent over HTTP: of the desktop side, for as long as that takes. It takes no
    CLI's place, hears nothing of the others, and they hear nothing of it."""

    @property
    def replaced_reason(self) -> str:
        """The close reason for the one whose place a newcomer takes."""
        name = "CLI" if self is Role.CLI else self.value.capitalize()
        return f"New {name} connected for this project"


SOCKET_ROLES = (Role.CLI, Role.DASHBOARD, Role.DESKTOP, Role.MOBILE)
"""The roles of clients that connect by WebSocket."""


class Arrival(PlainEnum):
    """How a client joins its session here."""

    NEW = "new"
    MOVED = "moved"
    """Its session was handed over by another relay, and nothing was lost on the way: the members
    that moved together need to be told nothing."""
    RECOVERED = "recovered"
    """Its relay has failed. It isn't welcomed twice; but as messages may have been lost, every
    member is told of every other, so that bundles are sent again."""


@dataclass(frozen=True, slots=True)
class Device:
    """A phone, as its query string describes it."""

    device_id: str
    name: str | None
    platform: str | None
    connected_at_ms: int
    chunks: bool = False
    """Whether it wants big bundles in chunk messages."""
    replay: bool = False
    """Whether it wants the session's cached bundle when it joins, even if a CLI is connected."""
    have: str | None = None
    """The hex SHA-256 of the code that it has."""
    announce: bool = False
    """Whether it wants the URLs of bundles rather than the bundles."""
    patch: bool = False
    """Whether it takes patches of the code that it has."""

    def to_dict(self) -> dict[str, object]:
        """Its fields, as relays tell each other of them. ``patch`` isn't among them: relays of
        earlier versions refuse a phone with a field that they don't know."""
        said = asdict(self)
        del said["patch"]
        return said

    @classmethod
    def read(cls, said: Mapping[str, Any], patch: bool = False) -> "Device":
        """The device that another relay has described by `to_dict`. Fields that a later version
        has added are passed over.

        :raises TypeError: there are too few.
        """
        known = {one.name for one in fields(cls)} & set(said)
        return cls(**{name: said[name] for name in known} | {"patch": patch})

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


@dataclass(frozen=True, slots=True)
class Admission:
    """A client that is let in, and the session that it joins."""

    role: Role
    session_hash: str
    device: Device | None
    """Set for a mobile."""
    bundles_url: str
    """The URL of the session's cached bundle."""
    deflates: bool = False
    """Whether permessage-deflate is negotiated with the client."""
    arrival: Arrival = Arrival.NEW
    through: str | None = None
    """The relay to which the client is connected, where that is another."""
    client: str = ""
    """Identifies the client's connection, wherever its session is."""
    since_ms: int = 0
    """When that was made, in ms since the epoch."""
    address: str | None = None
    """The client's IP address, as `TrustedProxies.client` has it."""
    authorized: bool = False
    """Whether it has shown the session's secret, or a join token that is signed with it."""
    claims: bool = False
    """Whether it is the first client of its session to show one."""
    tokens: bool = False
    """Whether phones without a join token are closed for it."""
    lost_ms: int = 0
    """When it lost its relay, where it is `Arrival.RECOVERED`: ms since the epoch, by this relay's
    clock."""
    proof: str = ""
    """The public key of the claim whose secret or token it has shown."""
    channel_user: str = ""
    """Its ``user_id``, where it is connected by way of a channel of a managed service."""
    patches: bool = False
    """Whether it may send patches: a CLI that has asked for that, or an upload that is one."""
    agent: str | None = None
    """The program that it is, and its version, as it says; see `client_url.read_agent`."""
    acks: bool = False
    """Whether it is told which phone an acknowledgement is from: a CLI that has asked for that."""


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
        """When its last message came, in seconds of any clock; None for one that never sent one."""

    @property
    def heard_s(self) -> float:
        """When it was heard last, be it by a Pong."""


M = TypeVar("M", bound=HasRole)


class Notice(NamedTuple, Generic[M]):
    """A message of the relay's own (JSON text) and the member that it is for."""

    to: M
    message: bytes


def came_together(one: HasRole, other: HasRole) -> bool:
    """Whether they know of each other from the relay that had their session before."""
    return one.admission.arrival is other.admission.arrival is Arrival.MOVED


def device_of(member: HasRole) -> Device:
    """The device of a phone."""
    device = member.device
    if device is None:
        raise TypeError("a mobile member has a device")
    return device
