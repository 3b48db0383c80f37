"""The gateway of a relay: the channels in which it speaks for sessions.

It is in a channel while a user of it is a client, or about to be one. Now and then, and when
another relay has ended, it looks which channels have somebody in them, and goes there: the users
may have been let in by a relay that has ended, or has had the session before.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.managed.gateway.channel_parts import ChannelNotes, ChannelParts
from apptuner_relay.managed.gateway.expected_users import ExpectedUsers
from apptuner_relay.managed.gateway.mirrored_channel import MirroredChannel
from apptuner_relay.managed.gateway.outbox import OutboxOptions
from apptuner_relay.managed.protocol.channel_names import (
    channel_of,
    session_hash_of,
    start_of_channels,
)
from apptuner_relay.managed.protocol.channel_service import ChannelService, ServiceRefused
from apptuner_relay.managed.protocol.user_ids import parse_user_id
from apptuner_relay.operator.managed_counters import ManagedCounters
from apptuner_relay.operator.managed_view import ServiceRefusal
from apptuner_relay.relay.member import Member
from apptuner_relay.relay.service import RelayService
from apptuner_relay.session.session import Admission

READY_S = 3.0
"""How long an authorized user waits at most for the gateway to be in the channel."""
UP_LOOK_S = 1.0
"""How often the gateway looks whether its service is back."""
LOOK_S = 5.0
"""How often it looks for channels that nobody needs."""
ADOPT_S = 60.0
"""How often it looks for users whom it doesn't know."""


class WatchedService(ChannelService, Protocol):
    """A service, and how it does: a `provider.Provider`."""

    counters: ManagedCounters

    @property
    def away_since_s(self) -> float | None:
        """See `ManagedView`."""

    @property
    def refusal(self) -> ServiceRefusal | None:
        """See `ManagedView`."""


class GatewayOptions(NamedTuple):
    """How the gateway does it."""

    prefix: str
    """What the names of channels begin with, behind ``presence-``."""
    event_limit: int
    """How many bytes the data of an event may have."""
    public_url: str
    """Where clients reach this relay over HTTP."""


class Gateway(Service):
    """That of one relay: a `GatewayInterface`.

    It is what an operator is shown of the service as well: a `ManagedView`.

    :param provider: carries the channels of sessions that this relay has; None where clients come
        to the relay's own server only.
    """

    log = Logger()

    def __init__(
        self,
        relay: RelayService,
        options: GatewayOptions,
        provider: WatchedService | None,
    ) -> None:
        self._relay = relay
        self._options = options
        self._provider = provider
        self.counters = ManagedCounters() if provider is None else provider.counters
        """Of what is exchanged with the provider."""
        self._own_counters = ManagedCounters()
        """Of what goes over the relay's own server, which nobody bills."""
        self._expected = ExpectedUsers(relay.clock.seconds)
        self._notes = ChannelNotes(relay.clock.seconds)
        self._channels: dict[ChannelService, dict[str, MirroredChannel]] = {}
        self._was_up = False
        self._why_not_found: str | None = None
        """Why the service did not say where anybody is, when it was asked last."""
        self._calls = [
            (interval_s, LoopingCall(call))
            for interval_s, call in (
                (UP_LOOK_S, self._look_up),
                (LOOK_S, self._look),
                (ADOPT_S, self._adopt),
            )
        ]
        for _, call in self._calls:
            call.clock = relay.clock
        relay.hooks.subscribe_channel_users(self._bridged)
        relay.hooks.subscribe_relay_ends(self._adopt)

    @property
    def is_up(self) -> bool:
        """See `ManagedView`."""
        return self._provider is None or self._provider.is_up

    @property
    def away_since_s(self) -> float | None:
        """See `ManagedView`."""
        return None if self._provider is None else self._provider.away_since_s

    @property
    def refusal(self) -> ServiceRefusal | None:
        """See `ManagedView`."""
        return None if self._provider is None else self._provider.refusal

    @property
    def members_count(self) -> int:
        """How many clients are connected by way of a channel."""
        return sum(len(channel.users) for channel in self._all_channels())

    @property
    def channels_count(self) -> int:
        """In how many channels the gateway is."""
        return sum(map(len, self._channels.values()))

    def startService(self) -> None:
        super().startService()
        for interval_s, call in self._calls:
            call.start(interval_s, now=False).addErrback(self._failed)

    def stopService(self) -> Deferred[None]:
        """Leave all channels. The relay has closed its clients by now."""
        super().stopService()
        for _, call in self._calls:
            if call.running:
                call.stop()
        for channel in tuple(self._all_channels()):
            channel.leave()
        return succeed(None)

    # What lets users in: `GatewayInterface`

    def expect(self, user_id: str, admission: Admission) -> None:
        """See `GatewayInterface`."""
        known = dataclasses.replace(
            admission,
            client=parse_user_id(user_id).tag,
            bundles_url=self._bundles_url,
        )
        self._expected.add(user_id, known)

    def expected(self, session_hash: str) -> Sequence[Admission]:
        """See `GatewayInterface`."""
        return self._expected.of_session(session_hash)

    def ready(self, session_hash: str) -> Deferred[None]:
        """See `GatewayInterface`."""
        if self._provider is None or not self.running:
            return succeed(None)
        channel = self._join(self._provider, session_hash)
        channel.want()
        waiting = channel.when_subscribed()
        waiting.addTimeout(READY_S, self._relay.clock)
        return waiting.addErrback(lambda late: None)

    def occupied(self, service: ChannelService, channel: str) -> None:
        """See `GatewayInterface`."""
        session_hash = session_hash_of(self._options.prefix, channel)
        if session_hash is not None and self.running:
            self._join(service, session_hash).want()

    # Within

    @property
    def _bundles_url(self) -> str:
        # An id is a credential, and must not pass the provider: the client puts it in.
        return f"{self._options.public_url}/bundles/{{session}}"

    def _all_channels(self) -> Iterable[MirroredChannel]:
        return (one for those in self._channels.values() for one in those.values())

    def _join(self, service: ChannelService, session_hash: str) -> MirroredChannel:
        """The channel of a session, to which the gateway is subscribed from now on."""
        channels = self._channels.setdefault(service, {})
        channel = channels.get(session_hash)
        if channel is None:
            parts = ChannelParts(
                self._relay,
                service,
                self._expected,
                OutboxOptions(
                    self._relay.clock,
                    self._relay.wall_s,
                    self._own_counters if service.is_local else self.counters,
                    self._options.event_limit,
                ),
                self._bundles_url,
                self._notes,
            )

            def left(channel: MirroredChannel) -> None:
                channels.pop(channel.session_hash, None)

            name = channel_of(self._options.prefix, session_hash)
            channel = channels[session_hash] = MirroredChannel(parts, session_hash, name, left)
            channel.join()
        return channel

    def _look(self) -> None:
        self._expected.sweep()
        for channel in tuple(self._all_channels()):
            channel.look()

    def _look_up(self) -> None:
        provider = self._provider
        is_up = provider is not None and provider.is_up
        if is_up and not self._was_up:
            self._adopt()
        self._was_up = is_up

    def _adopt(self) -> None:
        """Go to the channels in which somebody is."""
        provider = self._provider
        if provider is None or not provider.is_up:
            return
        start = start_of_channels(self._options.prefix)
        looking = provider.occupied(start)
        looking.addCallbacks(self._found_occupied, self._not_found, callbackArgs=(provider,))
        looking.addErrback(self._failed)

    def _found_occupied(self, names: Iterable[str], provider: ChannelService) -> None:
        self._why_not_found = None
        if not self.running:
            return
        known = self._channels.get(provider, {})
        placement = self._relay.hooks.placement
        for name in names:
            session_hash = session_hash_of(self._options.prefix, name)
            if session_hash is None:
                continue
            if session_hash in known:
                known[session_hash].meet()
            elif placement is None:
                self._join(provider, session_hash).want()
            else:
                taking = placement.take(session_hash)
                taking.addCallback(self._join_if, provider, session_hash)
                taking.addErrback(self._failed)

    def _join_if(self, is_here: bool, provider: ChannelService, session_hash: str) -> None:
        if is_here and self.running:
            self._join(provider, session_hash).want()

    def _bridged(self, member: Member) -> None:
        """A user of a channel is bridged by another relay: its session has come here."""
        if self._provider is not None and self.running:
            channel = self._join(self._provider, member.admission.session_hash)
            channel.want()
            channel.look()

    def _not_found(self, failure: Failure) -> None:
        """The service has not said where anybody is. Log it, but not each time for hours."""
        why = failure.getErrorMessage()
        if why == self._why_not_found:
            return
        if failure.check(ServiceRefused):
            self._why_not_found = why
            self.log.warn(
                "the managed service does not say which channels have members: {why}", why=why
            )
        elif self._provider is not None and self._provider.is_up:
            self._why_not_found = why
            self.log.info(
                "asking the managed service which channels have members has failed: {why}", why=why
            )

    def _failed(self, failure: Failure) -> None:
        self.log.failure("looking after the channels has failed", failure)
