"""The adoptions in one channel (`adoption`), and the other side of them: this relay releases users
whose sessions have gone to another relay.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.managed.gateway.adoption import Adoption
from apptuner_relay.managed.gateway.channel_user import ChannelUser
from apptuner_relay.managed.protocol.numbered_events import NumberedEvent
from apptuner_relay.managed.protocol.state_messages import read_fields, type_of
from apptuner_relay.managed.protocol.user_ids import UserId
from apptuner_relay.relay.member import Member
from apptuner_relay.relay.service import RelayService
from apptuner_relay.wire.messages import compact_json


class AdoptingChannel(NamedTuple):
    """What the adoptions need of their channel: a `mirrored_channel.MirroredChannel`."""

    session_hash: str
    present: Mapping[str, UserId]
    """Everybody who is in it, by ``user_id``."""
    users: Mapping[str, ChannelUser]
    """Those that are clients by way of it."""
    say: Callable[[str, bytes], None]
    """Tells somebody a text."""
    flush: Callable[[], None]
    """Publishes what was said."""
    add_user: Callable[[str], ChannelUser]
    """Makes one that is present a client."""
    take: Callable[[ChannelUser, NumberedEvent], None]
    """Takes in an event of a user."""


class Adoptions:
    """Those of one channel."""

    log = Logger()

    def __init__(self, relay: RelayService, channel: AdoptingChannel) -> None:
        self._relay = relay
        self._channel = channel
        self._adoptions: dict[str, Adoption] = {}
        """By the ``user_id``."""

    def look(self) -> None:
        """Begin to adopt the users that another relay bridges here."""
        channel = self._channel
        for member in tuple(self._bridged()):
            name = member.admission.channel_user
            if name in channel.present and name not in {*channel.users, *self._adoptions}:
                adoption = Adoption(self._relay.clock, name, member, self._ask)
                self._adoptions[name] = adoption
                running = Deferred.fromCoroutine(self._run(adoption))
                running.addErrback(self._failed)

    def has(self, name: str) -> bool:
        """Whether a user is bridged here."""
        return any(member.admission.channel_user == name for member in self._bridged())

    def keep(self, name: str, event: NumberedEvent) -> None:
        """Somebody has said something who is no client by way of the channel."""
        adoption = self._adoptions.get(name)
        if adoption is not None:
            adoption.keep(event)

    def left(self, name: str) -> None:
        """Somebody has left the channel."""
        adoption = self._adoptions.get(name)
        if adoption is not None:
            adoption.stop()

    def stop(self) -> None:
        """The channel was left."""
        for adoption in self._adoptions.values():
            adoption.stop()

    def hear(self, event: NumberedEvent) -> None:
        """A relay says something."""
        for message in event.messages:
            kind = type_of(message)
            if kind not in ("adopt", "released"):
                continue
            fields = read_fields(message)
            name = fields.get("user")
            if not isinstance(name, str):
                continue
            if kind == "adopt":
                self._release(name)
            elif name in self._adoptions:
                epoch, n = fields.get("epoch"), fields.get("n")
                if type(n) is int and (epoch is None or isinstance(epoch, str)):
                    self._adoptions[name].released((epoch, n))

    def _bridged(self) -> Iterator[Member]:
        """The clients of the session by way of this channel that another relay bridges."""
        session = self._relay.sessions.get(self._channel.session_hash)
        for member in () if session is None else session.members:
            if member.through is not None and member.admission.channel_user:
                yield member

    def _ask(self, text: bytes) -> bool:
        """Ask the relay that bridges a user. Whether it is in the channel."""
        relays = [name for name, one in self._channel.present.items() if one.is_relay]
        for name in relays:
            self._channel.say(name, text)
        # One of them is this one.
        return len(relays) > 1

    def _release(self, name: str) -> None:
        """Another relay is about to speak for a user."""
        user = self._channel.users.get(name)
        if user is None or not user.connection.release():
            return
        epoch, n = user.gaps.position
        answer = compact_json({"type": "released", "user": name, "epoch": epoch, "n": n})
        self._channel.flush()
        for relay, one in self._channel.present.items():
            if one.is_relay:
                self._channel.say(relay, answer)

    async def _run(self, adoption: Adoption) -> None:
        try:
            while not await adoption.prepare():
                if not adoption.is_released:
                    return
            self._replace(adoption)
        finally:
            del self._adoptions[adoption.user_id]

    def _replace(self, adoption: Adoption) -> None:
        member, channel = adoption.member, self._channel
        user = channel.add_user(adoption.user_id)
        # Events carry plain texts.
        admission = dataclasses.replace(member.admission, through=None, deflates=False)
        registry = self._relay.registry
        user.connection.serve(registry.reconnect(member, admission, user.connection))
        adoption.close_bridge()
        epoch, n = adoption.position or (None, 0)
        if epoch is not None:
            user.gaps.hear(epoch, n)
        for event in adoption.kept:
            channel.take(user, event)

    def _failed(self, failure: Failure) -> None:
        self.log.failure("adopting a user of a channel has failed", failure)
