"""Reads the body of ``POST /pusher/auth``: who wants to be in which channel, and as what. Pure.

pusher-js sends a form; other programs may send a JSON object of strings with the same names.
"""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from apptuner_relay.managed.protocol.signatures import is_socket_id
from apptuner_relay.session.roles import SOCKET_ROLES
from apptuner_relay.session.session import BadRequest, Role, check_session_id
from apptuner_relay.wire.text import parse_json

_MOST_FIELDS = 32
_URL_FIELDS = (
    *("deviceId", "name", "model", "platform", "have", "token", "key", "tokens", "agent"),
    "acks",
)
"""The fields that clients on the relay's own WebSocket have in the query of their URL."""
_REQUIRED = ("socket_id", "channel_name", "session")


class AuthorizationRequest(NamedTuple):
    """A client that wants to be in a channel."""

    socket_id: str
    """Its connection at the service."""
    channel: str
    session_id: str
    role: Role
    query: str
    """What it says of itself, as its URL would on the relay's own WebSocket."""


def read_request(content_type: str | None, body: bytes) -> AuthorizationRequest:
    """Read the body.

    :param content_type: the header field; None where there is none.
    :raises BadRequest: 400, it is malformed or lacks something; 415, it is of another type.
    """
    fields = _read_fields(content_type, body)
    missing = [name for name in _REQUIRED if not fields.get(name)]
    if missing:
        raise BadRequest(400, f"The body lacks {', '.join(missing)}")
    if not is_socket_id(fields["socket_id"]):
        raise BadRequest(400, "Bad socket_id: two numbers with a dot between them")
    roles = {role.value: role for role in SOCKET_ROLES}
    role = roles.get(fields.get("role", Role.MOBILE.value))
    if role is None:
        raise BadRequest(400, f"Bad role: one of {', '.join(roles)}")
    # A phone is told where bundles are: they don't go through a channel.
    own = {"announce": "1"} | {name: fields[name] for name in _URL_FIELDS if name in fields}
    return AuthorizationRequest(
        fields["socket_id"],
        fields["channel_name"],
        check_session_id(fields["session"]),
        role,
        urlencode(own),
    )


def _read_fields(content_type: str | None, body: bytes) -> Mapping[str, str]:
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type == "application/x-www-form-urlencoded":
        return _read_form(body)
    if media_type == "application/json":
        return _read_object(body)
    raise BadRequest(415, "A body is a form (application/x-www-form-urlencoded) or JSON")


def _read_form(body: bytes) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(body.decode("ascii"), True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise BadRequest(
            400,
            f"Bad form: it is not UTF-8, percent-encoded, or has more than {_MOST_FIELDS} fields",
        ) from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields


def _read_object(body: bytes) -> Mapping[str, str]:
    try:
        value = parse_json(body)
    except ValueError:
        raise BadRequest(400, "Bad JSON") from None
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise BadRequest(400, "Bad JSON: an object of strings is expected")
    try:
        "".join(value.values()).encode()
    except UnicodeEncodeError:
        raise BadRequest(400, "Bad JSON: half of a surrogate pair is no character") from None
    return value
