"""Finds the node that owns a client's session, or that is to own it.

While the directory is unreachable, the leases that this relay's clients go by count. A session
without such a lease is *provisional*: it is begun here, and compared with the directory when that
is reachable again.
"""

from collections.abc import Callable

from apptuner_relay.cluster.bridge.remote_members import RemoteMembers
from apptuner_relay.cluster.ownership.directory import (
    Directory,
    DirectoryUnreachable,
    Draining,
    Lease,
)
from apptuner_relay.cluster.ownership.living_nodes import LivingNodes
from apptuner_relay.cluster.ownership.rendezvous import weight
from apptuner_relay.session.session import Admission, Arrival, BadRequest


class OwnerLookup:
    """Finds owners.

    :param directory: gives the directory, once there is one.
    :param remotes: the clients whose sessions are elsewhere.
    """

    def __init__(
        self, directory: Callable[[], Directory], living_nodes: LivingNodes, remotes: RemoteMembers
    ) -> None:
        self.provisional: set[str] = set()
        """The sessions that were begun here without the directory."""
        self._directory, self._living_nodes, self._remotes = directory, living_nodes, remotes

    async def is_here(self, admission: Admission) -> bool:
        """Whether a session is this relay's still."""
        return (await self.find(admission)).node == self._directory().node

    async def find(self, admission: Admission) -> Lease:
        """The lease of a session's owner. Its epoch is 0 where the owner has no lease yet.

        :raises BadRequest: 503, when there is none now.
        """
        session, directory = admission.session_hash, self._directory()
        if not (directory.state == "away" and session in self.provisional):
            try:
                lease = await directory.claim(session)
                self.provisional.discard(session)
                return lease
            except Draining:
                return await self._find_successor(admission)
            except DirectoryUnreachable:
                for remote in self._remotes.in_session(session):
                    if remote.link is not None and remote.lease is not None:
                        return remote.lease
        if directory.draining:
            raise BadRequest(503, "The relay drains: it takes no new sessions now")
        self.provisional.add(session)
        return Lease(session, directory.node, "", 0)

    async def _find_successor(self, admission: Admission) -> Lease:
        """The owner to be of a session that has none. This relay drains, and so may not own it. All
        of the session's clients choose the same node."""
        if admission.arrival is Arrival.NEW:
            raise BadRequest(503, "The relay drains: it takes no new sessions now")
        session, living_nodes = admission.session_hash, self._living_nodes
        if not living_nodes.nodes:
            await living_nodes.refresh()
        if not living_nodes.others:
            raise BadRequest(503, "The relay drains, and there is no other one")
        chosen = max(living_nodes.others, key=lambda one: weight(session, one.node))
        return Lease(session, chosen.node, chosen.address, 0)
