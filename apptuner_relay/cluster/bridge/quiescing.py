"""How the members of a session stop sending before it leaves this relay: between two messages and
between two bundles, so that everything under way arrives.

The desktop side stops first. While its last bundle arrives, phones may still send, and get answers
to their pings.
"""

from collections import Counter
from collections.abc import Iterable
from typing import cast

from twisted.internet.task import deferLater

from apptuner_relay.cluster.bridge.link import MOVED
from apptuner_relay.cluster.bridge.peer_server import PeerProtocol
from apptuner_relay.cluster.bridge.roster import MigratingClient
from apptuner_relay.relay.member import Member
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import Session
from apptuner_relay.wire.frames import CLOSE_SERVICE_RESTART

_POLL_S = 0.01
_MOVES = "The session moves to another relay"


class Quiescing:
    """One session that stops: `stop_desktop_side`, then `stop`, `list_clients` and `dismiss`."""

    def __init__(self, relay: RelayService, session: Session[Member]) -> None:
        self._relay = relay
        self._session = session
        self._asked: set[Member] = set()
        self._migrating: dict[str, Member] = {}

    async def stop_desktop_side(self, until_s: float) -> bool:
        """Have the desktop side stop. Whether it has in time."""
        return await self._stop(False, until_s)

    async def stop(self, until_s: float) -> bool:
        """Have all members stop. Whether they have in time."""
        return await self._stop(True, until_s)

    def list_clients(self) -> list[MigratingClient]:
        """The members, for the list that the new owner gets. Those that have not stopped are marked
        as gone, and `dismiss` closes them."""
        session = self._session
        self._migrating = {
            member.admission.client: member
            for member in session.members
            if self._has_stopped(member)
        }
        return [
            MigratingClient(
                member.admission.client,
                member.role,
                member.device,
                is_gone=member.admission.client not in self._migrating,
            )
            for member in session.members
        ]

    def list_absent(self) -> list[str]:
        """The clients that have disconnected since `list_clients`."""
        here = {member.admission.client for member in self._session.members}
        return [client for client in self._migrating if client not in here]

    def dismiss(self, taken: bool) -> list[Member]:
        """Send the members of other relays back there, and return the clients of this one, held and
        idle. A member that has not stopped is closed with 1012.

        :param taken: whether another relay has the session. Where none has, the members hear here
            of those that are closed.
        """
        session = self._session
        for member in session.members:
            # It still has to be told which of its logs were dropped.
            member.delayed.catch_up()
        for member in session.members:
            if not self._migrates(member) and (member.through is None or not taken):
                if taken:
                    session.remove(member)
                member.connection.close(CLOSE_SERVICE_RESTART, _MOVES)
        for member in session.members:
            if member.through is not None:
                # The others are not told: they move as well.
                session.remove(member)
                code = MOVED if self._migrates(member) else CLOSE_SERVICE_RESTART
                member.connection.close(code, _MOVES)
        return [member for member in session.members if self._migrates(member)]

    def count_by_relay(self) -> Counter[str]:
        """How many of the members are connected to each other relay."""
        return Counter(member.through for member in self._session.members if member.through)

    def _migrates(self, member: Member) -> bool:
        return self._migrating.get(member.admission.client) is member

    async def _stop(self, everybody: bool, until_s: float) -> bool:
        clock, session = self._relay.clock, self._session
        while True:
            members = session.members if everybody else session.desktop_side
            self._ask(members)
            if all(map(self._has_stopped, members)) and not session.has_undelivered:
                return True
            if clock.seconds() >= until_s:
                return False
            await deferLater(clock, _POLL_S)

    def _ask(self, members: Iterable[Member]) -> None:
        for member in members:
            if member.through is None:
                if not member.is_halted:
                    member.halt()
            elif member in self._asked:
                if member.recording and _inbound(member).is_halted:
                    # It had begun a bundle when it was asked to stop.
                    self._asked.discard(member)
                    _inbound(member).ask_to_resume()
            elif not member.recording:
                self._asked.add(member)
                _inbound(member).ask_to_halt()

    @staticmethod
    def _has_stopped(member: Member) -> bool:
        if not member.idle:
            return False
        if member.through is None:
            return member.is_halted
        return _inbound(member).is_halted and not member.recording and not member.sink.busy


def _inbound(member: Member) -> PeerProtocol:
    return cast(PeerProtocol, member.connection)
