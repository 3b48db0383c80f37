"""The sessions, and what all connections share: admission, time-outs, shutting down.

Nothing in here touches a socket; the factories of `protocol` bring connections in.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.bundles.playback import Playback
from apptuner_relay.bundles.store import Store
from apptuner_relay.bundles.tape import Tape
from apptuner_relay.member import Connection, Member
from apptuner_relay.meters.meters import Meters
from apptuner_relay.options import Settings
from apptuner_relay.session import BadRequest, Device, Role, Session, parse_device, session_hash
from apptuner_relay.slow import SlowSinks
from apptuner_relay.transport import ReceiveBuffer
from apptuner_relay.wire.frames import CLOSE_NORMAL, CLOSE_POLICY, CLOSE_SERVICE_RESTART

_TICK_S = 1.0
_LONGEST_SWEEP_S = 15.0


@dataclass(frozen=True)
class Admission:
    """Who may come in, and where to."""

    role: Role
    session_hash: str
    device: Device | None
    bundles_url: str
    """Where the session's bundles are found over HTTP."""


class RelayService(Service):
    """Holds the sessions of this relay.

    :param clock: the reactor, or a `task.Clock`.
    :param store: where bundles are kept, if they are.
    """

    log = Logger()

    def __init__(self, settings: Settings, clock: IReactorTime, store: Store | None = None) -> None:
        self.settings = settings
        self.clock = clock
        self.store = store
        self.sessions: dict[str, Session[Member]] = {}
        self.members: set[Member] = set()
        self.buffer = ReceiveBuffer()
        self._slow = SlowSinks(settings.slow_rate, settings.slow_time, clock.seconds)
        self.meters = Meters(settings, clock, self.members, self.sessions, self._slow)
        if store is not None:
            self.meters.watch_spool(store)
        self._stopping: Deferred[None] | None = None
        sweep_s = min(_LONGEST_SWEEP_S, settings.session_timeout / 4)
        pings_s = min(settings.ping_interval, settings.ping_timeout) / 2
        self._calls = [
            (_TICK_S, self._repeated(self._look_for_slow_and_stalled)),
            (sweep_s, self._repeated(self._look_for_idle_sessions)),
            (pings_s, self._repeated(self._look_for_silence)),
        ]

    @property
    def connections(self) -> int:
        """How many clients there are; one that was told to close counts until it has gone."""
        return len(self.members)

    def startService(self) -> None:
        super().startService()
        self.meters.draining = False
        for interval_s, call in self._calls:
            self._start(interval_s, call)

    def stopService(self) -> "Deferred[None] | None":
        """Close every client with 1012 (with 1011, who is left with half a message); fires when
        the last has gone."""
        super().stopService()
        self.meters.draining = True
        for _, call in self._calls:
            if call.running:
                call.stop()
        if not self.members:
            return None
        self._stopping = Deferred()
        for member in tuple(self.members):
            member.connection.close(CLOSE_SERVICE_RESTART, "The relay restarts")
        return self._stopping

    def admit(self, role: Role, session_id: str, query: str) -> Admission:
        """Decide on a client that wants to come in, from what its URL says.

        :raises BadRequest: with an HTTP status and a text for the client.
        """
        if not self.running:
            raise BadRequest(503, "The relay restarts")
        device = None
        if role is Role.MOBILE:
            device = parse_device(query, secrets.token_hex(8), self._now_ms())
        key = session_hash(session_id)
        session = self.sessions.get(key)
        if session is not None:
            session.check_room(role, device, self.settings.max_mobiles)
        return Admission(role, key, device, f"{self.settings.public_url}/bundles/{session_id}")

    def join(self, admission: Admission, connection: Connection) -> Member:
        """Take in a client whose handshake is done."""
        key = admission.session_hash
        session = self.sessions.get(key)
        if session is None:
            session = self.sessions[key] = Session(key, since_s=self.clock.seconds())
        member = Member(
            admission.role,
            admission.device,
            session,
            connection,
            self.settings,
            self._slow,
            self.clock.seconds,
            self.meters.traffic,
        )
        session.last_activity_s = self.clock.seconds()
        self.members.add(member)
        self.meters.joined(member)
        late = not session.desktop_side
        if self.store is not None:
            self._give_bundles(member, admission, self.store)
        replaced = session.occupant(member.role, member.device)
        if replaced is not None:
            # First of all: a phone that this cuts must not be announced to the newcomer.
            self._stop(replaced, member.role.replaced_reason)
        notices = session.join(member, self._now_ms())
        self.log.info(
            "session {session}: {role} connected",
            session=session.label,
            role=member.role.value,
        )
        if replaced is not None:
            replaced.connection.close(CLOSE_NORMAL, member.role.replaced_reason)
        for notice in notices:
            notice.to.tell(notice.message)
        if member.playback is not None and (late or (member.device and member.device.replay)):
            member.playback.arrive()
        return member

    def _give_bundles(self, member: Member, admission: Admission, store: Store) -> None:
        """Have what ``member`` sends recorded, or what was recorded played to it."""
        key, device = admission.session_hash, admission.device
        if device is None:
            member.tape = Tape(store, key, member.source, self.buffer)
            return
        announce = admission.bundles_url if device.announce else None
        member.playback = Playback(
            store, key, member, member.tell, self._now_ms, device.have, announce
        )

    def leave(self, member: Member, why: str) -> None:
        """A client's connection is over, or as good as over: nothing it sends counts any more.
        Harmless when it was said before."""
        session = member.session
        self._stop(member, why)
        for notice in session.leave(member, self._now_ms()):
            notice.to.tell(notice.message)
        if session.empty and self.sessions.get(session.hash) is session:
            del self.sessions[session.hash]

    def close_session(self, session: Session[Member], reason: str) -> None:
        """Close every client of a session with 1000."""
        for member in session.members:
            self._retire(member, CLOSE_NORMAL, reason)

    def closed(self, member: Member, why: str, code: int) -> None:
        """A client's connection has gone; ``code`` is the close code (RFC 6455 §7.4)."""
        self.leave(member, why)
        self.members.discard(member)
        self.meters.left(member, code)
        self.log.info(
            "session {session}: {role} disconnected: {why}",
            session=member.session.label,
            role=member.role.value,
            why=why,
        )
        if self._stopping is not None and not self.members:
            stopping, self._stopping = self._stopping, None
            stopping.callback(None)

    def _stop(self, member: Member, why: str) -> None:
        """Take nothing more from a client, and send it nothing more."""
        if member.gone(why):
            self.log.warn(
                "session {session}: a message from {role} was cut short: {why}",
                session=member.session.label,
                role=member.role.value,
                why=why,
            )

    def _retire(self, member: Member, code: int, reason: str) -> None:
        """Close a client, and count it out at once."""
        self.leave(member, reason)
        member.connection.close(code, reason)

    def _look_for_slow_and_stalled(self) -> None:
        self._slow.check()
        now_s = self.clock.seconds()
        limit_s = self.settings.stall_timeout
        for member in tuple(self.members):
            if member.in_message and member.source.stalled(now_s) >= limit_s:
                self._retire(member, CLOSE_POLICY, f"Nothing came for {limit_s:g} s in mid-message")

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
        return int(self.clock.seconds() * 1000)
