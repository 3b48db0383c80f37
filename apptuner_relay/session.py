"""Who is in a session and who gets what. Pure: members are whatever object has a role and a device.

A `Session` changes hands of roles and says, as plain data, who is to be told what. It sends
nothing: the service does.
"""

import hashlib
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic
from urllib.parse import parse_qs

from apptuner_relay.roles import (
    Admission,
    Arrival,
    Device,
    HasRole,
    M,
    Notice,
    Role,
    came_together,
    device_of,
)
from apptuner_relay.wire import messages

__all__ = [
    "Admission",
    "Arrival",
    "BadRequest",
    "Device",
    "HasRole",
    "Notice",
    "Role",
    "Session",
    "check_session_id",
    "parse_device",
    "parse_path",
    "session_hash",
]

_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DEVICE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")
NAME_CHARACTERS = 64
_QUERY_FIELDS = 32
_MOST_MISSED = 32
PLATFORMS = frozenset({"ios", "android"})


class BadRequest(ValueError):
    """A client asked for something that it can't have. Text for people, an HTTP status, and header
    fields that go with it."""

    def __init__(self, status: int, text: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers


def check_session_id(session_id: str) -> str:
    """:raises BadRequest: 400, when it is not 1 to 64 of ``A-Za-z0-9_-``."""
    if not _SESSION_ID.fullmatch(session_id):
        raise BadRequest(400, "Bad session id: 1 to 64 of the characters A-Z a-z 0-9 _ -")
    return session_id


def parse_path(path: str) -> tuple["Role", str]:
    """Role and session id of a path such as ``/cli/ABC234``.

    :raises BadRequest: 404 for no role, 400 for a bad session id.
    """
    _, _, rest = path.partition("/")
    name, _, session_id = rest.partition("/")
    try:
        role = Role(name)
    except ValueError:
        raise BadRequest(
            404,
            "Not found: connect to /ROLE/SESSION, ROLE being one of "
            + ", ".join(role.value for role in Role),
        ) from None
    return role, check_session_id(session_id)


def session_hash(session_id: str) -> str:
    """The hex SHA-256 by which the wire's welcome names a session."""
    return hashlib.sha256(session_id.encode("ascii")).hexdigest()


def parse_device(query: str, fallback_id: str, now_ms: int) -> Device:
    """Read a phone's query string (``deviceId``, ``name``, ``platform``, ``model``, ``chunks``,
    ``replay``, ``have``, ``announce``; all optional).

    ``fallback_id`` names a phone that doesn't name itself. A name is cut to 64 printable
    characters; without one, ``model`` serves.

    :raises BadRequest: 400, for a ``deviceId``, ``platform`` or ``have`` that can't be.
    """
    try:
        fields = parse_qs(query, max_num_fields=_QUERY_FIELDS)
    except ValueError:
        raise BadRequest(400, f"Bad query string: more than {_QUERY_FIELDS} fields") from None

    def first(key: str) -> str | None:
        return fields[key][0] if key in fields else None

    device_id = first("deviceId")
    if device_id is not None and not _DEVICE_ID.fullmatch(device_id):
        raise BadRequest(400, "Bad deviceId: 1 to 64 of the characters A-Z a-z 0-9 . _ : -")
    platform = first("platform")
    if platform is not None and platform not in PLATFORMS:
        raise BadRequest(400, "Bad platform: ios or android")
    name = _clean_name(first("name")) or _clean_name(first("model"))
    chunks = platform == "ios" and first("chunks") == "1"
    have = first("have")
    if have is not None and not _SHA256.fullmatch(have):
        raise BadRequest(400, "Bad have: the SHA-256 of a bundle's code, 64 hex digits")
    return Device(
        device_id or fallback_id,
        name,
        platform,
        now_ms,
        chunks,
        replay=first("replay") == "1",
        have=have and have.lower(),
        announce=first("announce") == "1",
    )


def _clean_name(name: str | None) -> str | None:
    if name is None:
        return None
    return "".join(c for c in name if c.isprintable())[:NAME_CHARACTERS].strip() or None


@dataclass(eq=False)
class Session(Generic[M]):
    """The members of one session.

    ``desktop_side`` and ``mobiles`` are tuples that are made anew on every change, so that whoever
    forwards a message can keep the one it began with.
    """

    hash: str
    """Hex SHA-256 of the session's id; the id itself is a credential and not kept here."""
    desktop_side: tuple[M, ...] = ()
    mobiles: tuple[M, ...] = ()
    since_s: float = 0.0
    """When it began, in seconds since the epoch."""
    last_activity_s: float = 0.0
    bytes_in: int = 0
    """What members that have gone had sent, and `bytes_out` what they were sent."""
    bytes_out: int = 0
    _by_role: dict[Role, M] = field(default_factory=dict)
    _by_device: dict[str, M] = field(default_factory=dict)
    _missed: "deque[tuple[bool, bytes]]" = field(default_factory=lambda: deque(maxlen=_MOST_MISSED))
    """What was said of members that had moved here and left, and whether to mobiles: for those who
    move here later."""

    @property
    def label(self) -> str:
        """How logs name this session."""
        return self.hash[:8]

    @property
    def empty(self) -> bool:
        return not self.desktop_side and not self.mobiles

    @property
    def members(self) -> tuple[M, ...]:
        return self.desktop_side + self.mobiles

    def check_room(self, admission: Admission, max_mobiles: int) -> None:
        """Whether a newcomer fits. One that takes over a place does, unless who has it connected
        later: then it comes from elsewhere, and too late.

        :raises BadRequest: 403, when the session has its phones; 409, when it comes too late, or to
            claim what a CLI is using that has shown no secret.
        """
        cli = self._by_role.get(Role.CLI)
        if admission.claims and cli is not None and not cli.admission.authorized:
            # Else whoever guesses an id could lock out a CLI that knows nothing of secrets.
            raise BadRequest(
                409,
                "A CLI without a secret is connected to this session: close it, or use another "
                "session",
            )
        occupant = self.occupant(admission.role, admission.device)
        if occupant is not None:
            before = occupant.admission
            if (
                admission.arrival is not Arrival.NEW
                and before.client != admission.client
                and before.since_ms > admission.since_ms
            ):
                raise BadRequest(409, admission.role.replaced_reason)
        elif admission.role is Role.MOBILE and len(self.mobiles) >= max_mobiles:
            raise BadRequest(
                403, f"This session already has {len(self.mobiles)} phones, the most it may have"
            )

    def occupant(self, role: Role, device: Device | None) -> M | None:
        """Who has the place that such a newcomer would take over."""
        return self._by_role.get(role) if device is None else self._by_device.get(device.device_id)

    def join(self, member: M, now_ms: int) -> list[Notice[M]]:
        """Take ``member`` in, over the place's `occupant`. The welcome is the first notice, unless
        it has had one."""
        notices: list[Notice[M]] = []
        if member.admission.arrival is Arrival.NEW:
            welcome = messages.connected(
                self.hash, member.role.value, now_ms, member.admission.authorized
            )
            notices.append(Notice(member, welcome))
        if member.admission.arrival is Arrival.MOVED:
            is_mobile = member.role is Role.MOBILE
            notices += [Notice(member, told) for to, told in self._missed if to is is_mobile]
        if member.role is Role.MOBILE:
            return notices + self._join_mobile(member, now_ms)
        self._by_role[member.role] = member
        self._recount()
        for phone in self.mobiles:
            if not came_together(member, phone):
                told = messages.mobile_connected(device_of(phone).describe(), now_ms)
                notices.append(Notice(member, told))
        if self.mobiles:
            notices.append(Notice(member, self._device_list()))
        if member.role is Role.DESKTOP:
            strangers = tuple(one for one in self.mobiles if not came_together(member, one))
            notices += self._tell(strangers, messages.event("desktop_connected", now_ms))
        return notices

    def _join_mobile(self, member: M, now_ms: int) -> list[Notice[M]]:
        notices: list[Notice[M]] = []
        device = device_of(member)
        replaced = self._by_device.get(device.device_id)
        self._by_device[device.device_id] = member
        self._recount()
        if replaced is not None:
            gone = messages.mobile_disconnected(device_of(replaced).describe(), now_ms)
            notices += self._tell(self.desktop_side, gone)
        strangers = tuple(one for one in self.desktop_side if not came_together(member, one))
        come = messages.mobile_connected(device.describe(), now_ms)
        notices += self._tell(strangers, come)
        return notices + self._tell(self.desktop_side, self._device_list())

    def remove(self, member: M) -> None:
        """Let ``member``, whose session moves elsewhere, go without a word to anybody."""
        for places in (self._by_role, self._by_device):
            for place in [key for key, one in places.items() if one is member]:
                del places[place]  # type: ignore[arg-type]
        self._recount()

    def leave(self, member: M, now_ms: int) -> list[Notice[M]]:
        """Let ``member`` go; one that was replaced before, or never was in, changes nothing."""
        if member.role is Role.MOBILE:
            device = device_of(member)
            if self._by_device.get(device.device_id) is not member:
                return []
            del self._by_device[device.device_id]
            self._recount()
            gone = messages.mobile_disconnected(device.describe(), now_ms)
            notices = self._tell_of(member, self.desktop_side, gone)
            return notices + self._tell(self.desktop_side, self._device_list())
        if self._by_role.get(member.role) is not member:
            return []
        del self._by_role[member.role]
        self._recount()
        if member.role is Role.CLI:
            gone = messages.event("cli_disconnected", now_ms)
            return self._tell_of(member, self.desktop_side, gone)
        if member.role is Role.DESKTOP:
            gone = messages.event("desktop_disconnected", now_ms)
            return self._tell_of(member, self.mobiles, gone)
        return []

    def audience(self, sender: M) -> tuple[M, ...]:
        """Whom a message without a target goes to."""
        return self.desktop_side if sender.role is Role.MOBILE else self.mobiles

    def phone(self, device_id: str) -> M | None:
        """The phone of that ``deviceId``, where it is connected."""
        return self._by_device.get(device_id)

    def _recount(self) -> None:
        self.desktop_side = tuple(self._by_role.values())
        self.mobiles = tuple(self._by_device.values())

    def _device_list(self) -> bytes:
        return messages.device_list(device_of(phone).row() for phone in self.mobiles)

    def _tell_of(self, left: M, members: tuple[M, ...], message: bytes) -> list[Notice[M]]:
        """Tell that a member has left."""
        if left.admission.arrival is Arrival.MOVED:
            self._missed.append((left.role is Role.DESKTOP, message))
        return self._tell(members, message)

    @staticmethod
    def _tell(members: tuple[M, ...], message: bytes) -> list[Notice[M]]:
        return [Notice(member, message) for member in members]
