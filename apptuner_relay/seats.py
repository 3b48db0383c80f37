"""Who has a place in a session, and who has to make room for whom. Pure: a table, and who is
expected back.

- A phone whose device is connected takes its own place, and so does a client that is bridged from
  another relay anew.
- A CLI takes over from those that are there, which have mostly crashed, or sleep. But every
  released CLI comes back 5 s after its connection was closed, whatever the reason: two that live
  would throw each other out for ever. One that had to go and comes back is let in beside those that
  are there, and they have to show that they live.
- Pages (dashboards and desktops) are let in up to a limit. Then, for one more, the one goes that is
  dead, or else has been quiet for longest. It comes back as well, but gives up after 10 refusals in
  a row: so often it is refused.
- Phones beyond their limit are refused.

No released client says who it is. One that comes back is known by its address, and by when it
comes; where two CLIs have had to go, whatever comes is one of them.
"""

from enum import Enum
from typing import NamedTuple

from apptuner_relay.roles import Admission, Arrival, Role

MOST_CLIS = 5
"""How many CLIs may be in a session, side by side."""

_CLI_RETURNS_S = 4.0
"""A released CLI comes back 5 s after its close; nobody is expected before this."""
_CLI_EXPECTED_S = 20.0
"""After that it is a newcomer as any other, and takes over."""
_CLIS_AT_WAR = 2
_PAGE_RETURNS_S = 0.9
"""A released page comes back after 1 s, and then ever later."""
_PAGE_EXPECTED_S = 300.0
_PAGE_TRIES = 10
_MOST_REMEMBERED = 32


class Group(Enum):
    """Clients that have their places from the same lot."""

    CLIS = "clis"
    PAGES = "pages"
    PHONES = "phones"

    @classmethod
    def of(cls, role: Role) -> "Group":
        """The group of a role."""
        if role is Role.CLI:
            return cls.CLIS
        return cls.PHONES if role is Role.MOBILE else cls.PAGES


class Occupancy(Enum):
    """How many of a group are there."""

    EMPTY = "empty"
    TAKEN = "taken"
    """Some, and there may be more."""
    FULL = "full"


class Newcomer(Enum):
    """How somebody comes that has no place yet."""

    FRESH = "fresh"
    RETURNING = "returning"
    """It had to go, and comes back of itself."""
    MOVING = "moving"
    """From another relay, with its session."""
    LATE = "late"
    """Likewise; but here is one that has connected later, and knew nothing of it."""


class Entry(Enum):
    """What becomes of the newcomer, and of those who are there."""

    JOINS = "joins"
    TAKES_OVER = "takes over"
    """All of its group go that don't come from where it comes from."""
    JOINS_AND_ASKS = "joins and asks"
    """All of its group have to answer, or go."""
    REPLACES_ONE = "replaces one"
    """The one goes that is dead, or else has been quiet for longest."""
    REFUSED = "refused"


ENTRIES: dict[tuple[Group, Occupancy, Newcomer], Entry] = {
    (Group.CLIS, Occupancy.EMPTY, Newcomer.FRESH): Entry.JOINS,
    (Group.CLIS, Occupancy.EMPTY, Newcomer.RETURNING): Entry.JOINS,
    (Group.CLIS, Occupancy.EMPTY, Newcomer.MOVING): Entry.JOINS,
    (Group.CLIS, Occupancy.TAKEN, Newcomer.FRESH): Entry.TAKES_OVER,
    (Group.CLIS, Occupancy.TAKEN, Newcomer.RETURNING): Entry.JOINS_AND_ASKS,
    (Group.CLIS, Occupancy.TAKEN, Newcomer.MOVING): Entry.TAKES_OVER,
    (Group.CLIS, Occupancy.TAKEN, Newcomer.LATE): Entry.REFUSED,
    (Group.CLIS, Occupancy.FULL, Newcomer.FRESH): Entry.TAKES_OVER,
    (Group.CLIS, Occupancy.FULL, Newcomer.RETURNING): Entry.REFUSED,
    (Group.CLIS, Occupancy.FULL, Newcomer.MOVING): Entry.TAKES_OVER,
    (Group.CLIS, Occupancy.FULL, Newcomer.LATE): Entry.REFUSED,
    (Group.PAGES, Occupancy.EMPTY, Newcomer.FRESH): Entry.JOINS,
    (Group.PAGES, Occupancy.EMPTY, Newcomer.RETURNING): Entry.JOINS,
    (Group.PAGES, Occupancy.EMPTY, Newcomer.MOVING): Entry.JOINS,
    (Group.PAGES, Occupancy.TAKEN, Newcomer.FRESH): Entry.JOINS,
    (Group.PAGES, Occupancy.TAKEN, Newcomer.RETURNING): Entry.JOINS,
    (Group.PAGES, Occupancy.TAKEN, Newcomer.MOVING): Entry.JOINS,
    (Group.PAGES, Occupancy.FULL, Newcomer.FRESH): Entry.REPLACES_ONE,
    (Group.PAGES, Occupancy.FULL, Newcomer.RETURNING): Entry.REFUSED,
    (Group.PAGES, Occupancy.FULL, Newcomer.MOVING): Entry.JOINS,
    (Group.PHONES, Occupancy.EMPTY, Newcomer.FRESH): Entry.JOINS,
    (Group.PHONES, Occupancy.EMPTY, Newcomer.MOVING): Entry.JOINS,
    (Group.PHONES, Occupancy.TAKEN, Newcomer.FRESH): Entry.JOINS,
    (Group.PHONES, Occupancy.TAKEN, Newcomer.MOVING): Entry.JOINS,
    (Group.PHONES, Occupancy.FULL, Newcomer.FRESH): Entry.REFUSED,
    (Group.PHONES, Occupancy.FULL, Newcomer.MOVING): Entry.REFUSED,
}
"""What doesn't stand here can't be: only CLIs are `Newcomer.LATE`, and no phone has had to go for
another one that it doesn't know again by its device."""


class Limits(NamedTuple):
    """How many of each group a session may have."""

    phones: int = 5
    pages: int = 10
    clis: int = MOST_CLIS
    silence_s: float = 20.0
    """One of whom nothing was heard for so long may be dead."""

    def of(self, group: Group) -> int:
        """The most of a group."""
        if group is Group.CLIS:
            return self.clis
        return self.pages if group is Group.PAGES else self.phones

    def occupancy(self, group: Group, count: int) -> Occupancy:
        """What ``count`` of a group are."""
        if not count:
            return Occupancy.EMPTY
        return Occupancy.TAKEN if count < self.of(group) else Occupancy.FULL


class Displaced:
    """Clients of one group that had to go, and are expected back.

    :param after_s: nobody is expected earlier.
    :param within_s: nor later.
    :param tries: one that has been refused so often comes no more; None for one that always does.
    :param crowd: where so many are expected, one from any address is taken for one of them.
    """

    def __init__(
        self, after_s: float, within_s: float, tries: int | None, crowd: int | None
    ) -> None:
        self._after_s = after_s
        self._within_s = within_s
        self._tries = tries
        self._crowd = crowd
        # Every session has several, which are nearly always empty: an empty deque takes 760 bytes.
        self._records: list[_Record] = []

    def went(self, address: str | None, now_s: float) -> None:
        """One at ``address`` had to go."""
        self._records.append(_Record(address, now_s, self._tries))
        del self._records[:-_MOST_REMEMBERED]

    def expects(self, address: str | None, now_s: float) -> bool:
        """Whether a newcomer from ``address`` is one of them."""
        return self._find(address, now_s) is not None

    def came(self, address: str | None, now_s: float) -> None:
        """One of them is there again."""
        record = self._find(address, now_s)
        if record is not None:
            self._records.remove(record)

    def refused(self, address: str | None, now_s: float) -> None:
        """One of them was refused: it comes once less."""
        record = self._find(address, now_s)
        if record is not None and record.tries_left is not None:
            record.tries_left -= 1
            if not record.tries_left:
                self._records.remove(record)

    def _find(self, address: str | None, now_s: float) -> "_Record | None":
        while self._records and now_s - self._records[0].went_s > self._within_s:
            self._records.pop(0)
        due = [one for one in self._records if now_s - one.went_s >= self._after_s]
        for record in due:
            if record.address == address:
                return record
        crowded = self._crowd is not None and len(self._records) >= self._crowd
        return due[0] if due and crowded else None


class _Record:
    def __init__(self, address: str | None, went_s: float, tries: int | None) -> None:
        self.address = address
        self.went_s = went_s
        self.tries_left = tries


class Seats:
    """Remembers of one session who had to go."""

    def __init__(self) -> None:
        self._displaced = {
            Group.CLIS: Displaced(_CLI_RETURNS_S, _CLI_EXPECTED_S, None, _CLIS_AT_WAR),
            Group.PAGES: Displaced(_PAGE_RETURNS_S, _PAGE_EXPECTED_S, _PAGE_TRIES, None),
        }

    def newcomer(self, admission: Admission, now_s: float) -> Newcomer:
        """How a client comes."""
        if admission.arrival is not Arrival.NEW:
            return Newcomer.MOVING
        displaced = self._displaced.get(Group.of(admission.role))
        if displaced is not None and displaced.expects(admission.address, now_s):
            return Newcomer.RETURNING
        return Newcomer.FRESH

    def came(self, admission: Admission, now_s: float) -> None:
        """One that is `Newcomer.RETURNING` comes in."""
        displaced = self._displaced.get(Group.of(admission.role))
        if displaced is not None:
            displaced.came(admission.address, now_s)

    def refused(self, admission: Admission, now_s: float) -> None:
        """Somebody is refused."""
        displaced = self._displaced.get(Group.of(admission.role))
        if displaced is not None:
            displaced.refused(admission.address, now_s)

    def went(self, admission: Admission, now_s: float) -> None:
        """Somebody had to go for a newcomer."""
        displaced = self._displaced.get(Group.of(admission.role))
        if displaced is not None:
            displaced.went(admission.address, now_s)
