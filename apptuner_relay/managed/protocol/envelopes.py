"""The messages of the Pusher protocol, version 7: reads those of a service and those of a client.
Pure. `service_frames` builds them.

Each is a JSON object ``{event, channel?, data?, user_id?}`` in a text message. A service's ``data``
is nearly always a string with JSON in it; some have the object itself, or nothing at all. An event
of another client has it as that client has sent it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from apptuner_relay.managed.protocol.raw_json import object_fields
from apptuner_relay.managed.protocol.signatures import is_socket_id
from apptuner_relay.wire.text import parse_json

MOST_NAME_CHARACTERS = 200
"""Of an event or a channel, as client libraries and Soketi limit them."""
SYSTEM = "pusher:"
INTERNAL = "pusher_internal:"
"""The names of events begin so that are the protocol's own."""
CLIENT = "client-"
"""The names of events begin so that clients send."""

CONNECTION_ESTABLISHED = "pusher:connection_established"
ERROR = "pusher:error"
PING = "pusher:ping"
PONG = "pusher:pong"
SUBSCRIBE = "pusher:subscribe"
UNSUBSCRIBE = "pusher:unsubscribe"
SUBSCRIPTION_ERROR = "pusher:subscription_error"
SUBSCRIPTION_SUCCEEDED = "pusher_internal:subscription_succeeded"
MEMBER_ADDED = "pusher_internal:member_added"
MEMBER_REMOVED = "pusher_internal:member_removed"

_MOST_TIMEOUT_S = 86_400.0
_MOST_TEXT = 200


class BadEnvelope(ValueError):
    """A message that is none of the protocol, or lacks what its event has to have. The text says
    what is wrong, and repeats nothing of the message."""


class PusherEnvelope(NamedTuple):
    """A message."""

    event: str
    channel: str | None
    raw_data: str | None
    """The text that stands behind ``data``; None where there is none."""
    user_id: str | None
    """Of an event in a presence channel: whose it is, which the service vouches for."""

    @property
    def is_system(self) -> bool:
        """Whether it is the protocol's own, rather than somebody's event."""
        return self.event.startswith((SYSTEM, INTERNAL))

    def text_data(self) -> str:
        """The data as a text, JSON if its sender keeps to that: what is in the string, or the text
        of the object; ``null`` where there is none.

        :raises BadEnvelope: never, for what `parse_envelope` gives.
        """
        if self.raw_data is None:
            return "null"
        if not self.raw_data.startswith('"'):
            return self.raw_data
        return str(_parse(self.raw_data))

    def json_data(self) -> object:
        """The value of the data, whether it is in a string or not; None where there is none.

        :raises BadEnvelope: it is a string without JSON in it.
        """
        return _parse(self.text_data())

    def fields(self) -> Mapping[str, object]:
        """The data, which has to be an object.

        :raises BadEnvelope: it is not.
        """
        return _object(self.json_data(), "data")


def parse_envelope(message: bytes) -> PusherEnvelope:
    """Read a text message.

    :raises BadEnvelope: it is not one of the protocol.
    """
    try:
        fields = object_fields(message.decode())
    except ValueError:
        raise BadEnvelope("a message is a JSON object") from None
    event = _name(fields, "event")
    if event is None:
        raise BadEnvelope("a message has an event")
    user_id = _parse(fields.get("user_id", "null"))
    if type(user_id) is int:
        # Services leave the ids of other applications' users the numbers that they are.
        user_id = str(user_id)
    if user_id is not None and not isinstance(user_id, str):
        raise BadEnvelope("user_id is a string")
    return PusherEnvelope(event, _name(fields, "channel"), fields.get("data"), user_id)


def _name(fields: Mapping[str, str], key: str) -> str | None:
    value = _parse(fields.get(key, "null"))
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= MOST_NAME_CHARACTERS:
        raise BadEnvelope(f"{key} is a string of 1 to {MOST_NAME_CHARACTERS} characters")
    return value


def _parse(text: str) -> object:
    try:
        value: object = parse_json(text.encode())
    except ValueError:
        raise BadEnvelope("data is not JSON") from None
    return value


def _object(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise BadEnvelope(f"{what} is an object")
    return value


class Established(NamedTuple):
    """A service's welcome."""

    socket_id: str
    activity_timeout_s: float
    """The client pings after so long without a message."""


def read_established(envelope: PusherEnvelope) -> Established:
    """What ``pusher:connection_established`` says.

    :raises BadEnvelope: it lacks something. So do all of these.
    """
    data = envelope.fields()
    socket_id, timeout_s = data.get("socket_id"), data.get("activity_timeout")
    if not isinstance(socket_id, str) or not is_socket_id(socket_id):
        raise BadEnvelope("socket_id is two numbers with a dot between them")
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float):
        raise BadEnvelope("activity_timeout is a number of seconds")
    if not 0 < timeout_s <= _MOST_TIMEOUT_S:
        raise BadEnvelope("activity_timeout is more than nothing, and at most a day")
    return Established(socket_id, float(timeout_s))


def read_members(envelope: PusherEnvelope) -> dict[str, Mapping[str, object]]:
    """Who is in the presence channel that ``pusher_internal:subscription_succeeded`` is of: each
    ``user_id`` with its ``user_info``, which is empty where there is none."""
    presence = _object(envelope.fields().get("presence"), "presence")
    infos = _object(presence.get("hash"), "hash")
    return {user_id: _info(info) for user_id, info in infos.items()}


def read_member(envelope: PusherEnvelope) -> tuple[str, Mapping[str, object]]:
    """Who has come, by ``pusher_internal:member_added``, or left, by ``…:member_removed``, whose
    ``user_info`` is empty."""
    data = envelope.fields()
    user_id = data.get("user_id")
    if type(user_id) is int:
        user_id = str(user_id)
    if not isinstance(user_id, str):
        raise BadEnvelope("user_id is a string")
    return user_id, _info(data.get("user_info"))


def _info(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


class ServiceError(NamedTuple):
    """What a service complains of."""

    code: int | None
    """None where it gives none."""
    text: str
    """Its own words, made harmless for a log: printable, and not long."""


def read_error(envelope: PusherEnvelope) -> ServiceError:
    """What ``pusher:error`` or ``pusher:subscription_error`` says, whatever form it has. This one
    does not fail."""
    try:
        data = envelope.fields()
    except BadEnvelope:
        return ServiceError(None, "")
    code = data.get("code", data.get("status"))
    text = data.get("message", data.get("error"))
    return ServiceError(
        code if type(code) is int else None, printable(text) if isinstance(text, str) else ""
    )


def printable(text: str) -> str:
    """A service's words, of which nothing can break a line of the log."""
    return "".join(char if char.isprintable() else " " for char in text[:_MOST_TEXT])


class SubscriptionWish(NamedTuple):
    """What a client asks for by ``pusher:subscribe``."""

    channel: str
    auth: str | None
    channel_data: str | None


def read_subscribe(envelope: PusherEnvelope) -> SubscriptionWish:
    """What a client asks for by ``pusher:subscribe``."""
    data = envelope.fields()
    auth, channel_data = data.get("auth"), data.get("channel_data")
    if auth is not None and not isinstance(auth, str):
        raise BadEnvelope("auth is a string")
    if channel_data is not None and not isinstance(channel_data, str):
        raise BadEnvelope("channel_data is a string")
    return SubscriptionWish(read_unsubscribe(envelope), auth, channel_data)


def read_unsubscribe(envelope: PusherEnvelope) -> str:
    """The channel of a ``pusher:unsubscribe``."""
    channel = envelope.fields().get("channel")
    if not isinstance(channel, str) or not 1 <= len(channel) <= MOST_NAME_CHARACTERS:
        raise BadEnvelope(f"channel is a string of 1 to {MOST_NAME_CHARACTERS} characters")
    return channel
