"""The channels that this relay carries itself, for clients that are connected to its own endpoint
of the Pusher protocol: a `ChannelService` without a service.

It knows who is in which channel and passes on what is said there. Who may come in is decided by
`app_session`; sockets are those of `app_server`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from apptuner_relay.managed.protocol import service_frames
from apptuner_relay.managed.protocol.channel_service import ChannelListener, ChannelService
from apptuner_relay.managed.protocol.user_ids import UserId, new_tag

MOST_MEMBERS = 100
"""How many users a channel may have, as at Pusher."""

_NOBODY: Mapping[str, object] = {}


class ChannelSubscriber(Protocol):
    """A client's connection: an `app_session.AppSession`."""

    def deliver(self, frame: bytes) -> None:
        """Send a message of the protocol. Nobody leaves a channel within this call."""


class ChannelFull(Exception):
    """The channel has as many members as it may have."""


class LocalMember(NamedTuple):
    """A user who is in a channel."""

    user_id: str
    info: Mapping[str, object]


class _LocalChannel:
    """One channel that somebody is in. It ends with the last one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.subscribers: dict[ChannelSubscriber, LocalMember | None] = {}
        """None for those of a channel that shows nobody who is there."""
        self.listener: ChannelListener | None = None
        self.hears = False
        """Whether the listener knows that it is subscribed."""
        self.begins: IDelayedCall | None = None

    def members(self) -> dict[str, Mapping[str, object]]:
        """Who is there, each user once, in order."""
        there: dict[str, Mapping[str, object]] = {}
        for member in self.subscribers.values():
            if member is not None:
                there.setdefault(member.user_id, member.info)
        return there

    def tell(self, frame: bytes, but: ChannelSubscriber | None = None) -> None:
        """Send a message to everybody who is there."""
        for one in tuple(self.subscribers):
            if one is not but:
                one.deliver(frame)


class LocalChannels:
    """The channels of one relay.

    :param node: names this relay.
    :param on_occupied: called with a channel that a user is coming into, or about to, and in which
        nobody listens.
    """

    is_local = True
    is_up = True
    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        node: str,
        on_occupied: Callable[[ChannelService, str], None],
    ) -> None:
        self._clock = clock
        self._user_id = str(UserId(None, new_tag(), node))
        """By which the relay itself is in channels."""
        self._on_occupied = on_occupied
        self._channels: dict[str, _LocalChannel] = {}

    # What the gateway calls: `ChannelService`

    def subscribe(self, channel: str, listener: ChannelListener) -> None:
        """See `ChannelService`. The listener is told in the reactor's next turn."""
        there = self._channel(channel)
        if there.listener is not None:
            return
        there.listener = listener
        there.begins = self._clock.callLater(0, self._begin, there, listener)

    def _begin(self, channel: _LocalChannel, listener: ChannelListener) -> None:
        channel.begins = None
        channel.hears = True
        channel.tell(service_frames.member_added(channel.name, self._user_id, _NOBODY))
        listener.subscribed(self._members(channel))

    def unsubscribe(self, channel: str) -> None:
        """See `ChannelService`."""
        there = self._channels.get(channel)
        if there is None or there.listener is None:
            return
        there.listener = None
        if there.begins is not None:
            there.begins.cancel()
            there.begins = None
        if there.hears:
            there.hears = False
            there.tell(service_frames.member_removed(channel, self._user_id))
        self._end_if_empty(there)

    def publish(self, channel: str, name: str, data: str) -> bool:
        """See `ChannelService`."""
        there = self._channels.get(channel)
        if there is None or not there.hears:
            return False
        there.tell(service_frames.passed_event(channel, name, data, self._user_id))
        return True

    def occupied(self, prefix: str) -> Deferred[Sequence[str]]:
        """See `ChannelService`."""
        names = [
            name
            for name, channel in self._channels.items()
            if name.startswith(prefix) and channel.subscribers
        ]
        return succeed(names)

    # What clients' connections call

    def expect(self, channel: str) -> None:
        """A client is about to come into a presence channel: have the relay be there before it."""
        there = self._channels.get(channel)
        if there is None or there.listener is None:
            self._on_occupied(self, channel)

    def enter(
        self, channel: str, subscriber: ChannelSubscriber, member: LocalMember | None
    ) -> None:
        """Have a client come into a channel, and tell it and all others so. One that is there
        already, as the same user, is told once more.

        :param member: who it is, in a presence channel; None in any other.
        :raises ChannelFull: it can't.
        """
        there = self._channel(channel)
        before = there.members()
        if subscriber in there.subscribers and there.subscribers[subscriber] != member:
            self.leave(channel, subscriber)
            self.enter(channel, subscriber, member)
            return
        if member is not None and member.user_id not in before and len(before) >= MOST_MEMBERS:
            self._end_if_empty(there)
            raise ChannelFull
        there.subscribers[subscriber] = member
        members = None if member is None else self._members(there)
        subscriber.deliver(service_frames.subscription_succeeded(channel, members))
        if member is None or member.user_id in before:
            return
        there.tell(
            service_frames.member_added(channel, member.user_id, member.info), but=subscriber
        )
        if there.listener is None:
            self._on_occupied(self, channel)
        elif there.hears:
            there.listener.member_added(member.user_id, member.info)

    def leave(self, channel: str, subscriber: ChannelSubscriber) -> None:
        """A client has left a channel. Harmless where it isn't there."""
        there = self._channels.get(channel)
        if there is None or subscriber not in there.subscribers:
            return
        member = there.subscribers.pop(subscriber)
        if member is not None and member.user_id not in there.members():
            there.tell(service_frames.member_removed(channel, member.user_id))
            if there.listener is not None and there.hears:
                there.listener.member_removed(member.user_id)
        self._end_if_empty(there)

    def pass_on(
        self, channel: str, subscriber: ChannelSubscriber, name: str, raw_data: str, data: str
    ) -> None:
        """A client that is in a channel says something there.

        :param raw_data: as the client has written it, for the other clients.
        :param data: what it says, for the relay: a JSON text.
        """
        there = self._channels.get(channel)
        if there is None or subscriber not in there.subscribers:
            return
        member = there.subscribers[subscriber]
        user_id = None if member is None else member.user_id
        there.tell(service_frames.passed_event(channel, name, raw_data, user_id), but=subscriber)
        if there.listener is not None and there.hears:
            there.listener.event_received(name, data, user_id)

    # Within

    @property
    def count(self) -> int:
        """How many channels there are."""
        return len(self._channels)

    def _channel(self, name: str) -> _LocalChannel:
        there = self._channels.get(name)
        if there is None:
            there = self._channels[name] = _LocalChannel(name)
        return there

    def _members(self, channel: _LocalChannel) -> dict[str, Mapping[str, object]]:
        own: dict[str, Mapping[str, object]] = {self._user_id: _NOBODY} if channel.hears else {}
        return own | channel.members()

    def _end_if_empty(self, channel: _LocalChannel) -> None:
        empty = not channel.subscribers and channel.listener is None
        if empty and self._channels.get(channel.name) is channel:
            del self._channels[channel.name]
