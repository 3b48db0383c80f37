"""What the members of a session are told of each other. Pure: plain data in, `Notice`s out.

What released clients make of a message decides which of them get it:

- A CLI answers every ``mobile_connected`` with a whole bundle, for all phones. A CLI that joins
  several phones is told once, and so is a CLI whose phones reconnect after a relay has failed; the
  phones are in ``device_list``.
- A page takes any ``mobile_disconnected`` for "no phone is connected". It is told when the last
  phone has disconnected.
- An upload is told nothing: it is no client that would take a message.
- ``cli_disconnected``, ``desktop_connected`` and ``desktop_disconnected`` are about the first or
  the last client of that role.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from apptuner_relay.session.roles import Arrival, HasRole, M, Notice, Role, came_together, device_of
from apptuner_relay.wire import messages

BUNDLE_DUE_MS = 15_000
"""How long a CLI may take to answer ``mobile_connected`` with a bundle."""
_MOST_MISSED = 32
_NOBODY: frozenset[Any] = frozenset()


_M = TypeVar("_M", bound=HasRole, covariant=True)


class ConnectedMembers(Protocol[_M]):
    """The members of a session by role: a `session.Session`."""

    @property
    def hash(self) -> str: ...

    @property
    def clis(self) -> tuple[_M, ...]: ...

    @property
    def pages(self) -> tuple[_M, ...]: ...

    @property
    def mobiles(self) -> tuple[_M, ...]: ...


class _For(Enum):
    """Who is to be told, on moving here, of a member that had moved here and left."""

    CLIS = "clis"
    PAGES_WITHOUT_CLI = "pages, unless there is a CLI"
    PAGES_WITHOUT_PHONE = "pages, unless there is a phone"
    PHONES_WITHOUT_DESKTOP = "phones, unless there is a desktop"


@dataclass(slots=True)
class _Asked:
    """A CLI was told that a phone is there."""

    at_ms: int
    answered: bool = False
    """Whether it has begun a bundle since."""


class MembershipNotices(Generic[M]):
    """Those of one session. Every method is called after the members have changed."""

    __slots__ = (
        "_asked",
        "_missed",
        "_told_alone",
        "bundles_begun",
    )

    def __init__(self) -> None:
        self.bundles_begun = 0
        """How many bundles for all phones have begun."""
        # Every session has one of these, and both are nearly always empty: an empty deque takes 760
        # bytes, an empty set 216.
        self._missed: tuple[tuple[_For, bytes], ...] = ()
        self._told_alone: frozenset[M] = _NOBODY
        """The members that were told last that nobody is connected: the desktop side, that there
        is no phone; a phone, that there is no desktop."""
        self._asked: dict[M, _Asked] = {}

    def arrived(
        self,
        member: M,
        members: ConnectedMembers[M],
        now_ms: int,
        replaced: Sequence[M] = (),
        served: bool = False,
    ) -> list[Notice[M]]:
        """``member`` has joined, in the place of ``replaced``. The welcome is the first notice,
        unless the client has had one.

        :param served: it is a phone that gets a cached bundle, and needs none from a CLI.
        """
        notices: list[Notice[M]] = []
        for one in replaced:
            self.forget(one)
        if member.role is Role.UPLOAD:
            return notices
        arrival = member.admission.arrival
        if arrival is Arrival.NEW:
            welcome = messages.connected(
                members.hash,
                member.role.value,
                now_ms,
                member.admission.authorized,
                member.admission.patches,
            )
            notices.append(Notice(member, welcome))
        if arrival is Arrival.MOVED:
            notices += self._what_was_missed(member, members)
        if member.role is Role.MOBILE:
            return notices + self._phone_arrived(member, members, now_ms, replaced, served)
        told = [
            Notice(member, messages.mobile_connected(device_of(phone).describe(), now_ms))
            for phone in members.mobiles
            if not came_together(member, phone)
        ]
        if member.role is Role.CLI:
            told = told[:1]
            if told:
                self._asked[member] = _Asked(now_ms)
        notices += told
        if members.mobiles:
            notices.append(Notice(member, _device_list(members)))
        if member.role is Role.DESKTOP:
            notices += self._desktop_arrived(member, members, now_ms)
        return notices

    def left(self, member: M, members: ConnectedMembers[M], now_ms: int) -> list[Notice[M]]:
        """``member`` has left."""
        self.forget(member)
        moved = member.admission.arrival is Arrival.MOVED
        if member.role is Role.MOBILE:
            return self._phone_left(member, members, now_ms, moved)
        if member.role is Role.CLI and not members.clis:
            gone = messages.event("cli_disconnected", now_ms)
            if moved:
                self._miss(_For.PAGES_WITHOUT_CLI, gone)
            return _tell(members.pages, gone)
        if member.role is Role.DESKTOP and not _desktops(members):
            gone = messages.event("desktop_disconnected", now_ms)
            if moved:
                self._miss(_For.PHONES_WITHOUT_DESKTOP, gone)
            self._told_alone |= set(members.mobiles)
            return _tell(members.mobiles, gone)
        return []

    def bundle_begins(self, sender: M) -> None:
        """``sender`` begins a bundle that is for all phones."""
        self.bundles_begun += 1
        asked = self._asked.get(sender)
        if asked is not None:
            asked.answered = True

    def has_answered(self, phone: M, members: ConnectedMembers[M], now_ms: int) -> bool:
        """Whether ``phone`` was connected to a relay that has failed, and every CLI has been told
        of another phone since and has begun a bundle: then this phone needs none of its own."""
        if phone.admission.arrival is not Arrival.RECOVERED or not members.clis:
            return False
        asked = [self._asked_lately(cli, now_ms) for cli in members.clis]
        lost_ms = phone.admission.lost_ms
        return all(one is not None and one.answered and one.at_ms >= lost_ms for one in asked)

    def forget(self, member: M) -> None:
        """``member`` is connected no more."""
        self._told_alone = self._told_alone - {member} or _NOBODY
        self._asked.pop(member, None)

    def substitute(self, member: M, successor: M) -> None:
        """``successor`` is the same client as ``member`` was."""
        if member in self._told_alone:
            self._told_alone = self._told_alone - {member} | {successor}
        asked = self._asked.pop(member, None)
        if asked is not None:
            self._asked[successor] = asked

    def _phone_arrived(
        self,
        phone: M,
        members: ConnectedMembers[M],
        now_ms: int,
        replaced: Sequence[M],
        served: bool,
    ) -> list[Notice[M]]:
        notices: list[Notice[M]] = []
        desktop_side = (*members.clis, *members.pages)
        for one in replaced:
            gone = messages.mobile_disconnected(device_of(one).describe(), now_ms)
            notices += _tell(desktop_side, gone)
            self._told_alone |= set(desktop_side)
        come = messages.mobile_connected(device_of(phone).describe(), now_ms)
        strangers = [
            one for one in desktop_side if one in self._told_alone or not came_together(one, phone)
        ]
        self._told_alone = self._told_alone.difference(strangers) or _NOBODY
        asked = [one for one in strangers if self._is_asked(one, phone, now_ms, served)]
        notices += _tell(asked, come)
        notices += _tell(desktop_side, _device_list(members))
        desktops = _desktops(members)
        moved = phone.admission.arrival is Arrival.MOVED
        if moved and desktops and not any(came_together(one, phone) for one in desktops):
            # The relay that it moved from had told it of none.
            notices.append(Notice(phone, messages.event("desktop_connected", now_ms)))
        return notices

    def _is_asked(self, one: M, phone: M, now_ms: int, served: bool) -> bool:
        """Whether a member of the desktop side is to be told that a phone has joined; a CLI sends
        a bundle then."""
        if one.role is not Role.CLI:
            return True
        if phone.admission.arrival is Arrival.RECOVERED:
            asked = self._asked_lately(one, now_ms)
            if asked is not None and (served or not asked.answered):
                return False
        self._asked[one] = _Asked(now_ms)
        return True

    def _asked_lately(self, cli: M, now_ms: int) -> _Asked | None:
        asked = self._asked.get(cli)
        lately = asked is not None and 0 <= now_ms - asked.at_ms <= BUNDLE_DUE_MS
        return asked if lately else None

    def _desktop_arrived(
        self, desktop: M, members: ConnectedMembers[M], now_ms: int
    ) -> list[Notice[M]]:
        first = _desktops(members) == [desktop]
        phones = [
            phone
            for phone in members.mobiles
            if phone in self._told_alone or (first and not came_together(desktop, phone))
        ]
        self._told_alone = self._told_alone.difference(phones) or _NOBODY
        return _tell(phones, messages.event("desktop_connected", now_ms))

    def _phone_left(
        self, phone: M, members: ConnectedMembers[M], now_ms: int, moved: bool
    ) -> list[Notice[M]]:
        gone = messages.mobile_disconnected(device_of(phone).describe(), now_ms)
        notices = _tell(members.clis, gone)
        if not members.mobiles:
            notices += _tell(members.pages, gone)
            self._told_alone |= set(members.pages)
        if moved:
            self._miss(_For.CLIS, gone)
            self._miss(_For.PAGES_WITHOUT_PHONE, gone)
        return notices + _tell((*members.clis, *members.pages), _device_list(members))

    def _miss(self, to: _For, message: bytes) -> None:
        """Keep what members that move here later may miss. Only a CLI needs more than the last."""
        kept = self._missed
        if to is not _For.CLIS:
            kept = tuple(one for one in kept if one[0] is not to)
        self._missed = (*kept, (to, message))[-_MOST_MISSED:]

    def _what_was_missed(self, member: M, members: ConnectedMembers[M]) -> list[Notice[M]]:
        """What was said, before ``member`` moved here, of members that had moved here and left."""
        concerned = {
            _For.CLIS: member.role is Role.CLI,
            _For.PAGES_WITHOUT_CLI: member in members.pages and not members.clis,
            _For.PAGES_WITHOUT_PHONE: member in members.pages and not members.mobiles,
            _For.PHONES_WITHOUT_DESKTOP: member.role is Role.MOBILE and not _desktops(members),
        }
        missed = [(to, message) for to, message in self._missed if concerned[to]]
        if any(to in (_For.PAGES_WITHOUT_PHONE, _For.PHONES_WITHOUT_DESKTOP) for to, _ in missed):
            self._told_alone |= {member}
        return [Notice(member, message) for _, message in missed]


def _desktops(members: ConnectedMembers[M]) -> list[M]:
    return [one for one in members.pages if one.role is Role.DESKTOP]


def _device_list(members: ConnectedMembers[M]) -> bytes:
    return messages.device_list(device_of(phone).row() for phone in members.mobiles)


def _tell(members: Iterable[M], message: bytes) -> list[Notice[M]]:
    return [Notice(member, message) for member in members]
