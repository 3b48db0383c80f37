"""How a session leaves this relay without losing a message: everybody stops between messages, what
is under way arrives, and then each goes to where the session is next.
"""

from typing import Protocol, cast

from twisted.internet.task import deferLater

from apptuner_relay.cluster.link import MOVED
from apptuner_relay.ends import Connection
from apptuner_relay.member import Member
from apptuner_relay.service import RelayService
from apptuner_relay.session import Session
from apptuner_relay.wire.frames import CLOSE_SERVICE_RESTART

_LOOK_S = 0.02
_MOVES = "The session moves to another relay"


class Visit(Connection, Protocol):
    """The connection of a visitor: `peers.PeerProtocol`."""

    is_halted: bool
    """Whether all that the visitor had sent has come."""

    def ask_to_halt(self) -> None:
        """Have the other relay send nothing more."""


class Move:
    """One session's way out."""

    def __init__(self, relay: RelayService, session: Session[Member]) -> None:
        self._relay = relay
        self._session = session
        self._asked: set[Member] = set()

    async def run(self, patience_s: float) -> list[Member]:
        """Stop everybody. Those who don't stop in time are closed with 1012. Visitors are sent
        back to their relays; the clients of this one are returned, held and idle."""
        clock = self._relay.clock
        until_s = clock.seconds() + patience_s
        while not self._all_stopped() and clock.seconds() < until_s:
            await deferLater(clock, _LOOK_S)
        session = self._session
        staying: list[Member] = []
        for member in session.members:
            if member.through is not None:
                # Not a word to the others: they move as well.
                code = MOVED if self._has_stopped(member) else CLOSE_SERVICE_RESTART
                session.remove(member)
                member.connection.close(code, _MOVES)
            elif self._has_stopped(member):
                staying.append(member)
            else:
                member.connection.close(CLOSE_SERVICE_RESTART, _MOVES)
        return staying

    def _all_stopped(self) -> bool:
        members = self._session.members
        for member in members:
            if member in self._asked or (member.through is not None and member.recording):
                continue
            self._asked.add(member)
            if member.through is None:
                member.halt()
            else:
                _visit(member).ask_to_halt()
        return all(map(self._has_stopped, members))

    @staticmethod
    def _has_stopped(member: Member) -> bool:
        if not member.idle:
            return False
        if member.through is None:
            return member.source.held_by(member)
        return _visit(member).is_halted and not member.sink.busy


def _visit(member: Member) -> Visit:
    return cast(Visit, member.connection)
