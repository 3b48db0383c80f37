"""Who is in a channel: the ``user_id`` and ``user_info`` that a relay signs when it lets a client
in, and that the service shows to all who are there. Pure.

Only the holder of the application's secret signs, so what is found in a channel was written by some
relay of ours, perhaps an older or newer one. It came by way of the service, and is checked like
anything from outside.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from apptuner_relay.session.client_url import NAME_CHARACTERS, PLATFORMS
from apptuner_relay.session.roles import Device, Role
from apptuner_relay.wire.messages import compact_json
from apptuner_relay.wire.text import parse_json

MOST_USER_ID_CHARACTERS = 128
MOST_INFO_BYTES = 1024
"""Both are Pusher's limits."""

_RELAY = "relay"
_TAG_BYTES = 6
_USER_ID = re.compile(r"([a-z]{1,16}):([0-9a-f]{12}):([A-Za-z0-9._:-]{0,64})")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PROOF = re.compile(r"[A-Za-z0-9_-]{1,128}")
_MOST_MS = 2**53 - 1


class BadMember(ValueError):
    """A ``user_id`` or ``user_info`` that no relay of ours has written; the text says why, and
    repeats nothing of it."""


class UserId(NamedTuple):
    """Somebody in a channel: ``ROLE:TAG:DEVICE``."""

    role: Role | None
    """None for a relay."""
    tag: str
    """12 hex digits, new for each that is let in: two connections are never the same user."""
    device: str
    """The device's id of a phone, the node's of a relay, else nothing."""

    def __str__(self) -> str:
        return f"{_RELAY if self.role is None else self.role.value}:{self.tag}:{self.device}"

    @property
    def is_relay(self) -> bool:
        """Whether it is a relay that speaks for the session."""
        return self.role is None


def parse_user_id(text: str) -> UserId:
    """The reverse of ``str``.

    :raises BadMember: it is none of ours.
    """
    match = _USER_ID.fullmatch(text)
    if match is None:
        raise BadMember("user_id is not ROLE:TAG:DEVICE")
    name, tag, device = match.groups()
    try:
        role = None if name == _RELAY else Role(name)
    except ValueError:
        raise BadMember("user_id has an unknown role") from None
    if bool(device) != (role in (None, Role.MOBILE)):
        raise BadMember("user_id has a device where there is none, or none where there is one")
    return UserId(role, tag, device)


def is_of_relay(user_id: str) -> bool:
    """Whether it is a relay that goes by that ``user_id``."""
    return user_id.startswith(f"{_RELAY}:")


def new_tag() -> str:
    """The tag of one that is let in."""
    return secrets.token_hex(_TAG_BYTES)


@dataclass(frozen=True)
class MemberInfo:
    """What a relay knows of a client that it has let in, and needs to know of it again later. It
    holds no secret, token, address or session id, as everybody in the channel sees it."""

    since_ms: int
    """When it was let in, in ms since the epoch."""
    name: str | None = None
    platform: str | None = None
    have: str | None = None
    """The hex SHA-256 of the code that a phone has."""
    authorized: bool = False
    tokens: bool = False
    proof: str = ""
    """This and the two above as of `session.roles.Admission`."""
    acks: bool = False
    """Likewise."""

    def to_dict(self) -> dict[str, object]:
        """As ``user_info`` has it."""
        info: dict[str, object] = {
            "name": self.name,
            "platform": self.platform,
            "since": self.since_ms,
        }
        if self.have is not None:
            info["have"] = self.have
        flags = {"authorized": self.authorized, "tokens": self.tokens, "acks": self.acks}
        for key, is_set in flags.items():
            if is_set:
                info[key] = True
        if self.proof:
            info["proof"] = self.proof
        return info


def parse_info(info: Mapping[str, object]) -> MemberInfo:
    """The reverse of `MemberInfo.to_dict`. Fields of newer relays are ignored.

    :raises BadMember: a field has what no relay writes.
    """
    since_ms = info.get("since")
    if type(since_ms) is not int or not 0 <= since_ms <= _MOST_MS:
        raise BadMember("user_info has no time since")
    name = _text(info, "name")
    if name is not None and not (0 < len(name) <= NAME_CHARACTERS and name.isprintable()):
        raise BadMember("user_info has a name that is empty, too long or not printable")
    platform = _text(info, "platform")
    if platform is not None and platform not in PLATFORMS:
        raise BadMember("user_info has an unknown platform")
    have = _text(info, "have")
    if have is not None and not _SHA256.fullmatch(have):
        raise BadMember("user_info has no SHA-256 in have")
    proof = _text(info, "proof")
    if proof is not None and not _PROOF.fullmatch(proof):
        raise BadMember("user_info has no public key in proof")
    return MemberInfo(
        since_ms=since_ms,
        name=name,
        platform=platform,
        have=have,
        authorized=_flag(info, "authorized"),
        tokens=_flag(info, "tokens"),
        proof=proof or "",
        acks=_flag(info, "acks"),
    )


def _text(info: Mapping[str, object], key: str) -> str | None:
    value = info.get(key)
    if value is None or isinstance(value, str):
        return value
    raise BadMember(f"user_info has something else than a text in {key}")


def _flag(info: Mapping[str, object], key: str) -> bool:
    value = info.get(key, False)
    if isinstance(value, bool):
        return value
    raise BadMember(f"user_info has something else than true or false in {key}")


def device_from(user_id: UserId, info: MemberInfo) -> Device | None:
    """The device of a phone, None for any other. It downloads its bundles, as those don't go
    through a channel."""
    if user_id.role is not Role.MOBILE:
        return None
    return Device(
        user_id.device,
        info.name,
        info.platform,
        info.since_ms,
        have=info.have,
        announce=True,
    )


def make_channel_data(user_id: UserId, info: MemberInfo) -> str:
    """The ``channel_data`` of a subscription, which is signed as exactly this text.

    :raises BadMember: it is more than services take, or more than `parse_channel_data` does.
    """
    text = compact_json({"user_id": str(user_id), "user_info": info.to_dict()}).decode()
    parse_channel_data(text)
    return text


def parse_channel_data(text: str) -> tuple[UserId, MemberInfo]:
    """Who it is whose ``channel_data`` that is. Whoever calls has verified its signature.

    :raises BadMember: it is not what `make_channel_data` makes.
    """
    try:
        value = parse_json(text.encode())
    except ValueError:
        raise BadMember("channel_data is not JSON") from None
    if not isinstance(value, dict):
        raise BadMember("channel_data is not an object")
    user_id, info = value.get("user_id"), value.get("user_info")
    if not isinstance(user_id, str) or not isinstance(info, dict):
        raise BadMember("channel_data has no user_id or user_info")
    if len(user_id) > MOST_USER_ID_CHARACTERS or len(compact_json(info)) > MOST_INFO_BYTES:
        raise BadMember("channel_data is too long")
    return parse_user_id(user_id), parse_info(info)
