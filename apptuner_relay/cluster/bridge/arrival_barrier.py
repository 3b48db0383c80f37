"""Barriers: the clients of a session that has just moved here wait until all of them have arrived.

A message that a client sent before that would reach only some of the others, and no client would
know. So nothing is read from the members of such a session until every client on its old owner's
list (`roster`) has arrived, is known not to arrive, or has taken too long. A client that arrives
late counts as one that its relay has lost: the others are told of it, and bundles are sent again.
"""

import dataclasses
from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from apptuner_relay.cluster.bridge.roster import MigratingClient, Roster
from apptuner_relay.relay.member import Member
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import Admission, Arrival, Device, Role
from apptuner_relay.support.clocks import in_ms

ARRIVAL_TIMEOUT_S = 5.0
"""How long a session waits for its clients. Phones give up a relay that is silent for longer."""


@dataclasses.dataclass(frozen=True)
class _Absent:
    """A client that has not arrived, as a session sees it."""

    role: Role
    device: Device | None
    admission: Admission
    said_s: float | None = None
    heard_s: float = 0.0


class _Barrier:
    """The barrier of one session. It holds the sources of the members."""

    def __init__(self, clients: Iterable[MigratingClient], timer: IDelayedCall) -> None:
        self.roster = Roster(clients)
        self.timer = timer
        self.held: list[Member] = []
        self.waiting: list[Deferred[None]] = []


class ArrivalBarriers:
    """The barriers of one relay.

    :param on_lifted: called with a session whose barrier was lifted.
    """

    log = Logger()

    def __init__(self, relay: RelayService, on_lifted: Callable[[str], None]) -> None:
        self._relay = relay
        self._on_lifted = on_lifted
        self._barriers: dict[str, _Barrier] = {}

    def __contains__(self, session: object) -> bool:
        return session in self._barriers

    def expect(self, session: str, clients: Iterable[MigratingClient]) -> None:
        """Raise the barrier of a session that is about to be this relay's, with these clients."""
        before = self._barriers.pop(session, None)
        if before is not None:
            self._lift(session, before)
        timer = self._relay.clock.callLater(ARRIVAL_TIMEOUT_S, self._timed_out, session)
        self._barriers[session] = _Barrier(clients, timer)

    def lift_if_complete(self, session: str) -> None:
        """Lift a session's barrier if no client is missing."""
        barrier = self._barriers.get(session)
        if barrier is not None and barrier.roster.is_complete:
            del self._barriers[session]
            self._lift(session, barrier)

    def cancel(self, session: str) -> None:
        """Lift a session's barrier, as the session doesn't become this relay's."""
        barrier = self._barriers.pop(session, None)
        if barrier is not None:
            barrier.roster = Roster(())
            self._lift(session, barrier)

    def wait(self, session: str) -> Deferred[None]:
        """Fires when a session has no barrier."""
        lifted: Deferred[None] = Deferred()
        if session in self._barriers:
            self._barriers[session].waiting.append(lifted)
        else:
            lifted.callback(None)
        return lifted

    def resolve_arrival(self, admission: Admission) -> Admission:
        """The admission with which a client really arrives. One that is not expected may have
        missed messages, as the others went on without it: it is RECOVERED."""
        if admission.arrival is not Arrival.MOVED:
            return admission
        barrier = self._barriers.get(admission.session_hash)
        if barrier is not None and barrier.roster.expects(admission.client):
            return admission
        return dataclasses.replace(admission, arrival=Arrival.RECOVERED)

    def arrived(self, member: Member) -> None:
        """A client has become a member: it waits like the others."""
        session = member.admission.session_hash
        barrier = self._barriers.get(session)
        if barrier is None:
            return
        barrier.roster.arrived(member.admission.client)
        barrier.held.append(member)
        member.source.hold(barrier)
        self.lift_if_complete(session)

    def mark_absent(self, session: str, client: str) -> None:
        """A client won't arrive."""
        barrier = self._barriers.get(session)
        if barrier is not None:
            barrier.roster.mark_absent(client)
            self.lift_if_complete(session)

    def _timed_out(self, session: str) -> None:
        barrier = self._barriers.pop(session)
        self.log.warn(
            "session {session}: {count} of its clients have not arrived within {time:g} s of its "
            "move here: it goes on without them",
            session=session[:8],
            count=len(barrier.roster.missing),
            time=ARRIVAL_TIMEOUT_S,
        )
        self._lift(session, barrier)

    def _lift(self, session: str, barrier: _Barrier) -> None:
        if barrier.timer.active():
            barrier.timer.cancel()
        for one in barrier.roster.close():
            self._announce_absent(session, one)
        for member in barrier.held:
            member.source.let_go(barrier)
        for waiting in barrier.waiting:
            waiting.callback(None)
        self._on_lifted(session)

    def _announce_absent(self, session: str, absent: MigratingClient) -> None:
        """Tell those who have arrived that a client is disconnected, as if it had arrived first."""
        here = self._relay.sessions.get(session)
        admission = Admission(
            absent.role,
            session,
            absent.device,
            "",
            arrival=Arrival.MOVED,
            client=absent.client,
        )
        if here is None or here.occupant(admission) is not None:
            return
        one = _Absent(absent.role, absent.device, admission)
        now_ms = in_ms(self._relay.wall_s())
        for notice in here.membership_notices.left(one, here, now_ms):  # type: ignore[arg-type]
            notice.to.tell(notice.message)
