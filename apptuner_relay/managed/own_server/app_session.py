"""What one client of the relay's own endpoint says, and what it is answered: the Pusher protocol,
version 7, as far as channels of sessions need it. Pure: `app_server` has its socket.

There are the presence channels of sessions, and private channels that begin with the same prefix.
Both take a signature (`authorization`). What is wrong is answered with ``pusher:error``, and never
ends the connection, unless there is too much of it.
"""

from collections.abc import Callable, Mapping
from typing import Protocol

from apptuner_relay.access.bucket import TokenBucket
from apptuner_relay.managed.own_server.local_channels import ChannelFull, LocalChannels, LocalMember
from apptuner_relay.managed.protocol import envelopes, service_frames
from apptuner_relay.managed.protocol.channel_names import session_hash_of, start_of_channels
from apptuner_relay.managed.protocol.envelopes import (
    BadEnvelope,
    PusherEnvelope,
    parse_envelope,
    read_subscribe,
    read_unsubscribe,
)
from apptuner_relay.managed.protocol.signatures import Signer
from apptuner_relay.managed.protocol.user_ids import MOST_INFO_BYTES, MOST_USER_ID_CHARACTERS
from apptuner_relay.wire.messages import compact_json
from apptuner_relay.wire.text import parse_json

ACTIVITY_TIMEOUT_S = 30
"""After so long without a message a client sends ``pusher:ping``."""
MOST_CHANNELS = 100
"""In how many channels a connection may be."""
MOST_DATA_BYTES = 10 * 1024
"""How long the data of a client's event may be, as at Pusher."""
EVENTS_PER_S = 10
"""How many events a client may send, as at Pusher."""
MESSAGES_PER_S = 100
"""How many messages of any kind a client may send, and `MESSAGES_BURST_S` times as many at once."""
MESSAGES_BURST_S = 5

ERROR_MALFORMED = 4200
ERROR_REJECTED = 4301
CLOSE_OVER_CAPACITY = 4100
"""The client connects again, after a while."""

_UNAUTHORIZED = 401
_FORBIDDEN = 403
_PRIVATE = "private-"
_ENCRYPTED = "private-encrypted-"
_SIGN_IN = "pusher:signin"


class AppOutlet(Protocol):
    """The client's connection."""

    def send(self, frame: bytes) -> None:
        """Send a message. Harmless once the connection is closing."""

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake. Harmless once it has begun."""


class AppSession:
    """One client: a `local_channels.ChannelSubscriber`.

    :param socket_id: names its connection, which signatures are good for.
    :param prefix: of the channels' names.
    :param seconds: the monotonic clock.
    """

    def __init__(
        self,
        socket_id: str,
        outlet: AppOutlet,
        channels: LocalChannels,
        signer: Signer,
        prefix: str,
        seconds: Callable[[], float],
    ) -> None:
        self.socket_id = socket_id
        self._outlet = outlet
        self._channels = channels
        self._signer = signer
        self._prefix = prefix
        self._seconds = seconds
        self._there: set[str] = set()
        """The channels that it is in."""
        now_s = seconds()
        self._events = TokenBucket(EVENTS_PER_S, EVENTS_PER_S, now_s)
        self._messages = TokenBucket(MESSAGES_PER_S, MESSAGES_PER_S * MESSAGES_BURST_S, now_s)

    def begin(self) -> None:
        """Welcome the client."""
        self.deliver(service_frames.established(self.socket_id, ACTIVITY_TIMEOUT_S))

    def deliver(self, frame: bytes) -> None:
        """See `ChannelSubscriber`."""
        self._outlet.send(frame)

    def take(self, message: bytes) -> None:
        """A text message has come."""
        if self._may_speak():
            try:
                self._take(parse_envelope(message))
            except BadEnvelope as wrong:
                self._complain(ERROR_MALFORMED, f"Bad message: {wrong}")

    def take_binary(self) -> None:
        """A binary message has come."""
        if self._may_speak():
            self._complain(ERROR_MALFORMED, "Bad message: there are no binary ones here")

    def end(self) -> None:
        """The connection is closing or gone: nothing that comes counts any more."""
        there, self._there = self._there, set()
        for channel in there:
            self._channels.leave(channel, self)

    def _may_speak(self) -> bool:
        """Count a message. A client that sends too many is closed."""
        if self._messages.take(self._seconds()):
            return True
        text = f"More than {MESSAGES_PER_S} messages a second"
        self._outlet.close(CLOSE_OVER_CAPACITY, text)
        return False

    def _take(self, envelope: PusherEnvelope) -> None:
        event = envelope.event
        if event == envelopes.PING:
            self.deliver(service_frames.PONG)
        elif event == envelopes.PONG:
            pass
        elif event == envelopes.SUBSCRIBE:
            self._subscribe(envelope)
        elif event == envelopes.UNSUBSCRIBE:
            channel = read_unsubscribe(envelope)
            self._there.discard(channel)
            self._channels.leave(channel, self)
        elif event.startswith(envelopes.CLIENT):
            self._pass_on(envelope)
        elif event == _SIGN_IN:
            self._complain(ERROR_MALFORMED, "There is no signing in here")
        else:
            self._complain(ERROR_MALFORMED, "Bad message: an unknown event")

    def _subscribe(self, envelope: PusherEnvelope) -> None:
        wish = read_subscribe(envelope)
        channel = wish.channel
        unknown = self._why_unknown(channel)
        if unknown is not None:
            self._refuse(channel, "AuthError", unknown, _FORBIDDEN)
            return
        if not self._signer.verify_channel(
            wish.auth or "", self.socket_id, channel, wish.channel_data
        ):
            text = f"The signature is not good for {channel} on connection {self.socket_id}"
            self._refuse(channel, "AuthError", text, _UNAUTHORIZED)
            return
        member = None
        if session_hash_of(self._prefix, channel) is not None:
            try:
                member = _read_member(wish.channel_data)
            except BadEnvelope as wrong:
                self._refuse(channel, "AuthError", f"Bad channel_data: {wrong}", _UNAUTHORIZED)
                return
        if channel not in self._there and len(self._there) >= MOST_CHANNELS:
            text = f"A connection may be in {MOST_CHANNELS} channels at most"
            self._refuse(channel, "LimitReached", text, CLOSE_OVER_CAPACITY)
            return
        try:
            self._there.add(channel)
            self._channels.enter(channel, self, member)
        except ChannelFull:
            self._there.discard(channel)
            self._refuse(channel, "LimitReached", "The channel is full", CLOSE_OVER_CAPACITY)

    def _why_unknown(self, channel: str) -> str | None:
        """Why there is no such channel; None where there may be one."""
        if session_hash_of(self._prefix, channel) is not None:
            return None
        if channel.startswith(_ENCRYPTED):
            return "This relay has no encrypted channels"
        if channel.startswith(f"{_PRIVATE}{self._prefix}."):
            return None
        return (
            f"This relay has the channels {start_of_channels(self._prefix)}SHA256, of a session, "
            f"and {_PRIVATE}{self._prefix}.NAME only"
        )

    def _refuse(self, channel: str, kind: str, text: str, status: int) -> None:
        self.deliver(service_frames.subscription_error(channel, kind, text, status))

    def _pass_on(self, envelope: PusherEnvelope) -> None:
        channel, raw_data = envelope.channel, envelope.raw_data or "null"
        if channel is None or channel not in self._there:
            self._complain(ERROR_REJECTED, "Client event rejected: you are not in that channel")
        elif len(raw_data.encode()) > MOST_DATA_BYTES:
            text = f"Client event rejected: its data has more than {MOST_DATA_BYTES} bytes"
            self._complain(ERROR_REJECTED, text)
        elif not self._events.take(self._seconds()):
            text = f"Client event rejected: more than {EVENTS_PER_S} a second"
            self._complain(ERROR_REJECTED, text)
        else:
            data = envelope.text_data()
            self._channels.pass_on(channel, self, envelope.event, raw_data, data)

    def _complain(self, code: int, text: str) -> None:
        self.deliver(service_frames.error(code, text))


def _read_member(channel_data: str | None) -> LocalMember:
    """Who a client is. The signature is good, so the holder of the secret has written it.

    :raises BadEnvelope: it is not what a presence channel needs.
    """
    try:
        value = parse_json((channel_data or "").encode())
    except ValueError:
        raise BadEnvelope("it is JSON") from None
    user_id = value.get("user_id") if isinstance(value, dict) else None
    if type(user_id) is int:
        user_id = str(user_id)
    if not isinstance(user_id, str) or not 1 <= len(user_id) <= MOST_USER_ID_CHARACTERS:
        raise BadEnvelope(f"it has a user_id of 1 to {MOST_USER_ID_CHARACTERS} characters")
    info = value.get("user_info")
    members: Mapping[str, object] = info if isinstance(info, dict) else {}
    if len(compact_json(members)) > MOST_INFO_BYTES:
        raise BadEnvelope(f"user_info has {MOST_INFO_BYTES} bytes at most")
    return LocalMember(user_id, members)
