"""Finds the place of a client: a session of this relay, or a link to the relay that owns it."""

import random
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.ssl import Certificate
from twisted.internet.task import deferLater
from twisted.logger import Logger

from apptuner_relay.cluster.bridge.hosts import NotHere
from apptuner_relay.cluster.bridge.link import (
    LinkProtocol,
    NotListening,
    NotReached,
    NotTrusted,
    open_link,
)
from apptuner_relay.cluster.bridge.migration import Migrations
from apptuner_relay.cluster.owner_lookup import OwnerLookup
from apptuner_relay.cluster.ownership.directory import (
    Directory,
    DirectoryUnreachable,
    Draining,
    Lease,
)
from apptuner_relay.cluster.places import ClusterClients, ClusterPlace, OwnedPlace, PeerPlace
from apptuner_relay.relay.interfaces import DecideClaim, no_claim
from apptuner_relay.session.session import Admission, BadRequest

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 1.0
"""The pauses between two attempts to reach an owner; each is half as long again as the one
before."""
_PAUSE_GROWTH = 1.5


class PlaceFinder:
    """Finds the places of clients.

    :param secret: what all nodes share, and nobody else knows.
    :param trust: see `placement.ClusterPlacement`.
    :param directory: gives the directory, once there is one.
    :param is_running: whether the relay is not stopping.
    :param on_refused: called with the id and the address of a node that refuses connections.
    """

    log = Logger()

    def __init__(
        self,
        clients: ClusterClients,
        owners: OwnerLookup,
        migrations: Migrations,
        secret: str,
        trust: Certificate | None,
        directory: Callable[[], Directory],
        is_running: Callable[[], bool],
        on_refused: Callable[[str, str], None],
    ) -> None:
        self._clients, self._relay = clients, clients.relay
        self._owners, self._migrations = owners, migrations
        self._secret, self._trust = secret, trust
        self._directory, self._is_running = directory, is_running
        self._on_refused = on_refused

    async def find(
        self, admission: Admission, until_s: float, claim: DecideClaim = no_claim
    ) -> ClusterPlace:
        """Find the place of a client that is connected to this relay.

        :param until_s: until when an owner that can't be reached is tried again.
        :param claim: called before the client enters a session of another relay.
        :raises BadRequest: it has none.
        """
        session, clock = admission.session_hash, self._relay.clock
        pause_s = _FIRST_PAUSE_S
        self._clients.pending.add(session)
        try:
            while True:
                await self._migrations.wait(session)
                lease = await self._owners.find(admission)
                if lease.node == self._directory().node:
                    place = await self._find_here(admission)
                    if place is None:
                        continue
                    return place
                await claim()
                claim = no_claim
                try:
                    link = await self._open_link(admission, lease)
                    return PeerPlace(self._clients, admission, link, lease)
                except NotReached as wrong:
                    if isinstance(wrong, NotListening):
                        self._on_refused(lease.node, lease.address)
                    is_late = clock.seconds() >= until_s
                    if is_late or isinstance(wrong, NotTrusted) or not self._is_running():
                        self._log_not_reached(session, lease.node, wrong)
                        raise BadRequest(
                            503, "The relay that has this session can't be reached now"
                        ) from None
                await deferLater(clock, pause_s * random.uniform(0.5, 1))
                pause_s = min(_LONGEST_PAUSE_S, _PAUSE_GROWTH * pause_s)
        finally:
            self._clients.pending.remove(session)

    async def receive(self, admission: Admission) -> OwnedPlace:
        """Find the place of a client that is connected to another relay. It can only be here.

        :raises NotHere: the session isn't this relay's.
        :raises BadRequest: there is no room for the client.
        """
        session, directory = admission.session_hash, self._directory()
        self._clients.pending.add(session)
        try:
            if session in self._migrations or not self._is_running():
                raise NotHere("the session is about to move")
            if session not in self._owners.provisional:
                try:
                    lease = await directory.claim(session)
                except (Draining, DirectoryUnreachable) as wrong:
                    raise NotHere(str(wrong)) from None
                if lease.node != directory.node:
                    raise NotHere(f"the session is {lease.node}'s")
            if directory.draining and session not in self._clients.barriers:
                # It may have no clients, and only its last bundle be here.
                self._migrations.start_late(session)
            place = await self._find_here(admission)
            if place is None:
                raise NotHere("the session is about to move")
            return place
        finally:
            self._clients.pending.remove(session)

    async def _find_here(self, admission: Admission) -> OwnedPlace | None:
        """A place in a session of this relay. None where the session is about to leave, or has left
        meanwhile.

        :raises BadRequest: there is no room for the client.
        """
        session, registry = admission.session_hash, self._relay.registry
        await registry.make_room(admission)
        if session in self._migrations or not await self._owners.is_here(admission):
            return None
        try:
            registry.check_room(admission)
        except BadRequest:
            self._clients.barriers.mark_absent(session, admission.client)
            raise
        return OwnedPlace(self._clients, admission)

    def _open_link(self, admission: Admission, lease: Lease) -> Deferred[LinkProtocol]:
        own = self._directory().node
        return open_link(
            self._relay, lease.address, self._secret, own, lease.node, admission, self._trust
        )

    def _log_not_reached(self, session: str, node: str, wrong: NotReached) -> None:
        self.log.warn(
            "session {session}: its relay {node} can't be reached: {wrong}",
            session=session[:8],
            node=node,
            wrong=str(wrong),
        )
