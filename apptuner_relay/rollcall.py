"""Asks clients whether they are still there, where the place of a newcomer depends on it.

A connection whose client has gone without a word looks like one that has nothing to say, until a
ping stays unanswered. Nobody is asked who was heard just now.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from apptuner_relay.member import Member
from apptuner_relay.roles import Admission, Role
from apptuner_relay.seats import Limits
from apptuner_relay.session import Session
from apptuner_relay.wire.frames import CLOSE_NORMAL

_LATELY_S = 2.0
"""Who was heard so shortly before is there."""
_CLI_ANSWERS_S = 5.0
"""How long a CLI may take to answer that another one is let in beside."""
_PHONE_ANSWERS_S = 1.2
"""Likewise a phone whose place another one needs, which waits for that; so may its relay, which
waits for 2 s."""
_LOOK_S = 0.1


class _Question(NamedTuple):
    member: Member
    asked_s: float


class RollCall:
    """Of one relay.

    :param retire: closes a client with a close code and a reason, and counts it out at once.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, retire: Callable[[Member, int, str], None]) -> None:
        self._clock = clock
        self._retire = retire
        self._looks: set[IDelayedCall] = set()

    def stop(self) -> None:
        """Wait for nobody any more."""
        looks, self._looks = self._looks, set()
        for look in looks:
            look.cancel()

    def ask(self, members: Iterable[Member], within_s: float) -> Deferred[list[Member]]:
        """Ask ``members`` whether they are there. Fires with those that have not answered
        ``within_s`` seconds after they were asked, if that was by a ping before."""
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

    def came(self, member: Member) -> None:
        """``member`` has come: have others of its kind pinged, so that those are found out that it
        has left behind, or that have gone without a word."""
        session = member.session
        those = session.mobiles if member.role is Role.MOBILE else session.pages
        for other in those:
            if other is not member:
                other.connection.probe()

    def try_clis(self, session: Session[Member], clis: Iterable[Member]) -> None:
        """A CLI was let in beside ``clis``: those go that don't answer."""
        self.ask(clis, _CLI_ANSWERS_S).addCallback(self._clis_answered, session)

    def _clis_answered(self, silent: list[Member], session: Session[Member]) -> None:
        for cli in silent:
            if cli in session.clis:
                self.log.info(
                    "session {session}: a CLI that does not answer makes room for one that has "
                    "come back",
                    session=session.label,
                )
                session.had_to_go(cli, self._clock.seconds())
                self._retire(cli, CLOSE_NORMAL, Role.CLI.replaced_reason)
        if len(session.clis) > 1:
            self.log.warn(
                "session {session}: {count} CLIs are connected: one whose place was taken has come "
                "back, and the other answers. Both are heard, and both send their bundles to the "
                "phones",
                session=session.label,
                count=len(session.clis),
            )

    def make_room(
        self, session: Session[Member] | None, admission: Admission, limits: Limits
    ) -> Deferred[None]:
        """A phone wants to come in: where there are as many as may be, and one is dead, that one
        goes. Fires when that is found out, and never fails."""
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
                "session {session}: a phone of which nothing was heard for {silence:.0f} s makes "
                "room for another one",
                session=session.label,
                silence=silence_s,
            )
            reason = f"Not heard for {silence_s:.0f} s, and another phone needs the place"
            self._retire(dead, CLOSE_NORMAL, reason)

    def _quiet(self, session: Session[Member], limits: Limits) -> list[Member]:
        """The phones of which nothing was heard for so long that they may be dead."""
        now_s = self._clock.seconds()
        return [one for one in session.mobiles if now_s - one.heard_s >= limits.silence_s]
