"""How the members of a session stop before it leaves this relay: between messages, and between
bundles, what is under way arrives.

The desktop side stops first. Phones may say what they have to while its last bundle arrives, and
have their pings answered.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Protocol, cast

from twisted.internet.task import deferLater

from apptuner_relay.cluster.link import MOVED
from apptuner_relay.cluster.roster import Traveller
from apptuner_relay.ends import Connection
from apptuner_relay.member import Member
from apptuner_relay.service import RelayService
from apptuner_relay.session import Session
from apptuner_relay.wire.frames import CLOSE_SERVICE_RESTART

_LOOK_S = 0.01
_MOVES = "The session moves to another relay"


class Visit(Connection, Protocol):
    """The connection of a visitor: `peers.PeerProtocol`."""

    is_halted: bool
    """Whether all that the visitor had sent has come."""

    def ask_to_halt(self) -> None:
        """Have the other relay send nothing more."""

    def ask_to_go_on(self) -> None:
        """Have it send on."""


class Move:
    """One session's way out: `stop_desktop_side`, `stop`, and `part` in the end."""

    def __init__(self, relay: RelayService, session: Session[Member]) -> None:
        self._relay = relay
        self._session = session
        self._asked: set[Member] = set()
        self._travelling: dict[str, Member] = {}

    async def stop_desktop_side(self, until_s: float) -> bool:
        """Have nothing more come from the desktop side. Whether it has stopped in time."""
        return await self._stop(False, until_s)

    async def stop(self, until_s: float) -> bool:
        """Have nothing more come from anybody. Whether all have stopped in time."""
        return await self._stop(True, until_s)

    def list_travellers(self) -> list[Traveller]:
        """Who comes along. Those who have not stopped do not: `part` closes them."""
        session = self._session
        self._travelling = {
            member.admission.client: member
            for member in session.members
            if self._has_stopped(member)
        }
        return [
            Traveller(
                member.admission.client,
                member.role,
                member.device,
                is_gone=member.admission.client not in self._travelling,
            )
            for member in session.members
        ]

    def list_missing(self) -> list[str]:
        """Those of the travellers who have gone since."""
        here = {member.admission.client for member in self._session.members}
        return [client for client in self._travelling if client not in here]

    def part(self, taken: bool) -> list[Member]:
        """Visitors are sent back to their relays; the clients of this one are returned, held and
        idle. Who has not stopped is closed with 1012; where nobody has ``taken`` the session, the
        others are told so here."""
        session = self._session
        for member in session.members:
            # That some of its logs were dropped is still to be said.
            member.catch_up()
        for member in session.members:
            if not self._travels(member) and (member.through is None or not taken):
                if taken:
                    session.remove(member)
                member.connection.close(CLOSE_SERVICE_RESTART, _MOVES)
        for member in session.members:
            if member.through is not None:
                # Not a word to the others: they move as well.
                session.remove(member)
                code = MOVED if self._travels(member) else CLOSE_SERVICE_RESTART
                member.connection.close(code, _MOVES)
        return [member for member in session.members if self._travels(member)]

    def count_by_relay(self) -> Counter[str]:
        """How many of the members are connected to each other relay."""
        return Counter(member.through for member in self._session.members if member.through)

    def _travels(self, member: Member) -> bool:
        return self._travelling.get(member.admission.client) is member

    async def _stop(self, everybody: bool, until_s: float) -> bool:
        clock, session = self._relay.clock, self._session
        while True:
            members = session.members if everybody else session.desktop_side
            self._ask(members)
            if all(map(self._has_stopped, members)):
                return True
            if clock.seconds() >= until_s:
                return False
            await deferLater(clock, _LOOK_S)

    def _ask(self, members: Iterable[Member]) -> None:
        for member in members:
            if member.through is None:
                if not member.source.held_by(member):
                    member.halt()
            elif member in self._asked:
                if member.recording and _visit(member).is_halted:
                    # It began when it was asked to stop.
                    self._asked.discard(member)
                    _visit(member).ask_to_go_on()
            elif not member.recording:
                self._asked.add(member)
                _visit(member).ask_to_halt()

    @staticmethod
    def _has_stopped(member: Member) -> bool:
        if not member.idle:
            return False
        if member.through is None:
            return member.source.held_by(member)
        return _visit(member).is_halted and not member.recording and not member.sink.busy


def _visit(member: Member) -> Visit:
    return cast(Visit, member.connection)
