"""The members of a session and the recipients of a message. Pure: a member is any object that has a
role and a device.

A `Session` gives places to clients and returns, as plain data, what its members are to be told. It
sends nothing; `relay.client_registry` does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple

from apptuner_relay.session.client_url import (
    BadRequest,
    asks_for_names,
    asks_for_patches,
    check_session_id,
    parse_device,
    parse_path,
    read_agent,
    session_hash,
)
from apptuner_relay.session.membership_notices import MembershipNotices
from apptuner_relay.session.roles import (
    Admission,
    Arrival,
    Device,
    HasRole,
    M,
    Notice,
    Role,
    device_of,
)
from apptuner_relay.session.seats import ENTRIES, Entry, Group, Limits, Newcomer, Occupancy, Seats

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
    "asks_for_names",
    "asks_for_patches",
    "check_session_id",
    "parse_device",
    "parse_path",
    "read_agent",
    "session_hash",
]


class Seating(NamedTuple, Generic[M]):
    """Which members are displaced by a newcomer."""

    replaced: tuple[M, ...] = ()
    """The newcomer takes their places: for the others nobody has left."""
    dismissed: tuple[M, ...] = ()
    """They are closed, as there are too many."""
    asked: tuple[M, ...] = ()
    """They have to answer a ping, or are closed."""


@dataclass(eq=False, slots=True)
class Session(Generic[M]):
    """The members of one session.

    The groups of members are tuples that are made anew on every change, so that a message in
    progress can go on with the tuple that it began with.
    """

    hash: str
    """Hex SHA-256 of the session's id; the id itself is a credential and not stored here."""
    clis: tuple[M, ...] = ()
    pages: tuple[M, ...] = ()
    """Dashboards and desktops."""
    uploads: tuple[M, ...] = ()
    """Bundles that are being sent over HTTP."""
    desktop_side: tuple[M, ...] = ()
    """The CLIs, the pages and the uploads: what they send goes to the phones."""
    listeners: tuple[M, ...] = ()
    """The CLIs and the pages: what phones send goes to them."""
    mobiles: tuple[M, ...] = ()
    since_s: float = 0.0
    """When it began, in seconds since the epoch."""
    last_activity_s: float = 0.0
    bytes_in: int = 0
    """Bytes that members which have left had sent; `bytes_out` are those that they were sent."""
    bytes_out: int = 0
    patches_under_way: int = 0
    """How many of its clients have sent a patch that is being checked, or sent to phones."""
    membership_notices: MembershipNotices[M] = field(default_factory=MembershipNotices)
    _by_device: dict[str, M] = field(default_factory=dict)
    _seats: Seats = field(default_factory=Seats)

    @property
    def label(self) -> str:
        """How logs name this session."""
        return self.hash[:8]

    @property
    def has_undelivered(self) -> bool:
        """Whether messages are still on their way from members that may have disconnected: patches.
        Anything else that those sent has been passed on by then."""
        return self.patches_under_way > 0

    @property
    def empty(self) -> bool:
        return not self.desktop_side and not self.mobiles

    @property
    def members(self) -> tuple[M, ...]:
        return self.desktop_side + self.mobiles

    def check_room(self, admission: Admission, limits: Limits, now_s: float) -> None:
        """Whether there is room for a newcomer.

        :raises BadRequest: 403, when the session has as many phones or CLIs as it may have, or as
            many pages and this one was displaced before; 409, when it moves here too late, is
            another upload, or would claim a session that a CLI without a secret is using.
        """
        if admission.claims and not all(cli.admission.authorized for cli in self.clis):
            # Else a client that guesses an id could lock out a CLI that uses no secret.
            raise BadRequest(
                409,
                "A CLI without a secret is connected to this session: close it, or use another "
                "session",
            )
        occupant = self.occupant(admission)
        if occupant is not None:
            if _moves_too_late(admission, occupant):
                raise BadRequest(409, admission.role.replaced_reason)
            return
        newcomer = self._newcomer(admission, now_s)
        if self._entry(admission, newcomer, limits) is not Entry.REFUSED:
            return
        if newcomer is Newcomer.LATE:
            self._seats.record_displaced(admission, now_s)
            raise BadRequest(409, admission.role.replaced_reason)
        self._seats.record_refusal(admission, now_s)
        group = Group.of(admission.role)
        if group is Group.UPLOADS:
            raise BadRequest(409, "Another upload to this session is in progress")
        name = {Group.CLIS: "CLIs", Group.PAGES: "pages", Group.PHONES: "phones"}[group]
        count = len(self._group(group))
        raise BadRequest(403, f"This session already has {count} {name}, the most it may have")

    def occupant(self, admission: Admission) -> M | None:
        """The member in the newcomer's own place: the same device, or the same client before it
        was bridged another way."""
        if admission.device is not None:
            return self.phone(admission.device.device_id)
        if not admission.client:
            return None
        return next((m for m in self.desktop_side if m.admission.client == admission.client), None)

    def is_full(self, admission: Admission, limits: Limits) -> bool:
        """Whether there is no room for one more client of that role."""
        group = Group.of(admission.role)
        full = limits.occupancy(group, len(self._group(group))) is Occupancy.FULL
        return full and self.occupant(admission) is None

    def seat(self, admission: Admission, limits: Limits, now_s: float) -> Seating[M]:
        """A newcomer, for which there is room, is about to `join`: which members it displaces."""
        occupant = self.occupant(admission)
        if occupant is not None:
            return Seating(replaced=(occupant,))
        newcomer = self._newcomer(admission, now_s)
        entry = self._entry(admission, newcomer, limits)
        if newcomer is Newcomer.RETURNING:
            self._seats.record_return(admission, now_s)
        group = self._group(Group.of(admission.role))
        seating: Seating[M] = Seating()
        if entry is Entry.TAKES_OVER:
            moves = newcomer is Newcomer.MOVING
            replaced = [m for m in group if not moves or m.admission.arrival is Arrival.NEW]
            seating = Seating(replaced=tuple(replaced))
        elif entry is Entry.JOINS_AND_ASKS:
            seating = Seating(asked=group)
        elif entry is Entry.REPLACES_ONE:
            seating = Seating(dismissed=(min(group, key=lambda m: _worth(m, now_s, limits)),))
        for one in (*seating.replaced, *seating.dismissed):
            self.displaced(one, now_s)
        return seating

    def displaced(self, member: M, now_s: float) -> None:
        """``member`` is closed for another client, and may reconnect."""
        self._seats.record_displaced(member.admission, now_s)

    def join(
        self, member: M, now_ms: int, replaced: Sequence[M] = (), served: bool = False
    ) -> list[Notice[M]]:
        """Take ``member`` in, in the place of ``replaced``. See `MembershipNotices.arrived`."""
        for one in replaced:
            if one.role is not Role.MOBILE:
                self._drop(one)
        if member.role is Role.MOBILE:
            # A phone that reconnects keeps its place in the order.
            self._by_device[device_of(member).device_id] = member
        elif member.role is Role.CLI:
            self.clis += (member,)
        elif member.role is Role.UPLOAD:
            self.uploads += (member,)
        else:
            self.pages += (member,)
        self._recount()
        return self.membership_notices.arrived(member, self, now_ms, replaced, served)

    def remove(self, member: M) -> bool:
        """Remove ``member``, whose session moves elsewhere, and tell nobody. Whether it was
        there."""
        if member not in self.members:
            return False
        self._drop(member)
        self._recount()
        self.membership_notices.forget(member)
        return True

    def substitute(self, member: M, successor: M) -> None:
        """Have ``successor`` take the place of ``member``: they are the same client, and nobody is
        told."""

        def changed(group: tuple[M, ...]) -> tuple[M, ...]:
            return tuple(successor if one is member else one for one in group)

        self.clis, self.pages = changed(self.clis), changed(self.pages)
        for device_id, phone in self._by_device.items():
            if phone is member:
                self._by_device[device_id] = successor
        self._recount()
        self.membership_notices.substitute(member, successor)

    def leave(self, member: M, now_ms: int) -> list[Notice[M]]:
        """Remove ``member``; one that was replaced before, or never joined, changes nothing."""
        if not self.remove(member):
            return []
        return self.membership_notices.left(member, self, now_ms)

    def audience(self, sender: M) -> tuple[M, ...]:
        """The recipients of a message without a target."""
        return self.listeners if sender.role is Role.MOBILE else self.mobiles

    def phone(self, device_id: str) -> M | None:
        """The phone of that ``deviceId``, where it is connected."""
        return self._by_device.get(device_id)

    def _drop(self, member: M) -> None:
        if member.role is Role.MOBILE:
            del self._by_device[device_of(member).device_id]
        self.clis = tuple(one for one in self.clis if one is not member)
        self.pages = tuple(one for one in self.pages if one is not member)
        self.uploads = tuple(one for one in self.uploads if one is not member)

    def _recount(self) -> None:
        self.listeners = self.clis + self.pages
        self.desktop_side = self.listeners + self.uploads
        self.mobiles = tuple(self._by_device.values())

    def _group(self, group: Group) -> tuple[M, ...]:
        match group:
            case Group.CLIS:
                return self.clis
            case Group.PAGES:
                return self.pages
            case Group.PHONES:
                return self.mobiles
            case Group.UPLOADS:
                return self.uploads

    def _newcomer(self, admission: Admission, now_s: float) -> Newcomer:
        newcomer = self._seats.newcomer(admission, now_s)
        clis = self.clis if admission.role is Role.CLI else ()
        if newcomer is Newcomer.MOVING and any(_moves_too_late(admission, cli) for cli in clis):
            return Newcomer.LATE
        return newcomer

    def _entry(self, admission: Admission, newcomer: Newcomer, limits: Limits) -> Entry:
        group = Group.of(admission.role)
        return ENTRIES[group, limits.occupancy(group, len(self._group(group))), newcomer]


def _moves_too_late(admission: Admission, there: HasRole) -> bool:
    """Whether a client that moves here finds one that has connected later, and not to the relay
    that it moves from."""
    before = there.admission
    apart = before.arrival is Arrival.NEW or admission.role is Role.MOBILE
    return (
        apart
        and admission.arrival is not Arrival.NEW
        and before.client != admission.client
        and before.since_ms > admission.since_ms
    )


def _worth(member: HasRole, now_s: float, limits: Limits) -> tuple[bool, bool, float]:
    """The member with the least is displaced: first one that is silent, then one that never sent a
    message, then the one whose last message is oldest. Of equals it is the first to have joined."""
    alive = now_s - member.heard_s < limits.silence_s
    return alive, member.said_s is not None, member.said_s or 0.0
