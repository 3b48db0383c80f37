"""A managed service in memory, which several relays share, and users of its channels."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from apptuner_relay.managed.protocol.channel_names import channel_of
from apptuner_relay.managed.protocol.channel_service import ChannelListener, ServiceRefused
from apptuner_relay.managed.protocol.numbered_events import (
    EVENT_NAME,
    NumberedEvent,
    encode_event,
    is_to,
    parse_event,
)
from apptuner_relay.managed.protocol.user_ids import MemberInfo, UserId
from apptuner_relay.operator.managed_counters import ManagedCounters
from apptuner_relay.operator.managed_view import ServiceRefusal
from apptuner_relay.session.session import Role
from apptuner_relay.wire.messages import compact_json

PREFIX = "apptuner"


class FakeChannels:
    """The service. What happens in a channel is told in the reactor's next turn, in order."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.members: dict[str, dict[str, tuple[Any, Mapping[str, object]]]] = {}
        """By channel and ``user_id``: who hears of it, and the ``user_info``."""
        self.services: list[FakeChannelService] = []
        self.loses: Callable[[str], bool] = lambda data: False
        """Whether an event with that data is lost."""

    def service(self, node: str, is_local: bool = False) -> "FakeChannelService":
        """The service as a relay has it."""
        service = FakeChannelService(self, node, is_local)
        self.services.append(service)
        return service

    def add(self, channel: str, user_id: str, info: Mapping[str, object], hears: Any) -> None:
        """Somebody comes into a channel."""
        others = self.members.setdefault(channel, {})
        for _, (other, _) in others.items():
            self.clock.callLater(0, other.hears_added, channel, user_id, info)
        others[user_id] = (hears, info)
        infos = {name: known for name, (_, known) in others.items()}
        self.clock.callLater(0, hears.hears_subscribed, channel, infos)

    def remove(self, channel: str, user_id: str) -> None:
        """Somebody leaves a channel."""
        others = self.members.get(channel, {})
        if others.pop(user_id, None) is None:
            return
        for other, _ in others.values():
            self.clock.callLater(0, other.hears_removed, channel, user_id)
        if not others:
            del self.members[channel]

    def publish(self, channel: str, name: str, data: str, user_id: str) -> None:
        """An event for everybody else."""
        if self.loses(data):
            return
        for other, (hears, _) in self.members.get(channel, {}).items():
            if other != user_id:
                self.clock.callLater(0, hears.hears_event, channel, name, data, user_id)


class FakeChannelService:
    """A `gateway.WatchedService`."""

    def __init__(self, channels: FakeChannels, node: str, is_local: bool) -> None:
        self.is_local = is_local
        self.is_up = True
        self.user_id = str(UserId(None, "0" * 11 + node[:1].lower(), node))
        self.listeners: dict[str, ChannelListener] = {}
        self.published: list[tuple[str, str]] = []
        """The channel and the data of each event."""
        self.takes = True
        """Whether events are taken."""
        self.answers_lists = True
        """Whether it says who is where."""
        self.counters = ManagedCounters()
        self.away_since_s: float | None = None
        self.refusal: ServiceRefusal | None = None
        self._channels = channels

    def subscribe(self, channel: str, listener: ChannelListener) -> None:
        """See `ChannelService`."""
        self.listeners[channel] = listener
        if self.is_up:
            self._channels.add(channel, self.user_id, {}, self)

    def unsubscribe(self, channel: str) -> None:
        """See `ChannelService`."""
        if self.listeners.pop(channel, None) is not None:
            self._channels.remove(channel, self.user_id)

    def publish(self, channel: str, name: str, data: str) -> bool:
        """See `ChannelService`."""
        if not self.is_up or not self.takes:
            return False
        self.published.append((channel, data))
        self._channels.publish(channel, name, data, self.user_id)
        return True

    def occupied(self, prefix: str) -> Deferred[Sequence[str]]:
        """See `ChannelService`."""
        if not self.answers_lists:
            return fail(ServiceRefused(403, "the application is disabled"))
        return succeed([name for name in self._channels.members if name.startswith(prefix)])

    def go_away(self) -> None:
        """The relay loses its connection to the service."""
        self.is_up = False
        self.away_since_s = self._channels.clock.seconds()
        for channel, listener in tuple(self.listeners.items()):
            self._channels.remove(channel, self.user_id)
            listener.unsubscribed("the connection was lost")

    def come_back(self) -> None:
        """It has one again."""
        self.is_up, self.away_since_s = True, None
        for channel in tuple(self.listeners):
            self._channels.add(channel, self.user_id, {}, self)

    # What the channels call

    def hears_subscribed(self, channel: str, members: Mapping[str, Mapping[str, object]]) -> None:
        if self.is_up and channel in self.listeners:
            self.listeners[channel].subscribed(members)

    def hears_added(self, channel: str, user_id: str, info: Mapping[str, object]) -> None:
        if self.is_up and channel in self.listeners:
            self.listeners[channel].member_added(user_id, info)

    def hears_removed(self, channel: str, user_id: str) -> None:
        if self.is_up and channel in self.listeners:
            self.listeners[channel].member_removed(user_id)

    def hears_event(self, channel: str, name: str, data: str, user_id: str) -> None:
        if self.is_up and channel in self.listeners:
            self.listeners[channel].event_received(name, data, user_id)


class FakeUser:
    """A user of a session's channel, as pusher-js would be.

    :param tag: a letter, which makes it another user than others.
    """

    def __init__(
        self,
        channels: FakeChannels,
        session_hash: str,
        role: Role,
        tag: str = "a",
        device: str = "",
        **info: Any,
    ) -> None:
        self.channel = channel_of(PREFIX, session_hash)
        if role is Role.MOBILE and not device:
            device = f"device-{tag}"
        self.user_id = str(UserId(role, tag * 12, device))
        info.setdefault("since_ms", 1_764_412_800_000)
        self.info = MemberInfo(**info).to_dict()
        self.events: list[NumberedEvent] = []
        """All events that it has heard."""
        self.people: set[str] = set()
        """The others who are in the channel."""
        self.epoch, self.n = "00000abc", 0
        self._channels = channels
        self._taken = 0

    def come(self) -> None:
        """Come into the channel."""
        self._channels.add(self.channel, self.user_id, self.info, self)

    def leave(self) -> None:
        """Leave it."""
        self._channels.remove(self.channel, self.user_id)

    def send(self, *messages: Mapping[str, object], lost: bool = False) -> None:
        """Publish an event with messages; ``lost`` has the service lose it."""
        self.n += 1
        data = encode_event(self.epoch, self.n, None, [compact_json(one) for one in messages])
        if not lost:
            self.publish(data)

    def publish(self, data: str, name: str = EVENT_NAME) -> None:
        """Publish any event."""
        self._channels.publish(self.channel, name, data, self.user_id)

    def received(self) -> list[dict[str, Any]]:
        """The messages for it since the last call."""
        events, self._taken = self.events[self._taken :], len(self.events)
        return [
            json.loads(message)
            for event in events
            if is_to(event.to, self.user_id)
            for message in event.messages
        ]

    def types(self) -> list[str]:
        """The types of `received`."""
        return [message["type"] for message in self.received()]

    # What the channels call

    def hears_subscribed(self, channel: str, members: Mapping[str, object]) -> None:
        self.people = set(members) - {self.user_id}

    def hears_added(self, channel: str, user_id: str, info: object) -> None:
        self.people.add(user_id)

    def hears_removed(self, channel: str, user_id: str) -> None:
        self.people.discard(user_id)

    def hears_event(self, channel: str, name: str, data: str, user_id: str) -> None:
        self.events.append(parse_event(data))
