"""A session's channel: each user of it is a client of the relay by a connection of its own
(`virtual_connection`), from its coming into the channel to its leaving.

The gateway believes who is there, as only relays sign subscriptions. It takes messages only from
users that it knows, and publishes only where anybody but relays is.
"""

from collections.abc import Callable, Iterable, Mapping

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.managed.gateway.adoptions import AdoptingChannel, Adoptions
from apptuner_relay.managed.gateway.channel_parts import ChannelParts, UserAdmission
from apptuner_relay.managed.gateway.channel_user import ChannelUser
from apptuner_relay.managed.gateway.expected_users import EXPECTED_S
from apptuner_relay.managed.gateway.mirrored_channel_states import (
    TRANSITIONS,
    MirrorEvent,
    MirrorState,
)
from apptuner_relay.managed.gateway.outbox import Outbox
from apptuner_relay.managed.gateway.state_exchange import StateExchange
from apptuner_relay.managed.gateway.virtual_connection import AWAY_CODE, VirtualConnection
from apptuner_relay.managed.gateway.virtual_connection_states import VirtualState
from apptuner_relay.managed.protocol.cutting import CUT_MARK
from apptuner_relay.managed.protocol.numbered_events import (
    EVENT_NAME,
    BadEvent,
    NumberedEvent,
    parse_event,
)
from apptuner_relay.managed.protocol.state_messages import closed, type_of
from apptuner_relay.managed.protocol.user_ids import (
    BadMember,
    UserId,
    is_of_relay,
    parse_user_id,
)
from apptuner_relay.relay.interfaces import no_claim
from apptuner_relay.session.session import BadRequest
from apptuner_relay.support.clocks import in_ms
from apptuner_relay.wire.frames import CLOSE_INTERNAL_ERROR, CLOSE_POLICY, CLOSE_TRY_AGAIN_LATER
from apptuner_relay.wire.messages import console_warning

AWAY_S = 60.0
"""How long users stay clients while their service is away."""
MOST_RETIRED = 1000
"""Of how many that the relay has closed it is remembered, in one channel."""

_GONE_AWAY = "its service has been away for too long"
_LEFT = "left the channel"


class MirroredChannel:
    """The channel of one session: a `ChannelListener`.

    :param name: the channel's.
    :param on_left: called when nobody needs it any more.
    """

    log = Logger()

    def __init__(
        self,
        parts: ChannelParts,
        session_hash: str,
        name: str,
        on_left: Callable[["MirroredChannel"], None],
    ) -> None:
        self.name = name
        self.session_hash = session_hash
        self.state = MirrorState.JOINING
        self.users: dict[str, ChannelUser] = {}
        """Those that are clients, or about to be, by ``user_id``."""
        self.away_since_s: float | None = None
        """See `Speaker`."""
        self._parts = parts
        self._relay, self._clock = parts.relay, parts.relay.clock
        self._on_left = on_left
        self._present: dict[str, UserId] = {}
        """Everybody who is in the channel, by ``user_id``."""
        self._infos: dict[str, Mapping[str, object]] = {}
        """What a relay has written of each of them, as far as it is known to be right."""
        self._retired: dict[str, bytes] = {}
        """Those that the relay has closed, and what they are told. They may still be in the
        channel, or come back by the signature that they have, which lets nobody in any more."""
        self._wanted_until_s = 0.0
        self._waiting: list[Deferred[None]] = []
        self._away_call: IDelayedCall | None = None
        self._outbox = Outbox(parts.outboxes, self._present, self._publish, self._skip)
        self._adoptions = Adoptions(
            self._relay,
            AdoptingChannel(
                session_hash,
                self._present,
                self.users,
                self._outbox.say,
                self._outbox.flush,
                self._add_user,
                self._take,
            ),
        )
        limit, say = parts.outboxes.event_limit, self._outbox.say
        self._states = StateExchange(self._relay, session_hash, parts.bundles_url, limit, say)

    # What the gateway calls

    def join(self) -> None:
        """Subscribe to the channel. The service may do so at once."""
        self._parts.service.subscribe(self.name, self)

    def want(self) -> None:
        """Somebody is about to come: stay for `EXPECTED_S` at least."""
        self._wanted_until_s = self._clock.seconds() + EXPECTED_S

    def when_subscribed(self) -> Deferred[None]:
        """Fires when the channel is subscribed to, or left; at once where it is."""
        waiting: Deferred[None] = Deferred()
        if self.state is MirrorState.SUBSCRIBED:
            waiting.callback(None)
        else:
            self._waiting.append(waiting)
        return waiting

    def meet(self) -> None:
        """Make clients of those for whom no relay speaks any more, as the one that did has ended.
        Where the session is another relay's, that one does."""
        for name, user_id in tuple(self._present.items()):
            if name not in self._retired:
                self._meet(name, user_id)

    def look(self) -> None:
        """Leave the channel if nobody of it is a client, or about to be one. Adopt the users that
        another relay bridges here, and meet those of a session that is here."""
        self._adoptions.look()
        if self.session_hash in self._relay.sessions:
            self.meet()
        is_needed = self.users or not self._present.keys().isdisjoint(self._retired)
        if not is_needed and self._clock.seconds() >= self._wanted_until_s:
            self.leave()

    def leave(self) -> None:
        """Leave the channel. What has to be said has been said."""
        if not self._advance(MirrorEvent.LEAVE):
            return
        self._outbox.flush()
        self._outbox.stop()
        self._parts.service.unsubscribe(self.name)
        self._stop_waiting()
        self._give_up(_LEFT)
        self._on_left(self)

    # What the service calls: `ChannelListener`

    def subscribed(self, members: Mapping[str, Mapping[str, object]]) -> None:
        """See `ChannelListener`."""
        if not self._advance(MirrorEvent.SUBSCRIBED):
            return
        self._end_waiting_for_service()
        before = tuple(self.users)
        self._present.clear()
        self._present.update(self._read_members(members))
        self._infos = dict(members)
        for name in before:
            if name in self._present:
                self._states.ask(self.users[name])
            else:
                self._left(name)
                self._outbox.forget(name)
        self._outbox.is_open = True
        for name, user_id in tuple(self._present.items()):
            self._meet(name, user_id)
        self._outbox.flush()
        self._stop_waiting()
        self._adoptions.look()

    def unsubscribed(self, why: str) -> None:
        """See `ChannelListener`."""
        if not self._advance(MirrorEvent.UNSUBSCRIBED):
            return
        self._outbox.is_open = False
        self.away_since_s = self._clock.seconds()
        self._away_call = self._clock.callLater(AWAY_S, self._away_for_too_long)

    def member_added(self, user_id: str, info: Mapping[str, object]) -> None:
        """See `ChannelListener`."""
        for name, parsed in self._read_members((user_id,)).items():
            self._present[name], self._infos[name] = parsed, info
            self._meet(name, parsed)

    def member_removed(self, user_id: str) -> None:
        """See `ChannelListener`."""
        self._present.pop(user_id, None)
        self._infos.pop(user_id, None)
        self._left(user_id)
        self._adoptions.left(user_id)
        self._outbox.forget(user_id)

    def event_received(self, name: str, data: str, user_id: str | None) -> None:
        """See `ChannelListener`."""
        if name != EVENT_NAME:
            return
        try:
            event = parse_event(data)
        except BadEvent as wrong:
            self._ignore("an event", str(wrong))
            return
        if user_id is None or is_of_relay(user_id):
            self._adoptions.hear(event)
            return
        user = self.users.get(user_id)
        if user is not None:
            self._take(user, event)
        else:
            self._adoptions.keep(user_id, event)

    # What the connections call: `Speaker`

    def say(self, connection: VirtualConnection, text: bytes) -> None:
        """See `Speaker`."""
        user = self.users.get(connection.user_id)
        if user is None:
            return
        if connection.member is None:
            user.remember(text)
        self._outbox.say(connection.user_id, text)

    def skipped(self, connection: VirtualConnection, head: bytes, size: int) -> None:
        """See `Speaker`."""
        self._skip(size)
        if type_of(head) == "console_log":
            now_ms = in_ms(self._relay.wall_s())
            self.say(connection, console_warning(CUT_MARK.format(size), now_ms))

    def overflowed(self, connection: VirtualConnection, count: int) -> None:
        """See `Speaker`."""
        self._parts.notes.ignore(
            self.session_hash, f"{count} messages of a user", "more come than are read"
        )
        user = self.users.get(connection.user_id)
        if user is not None:
            self._states.ask(user)

    def closing(self, connection: VirtualConnection, code: int, reason: str) -> None:
        """See `Speaker`."""
        name, text = connection.user_id, closed(code, reason)
        self._retired[name] = text
        if len(self._retired) > MOST_RETIRED:
            del self._retired[next(iter(self._retired))]
        self._outbox.flush()
        self._outbox.say(name, text)

    def ended(self, connection: VirtualConnection) -> None:
        """See `Speaker`."""
        user = self.users.get(connection.user_id)
        if user is not None and user.connection is connection:
            del self.users[connection.user_id]

    # Coming and leaving

    def _read_members(self, names: Iterable[str]) -> dict[str, UserId]:
        members: dict[str, UserId] = {}
        for name in names:
            try:
                members[name] = parse_user_id(name)
            except BadMember as wrong:
                self._ignore("a member", str(wrong))
        return members

    def _meet(self, name: str, user_id: UserId) -> None:
        """Somebody is in the channel: make a client of it, unless it is one."""
        if user_id.is_relay or name in self.users or name not in self._infos:
            return
        if name in self._retired:
            self._outbox.say(name, self._retired[name])
            return
        if self._adoptions.has(name):
            self._adoptions.look()
            return
        try:
            entry = self._parts.admit(self.session_hash, user_id, self._infos[name])
        except BadMember as wrong:
            del self._infos[name]
            self._ignore("a member", str(wrong))
            return
        user = self._add_user(name)
        finding = Deferred.fromCoroutine(self._find_place(user, entry))
        finding.addErrback(self._refused, user)
        finding.addErrback(self._failed, user)

    def _add_user(self, name: str) -> ChannelUser:
        """Make one that is in the channel a client."""
        is_adoptable = not self._parts.service.is_local
        connection = VirtualConnection(self._relay, name, self, is_adoptable)
        user = self.users[name] = ChannelUser(self._present[name], connection)
        return user

    async def _find_place(self, user: ChannelUser, entry: UserAdmission) -> None:
        """Let a user in.

        :raises BadRequest: there is no room for it.
        """
        connection, placement = user.connection, self._relay.hooks.placement
        is_known = entry.is_expected or self._parts.service.is_local
        if placement and not is_known and not await placement.take(self.session_hash):
            # The relay that has the session meets the user as well.
            connection.user_left("its session is another relay's")
            return
        place = await self._relay.find_place(entry.admission, no_claim)
        if not connection.is_open:
            place.abandon()
            return
        try:
            place.check()
        except BadRequest:
            place.abandon()
            raise
        connection.enter(place)

    def _refused(self, failure: Failure, user: ChannelUser) -> None:
        failure.trap(BadRequest)
        refusal = failure.value
        assert isinstance(refusal, BadRequest)
        code = CLOSE_TRY_AGAIN_LATER if refusal.status in (429, 503) else CLOSE_POLICY
        user.connection.close(code, str(refusal))

    def _failed(self, failure: Failure, user: ChannelUser) -> None:
        self.log.failure("letting a user of a channel in has failed", failure)
        user.connection.close(CLOSE_INTERNAL_ERROR, "The relay has failed at this")

    def _left(self, name: str, why: str = _LEFT) -> None:
        user = self.users.get(name)
        if user is not None:
            user.connection.user_left(why)

    def _away_for_too_long(self) -> None:
        self._away_call = None
        if self._advance(MirrorEvent.GIVEN_UP):
            self._give_up(_GONE_AWAY)

    def _give_up(self, why: str) -> None:
        """Nobody is in the channel, as far as the gateway knows."""
        self._end_waiting_for_service()
        self._present.clear()
        self._outbox.stop()
        self._adoptions.stop()
        for user in tuple(self.users.values()):
            user.connection.user_left(why, AWAY_CODE)

    def _end_waiting_for_service(self) -> None:
        self.away_since_s = None
        call, self._away_call = self._away_call, None
        if call is not None and call.active():
            call.cancel()

    # Messages of users

    def _take(self, user: ChannelUser, event: NumberedEvent) -> None:
        if user.connection.state is VirtualState.RELEASED:
            # The relay that has the session takes it.
            return
        inbound = user.hear(event)
        if inbound.has_gap:
            self._states.ask(user)
        if inbound.texts:
            user.connection.take_messages(inbound.texts)
        if inbound.wants_state:
            self._states.answer(user)

    # Within

    def _advance(self, event: MirrorEvent) -> bool:
        """Change the state. Returns whether the event meant anything."""
        after = TRANSITIONS.get((self.state, event))
        if after is None:
            return False
        self.state = after
        return True

    def _publish(self, name: str, data: str) -> bool:
        return self._parts.service.publish(self.name, name, data)

    def _stop_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    def _skip(self, size: int) -> None:
        self._parts.outboxes.counters.count_dropped("large")
        self._parts.notes.skip(self.session_hash, size)

    def _ignore(self, what: str, why: str) -> None:
        self._parts.notes.ignore(self.session_hash, what, why)
