"""What the members of a session are told of each other. Pure: plain data in, `Notice`s out.

What today's clients make of a message decides who gets it:

- A CLI answers every ``mobile_connected`` with a whole bundle, for all phones. One that comes to
  phones which are there hears it once, and so does one that several phones come back to after a
  relay has failed; their names are in ``device_list``.
- A page takes any ``mobile_disconnected`` for "no phone is connected". It hears it when the last
  one has gone.
- ``cli_disconnected``, ``desktop_connected`` and ``desktop_disconnected`` mean the first or the
  last one of those that there may be.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar

from apptuner_relay.roles import Arrival, HasRole, M, Notice, Role, came_together, device_of
from apptuner_relay.wire import messages

BUNDLE_DUE_MS = 15_000
"""For so long a CLI is expected to answer ``mobile_connected`` with a bundle."""
_MOST_MISSED = 32


_M = TypeVar("_M", bound=HasRole, covariant=True)


class Company(Protocol[_M]):
    """Who is there: a `session.Session`."""

    @property
    def hash(self) -> str: ...

    @property
    def clis(self) -> tuple[_M, ...]: ...

    @property
    def pages(self) -> tuple[_M, ...]: ...

    @property
    def mobiles(self) -> tuple[_M, ...]: ...


class _For(Enum):
    """Whom something is for that was said of a member which had moved here and left."""

    CLIS = "clis"
    PAGES_WITHOUT_CLI = "pages, unless there is a CLI"
    PAGES_WITHOUT_PHONE = "pages, unless there is a phone"
    PHONES_WITHOUT_DESKTOP = "phones, unless there is a desktop"


@dataclass
class _Asked:
    """A CLI was told that a phone is there."""

    at_ms: int
    answered: bool = False
    """Whether it has begun a bundle since."""


class Announcements(Generic[M]):
    """Of one session. Every method is called when the company has already changed."""

    def __init__(self) -> None:
        self._missed: deque[tuple[_For, bytes]] = deque(maxlen=_MOST_MISSED)
        self._lonely: set[M] = set()
        """Who was told last that nobody is there: no phone, or, phones, no desktop."""
        self._asked: dict[M, _Asked] = {}

    def arrived(
        self,
        member: M,
        company: Company[M],
        now_ms: int,
        replaced: Sequence[M] = (),
        served: bool = False,
    ) -> list[Notice[M]]:
        """``member`` has come in, in the place of ``replaced``. The welcome is the first notice,
        unless it has had one.

        :param served: it is a phone that gets a bundle from the store, and needs none of a CLI.
        """
        notices: list[Notice[M]] = []
        for one in replaced:
            self.forget(one)
        arrival = member.admission.arrival
        if arrival is Arrival.NEW:
            welcome = messages.connected(
                company.hash, member.role.value, now_ms, member.admission.authorized
            )
            notices.append(Notice(member, welcome))
        if arrival is Arrival.MOVED:
            notices += self._what_was_missed(member, company)
        if member.role is Role.MOBILE:
            return notices + self._phone_arrived(member, company, now_ms, replaced, served)
        told = [
            Notice(member, messages.mobile_connected(device_of(phone).describe(), now_ms))
            for phone in company.mobiles
            if not came_together(member, phone)
        ]
        if member.role is Role.CLI:
            told = told[:1]
            if told:
                self._asked[member] = _Asked(now_ms)
        notices += told
        if company.mobiles:
            notices.append(Notice(member, _device_list(company)))
        if member.role is Role.DESKTOP:
            notices += self._desktop_arrived(member, company, now_ms)
        return notices

    def left(self, member: M, company: Company[M], now_ms: int) -> list[Notice[M]]:
        """``member`` has gone."""
        self.forget(member)
        moved = member.admission.arrival is Arrival.MOVED
        if member.role is Role.MOBILE:
            return self._phone_left(member, company, now_ms, moved)
        if member.role is Role.CLI and not company.clis:
            gone = messages.event("cli_disconnected", now_ms)
            if moved:
                self._miss(_For.PAGES_WITHOUT_CLI, gone)
            return _tell(company.pages, gone)
        if member.role is Role.DESKTOP and not _desktops(company):
            gone = messages.event("desktop_disconnected", now_ms)
            if moved:
                self._miss(_For.PHONES_WITHOUT_DESKTOP, gone)
            self._lonely.update(company.mobiles)
            return _tell(company.mobiles, gone)
        return []

    def bundle_begins(self, sender: M) -> None:
        """``sender`` begins a bundle that is for all phones."""
        asked = self._asked.get(sender)
        if asked is not None:
            asked.answered = True

    def has_answered(self, phone: M, company: Company[M], now_ms: int) -> bool:
        """Whether ``phone`` comes back from a relay which has failed, and every CLI was told of
        another one since, and has begun a bundle: then this one needs none of its own."""
        if phone.admission.arrival is not Arrival.RECOVERED or not company.clis:
            return False
        asked = [self._asked_lately(cli, now_ms) for cli in company.clis]
        lost_ms = phone.admission.lost_ms
        return all(one is not None and one.answered and one.at_ms >= lost_ms for one in asked)

    def forget(self, member: M) -> None:
        """``member`` isn't there any more."""
        self._lonely.discard(member)
        self._asked.pop(member, None)

    def _phone_arrived(
        self, phone: M, company: Company[M], now_ms: int, replaced: Sequence[M], served: bool
    ) -> list[Notice[M]]:
        notices: list[Notice[M]] = []
        desktop_side = (*company.clis, *company.pages)
        for one in replaced:
            gone = messages.mobile_disconnected(device_of(one).describe(), now_ms)
            notices += _tell(desktop_side, gone)
            self._lonely.update(desktop_side)
        come = messages.mobile_connected(device_of(phone).describe(), now_ms)
        strangers = [
            one for one in desktop_side if one in self._lonely or not came_together(one, phone)
        ]
        self._lonely.difference_update(strangers)
        asked = [one for one in strangers if self._is_asked(one, phone, now_ms, served)]
        notices += _tell(asked, come)
        notices += _tell(desktop_side, _device_list(company))
        desktops = _desktops(company)
        moved = phone.admission.arrival is Arrival.MOVED
        if moved and desktops and not any(came_together(one, phone) for one in desktops):
            # It was told of none where it was.
            notices.append(Notice(phone, messages.event("desktop_connected", now_ms)))
        return notices

    def _is_asked(self, one: M, phone: M, now_ms: int, served: bool) -> bool:
        """Whether one of the desktop side is to hear that a phone has come; a CLI sends a bundle
        then."""
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

    def _desktop_arrived(self, desktop: M, company: Company[M], now_ms: int) -> list[Notice[M]]:
        first = _desktops(company) == [desktop]
        phones = [
            phone
            for phone in company.mobiles
            if phone in self._lonely or (first and not came_together(desktop, phone))
        ]
        self._lonely.difference_update(phones)
        return _tell(phones, messages.event("desktop_connected", now_ms))

    def _phone_left(
        self, phone: M, company: Company[M], now_ms: int, moved: bool
    ) -> list[Notice[M]]:
        gone = messages.mobile_disconnected(device_of(phone).describe(), now_ms)
        notices = _tell(company.clis, gone)
        if not company.mobiles:
            notices += _tell(company.pages, gone)
            self._lonely.update(company.pages)
        if moved:
            self._miss(_For.CLIS, gone)
            self._miss(_For.PAGES_WITHOUT_PHONE, gone)
        return notices + _tell((*company.clis, *company.pages), _device_list(company))

    def _miss(self, to: _For, message: bytes) -> None:
        """Keep what those may have missed who come later. Only a CLI needs more than the last."""
        if to is not _For.CLIS:
            for before in [one for one in self._missed if one[0] is to]:
                self._missed.remove(before)
        self._missed.append((to, message))

    def _what_was_missed(self, member: M, company: Company[M]) -> list[Notice[M]]:
        """What was said, before ``member`` moved here as well, of those who had moved here and
        left."""
        concerned = {
            _For.CLIS: member.role is Role.CLI,
            _For.PAGES_WITHOUT_CLI: member in company.pages and not company.clis,
            _For.PAGES_WITHOUT_PHONE: member in company.pages and not company.mobiles,
            _For.PHONES_WITHOUT_DESKTOP: member.role is Role.MOBILE and not _desktops(company),
        }
        missed = [(to, message) for to, message in self._missed if concerned[to]]
        if any(to in (_For.PAGES_WITHOUT_PHONE, _For.PHONES_WITHOUT_DESKTOP) for to, _ in missed):
            self._lonely.add(member)
        return [Notice(member, message) for _, message in missed]


def _desktops(company: Company[M]) -> list[M]:
    return [one for one in company.pages if one.role is Role.DESKTOP]


def _device_list(company: Company[M]) -> bytes:
    return messages.device_list(device_of(phone).row() for phone in company.mobiles)


def _tell(members: Iterable[M], message: bytes) -> list[Notice[M]]:
    return [Notice(member, message) for member in members]
