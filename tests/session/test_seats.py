"""`apptuner_relay.session.seats`: who has a place, who makes room, and how wars end."""

from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count, product

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.session.roles import Admission, Arrival, Device, Role
from apptuner_relay.session.seats import (
    ENTRIES,
    MOST_CLIS,
    Displaced,
    Entry,
    Group,
    Limits,
    Newcomer,
    Occupancy,
)
from apptuner_relay.session.session import BadRequest, Session

HERE, THERE = "192.0.2.1", "198.51.100.2"


class TheTable(SynchronousTestCase):
    """Every pair of who is there and who comes."""

    def test_only_what_cannot_be_is_left_out(self) -> None:
        left_out = set(product(Group, Occupancy, Newcomer)) - set(ENTRIES)
        for group, occupancy, newcomer in left_out:
            if newcomer is Newcomer.LATE:
                self.assertTrue(group is not Group.CLIS or occupancy is Occupancy.EMPTY)
            else:
                displaced = group not in (Group.PHONES, Group.UPLOADS)
                self.assertFalse(displaced and newcomer is Newcomer.RETURNING)
                taken = (group, occupancy) == (Group.UPLOADS, Occupancy.TAKEN)
                self.assertTrue(newcomer is Newcomer.RETURNING or taken)

    def test_where_nobody_is_everybody_joins(self) -> None:
        for (_, occupancy, _), entry in ENTRIES.items():
            if occupancy is Occupancy.EMPTY:
                self.assertIs(entry, Entry.JOINS)

    def test_what_each_group_does(self) -> None:
        for group, occupancy, newcomer, entry in (
            (Group.CLIS, Occupancy.TAKEN, Newcomer.FRESH, Entry.TAKES_OVER),
            (Group.CLIS, Occupancy.FULL, Newcomer.FRESH, Entry.TAKES_OVER),
            (Group.CLIS, Occupancy.TAKEN, Newcomer.RETURNING, Entry.JOINS_AND_ASKS),
            (Group.CLIS, Occupancy.FULL, Newcomer.RETURNING, Entry.REFUSED),
            (Group.CLIS, Occupancy.TAKEN, Newcomer.LATE, Entry.REFUSED),
            (Group.PAGES, Occupancy.TAKEN, Newcomer.FRESH, Entry.JOINS),
            (Group.PAGES, Occupancy.FULL, Newcomer.FRESH, Entry.REPLACES_ONE),
            (Group.PAGES, Occupancy.FULL, Newcomer.RETURNING, Entry.REFUSED),
            (Group.PAGES, Occupancy.FULL, Newcomer.MOVING, Entry.JOINS),
            (Group.PHONES, Occupancy.TAKEN, Newcomer.FRESH, Entry.JOINS),
            (Group.PHONES, Occupancy.FULL, Newcomer.FRESH, Entry.REFUSED),
            (Group.UPLOADS, Occupancy.FULL, Newcomer.FRESH, Entry.REFUSED),
            (Group.UPLOADS, Occupancy.FULL, Newcomer.MOVING, Entry.JOINS),
        ):
            self.assertIs(ENTRIES[group, occupancy, newcomer], entry)

    def test_groups(self) -> None:
        self.assertEqual(
            [Group.of(role) for role in Role],
            [Group.CLIS, Group.PAGES, Group.PAGES, Group.PHONES, Group.UPLOADS],
        )

    def test_occupancy(self) -> None:
        limits = Limits(phones=5, pages=1)
        for group, there, occupancy in (
            (Group.PHONES, 0, Occupancy.EMPTY),
            (Group.PHONES, 4, Occupancy.TAKEN),
            (Group.PHONES, 5, Occupancy.FULL),
            (Group.PAGES, 1, Occupancy.FULL),
            (Group.CLIS, MOST_CLIS - 1, Occupancy.TAKEN),
            (Group.CLIS, MOST_CLIS, Occupancy.FULL),
        ):
            self.assertIs(limits.occupancy(group, there), occupancy)


class ComingBack(SynchronousTestCase):
    def test_by_address_and_rhythm(self) -> None:
        displaced = Displaced(4.0, 60.0, None, 2)
        displaced.add(HERE, 100.0)
        for address, at_s, expected in (
            (HERE, 100.5, False),
            (HERE, 104.9, True),
            (THERE, 104.9, False),
            (HERE, 160.0, True),
            (HERE, 160.1, False),
        ):
            self.assertEqual(displaced.expects(address, at_s), expected, (address, at_s))

    def test_once(self) -> None:
        displaced = Displaced(4.0, 60.0, None, 2)
        displaced.add(HERE, 100.0)
        displaced.remove(HERE, 105.0)
        self.assertFalse(displaced.expects(HERE, 105.0))

    def test_where_two_have_had_to_go_addresses_do_not_matter(self) -> None:
        displaced = Displaced(4.0, 60.0, None, 2)
        displaced.add(HERE, 100.0)
        displaced.add(HERE, 105.0)
        self.assertTrue(displaced.expects(THERE, 106.0))
        displaced.remove(THERE, 106.0)
        self.assertFalse(displaced.expects(THERE, 110.0))
        self.assertTrue(displaced.expects(HERE, 110.0))

    def test_it_gives_up(self) -> None:
        displaced = Displaced(0.9, 300.0, 3, None)
        displaced.add(HERE, 0.0)
        for at_s in (1.0, 3.0, 7.0):
            self.assertTrue(displaced.expects(HERE, at_s))
            displaced.count_refusal(HERE, at_s)
        self.assertFalse(displaced.expects(HERE, 15.0))


@dataclass(eq=False)
class Client:
    """A released client: it comes back after any close, ``pause_s`` later."""

    role: Role
    address: str | None
    pause_s: float
    moves_house: bool = False
    """Whether it has another address each time."""
    refusals: int = 0
    since_s: float = 0.0
    said_s: float | None = None
    silent_since_s: float | None = None
    """When it died, if it did."""
    now: "list[float]" = field(default_factory=lambda: [0.0])

    @property
    def device(self) -> Device | None:
        return None

    @property
    def heard_s(self) -> float:
        return self.now[0] if self.silent_since_s is None else self.silent_since_s

    @property
    def admission(self) -> Admission:
        return Admission(self.role, "0" * 64, None, "", Arrival.NEW, address=self.address)


class World:
    """A session, and clients that come to it and come back."""

    def __init__(self, limits: Limits) -> None:
        self.session: Session[Client] = Session("0" * 64)
        self.limits = limits
        self.now = [0.0]
        self.closes: list[float] = []
        self.refusals: list[float] = []
        self._serial = count()
        self._queue: list[tuple[float, int, Client]] = []

    def start(self, client: Client, at_s: float) -> Client:
        client.now = self.now
        heappush(self._queue, (at_s, next(self._serial), client))
        return client

    def run(self, until_s: float) -> None:
        while self._queue and self._queue[0][0] <= until_s:
            self.now[0], _, client = heappop(self._queue)
            self._come(client)
        self.now[0] = until_s

    def _come(self, client: Client) -> None:
        session, now_s = self.session, self.now[0]
        if client.moves_house:
            client.address = f"203.0.113.{next(self._serial) % 250}"
        try:
            session.check_room(client.admission, self.limits, now_s)
        except BadRequest:
            self.refusals.append(now_s)
            client.refusals += 1
            if client.role is Role.CLI or client.refusals < 10:
                backoff_s = min(30.0, 2.0**client.refusals)
                self.start(client, now_s + (5.0 if client.role is Role.CLI else backoff_s))
            return
        client.refusals, client.since_s = 0, now_s
        seating = session.seat(client.admission, self.limits, now_s)
        session.join(client, 0, seating.replaced)
        dead = [one for one in seating.asked if one.silent_since_s is not None]
        for one in (*seating.replaced, *seating.dismissed, *dead):
            session.leave(one, 0)
            if one.silent_since_s is None:
                self.closes.append(now_s)
                self.start(one, now_s + one.pause_s)


class Wars(SynchronousTestCase):
    """Released CLIs come back 5 s after every close, and released pages 1 s after."""

    @given(
        st.lists(
            st.tuples(
                st.floats(0, 40),
                st.sampled_from([HERE, THERE, None]),
                st.booleans(),
                st.floats(4.9, 5.6),
            ),
            min_size=2,
            max_size=MOST_CLIS,
        )
    )
    def test_one_of_clis_ends_by_itself(
        self, starts: list[tuple[float, str | None, bool, float]]
    ) -> None:
        world = World(Limits())
        clis = [
            world.start(Client(Role.CLI, address, pause_s, moves), at_s)
            for at_s, address, moves, pause_s in starts
        ]
        last_s = max(at_s for at_s, *_ in starts)
        world.run(last_s + 600)
        self.assertLess(max(world.closes, default=0.0), last_s + 25)
        self.assertEqual(world.refusals, [])
        self.assertEqual(set(world.session.clis), set(clis))

    def test_two_terminals(self) -> None:
        world = World(Limits())
        one = world.start(Client(Role.CLI, HERE, 5.0), 0)
        two = world.start(Client(Role.CLI, HERE, 5.0), 60)
        world.run(64)
        self.assertEqual(world.session.clis, (two,))
        world.run(66)
        self.assertEqual(world.session.clis, (two, one))
        self.assertEqual(world.closes, [60.0])

    def test_a_crashed_cli_that_restarts_takes_over(self) -> None:
        world = World(Limits())
        crashed = world.start(Client(Role.CLI, HERE, 5.0), 0)
        world.run(50)
        crashed.silent_since_s = 50.0
        again = world.start(Client(Role.CLI, HERE, 5.0), 60)
        world.run(600)
        self.assertEqual(world.session.clis, (again,))
        self.assertEqual(world.closes, [])

    def test_one_that_comes_back_takes_over_from_a_dead_one(self) -> None:
        world = World(Limits())
        one = world.start(Client(Role.CLI, HERE, 5.0), 0)
        two = world.start(Client(Role.CLI, THERE, 5.0), 60)
        world.run(62)
        two.silent_since_s = 62.0
        world.run(66)
        self.assertEqual(world.session.clis, (one,))

    def test_a_third_one_started_by_hand_takes_over_from_both(self) -> None:
        world = World(Limits())
        one, two = (world.start(Client(Role.CLI, HERE, 5.0), at_s) for at_s in (0, 60))
        world.run(200)
        three = world.start(Client(Role.CLI, THERE, 5.0), 200)
        world.run(204)
        self.assertEqual(world.session.clis, (three,))
        world.run(260)
        self.assertEqual(world.session.clis, (three, two, one))

    @given(st.lists(st.tuples(st.floats(0, 600), st.sampled_from([HERE, THERE])), max_size=25))
    def test_pages_are_in_and_those_beyond_the_limit_give_up(
        self, starts: list[tuple[float, str]]
    ) -> None:
        world = World(Limits(pages=4))
        pages = [
            world.start(Client(Role.DASHBOARD, address, 1.0), at_s) for at_s, address in starts
        ]
        world.run(20_000)
        self.assertEqual(len(world.session.pages), min(4, len(pages)))
        self.assertLessEqual(len(world.closes), 4 * len(pages))
        self.assertLess(max(world.closes, default=0.0), 3000)

    def test_the_newest_page_is_in_and_the_oldest_that_says_nothing_goes(self) -> None:
        world = World(Limits(pages=3))
        pages = [world.start(Client(Role.DASHBOARD, HERE, 1.0), at_s) for at_s in range(3)]
        world.run(100)
        pages[0].said_s = 50.0
        newest = world.start(Client(Role.DESKTOP, HERE, 1.0), 100)
        world.run(100)
        self.assertEqual(world.session.pages, (pages[0], pages[2], newest))
        world.run(1000)
        self.assertEqual(world.session.pages, (pages[0], pages[2], newest))
        self.assertEqual(len(world.refusals), 10)

    def test_a_dead_page_goes_first(self) -> None:
        world = World(Limits(pages=3))
        pages = [world.start(Client(Role.DASHBOARD, HERE, 1.0), at_s) for at_s in range(3)]
        world.run(100)
        pages[1].said_s, pages[1].silent_since_s = 60.0, 60.0
        newest = world.start(Client(Role.DASHBOARD, HERE, 1.0), 100)
        world.run(1000)
        self.assertEqual(world.session.pages, (pages[0], pages[2], newest))
        self.assertEqual(world.closes, [])
