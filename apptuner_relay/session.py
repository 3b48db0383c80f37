"""Who is in a session and who gets what. Pure: members are whatever object has a role and a device.

A `Session` changes hands of roles and says, as plain data, who is to be told what. It sends
nothing: the service does.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple
from urllib.parse import parse_qs

from apptuner_relay.announcements import Announcements
from apptuner_relay.roles import (
    Admission,
    Arrival,
    Device,
    HasRole,
    M,
    Notice,
    Role,
    device_of,
)
from apptuner_relay.seats import ENTRIES, Entry, Group, Limits, Newcomer, Occupancy, Seats

__all__ = [
    "Admission",
    "Arrival",
    "BadRequest",
    "Device",
    "HasRole",
    "Limits",
    "Notice",
    "Role",
    "Seating",
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


class Seating(NamedTuple, Generic[M]):
    """Who makes room for a newcomer."""

    replaced: tuple[M, ...] = ()
    """It takes their place: for the others nobody has gone."""
    dismissed: tuple[M, ...] = ()
    """They go, as there are too many."""
    asked: tuple[M, ...] = ()
    """They have to show that they live."""


@dataclass(eq=False)
class Session(Generic[M]):
    """The members of one session.

    All that tells who is there are tuples that are made anew on every change, so that whoever
    forwards a message can keep the one it began with.
    """

    hash: str
    """Hex SHA-256 of the session's id; the id itself is a credential and not kept here."""
    clis: tuple[M, ...] = ()
    pages: tuple[M, ...] = ()
    """Dashboards and desktops."""
    desktop_side: tuple[M, ...] = ()
    """The CLIs and the pages."""
    mobiles: tuple[M, ...] = ()
    since_s: float = 0.0
    """When it began, in seconds since the epoch."""
    last_activity_s: float = 0.0
    bytes_in: int = 0
    """What members that have gone had sent, and `bytes_out` what they were sent."""
    bytes_out: int = 0
    announcements: Announcements[M] = field(default_factory=Announcements)
    _by_device: dict[str, M] = field(default_factory=dict)
    _seats: Seats = field(default_factory=Seats)

    @property
    def label(self) -> str:
        """How logs name this session."""
        return self.hash[:8]

    has_last_words = False
    """Whether anything is on its way from members that have gone: what they sent has gone on to the
    others by then."""

    @property
    def empty(self) -> bool:
        return not self.desktop_side and not self.mobiles

    @property
    def members(self) -> tuple[M, ...]:
        return self.desktop_side + self.mobiles

    def check_room(self, admission: Admission, limits: Limits, now_s: float) -> None:
        """Whether a newcomer fits.

        :raises BadRequest: 403, when the session has its phones, its CLIs, or its pages and this
            one had to go for another; 409, when it comes from elsewhere, and too late, or to claim
            what a CLI is using that has shown no secret.
        """
        if admission.claims and not all(cli.admission.authorized for cli in self.clis):
            # Else whoever guesses an id could lock out a CLI that knows nothing of secrets.
            raise BadRequest(
                409,
                "A CLI without a secret is connected to this session: close it, or use another "
                "session",
            )
        occupant = self.occupant(admission)
        if occupant is not None:
            if _comes_too_late(admission, occupant):
                raise BadRequest(409, admission.role.replaced_reason)
            return
        newcomer = self._newcomer(admission, now_s)
        if self._entry(admission, newcomer, limits) is not Entry.REFUSED:
            return
        if newcomer is Newcomer.LATE:
            self._seats.went(admission, now_s)
            raise BadRequest(409, admission.role.replaced_reason)
        self._seats.refused(admission, now_s)
        group = Group.of(admission.role)
        name = {Group.CLIS: "CLIs", Group.PAGES: "pages", Group.PHONES: "phones"}[group]
        count = len(self._those(group))
        raise BadRequest(403, f"This session already has {count} {name}, the most it may have")

    def occupant(self, admission: Admission) -> M | None:
        """Who has the place that is the newcomer's own: the same phone, or the same connection by
        another way."""
        if admission.device is not None:
            return self.phone(admission.device.device_id)
        if not admission.client:
            return None
        return next((m for m in self.desktop_side if m.admission.client == admission.client), None)

    def is_full(self, admission: Admission, limits: Limits) -> bool:
        """Whether there is no room left for one more such client."""
        group = Group.of(admission.role)
        full = limits.occupancy(group, len(self._those(group))) is Occupancy.FULL
        return full and self.occupant(admission) is None

    def seat(self, admission: Admission, limits: Limits, now_s: float) -> Seating[M]:
        """A newcomer, for which there is room, is about to `join`: who makes it."""
        occupant = self.occupant(admission)
        if occupant is not None:
            return Seating(replaced=(occupant,))
        newcomer = self._newcomer(admission, now_s)
        entry = self._entry(admission, newcomer, limits)
        if newcomer is Newcomer.RETURNING:
            self._seats.came(admission, now_s)
        those = self._those(Group.of(admission.role))
        seating: Seating[M] = Seating()
        if entry is Entry.TAKES_OVER:
            moves = newcomer is Newcomer.MOVING
            replaced = [m for m in those if not moves or m.admission.arrival is Arrival.NEW]
            seating = Seating(replaced=tuple(replaced))
        elif entry is Entry.JOINS_AND_ASKS:
            seating = Seating(asked=those)
        elif entry is Entry.REPLACES_ONE:
            seating = Seating(dismissed=(min(those, key=lambda m: _worth(m, now_s, limits)),))
        for one in (*seating.replaced, *seating.dismissed):
            self.had_to_go(one, now_s)
        return seating

    def had_to_go(self, member: M, now_s: float) -> None:
        """``member`` makes room for another one, and may come back."""
        self._seats.went(member.admission, now_s)

    def join(
        self, member: M, now_ms: int, replaced: Sequence[M] = (), served: bool = False
    ) -> list[Notice[M]]:
        """Take ``member`` in, in the place of ``replaced``. See `Announcements.arrived`."""
        for one in replaced:
            if one.role is not Role.MOBILE:
                self._drop(one)
        if member.role is Role.MOBILE:
            # One that comes back is where it was.
            self._by_device[device_of(member).device_id] = member
        elif member.role is Role.CLI:
            self.clis += (member,)
        else:
            self.pages += (member,)
        self._recount()
        return self.announcements.arrived(member, self, now_ms, replaced, served)

    def remove(self, member: M) -> bool:
        """Let ``member``, whose session moves elsewhere, go without a word to anybody. Whether it
        was there."""
        if member not in self.members:
            return False
        self._drop(member)
        self._recount()
        self.announcements.forget(member)
        return True

    def leave(self, member: M, now_ms: int) -> list[Notice[M]]:
        """Let ``member`` go; one that was replaced before, or never was in, changes nothing."""
        if not self.remove(member):
            return []
        return self.announcements.left(member, self, now_ms)

    def audience(self, sender: M) -> tuple[M, ...]:
        """Whom a message without a target goes to."""
        return self.desktop_side if sender.role is Role.MOBILE else self.mobiles

    def phone(self, device_id: str) -> M | None:
        """The phone of that ``deviceId``, where it is connected."""
        return self._by_device.get(device_id)

    def _drop(self, member: M) -> None:
        if member.role is Role.MOBILE:
            del self._by_device[device_of(member).device_id]
        self.clis = tuple(one for one in self.clis if one is not member)
        self.pages = tuple(one for one in self.pages if one is not member)

    def _recount(self) -> None:
        self.desktop_side = self.clis + self.pages
        self.mobiles = tuple(self._by_device.values())

    def _those(self, group: Group) -> tuple[M, ...]:
        if group is Group.CLIS:
            return self.clis
        return self.pages if group is Group.PAGES else self.mobiles

    def _newcomer(self, admission: Admission, now_s: float) -> Newcomer:
        newcomer = self._seats.newcomer(admission, now_s)
        clis = self.clis if admission.role is Role.CLI else ()
        if newcomer is Newcomer.MOVING and any(_comes_too_late(admission, cli) for cli in clis):
            return Newcomer.LATE
        return newcomer

    def _entry(self, admission: Admission, newcomer: Newcomer, limits: Limits) -> Entry:
        group = Group.of(admission.role)
        return ENTRIES[group, limits.occupancy(group, len(self._those(group))), newcomer]


def _comes_too_late(admission: Admission, there: HasRole) -> bool:
    """Whether a client that comes from elsewhere finds one that has connected later, and not to
    where it was."""
    before = there.admission
    apart = before.arrival is Arrival.NEW or admission.role is Role.MOBILE
    return (
        apart
        and admission.arrival is not Arrival.NEW
        and before.client != admission.client
        and before.since_ms > admission.since_ms
    )


def _worth(member: HasRole, now_s: float, limits: Limits) -> tuple[bool, bool, float]:
    """The one that has the least goes: one that is silent, one that never said anything, the one
    of which that is longest ago. Of equals it is the oldest."""
    alive = now_s - member.heard_s < limits.silence_s
    return alive, member.said_s is not None, member.said_s or 0.0
