"""A member's connection to a managed service, and its subscription of the session's channel.

It connects to the service, asks the relay to be let into the channel (``POST /pusher/auth``), and
subscribes. What is said there is for `channel_talk`. The Pusher protocol itself is read and built
by the parts of `apptuner_relay.managed` that the relay uses, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from random import uniform
from typing import Any, NamedTuple
from urllib.parse import urlencode

from autobahn.websocket.types import ConnectingRequest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay import __version__
from apptuner_relay.client.channel_talk import ChannelMemory, ChannelTalk
from apptuner_relay.client.credentials import authorization
from apptuner_relay.client.host_endpoint import endpoint_of
from apptuner_relay.client.member_connection import (
    ClientPings,
    ConnectionListener,
    MemberConnection,
    MemberFactory,
    Target,
)
from apptuner_relay.client.policy import Ending, How, error_text, retry_after_seconds
from apptuner_relay.client.transfer import Body, TransferError, Web, fields_of
from apptuner_relay.config.managed_url import ManagedUrl, ServiceHost
from apptuner_relay.managed.protocol import envelopes, service_frames
from apptuner_relay.managed.protocol.channel_names import channel_of
from apptuner_relay.managed.protocol.envelopes import BadEnvelope, PusherEnvelope
from apptuner_relay.managed.protocol.numbered_events import EVENT_NAME
from apptuner_relay.managed.protocol.user_ids import is_of_relay
from apptuner_relay.wire.text import parse_json

PONG_SECONDS = 30.0
"""How long a service may take to answer a ping, as its protocol recommends."""

ALONE_SECONDS = (1.0, 5.0)
"""How long a channel may have no relay in it, at least and at most, before a client asks to be let
in anew: the next relay may be on its way, and not all clients are to come back at once."""

MOST_MESSAGE_BYTES = 2 * 1024 * 1024

_WITHOUT_CHANNELS = (404, 413)
"""What a relay without channels answers: it knows no such path, and takes no body there."""


class ChannelEntry(NamedTuple):
    """What lets a client into a channel."""

    auth: str
    channel_data: str
    user_id: str


class EntryRefused(Exception):
    """A relay does not let a client into a channel."""

    def __init__(self, ending: Ending) -> None:
        super().__init__(str(ending))
        self.ending = ending


class ChannelConnection(MemberConnection):
    """A client's connection. Made by a `ChannelFactory`."""

    factory: ChannelFactory
    peer = "the managed service"
    _log = Logger()

    def __init__(
        self, listener: ConnectionListener, heartbeat: ClientPings, clock: IReactorTime
    ) -> None:
        super().__init__(listener, heartbeat, clock)
        self._asking: Deferred[ChannelEntry] | None = None
        self._talk: ChannelTalk | None = None
        self._relays: set[str] = set()
        """The relays in the channel."""
        self._alone: IDelayedCall | None = None
        self._complaint = ""
        """What the service has said before it closes."""
        self._owes_pong = False
        """Whether the service may still have to pass on what was said last."""
        self._is_leaving = False

    # What the program does with it.

    def send(self, kind: str, body: Mapping[str, object]) -> None:
        """See `MemberConnection`."""
        if self._talk is not None:
            self._say(self._talk.say(kind, body))

    def send_ping(self) -> None:
        """See `MemberConnection`."""
        self._send_frame(service_frames.PING)

    def leave(self) -> None:
        """See `MemberConnection`. A service may lose an event that a Close follows at once, as
        Soketi does: a pong in between says that it was passed on."""
        if not self._owes_pong or not self.is_up:
            super().leave()
            return
        self._is_leaving = True
        self.send_ping()
        self.limit_close()

    def closed_by_peer(self, code: int | None, reason: str) -> Ending:
        """See `MemberConnection`."""
        return Ending(How.SERVICE, reason or self._complaint, code)

    def _say(self, data: str) -> None:
        self._owes_pong = True
        self._send_frame(service_frames.client_event(self.factory.channel, EVENT_NAME, data))

    def _send_frame(self, frame: bytes) -> None:
        if self.is_up:
            self.sendMessage(frame)

    # What Autobahn calls.

    def onConnecting(self, transport_details: Any) -> ConnectingRequest:
        host = self.factory.service_host
        query = f"protocol=7&client=apptuner-relay&version={__version__}"
        return ConnectingRequest(
            host=f"[{host.host}]" if ":" in host.host else host.host,
            port=host.port,
            resource=f"{host.prefix}/app/{self.factory.key}?{query}",
            useragent=f"apptuner-relay/{__version__}",
        )

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if self._asking is not None:
            self._asking.cancel()
        self._stop_waiting_for_a_relay()
        super().onClose(wasClean, code, reason)

    # What the service says.

    def text_received(self, text: bytes) -> None:
        """See `MemberConnection`."""
        try:
            self._heed(envelopes.parse_envelope(text))
        except BadEnvelope as wrong:
            if not self.is_welcomed:
                self.abort(f"{self.peer} does not speak its protocol: {wrong}")

    def _heed(self, envelope: PusherEnvelope) -> None:
        """:raises BadEnvelope: it lacks something."""
        mine = envelope.channel == self.factory.channel
        match envelope.event:
            case envelopes.CONNECTION_ESTABLISHED:
                self._heed_established(envelopes.read_established(envelope))
            case envelopes.PING:
                self._send_frame(service_frames.PONG)
            case envelopes.PONG:
                self._owes_pong = False
                if self._is_leaving:
                    super().leave()
            case envelopes.ERROR:
                self._heed_error(envelopes.read_error(envelope))
            case envelopes.SUBSCRIPTION_ERROR if mine:
                error = envelopes.read_error(envelope)
                self.end(Ending(How.SERVICE, error.text, error.code))
            case envelopes.SUBSCRIPTION_SUCCEEDED if mine:
                self._relays = set(filter(is_of_relay, envelopes.read_members(envelope)))
                self._subscribed()
            case envelopes.MEMBER_ADDED if mine:
                user_id, _ = envelopes.read_member(envelope)
                if is_of_relay(user_id):
                    self._relays.add(user_id)
                    self._stop_waiting_for_a_relay()
            case envelopes.MEMBER_REMOVED if mine:
                user_id, _ = envelopes.read_member(envelope)
                self._heed_removed(user_id)
            case name if mine and name == EVENT_NAME:
                self._heed_event(envelope.user_id, envelope.text_data())

    def _heed_established(self, welcome: envelopes.Established) -> None:
        interval_seconds = min(self.heartbeat.interval_seconds, welcome.activity_timeout_s)
        patience_seconds = self.heartbeat.patience_seconds or PONG_SECONDS
        self.heartbeat = ClientPings(interval_seconds, patience_seconds)
        if self._asking is not None or self._talk is not None:
            return
        asking = self._asking = Deferred.fromCoroutine(self._ask(welcome.socket_id))
        asking.addCallbacks(self._let_in, self._not_let_in)

    def _heed_error(self, error: envelopes.ServiceError) -> None:
        # Whether it closes the connection for that shows in whether it does.
        self._complaint = error.text
        if self.is_welcomed:
            text = f"the managed service refuses, with code {error.code}: {error.text}"
            self.listener.received({"type": "error", "error": text})

    # Getting into the channel.

    async def _ask(self, socket_id: str) -> ChannelEntry:
        """Have the relay let this client in.

        :raises EntryRefused: it does not.
        :raises TransferError: it can't be asked.
        """
        factory, target = self.factory, self.factory.target
        form = {
            **(target.query or {}),
            "socket_id": socket_id,
            "channel_name": factory.channel,
            "session": target.session,
            "role": target.role,
        }
        fields = {
            "Content-Type": "application/x-www-form-urlencoded",
            **authorization(target.credential),
        }
        url = target.relay.resolve("/pusher/auth")
        response = await factory.web.send("POST", url, fields, Body(urlencode(form).encode()))
        answer = await factory.web.short_body(response)
        if response.code != 200:
            reason = error_text(answer) or response.phrase.decode("latin-1")
            if response.code in _WITHOUT_CHANNELS:
                reason += " (is it started with --managed?)"
            wait_seconds = retry_after_seconds(fields_of(response).get("retry-after", ""))
            raise EntryRefused(Ending(How.REFUSED, reason, response.code, wait_seconds))
        return _entry(answer)

    def _let_in(self, entry: ChannelEntry) -> None:
        self._asking = None
        factory = self.factory
        self._talk = ChannelTalk(factory.target.session, entry.user_id, factory.memory)
        try:
            frame = service_frames.subscribe(factory.channel, entry.auth, entry.channel_data)
        except ValueError as wrong:
            self.end(Ending(How.NOT_ASKED, f"its answer is wrong: {wrong}"))
        else:
            self._send_frame(frame)

    def _not_let_in(self, failure: Failure) -> None:
        self._asking = None
        match failure.value:
            case CancelledError():
                pass
            case EntryRefused(ending=ending):
                self.end(ending)
            case TransferError():
                self.end(Ending(How.NOT_ASKED, str(failure.value)))
            case _:
                self._log.failure("asking to be let into a channel", failure)
                self.end(Ending(How.NOT_ASKED, "this program has failed at it"))

    def _subscribed(self) -> None:
        talk = self._talk
        if talk is None:
            return
        if self.factory.is_again or self.factory.wants_replay:
            self._say(talk.ask_for_state())
        self.factory.is_again = True

    # In the channel.

    def _heed_event(self, sender: str | None, data: str) -> None:
        talk = self._talk
        if talk is None:
            return
        for message in talk.hear(sender, data):
            self._heed_message(talk, message)
        if talk.wants_state:
            self._say(talk.ask_for_state())

    def _heed_message(self, talk: ChannelTalk, message: dict[str, Any]) -> None:
        match message["type"]:
            case "closed":
                code, reason = message.get("code"), message.get("reason")
                self.end(
                    Ending(
                        How.CLOSED,
                        reason if isinstance(reason, str) else "",
                        code if type(code) is int else None,
                    )
                )
            case "state_wanted":
                if self.factory.target.role == "mobile":
                    self._say(talk.tell_state())
            case "pong":
                pass
            case _:
                # A relay that took its channels over from another one welcomes nobody anew.
                if not self.is_welcomed:
                    self.welcome()
                self.listener.received(message)

    def _heed_removed(self, user_id: str) -> None:
        if user_id not in self._relays:
            return
        self._relays.remove(user_id)
        if not self._relays and self._alone is None:
            self._alone = self.clock.callLater(uniform(*ALONE_SECONDS), self._still_alone)

    def _stop_waiting_for_a_relay(self) -> None:
        if self._alone is not None and self._alone.active():
            self._alone.cancel()
        self._alone = None

    def _still_alone(self) -> None:
        self.abort("there is no relay in the channel any more")


class ChannelFactory(MemberFactory):
    """Makes the connections of a member to a managed service.

    :param prefix: what the channels' names begin with.
    :param wants_replay: whether the session's last bundle is asked for at once.
    """

    def __init__(
        self,
        reactor: Any,
        target: Target,
        heartbeat: ClientPings,
        url: ManagedUrl,
        prefix: str,
        wants_replay: bool = False,
    ) -> None:
        relay = target.relay
        own = ServiceHost(relay.host, relay.port, relay.secure, relay.prefix)
        self.service_host = own if url.service is None else url.service.websocket
        endpoint = endpoint_of(
            reactor, self.service_host.host, self.service_host.port, self.service_host.tls
        )
        super().__init__(reactor, target, endpoint)
        self.key = url.key
        self.channel = channel_of(prefix, hashlib.sha256(target.session.encode()).hexdigest())
        self.web = Web(reactor, self.clock, secure=relay.secure)
        self.memory = ChannelMemory()
        self.wants_replay = wants_replay
        self.is_again = False
        """Whether the channel was subscribed before, so that something may have been missed."""
        self._heartbeat = heartbeat
        self.setProtocolOptions(maxMessagePayloadSize=MOST_MESSAGE_BYTES)

    def make(self, listener: ConnectionListener) -> ChannelConnection:
        """See `MemberFactory`."""
        return ChannelConnection(listener, self._heartbeat, self.clock)


def _entry(answer: bytes) -> ChannelEntry:
    """What a relay answers.

    :raises EntryRefused: it is no such answer.
    """
    try:
        fields = parse_json(answer)
        auth, channel_data = fields["auth"], fields["channel_data"]
        user_id = parse_json(channel_data.encode())["user_id"]
    except (AttributeError, KeyError, TypeError, ValueError):
        raise EntryRefused(Ending(How.NOT_ASKED, "its answer can't be read")) from None
    if not isinstance(auth, str) or not isinstance(user_id, str):
        raise EntryRefused(Ending(How.NOT_ASKED, "its answer can't be read"))
    return ChannelEntry(auth, channel_data, user_id)
