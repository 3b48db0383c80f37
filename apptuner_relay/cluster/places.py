"""The places of clients: in a session of this relay, or behind a link to the session's owner."""

from typing import NamedTuple, Protocol

from apptuner_relay.cluster.bridge.arrival_barrier import ArrivalBarriers
from apptuner_relay.cluster.bridge.link import LinkProtocol
from apptuner_relay.cluster.bridge.peer_auth import PATCHES
from apptuner_relay.cluster.bridge.remote_member import RemoteMember
from apptuner_relay.cluster.bridge.remote_members import RemoteMembers
from apptuner_relay.cluster.bridge.session_counter import SessionCounter
from apptuner_relay.cluster.ownership.directory import Lease
from apptuner_relay.relay.frame_handler import Connection
from apptuner_relay.relay.interfaces import ConnectedClient, Place
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import Admission, BadRequest, Role

_NO_PATCHES = "The session's relay is of an earlier version, without patches: send the bundle whole"


class ClusterClients(NamedTuple):
    """The clients that are in sessions through this relay, or are about to be."""

    relay: RelayService
    """It has the members of its own sessions."""
    remotes: RemoteMembers
    barriers: ArrivalBarriers
    pending: SessionCounter
    """The clients that are about to enter a session, here or elsewhere."""
    entering: SessionCounter
    """Those of the pending ones that have an `OwnedPlace`."""


class ClusterPlace(Place, Protocol):
    """A `Place` that is also found for a client whose session has moved."""

    def resume(self, remote: RemoteMember) -> None:
        """Have a client whose session has moved go on here. Called instead of `enter`."""


class OwnedPlace:
    """A `ClusterPlace` in a session of this relay."""

    is_here = True

    def __init__(self, clients: ClusterClients, admission: Admission) -> None:
        self._clients, self._admission = clients, admission
        clients.pending.add(admission.session_hash)
        clients.entering.add(admission.session_hash)

    def check(self) -> None:
        """See `Place`."""
        self._clients.relay.registry.check_room(self._admission)

    def enter(self, connection: Connection) -> ConnectedClient:
        """See `Place`."""
        relay, barriers = self._clients.relay, self._clients.barriers
        try:
            member = relay.registry.join(barriers.resolve_arrival(self._admission), connection)
            barriers.arrived(member)
            return member
        finally:
            self._end()

    def resume(self, remote: RemoteMember) -> None:
        """See `ClusterPlace`."""
        relay, barriers = self._clients.relay, self._clients.barriers
        member = relay.registry.adopt(remote, barriers.resolve_arrival(remote.admission))
        barriers.arrived(member)
        self._clients.remotes.remove(remote)
        self._end()
        remote.become_local()

    def abandon(self) -> None:
        """See `Place`."""
        admission = self._admission
        self._clients.barriers.mark_absent(admission.session_hash, admission.client)
        self._end()

    def _end(self) -> None:
        session = self._admission.session_hash
        self._clients.entering.remove(session)
        self._clients.pending.remove(session)


class PeerPlace:
    """A `ClusterPlace` in another relay's session, over a link that is open."""

    is_here = False

    def __init__(
        self, clients: ClusterClients, admission: Admission, link: LinkProtocol, lease: Lease
    ) -> None:
        self._clients, self._admission = clients, admission
        self._link, self._lease = link, lease
        clients.pending.add(admission.session_hash)

    def check(self) -> None:
        """See `Place`. The owner has checked that there is room.

        :raises BadRequest: 503, for an upload of a patch, where the owner is of a version that
            would pass it on unread. A CLI isn't offered patches by such a relay.
        """
        admission = self._admission
        is_patch = admission.role is Role.UPLOAD and admission.patches
        if is_patch and PATCHES not in self._link.features:
            raise BadRequest(503, _NO_PATCHES)

    def enter(self, connection: Connection) -> ConnectedClient:
        """See `Place`."""
        remote = self._clients.remotes.admit(self._admission, connection)
        self.resume(remote)
        return remote

    def resume(self, remote: RemoteMember) -> None:
        """See `ClusterPlace`."""
        remote.connect_to(self._link, self._lease)
        self._clients.pending.remove(self._admission.session_hash)

    def abandon(self) -> None:
        """See `Place`."""
        self._link.abort()
        self._clients.pending.remove(self._admission.session_hash)
