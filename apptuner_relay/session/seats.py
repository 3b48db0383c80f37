"""Which clients have a place in a session, and which one a newcomer displaces. Pure: a table, and a
record of the displaced clients, which reconnect.

- A phone replaces the connection of the same device. A client that is bridged from another relay
  again replaces its earlier connection.
- A CLI replaces the CLIs that are connected: most of those have crashed or sleep. But every
  released CLI reconnects 5 s after its connection was closed, whatever the reason, so two live ones
  would replace each other for ever. A displaced CLI that reconnects joins beside the others, and
  those must answer a ping or are closed.
- Pages (dashboards and desktops) join up to a limit. One more displaces a page that is dead, or
  else the page that has been silent for longest. A displaced page reconnects too, but gives up
  after 10 refusals in a row, so it is refused that many times.
- Phones beyond their limit are refused.
- One bundle at a time is uploaded over HTTP: another upload is refused.

No released client says who it is. A displaced client is recognized by its address and by the time
of its return. Where two CLIs were displaced, any CLI that connects is taken for one of them.
"""

from typing import NamedTuple

from apptuner_relay.session.roles import Admission, Arrival, Role
from apptuner_relay.support.plain_enum import PlainEnum

MOST_CLIS = 5
"""How many CLIs may be in a session, side by side."""

MOST_UPLOADS = 1
"""How many bundles may be uploaded to a session at the same time."""

_CLI_RETURNS_S = 4.0
"""A released CLI reconnects 5 s after its close; none is expected before this."""
_CLI_EXPECTED_S = 20.0
"""A CLI that connects later is a newcomer like any other, and takes over."""
_CLIS_AT_WAR = 2
_PAGE_RETURNS_S = 0.9
"""A released page reconnects after 1 s, and then at longer and longer intervals."""
_PAGE_EXPECTED_S = 300.0
_PAGE_TRIES = 10
_MOST_REMEMBERED = 32


class Group(PlainEnum):
    """Clients that share one limit."""

    CLIS = "clis"
    PAGES = "pages"
    PHONES = "phones"
    UPLOADS = "uploads"

    @classmethod
    def of(cls, role: Role) -> "Group":
        """The group of a role."""
        return _GROUPS.get(role, cls.PAGES)


_GROUPS = {Role.CLI: Group.CLIS, Role.MOBILE: Group.PHONES, Role.UPLOAD: Group.UPLOADS}


class Occupancy(PlainEnum):
    """How many clients of a group are connected."""

    EMPTY = "empty"
    TAKEN = "taken"
    """By some, and there is room for more."""
    FULL = "full"


class Newcomer(PlainEnum):
    """How a client without a place connects."""

    FRESH = "fresh"
    RETURNING = "returning"
    """It was displaced, and reconnects of itself."""
    MOVING = "moving"
    """Its session moves here from another relay."""
    LATE = "late"
    """Likewise; but a client here has connected later, to a session that knew nothing of it."""


class Entry(PlainEnum):
    """What becomes of the newcomer, and of the clients of its group."""

    JOINS = "joins"
    TAKES_OVER = "takes over"
    """It replaces all of its group, except those that moved here with it."""
    JOINS_AND_ASKS = "joins and asks"
    """All of its group have to answer a ping, or are closed."""
    REPLACES_ONE = "replaces one"
    """The one of its group is closed that is dead, or else has been silent for longest."""
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
    (Group.UPLOADS, Occupancy.EMPTY, Newcomer.FRESH): Entry.JOINS,
    (Group.UPLOADS, Occupancy.EMPTY, Newcomer.MOVING): Entry.JOINS,
    (Group.UPLOADS, Occupancy.FULL, Newcomer.FRESH): Entry.REFUSED,
    (Group.UPLOADS, Occupancy.FULL, Newcomer.MOVING): Entry.JOINS,
}
"""What isn't in here can't happen: only CLIs are `Newcomer.LATE`, no phone is displaced by another
device, no upload is displaced, and one is all that there may be."""


class Limits(NamedTuple):
    """How many of each group a session may have."""

    phones: int = 5
    pages: int = 10
    clis: int = MOST_CLIS
    uploads: int = MOST_UPLOADS
    silence_s: float = 20.0
    """A client that has been silent for this long may be dead."""

    def of(self, group: Group) -> int:
        """How many clients a group may have."""
        counts = {
            Group.CLIS: self.clis,
            Group.PAGES: self.pages,
            Group.PHONES: self.phones,
            Group.UPLOADS: self.uploads,
        }
        return counts[group]

    def occupancy(self, group: Group, count: int) -> Occupancy:
        """How full a group with ``count`` clients is."""
        if not count:
            return Occupancy.EMPTY
        return Occupancy.TAKEN if count < self.of(group) else Occupancy.FULL


class Displaced:
    """The clients of one group that were displaced and are expected to reconnect.

    :param after_s: none is expected earlier than this after it was displaced.
    :param within_s: none is expected later than this.
    :param tries: after how many refusals a client gives up; None for one that never does.
    :param crowd: where this many are expected, a client from any address is taken for one of them.
    """

    def __init__(
        self, after_s: float, within_s: float, tries: int | None, crowd: int | None
    ) -> None:
        self._after_s = after_s
        self._within_s = within_s
        self._tries = tries
        self._crowd = crowd
        self._records: list[_Record] = []

    def add(self, address: str | None, now_s: float) -> None:
        """A client at ``address`` was displaced."""
        self._records.append(_Record(address, now_s, self._tries))
        del self._records[:-_MOST_REMEMBERED]

    def expects(self, address: str | None, now_s: float) -> bool:
        """Whether a client that connects from ``address`` is one of them."""
        return self._find(address, now_s) is not None

    def remove(self, address: str | None, now_s: float) -> None:
        """One of them has joined again."""
        record = self._find(address, now_s)
        if record is not None:
            self._records.remove(record)

    def count_refusal(self, address: str | None, now_s: float) -> None:
        """One of them was refused: it has one try less."""
        record = self._find(address, now_s)
        if record is not None and record.tries_left is not None:
            record.tries_left -= 1
            if not record.tries_left:
                self._records.remove(record)

    def _find(self, address: str | None, now_s: float) -> "_Record | None":
        while self._records and now_s - self._records[0].displaced_s > self._within_s:
            self._records.pop(0)
        due = [one for one in self._records if now_s - one.displaced_s >= self._after_s]
        for record in due:
            if record.address == address:
                return record
        crowded = self._crowd is not None and len(self._records) >= self._crowd
        return due[0] if due and crowded else None


class _Record:
    def __init__(self, address: str | None, displaced_s: float, tries: int | None) -> None:
        self.address = address
        self.displaced_s = displaced_s
        self.tries_left = tries


class Seats:
    """The displaced clients of one session."""

    __slots__ = ("_displaced",)

    def __init__(self) -> None:
        self._displaced: dict[Group, Displaced] | None = None
        """None while there has been none, as in nearly all sessions."""

    def newcomer(self, admission: Admission, now_s: float) -> Newcomer:
        """How a client connects."""
        if admission.arrival is not Arrival.NEW:
            return Newcomer.MOVING
        displaced = self._of(admission)
        if displaced is not None and displaced.expects(admission.address, now_s):
            return Newcomer.RETURNING
        return Newcomer.FRESH

    def record_return(self, admission: Admission, now_s: float) -> None:
        """A client that is `Newcomer.RETURNING` joins."""
        displaced = self._of(admission)
        if displaced is not None:
            displaced.remove(admission.address, now_s)

    def record_refusal(self, admission: Admission, now_s: float) -> None:
        """A client is refused."""
        displaced = self._of(admission)
        if displaced is not None:
            displaced.count_refusal(admission.address, now_s)

    def record_displaced(self, admission: Admission, now_s: float) -> None:
        """A client was closed for a newcomer."""
        if self._displaced is None:
            self._displaced = {
                Group.CLIS: Displaced(_CLI_RETURNS_S, _CLI_EXPECTED_S, None, _CLIS_AT_WAR),
                Group.PAGES: Displaced(_PAGE_RETURNS_S, _PAGE_EXPECTED_S, _PAGE_TRIES, None),
            }
        displaced = self._of(admission)
        if displaced is not None:
            displaced.add(admission.address, now_s)

    def _of(self, admission: Admission) -> Displaced | None:
        """Those of a client's group."""
        if self._displaced is None:
            return None
        return self._displaced.get(Group.of(admission.role))
