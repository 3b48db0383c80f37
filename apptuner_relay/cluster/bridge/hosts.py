"""What the bridge asks of the relay's placement (`placement.ClusterPlacement`). Protocols only."""

from typing import Protocol

from twisted.internet.defer import Deferred

from apptuner_relay.cluster.bridge.arrival_barrier import ArrivalBarriers
from apptuner_relay.cluster.bridge.peer_auth import PassVerifier
from apptuner_relay.cluster.bridge.remote_member import RemoteMember
from apptuner_relay.cluster.bridge.remote_members import RemoteMembers
from apptuner_relay.cluster.bridge.session_counter import SessionCounter
from apptuner_relay.cluster.ownership.directory import Directory
from apptuner_relay.cluster.ownership.living_nodes import LivingNodes
from apptuner_relay.relay.interfaces import Place
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import Admission


class NotHere(Exception):
    """Another relay asks for a session that isn't this relay's."""


class BridgeHost(Protocol):
    """What both hosts have in common."""

    @property
    def relay(self) -> RelayService: ...

    @property
    def secret(self) -> str:
        """What all nodes share, and nobody else knows."""

    @property
    def directory(self) -> Directory: ...

    @property
    def barriers(self) -> ArrivalBarriers: ...

    def release_unused(self, session: str) -> None:
        """Release a session's lease, unless it is still needed here."""


class PeerHost(BridgeHost, Protocol):
    """What `peer_server` and `takeover` need, which accept the connections of other relays."""

    @property
    def verifier(self) -> PassVerifier: ...

    @property
    def takes_sessions(self) -> bool:
        """Whether sessions of other relays can be taken over."""

    def receive(self, admission: Admission) -> Deferred[Place]:
        """Find a place here for a client that is connected to another node.

        :return: fails with `NotHere`, or with `BadRequest`.
        """


class MigrationHost(BridgeHost, Protocol):
    """What `migration` needs, which has sessions leave this relay."""

    @property
    def living_nodes(self) -> LivingNodes: ...

    @property
    def remotes(self) -> RemoteMembers: ...

    @property
    def entering(self) -> SessionCounter:
        """The clients that have a place in a session of this relay, and are not members yet."""

    @property
    def is_relocating(self) -> bool:
        """Whether the place of any client is being looked for."""

    def relocate(self, remote: RemoteMember) -> None:
        """Send a client after its session."""

    def forget_provisional(self, session: str) -> None:
        """A session is no longer one that was begun here without the directory."""
