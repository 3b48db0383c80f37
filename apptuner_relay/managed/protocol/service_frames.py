"""The messages of the Pusher protocol, version 7: builds those of a client and those of a service.
Pure. `envelopes` reads them.

Only well-formed ones can be built: there are services that a malformed one ends.
"""

from collections.abc import Mapping

from apptuner_relay.managed.protocol import envelopes
from apptuner_relay.managed.protocol.channel_names import PRESENCE, is_channel_name
from apptuner_relay.managed.protocol.raw_json import is_object, object_fields
from apptuner_relay.managed.protocol.signatures import is_socket_id
from apptuner_relay.wire.messages import compact_json

PING = b'{"event":"pusher:ping","data":{}}'
PONG = b'{"event":"pusher:pong","data":{}}'


def subscribe(channel: str, auth: str | None = None, channel_data: str | None = None) -> bytes:
    """A client asks to be in a channel.

    :param channel_data: exactly the text that ``auth`` signs; a presence channel needs one.
    :raises ValueError: something is malformed, or missing.
    """
    data: dict[str, str] = {"channel": _channel(channel)}
    if auth is not None:
        data["auth"] = auth
    if channel_data is not None:
        if "user_id" not in object_fields(channel_data):
            raise ValueError("channel_data has a user_id")
        data["channel_data"] = channel_data
    if channel.startswith(PRESENCE) and len(data) != 3:
        raise ValueError("a presence channel needs auth and channel_data")
    return compact_json({"event": envelopes.SUBSCRIBE, "data": data})


def unsubscribe(channel: str) -> bytes:
    """A client leaves a channel."""
    return compact_json({"event": envelopes.UNSUBSCRIBE, "data": {"channel": _channel(channel)}})


def client_event(channel: str, name: str, data: str) -> bytes:
    """A client sends an event to all others in the channel. The data goes as the object itself: as
    a string, Reverb would drop it, and it would be longer.

    :param name: begins with ``client-``.
    :param data: the text of a JSON object.
    :raises ValueError: something is malformed.
    """
    if not is_object(data):
        raise ValueError("the data of an event is a JSON object")
    return _event(channel, name, data, None)


def passed_event(channel: str, name: str, raw_data: str, user_id: str | None) -> bytes:
    """A service passes on an event.

    :param raw_data: the text of a JSON value: what its sender has as ``data``.
    :param user_id: whose it is; None in a channel that shows nobody who is there.
    :raises ValueError: something else is malformed.
    """
    return _event(channel, name, raw_data, user_id)


def _event(channel: str, name: str, data: str, user_id: str | None) -> bytes:
    if not name.startswith(envelopes.CLIENT) or len(name) > envelopes.MOST_NAME_CHARACTERS:
        raise ValueError(f"an event of a client is called {envelopes.CLIENT}…")
    fields = {"event": name, "channel": _channel(channel)}
    if user_id is not None:
        fields["user_id"] = user_id
    return b'%b,"data":%b}' % (compact_json(fields)[:-1], data.encode())


def established(socket_id: str, activity_timeout_s: int) -> bytes:
    """A service welcomes a client.

    :raises ValueError: ``socket_id`` is none.
    """
    if not is_socket_id(socket_id):
        raise ValueError("a socket_id is two numbers with a dot between them")
    data = {"socket_id": socket_id, "activity_timeout": activity_timeout_s}
    return _system(envelopes.CONNECTION_ESTABLISHED, data)


def subscription_succeeded(
    channel: str, members: Mapping[str, Mapping[str, object]] | None = None
) -> bytes:
    """A service has let a client into a channel.

    :param members: of a presence channel: all that are there, the new one included, by ``user_id``
        with their ``user_info``.
    """
    data: dict[str, object] = {}
    if members is not None:
        data["presence"] = {"ids": list(members), "hash": dict(members), "count": len(members)}
    return _system(envelopes.SUBSCRIPTION_SUCCEEDED, data, channel)


def subscription_error(channel: str, kind: str, text: str, status: int) -> bytes:
    """A service does not let a client into a channel. It may be one that has a malformed name.

    :param kind: ``AuthError``, for instance.
    :param status: an HTTP status or a close code that says why.
    """
    data = {"type": kind, "error": text, "status": status}
    return compact_json({"event": envelopes.SUBSCRIPTION_ERROR, "channel": channel, "data": data})


def member_added(channel: str, user_id: str, info: Mapping[str, object]) -> bytes:
    """A service tells those in a presence channel that somebody has come."""
    return _system(envelopes.MEMBER_ADDED, {"user_id": user_id, "user_info": info}, channel)


def member_removed(channel: str, user_id: str) -> bytes:
    """A service tells those in a presence channel that somebody has left."""
    return _system(envelopes.MEMBER_REMOVED, {"user_id": user_id}, channel)


def error(code: int, text: str) -> bytes:
    """A service tells a client what was wrong."""
    return _system(envelopes.ERROR, {"code": code, "message": text})


def _system(event: str, data: Mapping[str, object], channel: str | None = None) -> bytes:
    """A service's own message, whose data is a string, as services do it."""
    message: dict[str, object] = {"event": event}
    if channel is not None:
        message["channel"] = _channel(channel)
    return compact_json({**message, "data": compact_json(data).decode()})


def _channel(channel: str) -> str:
    if not is_channel_name(channel):
        raise ValueError("that is no name of a channel")
    return channel
