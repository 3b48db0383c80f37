"""The sessions, and what all connections share: admission, time-outs, shutting down.

Nothing in here touches a socket; the factories of `protocol` bring connections in. Where several
relays share their sessions, `Homes` knows where a session's clients meet.
"""

import secrets
import time
from collections.abc import Callable, Set
from typing import Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.access.access import Access
from apptuner_relay.access.claims import MemoryClaims
from apptuner_relay.access.company import CLAIMED, NEEDS_TOKEN, OTHERS, check_company
from apptuner_relay.bundles.playback import Playback
from apptuner_relay.bundles.store import Store
from apptuner_relay.bundles.tape import Tape
from apptuner_relay.clocks import WallClock, in_ms
from apptuner_relay.descriptors import FULL, Descriptors
from apptuner_relay.drain import RESTARTS, Drain, Stage
from apptuner_relay.ends import Connection, End, Ends, make_ends
from apptuner_relay.forwarded import UNKNOWN
from apptuner_relay.member import Member
from apptuner_relay.meters.meters import Meters
from apptuner_relay.options import Settings
from apptuner_relay.rollcall import RollCall
from apptuner_relay.seldom import Seldom
from apptuner_relay.session import (
    Admission,
    Arrival,
    BadRequest,
    Device,
    Limits,
    Role,
    Session,
    parse_device,
    session_hash,
)
from apptuner_relay.slow import SlowSinks
from apptuner_relay.transport import ReceiveBuffer
from apptuner_relay.wire.frames import (
    CLOSE_NORMAL,
    CLOSE_POLICY,
    FrameReader,
    PeerReader,
)

_TOO_MANY_PAGES = (
    "There are too many pages in this session, and this one has been quiet for longest"
)
_TICK_S = 1.0
_LONGEST_SWEEP_S = 15.0
_LONGEST_RENEWAL_S = 60.0


class Attendee(End, Protocol):
    """A client that is connected to this relay, or through another one: a `Member` of a session
    here, or one that is bridged to where its session is."""

    @property
    def admission(self) -> Admission: ...

    @property
    def role(self) -> Role: ...

    @property
    def device(self) -> Device | None: ...

    @property
    def session(self) -> Session[Member] | None:
        """None where that is another relay's."""

    @property
    def through(self) -> str | None:
        """See `Admission`."""

    @property
    def label(self) -> str:
        """How logs name its session."""

    @property
    def connection(self) -> Connection: ...

    @property
    def in_message(self) -> bool:
        """Whether a message from this client is under way to others."""

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way from it or to it."""

    def gone(self, why: str) -> bool:
        """The connection is over. True if that cut a message short."""


Claim = Callable[[], Deferred[None]]
"""Has the claim decided that a client makes or uses: fires, or fails with `BadRequest`."""


class Place(Protocol):
    """What has been found for a client that wants to come in. `enter` or `abandon` is called,
    once."""

    is_here: bool
    """Whether its session is this relay's."""

    def check(self) -> None:
        """Its handshake is about to be done: whether it still fits in.

        :raises BadRequest: not with those who have come meanwhile. `abandon` is to be called.
        """

    def enter(self, connection: Connection) -> Attendee:
        """Its handshake is done."""

    def abandon(self) -> None:
        """It has gone."""


class Homes(Protocol):
    """Where sessions are, for a relay that shares them with others."""

    def find(self, admission: Admission, claim: "Claim") -> Deferred[Place]:
        """Find the place of a client.

        :param claim: called before the client comes in anywhere else.
        :return: fails with `BadRequest`, also that of ``claim``.
        """

    def left(self, session_hash: str) -> None:
        """The last member of a session that is here has gone."""

    def drain(self, until_s: float) -> Deferred[None]:
        """Have other relays take the sessions of this one, where there are any. Never fails.

        :param until_s: when all of the stop is to be over.
        """


class LocalPlace:
    """A `Place` in a session that is here."""

    is_here = True

    def __init__(self, relay: "RelayService", admission: Admission) -> None:
        self._relay = relay
        self._admission = admission

    def check(self) -> None:
        """See `Place`."""
        self._relay.check_room(self._admission)

    def enter(self, connection: Connection) -> Attendee:
        """See `Place`."""
        return self._relay.join(self._admission, connection)

    def abandon(self) -> None:
        """See `Place`."""


class RelayService(Service):
    """Holds the sessions of this relay.

    :param clock: the reactor, or a `task.Clock`.
    :param store: where bundles are kept, if they are.
    :param wall_s: the time of day (see `clocks`).
    """

    log = Logger()

    def __init__(
        self,
        settings: Settings,
        clock: IReactorTime,
        store: Store | None = None,
        wall_s: WallClock = time.time,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.wall_s = wall_s
        self.store = store
        self.sessions: dict[str, Session[Member]] = {}
        self.members: set[Attendee] = set()
        """All clients there are: those of sessions that are elsewhere, too."""
        self.homes: Homes | None = None
        """None where this relay is alone."""
        self.buffer = ReceiveBuffer()
        self._slow = SlowSinks(settings.slow_rate, settings.slow_time, clock.seconds)
        self._unhurried = SlowSinks(settings.slow_rate, settings.slow_time, clock.seconds)
        """Never looked at."""
        self.meters = Meters(settings, clock, wall_s, self.members, self.sessions, self._slow)
        if store is not None:
            self.meters.watch_spool(store)
        claims = MemoryClaims(settings.claim_ttl, clock.seconds) if settings.claims else None
        self.access = self.meters.access = Access(settings, clock.seconds, wall_s, claims)
        self.access.on_lost = self._send_away_claimants
        self._over_rate: set[Member] = set()
        """Who has sent more messages than it may, until it is told so."""
        self._refusals = Seldom(clock.seconds)
        self._limits = Limits(
            settings.max_mobiles, settings.max_pages, silence_s=settings.ping_interval
        )
        self._rollcall = RollCall(clock, self.retire)
        self.drain: Drain | None = None
        """Set when the relay stops."""
        self.hands_over = False
        """Whether other relays take connections where this one listens, so that it may stop to
        while it drains, and needn't refuse those that it has taken."""
        self.descriptors = Descriptors()
        """Whether there are any left for clients."""
        self.meters.watch_descriptors(lambda: self.descriptors)
        self.count_downloads: Callable[[], int] = lambda: 0
        """How many bundles are on their way over HTTP."""
        self.list_last_words: Callable[[], Set[str]] = frozenset
        """The sessions elsewhere of which clients have gone, and not all that they sent has."""
        self.count_silent: Callable[[], int] = lambda: 0
        """On how many connections nothing has been asked yet."""
        sweep_s = min(_LONGEST_SWEEP_S, settings.session_timeout / 4)
        renewal_s = min(_LONGEST_RENEWAL_S, settings.claim_ttl / 4)
        pings_s = min(settings.ping_interval, settings.ping_timeout) / 2
        self._calls = [
            (_TICK_S, self._repeated(self._look_for_slow_and_stalled)),
            (_TICK_S, self._repeated(self._look_at_rates)),
            (renewal_s, self._repeated(self._renew_claims)),
            (sweep_s, self._repeated(self._look_for_idle_sessions)),
            (pings_s, self._repeated(self._look_for_silence)),
        ]

    @property
    def connections(self) -> int:
        """How many clients are connected to this relay; one that was told to close counts until
        it has gone."""
        return len(self.members) - self.meters.visitors

    def startService(self) -> None:
        super().startService()
        self.meters.draining = False
        self.drain = None
        for interval_s, call in self._calls:
            self._start(interval_s, call)

    def stopService(self) -> Deferred[None]:
        """Let what is on its way arrive, and close every client with 1012 (with 1011, who is left
        with half a message); fires when the last has gone. See `Drain`."""
        super().stopService()
        self.meters.draining = True
        settings = self.settings
        self.drain = drain = Drain(self, self.clock, settings.drain_timeout, settings.drain_spread)
        if self.homes is None:
            drain.begin()
        else:
            # However long that takes, there is one deadline.
            late = self.clock.callLater(settings.drain_timeout, drain.begin)

            def drained(_: object) -> None:
                if late.active():
                    late.cancel()
                drain.begin()

            self.homes.drain(drain.until_s).addBoth(drained)
        return drain.over.addCallback(self._stop_calls)

    def _stop_calls(self, _: None) -> None:
        self._rollcall.stop()
        for _interval_s, call in self._calls:
            if call.running:
                call.stop()

    @property
    def guests(self) -> list[Attendee]:
        """The clients whose session is elsewhere."""
        return [one for one in self.members if not isinstance(one, Member)]

    @property
    def downloads(self) -> int:
        """See `count_downloads`."""
        return self.count_downloads()

    @property
    def last_words(self) -> Set[str]:
        """See `list_last_words`."""
        return self.list_last_words()

    @property
    def newcomers(self) -> int:
        """How many clients may be about to ask for something, whom nobody else can answer."""
        return self.count_silent() if self.hands_over else 0

    def _check_open(self, session_hash: str) -> None:
        """:raises BadRequest: 503, when the relay has stopped, or stops and can't wait for a client
        of that session."""
        if self.running:
            return
        drain = self.drain
        if drain is None or self.homes is not None or drain.stage is Stage.OVER:
            raise BadRequest(503, RESTARTS)
        if drain.refuses(session_hash) and not self.hands_over:
            raise BadRequest(503, RESTARTS)

    def admit(
        self,
        role: Role,
        session_id: str,
        query: str,
        deflates: bool = False,
        address: str | None = None,
    ) -> Admission:
        """Decide on a client that wants to come in, from what its URL says.

        :raises BadRequest: with an HTTP status and a text for the client.
        """
        key = session_hash(session_id)
        self._check_open(key)
        if self.descriptors.are_short:
            raise BadRequest(503, FULL)
        device = None
        if role is Role.MOBILE:
            device = parse_device(query, secrets.token_hex(8), self._now_ms())
        url = f"{self.settings.public_url}/bundles/{session_id}"
        return Admission(
            role,
            key,
            device,
            url,
            deflates,
            client=secrets.token_hex(8),
            since_ms=self._now_ms(),
            address=address,
        )

    def find_place(self, admission: Admission, claim: Claim) -> "Place | Deferred[Place]":
        """Find the place of a client that was admitted.

        :param claim: see `Homes.find`.
        :raises BadRequest: it has none; so may what is returned.
        """
        if self.homes is not None:
            return self.homes.find(admission, claim)

        def find(_: None) -> Place:
            self.check_room(admission)
            return LocalPlace(self, admission)

        return self.make_room(admission).addCallback(find)

    def make_room(self, admission: Admission) -> Deferred[None]:
        """Find out whether somebody who is dead has the place of a client that wants to come in,
        and have it go. Fires soon, and never fails; `check_room` says what has come of it."""
        session = self.sessions.get(admission.session_hash)
        return self._rollcall.make_room(session, admission, self._limits)

    def check_room(self, admission: Admission) -> None:
        """Whether a client fits into its session here.

        :raises BadRequest: see `Session.check_room` and `check_company`.
        """
        session = self.sessions.get(admission.session_hash)
        if session is not None:
            check_company(admission, session.desktop_side)
            session.check_room(admission, self._limits, self.clock.seconds())

    def refused(self, status: int, address: str | None) -> None:
        """A handshake was refused with an HTTP status. Logged, but not so often that who is
        refused can fill the disk, and without the path: it may hold a session id."""
        self.meters.refused(status)
        count = self._refusals.count()
        if count is not None:
            self.log.info(
                "a handshake from {address} was refused with {status} ({count} refused since the "
                "last such line)",
                address=address or UNKNOWN,
                status=status,
                count=count,
            )

    def join(self, admission: Admission, connection: Connection) -> Member:
        """Take in a client whose handshake is done."""
        reader = FrameReader if admission.through is None else PeerReader
        return self._enter(admission, connection, self.make_ends(connection, reader))

    def make_ends(
        self, connection: Connection, reader: type[FrameReader], hurried: bool = True
    ) -> Ends:
        """The ends of a new connection; ``hurried`` says that it is given up when it is slow."""
        slow = self._slow if hurried else self._unhurried
        return make_ends(connection, self.settings, slow, reader)

    def attend(self, attendee: Attendee) -> None:
        """Take in a client whose session is elsewhere."""
        self.members.add(attendee)
        self._joined(attendee)

    def adopt(self, attendee: Attendee, admission: Admission) -> Member:
        """Make a client whose session was elsewhere a member of that session here."""
        self.members.discard(attendee)
        connection = attendee.connection
        ends = Ends(attendee.source, attendee.sink, attendee.reader)
        member = self._enter(admission, connection, ends, attendee)
        member.bytes_in = attendee.bytes_in
        connection.serve(member)
        return member

    def replace(self, member: Member, attendee: Attendee) -> None:
        """Have ``attendee``, whose session is elsewhere, take the place of a member that was here
        and is `Member.idle`."""
        member.session.remove(member)
        self.members.discard(member)
        self.members.add(attendee)
        attendee.bytes_in = member.bytes_in
        member.detach()
        member.connection.serve(attendee)

    def give_up(self, session: Session[Member]) -> None:
        """A session is elsewhere from now on; it has no member here any more."""
        if self.sessions.get(session.hash) is session:
            del self.sessions[session.hash]
        if self.store is not None:
            self.store.forget(session.hash)

    def _enter(
        self,
        admission: Admission,
        connection: Connection,
        ends: Ends,
        before: Attendee | None = None,
    ) -> Member:
        """Make a client a member; ``before`` is what it was here until now."""
        key = admission.session_hash
        session = self.sessions.get(key)
        if session is None:
            session = self.sessions[key] = Session(key, since_s=self.clock.seconds())
        member = Member(
            admission,
            session,
            connection,
            ends,
            self.settings,
            self.clock.seconds,
            self.wall_s,
            self.meters.traffic,
            self._over_rate.add,
        )
        session.last_activity_s = self.clock.seconds()
        self.members.add(member)
        if before is None:
            self._joined(member)
        late = not any(one.sends_bundles for one in session.desktop_side)
        if self.store is not None:
            self._give_bundles(member, admission, self.store)
        seating = session.seat(admission, self._limits, self.clock.seconds())
        for one in seating.replaced:
            # First of all: a phone that this cuts must not be announced to the newcomer.
            self._stop(one, member.role.replaced_reason)
        for one in seating.dismissed:
            self.retire(one, CLOSE_NORMAL, _TOO_MANY_PAGES)
        self._send_away_strangers(session, member)
        # That may have left it empty, and so ended it.
        self.sessions[key] = session
        served = self._is_served(member)
        notices = session.join(member, self._now_ms(), seating.replaced, served)
        self.log.info(
            "session {session}: {role} {came} from {address}{through}",
            session=session.label,
            role=member.role.value,
            came="connected" if member.admission.arrival is Arrival.NEW else "moved here",
            address=admission.address or UNKNOWN,
            through=f" through {member.through}" if member.through else "",
        )
        for one in seating.replaced:
            one.connection.close(CLOSE_NORMAL, member.role.replaced_reason)
        for notice in notices:
            notice.to.tell(notice.message)
        self._rollcall.came(member)
        if seating.asked:
            self._rollcall.try_clis(session, seating.asked)
        replay = late or (member.device is not None and member.device.replay)
        replay = served or (replay and member.admission.arrival is Arrival.NEW)
        if member.playback is not None and replay:
            member.playback.arrive()
        return member

    def _is_served(self, member: Member) -> bool:
        """Whether a phone that comes from a relay which has failed gets the bundle that the CLI has
        begun since, for others that came from there as well."""
        session = member.session
        return member.playback is not None and session.announcements.has_answered(
            member, session, self._now_ms()
        )

    def _joined(self, attendee: Attendee) -> None:
        self.meters.joined(attendee)
        if attendee.through is None:
            self.access.entered(attendee.admission.address, attendee.admission.session_hash)

    def _send_away_strangers(self, session: Session[Member], member: Member) -> None:
        """``member`` comes in: those go that may not be there with it, as they came before the
        session was claimed."""
        if not member.admission.authorized or member.role is Role.MOBILE:
            return
        for other in session.desktop_side:
            if not other.admission.authorized:
                self.retire(other, CLOSE_POLICY, CLAIMED)
        for phone in session.mobiles if member.admission.tokens else ():
            if not phone.admission.authorized:
                self.retire(phone, CLOSE_POLICY, NEEDS_TOKEN)

    def _send_away_claimants(self, session_hash: str) -> None:
        """Clients of this relay showed a secret for a claim that doesn't count. If it was the right
        one, they are let in when they come back."""
        for one in tuple(self.members):
            admission = one.admission
            mine = admission.session_hash == session_hash and one.through is None
            if mine and admission.authorized:
                self.retire(one, CLOSE_POLICY, OTHERS)

    def _give_bundles(self, member: Member, admission: Admission, store: Store) -> None:
        """Have what ``member`` sends recorded, or what was recorded played to it."""
        key, device = admission.session_hash, admission.device
        if device is None:
            member.keep(Tape(store, key, member.source, self.buffer))
            return
        announce = admission.bundles_url if device.announce else None
        # One that has been here before may have got other code since.
        have = device.have if admission.arrival is Arrival.NEW else None
        member.playback = Playback(store, key, member, member.tell, self._now_ms, have, announce)

    def leave(self, attendee: Attendee, why: str) -> None:
        """A client's connection is over, or as good as over: nothing it sends counts any more.
        Harmless when it was said before."""
        self._stop(attendee, why)
        if not isinstance(attendee, Member):
            return
        session = attendee.session
        for notice in session.leave(attendee, self._now_ms()):
            notice.to.tell(notice.message)
        if session.empty and self.sessions.get(session.hash) is session:
            del self.sessions[session.hash]
            if self.homes is not None:
                self.homes.left(session.hash)

    def close_session(self, session: Session[Member], reason: str) -> None:
        """Close every client of a session with 1000."""
        for member in session.members:
            self.retire(member, CLOSE_NORMAL, reason)

    def closed(self, member: Attendee, why: str, code: int) -> None:
        """A client's connection has gone; ``code`` is the close code (RFC 6455 §7.4)."""
        self.leave(member, why)
        self.members.discard(member)
        self.meters.left(member, code)
        if member.through is None:
            self.access.left(member.admission.address, member.admission.session_hash)
        self.log.info(
            "session {session}: {role} disconnected: {why}",
            session=member.label,
            role=member.role.value,
            why=why,
        )

    def _stop(self, member: Attendee, why: str) -> None:
        """Take nothing more from a client, and send it nothing more."""
        if member.gone(why):
            self.log.warn(
                "session {session}: a message from {role} was cut short: {why}",
                session=member.label,
                role=member.role.value,
                why=why,
            )

    def retire(self, member: Attendee, code: int, reason: str) -> None:
        """Close a client, and count it out at once."""
        self.leave(member, reason)
        member.connection.close(code, reason)

    def _look_for_slow_and_stalled(self) -> None:
        self._slow.check()
        now_s = self.clock.seconds()
        limit_s = self.settings.stall_timeout
        for member in tuple(self.members):
            if member.in_message and member.source.stalled(now_s) >= limit_s:
                self.retire(member, CLOSE_POLICY, f"Nothing came for {limit_s:g} s in mid-message")
        for session in tuple(self.sessions.values()):
            for sender in session.desktop_side:
                if sender.give_up_stalled(now_s, limit_s):
                    self.log.warn(
                        "session {session}: the rest of a bundle in chunks from {role} never came",
                        session=session.label,
                        role=sender.role.value,
                    )

    def _look_at_rates(self) -> None:
        for member in tuple(self._over_rate):
            if member.catch_up():
                self._over_rate.discard(member)

    def _renew_claims(self) -> None:
        self.access.renew(
            {
                member.admission.session_hash
                for member in self.members
                if member.admission.authorized and member.through is None
            }
        )

    def _look_for_idle_sessions(self) -> None:
        deadline_s = self.clock.seconds() - self.settings.session_timeout
        for session in tuple(self.sessions.values()):
            if session.last_activity_s <= deadline_s:
                self.log.info("session {session}: timed out", session=session.label)
                self.close_session(session, "Session timeout")

    def _look_for_silence(self) -> None:
        now_s = self.clock.seconds()
        for member in tuple(self.members):
            member.connection.check_alive(now_s)

    def _start(self, interval_s: float, call: LoopingCall) -> None:
        def failed(failure: Failure) -> None:
            self.log.failure("a check has failed; it goes on", failure)
            if self.running:
                self._start(interval_s, call)

        call.start(interval_s, now=False).addErrback(failed)

    def _repeated(self, function: Callable[[], None]) -> LoopingCall:
        call = LoopingCall(function)
        call.clock = self.clock
        return call

    def _now_ms(self) -> int:
        return in_ms(self.wall_s())
