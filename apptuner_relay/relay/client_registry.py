"""The clients that are connected to a relay and the sessions that it has: how a client comes into a
session, moves between this relay and another one, and leaves.

Nothing in here touches a socket or decides on who may connect; `admission` does the latter.
"""

from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from apptuner_relay.access.access_control import Access
from apptuner_relay.access.claim_conflicts import CLAIMED, NEEDS_TOKEN, OTHERS, check_conflicts
from apptuner_relay.operator.meters import Meters
from apptuner_relay.relay.frame_handler import Connection, ConnectionFlow
from apptuner_relay.relay.hooks import RelayHooks
from apptuner_relay.relay.interfaces import ConnectedClient
from apptuner_relay.relay.liveness import Liveness
from apptuner_relay.relay.member import Member
from apptuner_relay.relay.member_context import MemberContext
from apptuner_relay.session.client_words import ClientWords, client_fields
from apptuner_relay.session.roles import Notice
from apptuner_relay.session.session import Admission, Arrival, BadRequest, Limits, Role, Session
from apptuner_relay.support.client_address import UNKNOWN
from apptuner_relay.support.clocks import in_ms
from apptuner_relay.support.lazy_text import Lasted
from apptuner_relay.support.units import show_count
from apptuner_relay.wire.bridged_frames import BridgedReader
from apptuner_relay.wire.frames import CLOSE_NORMAL, CLOSE_POLICY, FrameReader

_TOO_MANY_PAGES = (
    "There are too many pages in this session, and this one has been quiet for longest"
)

_RECONNECTED = "connected in another way"

MakeFlow = Callable[[Connection, type[FrameReader]], ConnectionFlow]


class ClientRegistry:
    """The clients and sessions of one relay.

    :param clients: all clients that are connected, those of sessions elsewhere included; one that
        was told to close stays until its connection is gone.
    :param sessions: the sessions of this relay, by the hex SHA-256 of their ids.
    :param context: what members share.
    :param make_flow: makes the flow of a new connection.
    """

    log = Logger()

    def __init__(
        self,
        clients: set[ConnectedClient],
        sessions: dict[str, Session[Member]],
        clock: IReactorTime,
        context: MemberContext,
        limits: Limits,
        make_flow: MakeFlow,
        meters: Meters,
        access: Access,
        hooks: RelayHooks,
    ) -> None:
        self.clients = clients
        self.sessions = sessions
        self._clock = clock
        self._context = context
        self._store = context.store
        self._limits = limits
        """What a session may have from now on; clients that are in one stay."""
        self._make_flow = make_flow
        self._meters = meters
        self._access = access
        self._hooks = hooks
        # Each look-up of the class's own makes another one.
        self.log = self.log
        self._liveness = Liveness(clock, self.retire)

    @property
    def outbound(self) -> list[ConnectedClient]:
        """The clients here whose session is another relay's."""
        return [one for one in self.clients if not isinstance(one, Member)]

    @property
    def limits(self) -> Limits:
        """How many members of each role a session may have."""
        return self._limits

    def change_limits(self, limits: Limits) -> None:
        """Seat whoever comes from now on by ``limits``. Clients that are there stay."""
        self._limits = limits

    # Joining

    def make_room(self, admission: Admission) -> Deferred[None]:
        """Find out whether a dead client has the place that a newcomer needs, and close it. Fires
        within a few seconds, and never fails; `check_room` tells whether there is room."""
        session = self.sessions.get(admission.session_hash)
        return self._liveness.make_room(session, admission, self._limits)

    def check_room(self, admission: Admission) -> None:
        """Check that a client has a place in its session here.

        :raises BadRequest: see `Session.check_room` and `check_conflicts`; 503, it isn't known yet
            which of two claims counts.
        """
        session = self.sessions.get(admission.session_hash)
        if session is not None:
            try:
                check_conflicts(admission, session.desktop_side)
            except BadRequest as no:
                raise self._access.soften(admission.session_hash, no) from None
            session.check_room(admission, self._limits, self._clock.seconds())

    def join(self, admission: Admission, connection: Connection) -> Member:
        """Make a client whose handshake is done a member of its session."""
        reader = FrameReader if admission.through is None else BridgedReader
        return self._join(admission, connection, self._make_flow(connection, reader))

    def add_outbound(self, client: ConnectedClient) -> None:
        """Add a client whose session is another relay's."""
        self.clients.add(client)
        self._count_in(client)

    def _join(
        self,
        admission: Admission,
        connection: Connection,
        flow: ConnectionFlow,
        before: ConnectedClient | None = None,
    ) -> Member:
        """Make a client a member; ``before`` is what it was here until now."""
        key = admission.session_hash
        now_s = self._clock.seconds()
        session = self.sessions.get(key)
        if session is None:
            session = self.sessions[key] = Session(key, since_s=now_s)
            self._meters.bundles.session_began(key)
        member = Member(admission, session, connection, flow, self._context)
        session.last_activity_s = now_s
        self.clients.add(member)
        if before is None:
            self._count_in(member)
        late = not any(one.sends_bundles for one in session.desktop_side)
        seating = session.seat(admission, self._limits, now_s)
        for one in seating.replaced:
            # This comes first: a phone that it cuts must not be announced to the newcomer.
            self._stop(one, member.role.replaced_reason)
        for one in seating.dismissed:
            self.retire(one, CLOSE_NORMAL, _TOO_MANY_PAGES)
        self._retire_unauthorized(session, member)
        # That may have emptied the session, and so ended it.
        self.sessions[key] = session
        served = self._is_served(member)
        notices = session.join(member, self._now_ms(), seating.replaced, served)
        self.log.info(
            "session {session}: {role} {came} from {address}{through}{client}",
            session=session.label,
            role=member.role.value,
            came="connected" if admission.arrival is Arrival.NEW else "moved here",
            address=admission.address or UNKNOWN,
            through=f" through {member.through}" if member.through else "",
            client=ClientWords(admission),
            **client_fields(admission),
        )
        for one in seating.replaced:
            one.connection.close(CLOSE_NORMAL, member.role.replaced_reason)
        _tell(notices)
        self._liveness.connected(member)
        if seating.asked:
            self._liveness.try_clis(session, seating.asked)
        if admission.channel_user and member.through is not None:
            self._hooks.channel_user_joined(member)
        replay = late or (member.device is not None and member.device.replay)
        replay = served or (replay and admission.arrival is Arrival.NEW)
        if member.delivery is not None and replay:
            member.delivery.arrive()
        return member

    def _is_served(self, member: Member) -> bool:
        """Whether a phone whose relay has failed gets a bundle that the CLI has begun since, for
        other phones of that relay."""
        session = member.session
        return self._store is not None and session.membership_notices.has_answered(
            member, session, self._now_ms()
        )

    def _retire_unauthorized(self, session: Session[Member], member: Member) -> None:
        """``member`` joins: close the clients that may not be there with it, as they connected
        before the session was claimed."""
        if not member.admission.authorized or member.role is Role.MOBILE:
            return
        for other in session.desktop_side:
            if not other.admission.authorized:
                self.retire(other, CLOSE_POLICY, CLAIMED)
        for phone in session.mobiles if member.admission.tokens else ():
            if not phone.admission.authorized:
                self.retire(phone, CLOSE_POLICY, NEEDS_TOKEN)

    def _count_in(self, client: ConnectedClient) -> None:
        self._meters.connected(client)
        if client.through is None:
            self._access.entered(client.admission.address, client.admission.session_hash)

    # Moving between this relay and another one

    def adopt(self, client: ConnectedClient, admission: Admission) -> Member:
        """Make a client whose session was elsewhere a member of that session here."""
        self.clients.discard(client)
        connection = client.connection
        flow = ConnectionFlow(client.source, client.sink, client.reader)
        member = self._join(admission, connection, flow, client)
        member.bytes_in = client.bytes_in
        connection.serve(member)
        return member

    def replace(self, member: Member, client: ConnectedClient) -> None:
        """Have ``client``, whose session is elsewhere, take the place of a member that was here
        and is `Member.idle`."""
        member.session.remove(member)
        self.clients.discard(member)
        self.clients.add(client)
        client.bytes_in = member.bytes_in
        member.detach()
        member.connection.serve(client)

    def give_up(self, session: Session[Member]) -> None:
        """A session is another relay's from now on; it has no member here any more."""
        if self.sessions.get(session.hash) is session:
            del self.sessions[session.hash]
            self._meters.bundles.session_ended(session.hash)
        if self._store is not None:
            self._store.forget(session.hash)

    def reconnect(self, member: Member, admission: Admission, connection: Connection) -> Member:
        """Have the client of a member that is `Member.settled` connected in another way from now
        on. The session is told nothing. The caller closes the other connection afterwards.

        :return: the member in its place.
        """
        flow = self._make_flow(connection, FrameReader)
        successor = Member(admission, member.session, connection, flow, self._context)
        member.session.substitute(member, successor)
        if successor.delivery is not None and member.delivery is not None:
            successor.delivery.recorded.take_over(member.delivery.recorded)
        self.clients.add(successor)
        self._count_in(successor)
        self._stop(member, _RECONNECTED)
        self.log.info(
            "session {session}: {role} is connected here now, no more through {through}",
            session=member.label,
            role=member.role.value,
            through=member.through or "",
        )
        return successor

    # Leaving

    def retire(self, client: ConnectedClient, code: int, reason: str) -> None:
        """Close a client, and take it out of its session at once."""
        self.leave(client, reason)
        client.connection.close(code, reason)

    def send_again(self, session_hash: str, address: str | None) -> int:
        """Have every phone of a session get its cached bundle again, as somebody at ``address``
        asks. Returns how many do."""
        session = self.sessions.get(session_hash)
        deliveries = [phone.delivery for phone in session.mobiles] if session is not None else []
        count = sum(one is not None and one.send_again() for one in deliveries)
        self.log.info(
            "session {session}: its last bundle is sent again to {phones}, as {address} asks",
            session=session_hash[:8],
            phones=show_count(count, "phone"),
            count=count,
            address=address or UNKNOWN,
        )
        return count

    def close_session(self, session: Session[Member], reason: str) -> None:
        """Close every client of a session with 1000."""
        for member in session.members:
            self.retire(member, CLOSE_NORMAL, reason)

    def close_network(self, network: IPv4Network | IPv6Network, reason: str) -> int:
        """Close the clients of a network that are connected to this relay, with 1008. Returns how
        many they are."""
        found = [
            client
            for client in self.clients
            if client.through is None
            and (address := client.admission.address) is not None
            and ip_address(address.partition("%")[0]) in network
        ]
        for client in found:
            self.retire(client, CLOSE_POLICY, reason)
        return len(found)

    def retire_claimants(self, session_hash: str) -> None:
        """Clients of this relay showed a secret for a claim that doesn't count: close them. If the
        secret was the right one, they are let in when they reconnect."""
        for client in tuple(self.clients):
            admission = client.admission
            own = admission.session_hash == session_hash and client.through is None
            if own and admission.authorized:
                self.retire(client, CLOSE_POLICY, OTHERS)

    def leave(self, client: ConnectedClient, why: str) -> None:
        """A client's connection is closing or gone: nothing that it sends counts any more. Harmless
        when it is called again."""
        self._stop(client, why)
        if not isinstance(client, Member):
            return
        session = client.session
        _tell(session.leave(client, self._now_ms()))
        if session.empty and self.sessions.get(session.hash) is session:
            del self.sessions[session.hash]
            self._meters.bundles.session_ended(session.hash)
            placement = self._hooks.placement
            if placement is not None:
                placement.left(session.hash)

    def closed(self, client: ConnectedClient, why: str, code: int) -> None:
        """A client's connection has gone; ``code`` is the close code (RFC 6455 §7.4)."""
        if not (isinstance(client, Member) and client.has_left):
            self.leave(client, why)
        self.clients.discard(client)
        admission = client.admission
        lasted_s = max(0, self._now_ms() - admission.since_ms) / 1000
        self._meters.disconnected(client, code, why, lasted_s)
        if client.through is None:
            self._access.left(admission.address, admission.session_hash)
        self.log.info(
            "session {session}: {role} disconnected: {why} ({code}), after {lasted}{client}",
            session=client.label,
            role=client.role.value,
            why=why,
            code=code,
            lasted=Lasted(lasted_s),
            lasted_s=round(lasted_s, 1),
            client=ClientWords(admission),
            **client_fields(admission),
        )
        if isinstance(client, Member) and client.sends_bundles:
            self._serve_waiting(client.session)

    def _serve_waiting(self, session: Session[Member]) -> None:
        """Whoever phones waited for has gone, perhaps long before the relay noticed: where nobody
        else would send them a bundle, they get the cached one."""
        if self._meters.health.draining or any(one.sends_bundles for one in session.desktop_side):
            return
        for phone in session.mobiles:
            delivery, is_new = phone.delivery, phone.admission.arrival is Arrival.NEW
            # Others had their bundle where they come from.
            if delivery is not None and delivery.is_waiting and is_new:
                delivery.arrive()

    def stop(self) -> None:
        """Wait for no answers to pings any more."""
        self._liveness.stop()

    def _stop(self, client: ConnectedClient, why: str) -> None:
        """Take nothing more from a client, and send it nothing more."""
        if client.gone(why):
            self.log.warn(
                "session {session}: a message from {role} was cut short: {why}",
                session=client.label,
                role=client.role.value,
                why=why,
            )

    def _now_ms(self) -> int:
        return in_ms(self._context.wall_s())


def _tell(notices: Iterable[Notice[Member]]) -> None:
    """Tell members of others: each of them all that there is for it at once."""
    told: dict[Member, list[bytes]] = {}
    for notice in notices:
        told.setdefault(notice.to, []).append(notice.message)
    for member, those in told.items():
        member.tell(*those)
