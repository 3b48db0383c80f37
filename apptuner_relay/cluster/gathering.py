"""Where a session has just moved to: whoever is there waits until the others have come.

What a client sends before they have would reach some of them, or nobody, and neither side would
know. So nothing is read from anybody in such a session until all have come who were in it where it
was before (`roster`), or are known not to, or have taken too long. Who is late comes as after a
failure: everybody is told of it, and bundles are sent again.
"""

import dataclasses
from collections.abc import Callable, Iterable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from apptuner_relay.clocks import in_ms
from apptuner_relay.cluster.roster import Roster, Traveller
from apptuner_relay.member import Member
from apptuner_relay.service import RelayService
from apptuner_relay.session import Admission, Arrival, Device, Role

GATHER_S = 5.0
"""How long a session waits for its clients: phones give up a relay that says nothing for longer."""


@dataclasses.dataclass(frozen=True)
class _Absent:
    """One that didn't come, as a session sees it."""

    role: Role
    device: Device | None
    admission: Admission
    said_s: float | None = None
    heard_s: float = 0.0


class _Gathering:
    """One session's. It is what the sources of its members are held by."""

    def __init__(self, travellers: Iterable[Traveller], timer: IDelayedCall) -> None:
        self.roster = Roster(travellers)
        self.timer = timer
        self.held: list[Member] = []
        self.waiting: list[Deferred[None]] = []


class Gatherings:
    """Those of a relay.

    :param on_over: called with a session for whose clients nobody waits any more.
    """

    log = Logger()

    def __init__(self, relay: RelayService, on_over: Callable[[str], None]) -> None:
        self._relay = relay
        self._on_over = on_over
        self._gatherings: dict[str, _Gathering] = {}

    def __contains__(self, session: object) -> bool:
        return session in self._gatherings

    def expect(self, session: str, travellers: Iterable[Traveller]) -> None:
        """A session is about to be this relay's, with these clients."""
        before = self._gatherings.pop(session, None)
        if before is not None:
            self._end(session, before)
        timer = self._relay.clock.callLater(GATHER_S, self._took_too_long, session)
        self._gatherings[session] = _Gathering(travellers, timer)

    def begin(self, session: str) -> None:
        """It is. Nobody may have to be waited for."""
        self._look(session)

    def call_off(self, session: str) -> None:
        """It isn't, after all."""
        gathering = self._gatherings.pop(session, None)
        if gathering is not None:
            gathering.roster = Roster(())
            self._end(session, gathering)

    def over(self, session: str) -> Deferred[None]:
        """Fires when nobody is waited for in a session."""
        over: Deferred[None] = Deferred()
        if session in self._gatherings:
            self._gatherings[session].waiting.append(over)
        else:
            over.callback(None)
        return over

    def check(self, admission: Admission) -> Admission:
        """How a client really arrives: one that is not expected has lost something on its way, as
        others went on without it."""
        if admission.arrival is not Arrival.MOVED:
            return admission
        gathering = self._gatherings.get(admission.session_hash)
        if gathering is not None and gathering.roster.expects(admission.client):
            return admission
        return dataclasses.replace(admission, arrival=Arrival.RECOVERED)

    def entered(self, member: Member) -> None:
        """A client has come in; it waits like all others."""
        session = member.admission.session_hash
        gathering = self._gatherings.get(session)
        if gathering is None:
            return
        gathering.roster.came(member.admission.client)
        gathering.held.append(member)
        member.source.hold(gathering)
        self._look(session)

    def miss(self, session: str, client: str) -> None:
        """A client won't come."""
        gathering = self._gatherings.get(session)
        if gathering is not None:
            gathering.roster.miss(client)
            self._look(session)

    def _look(self, session: str) -> None:
        gathering = self._gatherings.get(session)
        if gathering is not None and gathering.roster.is_complete:
            del self._gatherings[session]
            self._end(session, gathering)

    def _took_too_long(self, session: str) -> None:
        gathering = self._gatherings.pop(session)
        self.log.warn(
            "session {session}: {count} of its clients have not come within {time:g} s of its move "
            "here: it goes on without them",
            session=session[:8],
            count=len(gathering.roster.missing),
            time=GATHER_S,
        )
        self._end(session, gathering)

    def _end(self, session: str, gathering: _Gathering) -> None:
        if gathering.timer.active():
            gathering.timer.cancel()
        for one in gathering.roster.give_up():
            self._tell_of(session, one)
        for member in gathering.held:
            member.source.let_go(gathering)
        for waiting in gathering.waiting:
            waiting.callback(None)
        self._on_over(session)

    def _tell_of(self, session: str, absent: Traveller) -> None:
        """Those who have come are told that one has gone, as they would be had it come and left."""
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
        for notice in here.announcements.left(one, here, now_ms):  # type: ignore[arg-type]
            notice.to.tell(notice.message)
