"""Pings clients to find the dead ones, where the place of a newcomer depends on it.

A client that vanishes without a Close looks like an idle one until a ping stays unanswered. A
client that was heard just now is not pinged.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from apptuner_relay.relay.member import Member
from apptuner_relay.session.roles import Admission, Role
from apptuner_relay.session.seats import Limits
from apptuner_relay.session.session import Session
from apptuner_relay.wire.frames import CLOSE_NORMAL

_LATELY_S = 2.0
"""A client that was heard within this time is alive."""
_CLI_ANSWERS_S = 5.0
"""How long a CLI may take to answer when another one has joined beside it."""
_PHONE_ANSWERS_S = 1.2
"""How long a phone may take whose place another one needs. That one waits meanwhile; so does the
relay that it is connected to, for 2 s at the most."""
_LOOK_S = 0.1


class _Question(NamedTuple):
    member: Member
    asked_s: float


class Liveness:
    """The pings of one relay.

    :param retire: closes a client with a close code and a reason, and counts it out at once.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, retire: Callable[[Member, int, str], None]) -> None:
        self._clock = clock
        self._retire = retire
        self._looks: set[IDelayedCall] = set()

    def stop(self) -> None:
        """Wait for no answer any more."""
        looks, self._looks = self._looks, set()
        for look in looks:
            look.cancel()

    def ask(self, members: Iterable[Member], within_s: float) -> Deferred[list[Member]]:
        """Ping ``members``. Fires with those that have not answered within ``within_s`` seconds of
        their ping, which may have been sent before this call."""
        now_s = self._clock.seconds()
        questions = []
        for member in members:
            if now_s - member.heard_s >= _LATELY_S:
                asked_s = member.connection.probe()
                if asked_s is not None:
                    questions.append(_Question(member, asked_s))
        answer: Deferred[list[Member]] = Deferred()
        self._look(questions, within_s, answer)
        return answer

    def _look(
        self, questions: list[_Question], within_s: float, answer: Deferred[list[Member]]
    ) -> None:
        now_s = self._clock.seconds()
        open_ones = [one for one in questions if one.member.heard_s < one.asked_s]
        if all(now_s - one.asked_s >= within_s for one in open_ones):
            answer.callback([one.member for one in open_ones])
            return

        def again() -> None:
            self._looks.discard(look)
            self._look(open_ones, within_s, answer)

        look = self._clock.callLater(_LOOK_S, again)
        self._looks.add(look)

    def connected(self, member: Member) -> None:
        """``member`` has connected: ping the others of its kind, to find those whose connection is
        dead, such as the one that it has left behind."""
        session = member.session
        group = session.mobiles if member.role is Role.MOBILE else session.pages
        for other in group:
            if other is not member:
                other.connection.probe()

    def try_clis(self, session: Session[Member], clis: Iterable[Member]) -> None:
        """A CLI has joined beside ``clis``: close those that don't answer a ping."""
        self.ask(clis, _CLI_ANSWERS_S).addCallback(self._clis_answered, session)

    def _clis_answered(self, silent: list[Member], session: Session[Member]) -> None:
        for cli in silent:
            if cli in session.clis:
                self.log.info(
                    "session {session}: a CLI that does not answer a ping is closed for one that "
                    "has reconnected",
                    session=session.label,
                )
                session.displaced(cli, self._clock.seconds())
                self._retire(cli, CLOSE_NORMAL, Role.CLI.replaced_reason)
        if len(session.clis) > 1:
            self.log.warn(
                "session {session}: {count} CLIs are connected: one that was replaced has "
                "reconnected, and the other one answers pings. Both stay, and both send their "
                "bundles to the phones",
                session=session.label,
                count=len(session.clis),
            )

    def make_room(
        self, session: Session[Member] | None, admission: Admission, limits: Limits
    ) -> Deferred[None]:
        """Make room for a phone that wants to join: where the session is full and one of its phones
        is dead, close that one. Fires when that is found out, and never fails."""
        if session is None or admission.role is not Role.MOBILE:
            return succeed(None)
        quiet = self._quiet(session, limits) if session.is_full(admission, limits) else []
        if not quiet:
            return succeed(None)
        asking = self.ask(quiet, _PHONE_ANSWERS_S)
        return asking.addCallback(self._phones_answered, session, admission, limits)

    def _phones_answered(
        self,
        silent: list[Member],
        session: Session[Member],
        admission: Admission,
        limits: Limits,
    ) -> None:
        quiet = [one for one in self._quiet(session, limits) if one in silent]
        if quiet and session.is_full(admission, limits):
            dead = min(quiet, key=lambda one: one.heard_s)
            silence_s = self._clock.seconds() - dead.heard_s
            self.log.info(
                "session {session}: a phone that was silent for {silence:.0f} s is closed for "
                "another one",
                session=session.label,
                silence=silence_s,
            )
            reason = f"Not heard for {silence_s:.0f} s, and another phone needs the place"
            self._retire(dead, CLOSE_NORMAL, reason)

    def _quiet(self, session: Session[Member], limits: Limits) -> list[Member]:
        """The phones that have been silent for so long that they may be dead."""
        now_s = self._clock.seconds()
        return [one for one in session.mobiles if now_s - one.heard_s >= limits.silence_s]
