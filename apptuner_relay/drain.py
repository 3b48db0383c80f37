"""How a relay that stops sends its clients away: in order, and without losing a message.

Bundles that are under way get the time that they need. Then session after session is closed, spread
over a window, so that not all clients come back at once: first the desktop side, whose messages
still go through until each of them has answered the Close, as it believes them sent; then the
phones, once they have everything. At the deadline what isn't done by then is cut. It is the one of
the whole stop: what went before, such as sessions that moved to other relays, has used some of it.

Nothing in here touches a socket. `RelayService` makes a `Drain` when it stops.
"""

from collections.abc import Mapping, Sequence, Set
from enum import Enum
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.ends import Connection
from apptuner_relay.session import Admission, Role
from apptuner_relay.wire.frames import CLOSE_SERVICE_RESTART

RESTARTS = "The relay restarts"
_LOOK_S = 0.02
_NEWCOMERS_S = 1.0
"""How long one that was taken just before may take to say what it wants."""
_ANSWERS_S = 2.0
"""How long, behind the deadline, those who were cut may take to answer their Close."""
_LEAST_GAP_S = 0.01
"""Fewer sessions than would fill the window at this distance are closed in less time."""


class Leaving(Protocol):
    """A client that is to go."""

    @property
    def connection(self) -> Connection: ...

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way from it or to it."""

    @property
    def admission(self) -> Admission:
        """What it came in with."""


class Gathering(Protocol):
    """A session: `session.Session`."""

    @property
    def desktop_side(self) -> Sequence[Leaving]: ...

    @property
    def mobiles(self) -> Sequence[Leaving]: ...

    @property
    def has_last_words(self) -> bool:
        """Whether something is on its way from members of the desktop side that have gone."""


class House(Protocol):
    """What is drained: `service.RelayService`."""

    @property
    def sessions(self) -> Mapping[str, Gathering]:
        """By the hash of their ids."""

    @property
    def members(self) -> Set[Leaving]:
        """All clients, until their connections have gone."""

    @property
    def guests(self) -> Sequence[Leaving]:
        """Those whose session is elsewhere."""

    @property
    def downloads(self) -> int:
        """How many bundles are on their way over HTTP."""

    @property
    def newcomers(self) -> int:
        """How many connections were taken on which a client is about to ask for something."""

    @property
    def last_words(self) -> Set[str]:
        """The hashes of sessions elsewhere, of which clients here have gone, and the relays that
        have those sessions not yet all that they sent."""


class Stage(Enum):
    """How far it is."""

    WAITING = "waiting for bundles on their way"
    CLOSING = "closing"
    OVER = "over"


class Drain:
    """Sends everybody away, once.

    :param timeout_s: for how long, from now on, bundles may take that are on their way; 0 cuts
        everybody off.
    :param spread_s: over how many seconds sessions are closed, if there are many.
    """

    log = Logger()

    def __init__(
        self, house: House, clock: IReactorTime, timeout_s: float, spread_s: float
    ) -> None:
        self.stage: Stage = Stage.WAITING
        self._house = house
        self._clock = clock
        self._timeout_s = timeout_s
        self._spread_s = spread_s if timeout_s else 0.0
        self.over: Deferred[None] = Deferred()
        """Fires, and never fails, when the last client has gone."""
        self._looking = LoopingCall(self._look)
        self._looking.clock = clock
        self._awaited: list[_Party] = []
        self._parties: dict[object, _Party] = {}
        """Those whose turn has come, by session or client; kept though they may have gone."""
        self._begun_s = clock.seconds()
        self.until_s = self._begun_s + timeout_s
        """When what is still on its way is cut."""
        self._guests: dict[str, _Guests] = {}
        self._closing_begun_s = self._begun_s
        self._gap_s = 0.0
        self._gave_up = False

    def begin(self) -> None:
        """Send everybody away, unless that has begun."""
        if self.stage is Stage.OVER or self._looking.running:
            return
        self._closing_begun_s = self._clock.seconds()
        self._look_at_guests()
        parties = [_Party(gathering) for _, gathering in self._all()]
        self._awaited = [party for party in parties if not party.settled]
        if self._house.members:
            self.log.info(
                "draining: {clients} clients; bundles on their way in {busy} sessions",
                clients=len(self._house.members),
                busy=len(self._awaited),
            )
        # The first look is now, and may be the last one.
        self._looking.start(_LOOK_S).addErrback(self._failed)

    def hurry(self) -> None:
        """Close everybody now, and be over. Harmless when it is."""
        if self.stage is not Stage.OVER:
            self._close_all()
            self._finish()

    def refuses(self, session_hash: str) -> bool:
        """Whether a client of that session comes too late."""
        session = self._house.sessions.get(session_hash)
        return session is None or self.stage is Stage.OVER or session in self._parties

    @property
    def status(self) -> str:
        """For people: what it is about."""
        left = f"{len(self._house.members)} clients left"
        if self.stage is Stage.WAITING and not self._awaited:
            return f"handing sessions over, {left}"
        if self.stage is Stage.WAITING:
            return f"waiting for bundles on their way in {len(self._awaited)} sessions, {left}"
        return f"closing, {left}"

    def _all(self) -> list[tuple[object, Gathering]]:
        sessions = [(session, session) for session in self._house.sessions.values()]
        return [*sessions, *((one, one) for one in self._guests.values() if one.is_anybody)]

    def _look_at_guests(self) -> None:
        """Put those of one session together, and only those who are still there."""
        last_words = self._house.last_words
        for session, guests in self._guests.items():
            guests.clear()
            guests.has_last_words = session in last_words
        for guest in self._house.guests:
            session = guest.admission.session_hash
            self._guests.setdefault(session, _Guests()).add(guest)

    def _look(self) -> None:
        now_s = self._clock.seconds()
        late = now_s >= self.until_s
        self._look_at_guests()
        if self.stage is Stage.WAITING:
            self._awaited = [one for one in self._awaited if not one.settled]
            if self._awaited and not late:
                return
            self._begin_to_close(now_s)
        self._call_up(now_s)
        for party in self._parties.values():
            if late:
                self._give_up(party)
            else:
                party.proceed()
        if now_s >= self.until_s + _ANSWERS_S:
            for one in tuple(self._house.members):
                one.connection.abort()
        if not self._house.members and (late or not self._is_asked_for(now_s)):
            self._finish()

    def _is_asked_for(self, now_s: float) -> bool:
        """Whether there is anybody beside the members to wait for."""
        if self._house.newcomers and now_s < self._closing_begun_s + _NEWCOMERS_S:
            return True
        return self._house.downloads > 0 or bool(self._house.last_words)

    def _begin_to_close(self, now_s: float) -> None:
        self.stage = Stage.CLOSING
        self._closing_s = now_s
        count = len(self._all())
        # Not so long that it would be cut at the deadline.
        left_s = max(0.0, self.until_s - now_s) / 2
        window_s = min(self._spread_s, count * _LEAST_GAP_S, left_s)
        self._gap_s = window_s / count if count else 0.0

    def _call_up(self, now_s: float) -> None:
        """See whose turn it is by now."""
        waiting = [(who, one) for who, one in self._all() if who not in self._parties]
        if self._gap_s:
            due = int((now_s - self._closing_s) / self._gap_s) + 1 - len(self._parties)
            waiting = waiting[: max(0, due)]
        self._parties.update((who, _Party(one)) for who, one in waiting)

    def _give_up(self, party: "_Party") -> None:
        if self._timeout_s and not self._gave_up and not party.settled:
            self._gave_up = True
            self.log.warn(
                "draining: after {timeout:g} s, what is still on its way is cut",
                timeout=self._timeout_s,
            )
        party.cut()

    def _close_all(self) -> None:
        self._look_at_guests()
        for _, gathering in self._all():
            _Party(gathering).cut()

    def _finish(self) -> None:
        self.stage = Stage.OVER
        if self._looking.running:
            self._looking.stop()
        took_s = self._clock.seconds() - self._begun_s
        self.log.info("drained in {took:.1f} s", took=took_s)
        self.over.callback(None)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("draining has failed: everybody is closed", failure)
        self.hurry()


class _Guests:
    """The clients here of a session that is elsewhere."""

    def __init__(self) -> None:
        self.desktop_side: list[Leaving] = []
        self.mobiles: list[Leaving] = []
        self.has_last_words = False
        """Whether what its desktop side has sent is still on its way."""

    @property
    def is_anybody(self) -> bool:
        """Whether anybody is there."""
        return bool(self.desktop_side or self.mobiles)

    def clear(self) -> None:
        """Nobody is there."""
        self.desktop_side.clear()
        self.mobiles.clear()

    def add(self, guest: Leaving) -> None:
        """That one is."""
        phone = guest.admission.role is Role.MOBILE
        (self.mobiles if phone else self.desktop_side).append(guest)


class _Party:
    """Those who are closed together."""

    def __init__(self, gathering: Gathering) -> None:
        self._gathering = gathering
        self._dismissed: set[Leaving] = set()

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way between those who were not dismissed."""
        return all(one.settled for one in self._members() if one not in self._dismissed)

    def proceed(self) -> None:
        """Close those whom nothing keeps any more."""
        if not self.settled:
            return
        if not self._gathering.desktop_side and self._gathering.has_last_words:
            return
        # A desktop-side client counts until it has answered its Close.
        for one in self._gathering.desktop_side or self._gathering.mobiles:
            if one not in self._dismissed:
                self._dismissed.add(one)
                one.connection.dismiss(CLOSE_SERVICE_RESTART, RESTARTS)

    def cut(self) -> None:
        """Close everybody, whatever is on its way; who is left with half of it, with 1011."""
        for one in self._members():
            one.connection.close(CLOSE_SERVICE_RESTART, RESTARTS)

    def _members(self) -> Sequence[Leaving]:
        return (*self._gathering.desktop_side, *self._gathering.mobiles)
