"""The clients of this relay whose sessions are elsewhere, and the links that still deliver what
disconnected ones have sent."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterator, Set

from twisted.logger import Logger

from apptuner_relay.cluster.bridge.link import LinkProtocol
from apptuner_relay.cluster.bridge.placement_states import (
    PlacementState,
    leaving_event,
    next_state,
)
from apptuner_relay.cluster.bridge.remote_member import RemoteMember
from apptuner_relay.relay.frame_handler import Connection, ConnectionFlow
from apptuner_relay.relay.member import Member
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.client_words import ClientWords, client_fields
from apptuner_relay.session.session import Admission, Arrival
from apptuner_relay.support.client_address import UNKNOWN
from apptuner_relay.support.clocks import in_ms
from apptuner_relay.wire.frames import FrameReader


class RemoteMembers:
    """The remote members of one relay, by session.

    :param on_lost: called with a member that has lost its link, and needs a place.
    :param on_empty: called with a session when its last member is removed.
    """

    log = Logger()

    def __init__(
        self,
        relay: RelayService,
        on_lost: Callable[[RemoteMember], None],
        on_empty: Callable[[str], None],
    ) -> None:
        self._relay, self._on_lost, self._on_empty = relay, on_lost, on_empty
        self._by_session: defaultdict[str, set[RemoteMember]] = defaultdict(set)
        self._closing: list[tuple[LinkProtocol, str]] = []

    def __iter__(self) -> Iterator[RemoteMember]:
        return iter([one for those in self._by_session.values() for one in those])

    def __len__(self) -> int:
        return sum(map(len, self._by_session.values()))

    def __contains__(self, session: object) -> bool:
        return session in self._by_session

    @property
    def sessions(self) -> Set[str]:
        """The sessions of all members."""
        return self._by_session.keys()

    def in_session(self, session: str) -> tuple[RemoteMember, ...]:
        """The members of one session."""
        return tuple(self._by_session.get(session, ()))

    def admit(self, admission: Admission, connection: Connection) -> RemoteMember:
        """Add a client that has just connected, and whose session is elsewhere."""
        flow = self._relay.make_flow(connection, FrameReader)
        remote = self._add(admission, connection, flow, PlacementState.FINDING)
        self._relay.registry.add_outbound(remote)
        self.log.info(
            "session {session}: {role} connected from {address}, its session is elsewhere{client}",
            session=remote.label,
            role=remote.role.value,
            address=admission.address or UNKNOWN,
            client=ClientWords(admission),
            **client_fields(admission),
        )
        return remote

    def replace(self, member: Member, arrival: Arrival) -> RemoteMember:
        """Replace a member of a session that leaves. It is held and idle.

        :param arrival: how it is to arrive at the new owner.
        """
        lost_ms = in_ms(self._relay.wall_s())
        admission = dataclasses.replace(member.admission, arrival=arrival, lost_ms=lost_ms)
        flow = ConnectionFlow(member.source, member.sink, member.reader)
        state = next_state(PlacementState.LOCAL, leaving_event(arrival))
        remote = self._add(admission, member.connection, flow, state)
        self._relay.registry.replace(member, remote)
        return remote

    def remove(self, remote: RemoteMember) -> None:
        """A member is disconnected, or its session is here now."""
        session = remote.admission.session_hash
        if remote.closing_link is not None:
            self.await_delivery(remote.closing_link, session)
        those = self._by_session.get(session)
        if those is not None:
            those.discard(remote)
            if not those:
                del self._by_session[session]
                self._on_empty(session)

    def await_delivery(self, link: LinkProtocol, session: str) -> None:
        """Have this relay not end before ``link``, which is closing, has delivered everything."""
        self._closing = [(one, key) for one, key in self._closing if one.is_delivering]
        if link.is_delivering:
            self._closing.append((link, session))

    def undelivered_sessions(self) -> Set[str]:
        """The sessions to which closing links still deliver messages."""
        return {session for link, session in self._closing if link.is_delivering}

    def _add(
        self,
        admission: Admission,
        connection: Connection,
        flow: ConnectionFlow,
        state: PlacementState,
    ) -> RemoteMember:
        remote = RemoteMember(
            self._relay, admission, connection, flow, self._on_lost, self.remove, state
        )
        self._by_session[admission.session_hash].add(remote)
        return remote
