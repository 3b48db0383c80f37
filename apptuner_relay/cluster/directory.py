"""Who owns a session: the interface of the directory, and the default for a node that is alone.

Owning a session means that its members meet in this process; a client that came in elsewhere is
bridged to the owner. The directory says whose a session is. It neither connects nodes nor moves a
byte of a bundle. `apptuner_relay.cluster.redis` has the one that nodes share.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from twisted.internet.defer import Deferred, fail, succeed

State = Literal["connected", "away"]

_SESSION = re.compile(r"[0-9a-f]{64}")
_NODE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ADDRESS = re.compile(r"wss?://[A-Za-z0-9.:\[\]_-]{1,255}")
_ROLE = re.compile(r"[a-z]{1,16}")


class DirectoryError(Exception):
    """The directory can't do what was asked. The text is for people, and holds no secret."""


class DirectoryAway(DirectoryError):
    """The server was not reached in time, or can't serve now."""


class Draining(DirectoryError):
    """Nobody owns the session, and this node takes no new ones."""


class Lease(NamedTuple):
    """That a node owns a session."""

    session: str
    """Hex SHA-256 of the session's id."""
    node: str
    address: str
    """Where other nodes reach the owner: ``ws://host:port`` or ``wss://host:port``."""
    epoch: int
    """Goes up by one each time that the session gets an owner: of two leases for one session, the
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


@dataclass
class Counters:
    """Since the start of this node."""

    commands: int = 0
    """Sent to the server: script calls; a call that renews or checks many leases is one."""
    claims: int = 0
    lost: int = 0
    """Leases that went to another node, or to nobody, without a `Directory.release`."""


class Events:
    """What a directory tells its node. Nothing happens unless overridden.

    Called from the reactor; what they raise is logged, and disturbs nothing.
    """

    def lost(self, session: str, lease: Lease | None) -> None:
        """A lease of this node is gone. ``lease`` is the one of who has the session now, or None
        when nobody has it: who still needs the session claims it again."""

    def moved(self, session: str) -> None:
        """A session that this node claimed, and that is another's, has or had a new owner: a claim
        tells whose it is now."""

    def drained(self, node: str) -> None:
        """Another node takes no new sessions."""

    def kicked(self, session: str, role: str, reason: str) -> None:
        """Some node asks that the clients of a role be closed. ``reason`` was written by somebody
        else: it is printable, and at most 123 bytes of UTF-8."""

    def emptied(self) -> None:
        """The server may have lost what was written there: all nodes write theirs again now."""

    def away(self) -> None:
        """The server is not reached any more; the node goes on with the leases it has."""

    def back(self) -> None:
        """The server is reached again, and all leases were compared with it."""


class Directory(Protocol):
    """Whose a session is. Sessions are named by the hex SHA-256 of their ids throughout; anything
    else raises ValueError."""

    node: str
    """This node's id."""

    @property
    def counters(self) -> Counters:
        """What it has done so far."""

    @property
    def state(self) -> State:
        """Whether the server is reached."""

    @property
    def away_since_s(self) -> float | None:
        """Since when it isn't, in seconds of the reactor's clock."""

    @property
    def eviction_policy(self) -> str | None:
        """What drops keys when the server is full, such as ``allkeys-lru``; None where nothing
        does, as far as is known."""

    @property
    def fresh(self) -> bool:
        """Whether the leases that this node holds are its own beyond doubt: it was heard within
        their lease time. False after a freeze until they were compared, and while away for longer
        than the lease time."""

    @property
    def draining(self) -> bool:
        """Whether this node takes no new sessions."""

    def start(self) -> Deferred[None]:
        """Fires when the server was reached, or could not be at the first attempt: it goes on
        trying. Never fails."""

    def stop(self) -> Deferred[None]:
        """Give all leases back. Never fails, and takes no longer than a claim may."""

    def held(self) -> list[Lease]:
        """The leases of this node."""

    def claim(self, session: str) -> Deferred[Lease]:
        """Whose a session is: its living owner's, or this node's if it had none.

        A node that has claimed a session hears that it `Events.moved` until it releases it,
        whoever's the session is. For a session that this node owns the answer may come without
        asking the server.

        :return: fails with `DirectoryAway`, or with `Draining`.
        """

    def look(self, session: str) -> Deferred[Lease | None]:
        """Whose a session is, without a claim: None if it is nobody's. The node hears nothing of
        it afterwards.

        :return: fails with `DirectoryAway`.
        """

    def release(self, session: str) -> Deferred[None]:
        """This node needs a session no more: its lease ends, if it is this node's. Harmless if
        not; never fails."""

    def take_over(self, session: str, node: str, epoch: int) -> Deferred[Lease]:
        """Have a session that ``node`` owns with a lease of that epoch, and gives away. Nobody
        else can have it in between.

        :return: whose it is then: this node's, or another's where that lease was over. Fails with
            `DirectoryAway`, or with `Draining`.
        """

    def hand_over(self, session: str) -> None:
        """Another node has taken over a session of this one: forget it without a word."""

    def announce_drain(self) -> Deferred[None]:
        """Take no new sessions from now on, and say so. Never fails: what could not be said now is
        said when the server is back."""

    def kick(self, session: str, role: str, reason: str) -> Deferred[None]:
        """Have `Events.kicked` called on every node that has to do with a session, this one
        included.

        :return: fails with `DirectoryAway`.
        """

    def nodes(self) -> Deferred[list[NodeInfo]]:
        """The living nodes, by id.

        :return: fails with `DirectoryAway`.
        """


class AloneDirectory:
    """A `Directory` for a node without others: every session is its own, nothing leaves it.

    :param connections: how many connections the node has now.
    :param now_ms: when the node starts, in milliseconds since the epoch.
    """

    def __init__(
        self,
        node: str,
        address: str,
        events: Events,
        *,
        connections: Callable[[], int],
        version: str,
        now_ms: int,
    ) -> None:
        self.node = check_node(node)
        self._events = events
        self.counters = Counters()
        self._address = address
        self._connections = connections
        self._version = version
        self._since_ms = now_ms
        self._held: dict[str, Lease] = {}
        self._epoch = 0
        self._draining = False

    state: State = "connected"
    away_since_s: float | None = None
    eviction_policy: str | None = None
    fresh = True

    @property
    def draining(self) -> bool:
        """See `Directory`."""
        return self._draining

    def start(self) -> Deferred[None]:
        """See `Directory`."""
        return succeed(None)

    def stop(self) -> Deferred[None]:
        """See `Directory`."""
        self._held.clear()
        return succeed(None)

    def held(self) -> list[Lease]:
        """See `Directory`."""
        return list(self._held.values())

    def claim(self, session: str) -> Deferred[Lease]:
        """See `Directory`. Epochs are counted over all sessions: nothing need be remembered of one
        that has gone, and a later lease has the higher epoch all the same."""
        check_session(session)
        self.counters.claims += 1
        lease = self._held.get(session)
        if lease is None and self._draining:
            return fail(Draining("this node takes no new sessions"))
        if lease is None:
            self._epoch += 1
            lease = self._held[session] = Lease(session, self.node, self._address, self._epoch)
        return succeed(lease)

    def look(self, session: str) -> Deferred[Lease | None]:
        """See `Directory`."""
        return succeed(self._held.get(check_session(session)))

    def release(self, session: str) -> Deferred[None]:
        """See `Directory`."""
        self._held.pop(check_session(session), None)
        return succeed(None)

    def take_over(self, session: str, node: str, epoch: int) -> Deferred[Lease]:
        """See `Directory`. There is nobody to take it from."""
        return self.claim(session)

    def hand_over(self, session: str) -> None:
        """See `Directory`."""
        self._held.pop(check_session(session), None)

    def announce_drain(self) -> Deferred[None]:
        """See `Directory`."""
        self._draining = True
        return succeed(None)

    def kick(self, session: str, role: str, reason: str) -> Deferred[None]:
        """See `Directory`."""
        self._events.kicked(check_session(session), check_role(role), clean_reason(reason))
        return succeed(None)

    def nodes(self) -> Deferred[list[NodeInfo]]:
        """See `Directory`."""
        info = NodeInfo(
            self.node,
            self._address,
            len(self._held),
            self._connections(),
            self._since_ms,
            self._draining,
            self._version,
        )
        return succeed([info])


_REASON_BYTES = 123
"""What a close frame takes (RFC 6455 §5.5)."""


def check_session(session: str) -> str:
    """:raises ValueError: it is not the hex SHA-256 of a session's id."""
    if not _SESSION.fullmatch(session):
        # Not repeated: it may be an id, which is a credential.
        raise ValueError("a session is named by the 64 hex digits of its id's SHA-256")
    return session


def check_node(node: str) -> str:
    """:raises ValueError: it can't be the id of a node."""
    if not _NODE.fullmatch(node):
        raise ValueError("a node's id must be 1 to 64 of the characters A-Z a-z 0-9 . _ -")
    return node


def check_address(address: str) -> str:
    """:raises ValueError: other nodes can't reach anything there."""
    if not _ADDRESS.fullmatch(address):
        raise ValueError("a node's address must look like ws://10.0.0.5:3000 or wss://relay-1:3000")
    return address


def check_role(role: str) -> str:
    """:raises ValueError: it is no role's name."""
    if not _ROLE.fullmatch(role):
        raise ValueError("a role is 1 to 16 lower-case letters")
    return role


def clean_reason(reason: str) -> str:
    """What of a text fits a close frame and a log line."""
    printable = "".join(char if char.isprintable() else " " for char in reason)
    return printable.encode("utf-8", "replace")[:_REASON_BYTES].decode("utf-8", "ignore")
