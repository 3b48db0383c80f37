"""The adoption of a user whose session has moved here: another relay speaks for it in its channel,
and bridges it. This relay takes that over, so that the user's messages no longer take the long way.

The user notices nothing, and no message comes twice. The other relay is asked by an event in the
channel, and answers with the number of the last event of the user that it has taken. What it has
taken arrives by the bridge, which is then halted. The events after that number were kept here.

    this relay to the other one:  {"type":"adopt","user":USER_ID}
    and back:                     {"type":"released","user":USER_ID,"epoch":EPOCH,"n":N}
"""

from collections.abc import Callable
from typing import Protocol, cast

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from apptuner_relay.managed.gateway.virtual_connection import SPOKEN_FOR
from apptuner_relay.managed.protocol.numbered_events import NumberedEvent
from apptuner_relay.relay.member import Member
from apptuner_relay.wire.frames import CLOSE_NORMAL
from apptuner_relay.wire.messages import compact_json

ASK_S = 0.5
"""How often the other relay is asked."""
GIVE_UP_S = 5.0
"""After this an attempt is given up."""
MOST_KEPT_BYTES = 64 * 1024
"""How many bytes of the user's messages are kept meanwhile."""
_POLL_S = 0.02

Position = tuple[str | None, int]
"""See `GapFinder.position`."""


class _Bridge(Protocol):
    """A connection of another relay for one of its clients: a `peer_server.PeerProtocol`."""

    is_halted: bool

    def ask_to_halt(self) -> None: ...

    def ask_to_resume(self) -> None: ...


class Adoption:
    """That of one user.

    :param member: the user's client, which is connected to another relay.
    :param ask: asks the other relay, by a message in the channel. Returns whether it is there.
    """

    def __init__(
        self, clock: IReactorTime, user_id: str, member: Member, ask: Callable[[bytes], bool]
    ) -> None:
        self.user_id = user_id
        self.member = member
        self.kept: list[NumberedEvent] = []
        """What the user has said since."""
        self.position: Position | None = None
        """What the other relay has taken. None as long as that isn't known."""
        self._clock = clock
        self._ask = ask
        self._kept_bytes = 0
        self._is_over = False

    def keep(self, event: NumberedEvent) -> None:
        """The user says something. What is too much is found to be missing afterwards."""
        self._kept_bytes += sum(map(len, event.messages))
        if self._kept_bytes <= MOST_KEPT_BYTES:
            self.kept.append(event)

    def released(self, position: Position) -> None:
        """The other relay answers."""
        self.position = position

    def stop(self) -> None:
        """The user has left, or the channel was left."""
        self._is_over = True

    async def prepare(self) -> bool:
        """Have the other relay release the user. Returns whether it has, and the member can be
        replaced now."""
        until_s = self._clock.seconds() + GIVE_UP_S
        if not await self._have_it_released(until_s):
            return False
        bridge = cast(_Bridge, self.member.connection)
        bridge.ask_to_halt()
        while self._can_go_on and self._clock.seconds() < until_s:
            if bridge.is_halted and self.member.settled:
                return True
            await deferLater(self._clock, _POLL_S)
        if self._can_go_on:
            bridge.ask_to_resume()
        return False

    def close_bridge(self) -> None:
        """The member was replaced."""
        self.member.connection.close(CLOSE_NORMAL, SPOKEN_FOR)

    @property
    def is_released(self) -> bool:
        """Whether the other relay takes nothing of the user any more, who is still there: this one
        has to try again."""
        return self.position is not None and self._can_go_on

    @property
    def _can_go_on(self) -> bool:
        """Whether the user is still there, and bridged."""
        member = self.member
        return not self._is_over and not member.source.gone and member in member.session.members

    async def _have_it_released(self, until_s: float) -> bool:
        text = compact_json({"type": "adopt", "user": self.user_id})
        asked_s = -ASK_S
        while self._can_go_on and self._clock.seconds() < until_s:
            # A session that has just moved waits for all of its clients.
            if self.position is not None and not self.member.source.held:
                return True
            if self.position is None and self._clock.seconds() - asked_s >= ASK_S:
                asked_s = self._clock.seconds()
                if not self._ask(text):
                    # It has left the channel, or is away: it takes nothing from there.
                    self.position = (None, 0)
                    continue
            await deferLater(self._clock, _POLL_S)
        return False
