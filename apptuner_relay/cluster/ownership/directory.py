"""Which node owns a session: the interface of the directory.

The members of a session meet in the process of its owner. A client that is connected to another
node is bridged to the owner. The directory names the owner; it neither connects nodes nor carries a
byte of a bundle. The directory that nodes share is in `redis_directory`.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple, Protocol

from twisted.internet.defer import Deferred

DirectoryState = Literal["connected", "away"]

_SESSION = re.compile(r"[0-9a-f]{64}")
_ROLE = re.compile(r"[a-z]{1,16}")


class DirectoryError(Exception):
    """The directory can't do what it was asked for. The text is for people, and holds no secret."""


class DirectoryUnreachable(DirectoryError):
    """The server was not reached in time, or can't serve now."""


class Draining(DirectoryError):
    """No node owns the session, and this node takes no new sessions."""


class Lease(NamedTuple):
    """The right of a node to own a session, as long as the node is heard."""

    session: str
    """The hex SHA-256 of the session's id."""
    node: str
    address: str
    """Where other nodes reach the owner: ``ws://host:port`` or ``wss://host:port``."""
    epoch: int
    """It rises by one each time that the session gets an owner: of two leases for one session, the
    one with the higher epoch is the later."""


class NodeInfo(NamedTuple):
    """What a living node says of itself."""

    node: str
    address: str
    sessions: int
    connections: int
    since_ms: int
    """When it started, in milliseconds since the epoch."""
    draining: bool
    version: str


class NodeLife(Enum):
    """Whether a node lives of which nothing else is heard, as far as the directory can tell."""

    LIVES = "lives"
    SILENT = "silent"
    """It has no connection to the server. That may pass: ask again a moment later."""
    ENDED = "ended"
    """It has ended, and with it all of its leases."""
    UNKNOWN = "unknown"
    """The server is unreachable, or this node's own connection to it has just been lost."""


class Suspicion(NamedTuple):
    """What the directory knows of a node that is suspected to have ended."""

    life: NodeLife
    run: str = ""
    """Which process of the node was silent. Empty where none was."""
    left_ms: int = 0
    """For how long that one's last heartbeat keeps its leases."""


@dataclass
class DirectoryCounts:
    """What was done since the start of this node."""

    commands: int = 0
    """Scripts that the server was asked to run. One call may renew or check many leases."""
    claims: int = 0
    lost: int = 0
    """Leases that have ended without a `Directory.release`."""


class Events:
    """What a directory notifies its node of. Nothing happens unless a method is overridden.

    The methods are called from the reactor. Their exceptions are logged, and disturb nothing.
    """

    def lost(self, session: str, lease: Lease | None) -> None:
        """A lease of this node has ended. ``lease`` is that of the session's new owner, or None
        when it has none: a node that still needs the session claims it again."""

    def moved(self, session: str) -> None:
        """A session that this node has claimed, and that is another node's, has got a new owner. A
        claim tells which one."""

    def drained(self, node: str) -> None:
        """Another node takes no new sessions any more."""

    def kicked(self, session: str, role: str, reason: str) -> None:
        """A node asks for all clients of a role in a session to be closed. ``reason`` was written
        by somebody else: it is printable, and at most 123 bytes of UTF-8."""

    def listed(self, nodes: list[NodeInfo]) -> None:
        """The living nodes, this one included, by id: as the server names them now and then."""

    def emptied(self) -> None:
        """The server may have lost its data. All nodes write theirs again now."""

    def released(self, session: str) -> None:
        """An operator has released the claim of a session, or replaced it."""

    def unreachable(self) -> None:
        """The server is unreachable. The node goes on with the leases that it has."""

    def reachable(self) -> None:
        """The server is reachable again, and all leases were compared with it."""


class Directory(Protocol):
    """Names the owner of a session. Sessions are named by the hex SHA-256 of their ids throughout;
    anything else raises ValueError."""

    node: str
    """This node's id."""

    @property
    def counters(self) -> DirectoryCounts:
        """What it has done since the start."""

    @property
    def state(self) -> DirectoryState:
        """Whether the server is reachable."""

    @property
    def unreachable_since_s(self) -> float | None:
        """Since when it isn't, in seconds of the reactor's clock. None while it is."""

    @property
    def eviction_policy(self) -> str | None:
        """The policy by which a full server evicts keys, such as ``allkeys-lru``. None where keys
        stay, as far as is known."""

    @property
    def fresh(self) -> bool:
        """Whether the leases that this node holds are beyond doubt, as its last heartbeat was less
        than a lease time ago. False after the process was frozen, until the leases were compared;
        and while the server has been unreachable for longer than a lease time."""

    @property
    def draining(self) -> bool:
        """Whether this node takes no new sessions."""

    def start(self) -> Deferred[None]:
        """Begin to connect. Fires after the first attempt, whether that succeeds or not; further
        attempts follow. Never fails."""

    def stop(self) -> Deferred[None]:
        """End all leases of this node. Never fails, and takes no longer than a claim may."""

    def held(self) -> list[Lease]:
        """The leases of this node."""

    def claim(self, session: str) -> Deferred[Lease]:
        """Own a session, unless another living node owns it.

        A node that has claimed a session is notified when it `Events.moved`, until it releases it.
        For a session that this node owns, the server need not be asked.

        :return: the owner's lease. Fails with `DirectoryUnreachable`, or with `Draining`.
        """

    def look(self, session: str) -> Deferred[Lease | None]:
        """The lease of a session's owner, without a claim. None if it has no owner. The node is not
        notified of later changes.

        :return: fails with `DirectoryUnreachable`.
        """

    def release(self, session: str) -> Deferred[None]:
        """This node needs a session no more. Ends the lease, if that is this node's. Never
        fails."""

    def take_over(self, session: str, node: str, epoch: int) -> Deferred[Lease]:
        """Own a session that ``node`` owns with a lease of that epoch, and hands over. No other
        node can get it in between.

        :return: the owner's lease then: another node's, where that lease had ended. Fails with
            `DirectoryUnreachable`, or with `Draining`.
        """

    def hand_over(self, session: str) -> None:
        """Another node has taken over a session of this one: forget it without a word."""

    def announce_drain(self) -> Deferred[None]:
        """Take no new sessions from now on, and announce that. Never fails: the announcement is
        made up for when the server is reachable again."""

    def end_drain(self) -> Deferred[None]:
        """Take sessions again. Never fails; see `announce_drain`."""

    def kick(self, session: str, role: str, reason: str) -> Deferred[None]:
        """Have `Events.kicked` called on every node that has clients in a session, this one
        included.

        :return: fails with `DirectoryUnreachable`.
        """

    def nodes(self) -> Deferred[list[NodeInfo]]:
        """The living nodes, by id.

        :return: fails with `DirectoryUnreachable`.
        """

    def suspect(self, node: str, address: str, before: Suspicion) -> Deferred[Suspicion]:
        """Ask whether a node that refuses connections at its address has ended.

        :param before: what was found a moment ago, before it has refused another one. Where the
            same process was silent then, and still is, its leases are ended.
        :return: never fails.
        """


_REASON_BYTES = 123
"""The longest reason of a close frame (RFC 6455 §5.5)."""


def check_session(session: str) -> str:
    """:raises ValueError: it is not the hex SHA-256 of a session's id."""
    if not _SESSION.fullmatch(session):
        # The text is not repeated, as it may be an id, which is a credential.
        raise ValueError("a session is named by the 64 hex digits of its id's SHA-256")
    return session


def check_role(role: str) -> str:
    """:raises ValueError: it can't be the name of a role."""
    if not _ROLE.fullmatch(role):
        raise ValueError("a role is 1 to 16 lower-case letters")
    return role


def clean_reason(reason: str) -> str:
    """As much of a text as fits a close frame, without what is not printable."""
    printable = "".join(char if char.isprintable() else " " for char in reason)
    return printable.encode("utf-8", "replace")[:_REASON_BYTES].decode("utf-8", "ignore")
