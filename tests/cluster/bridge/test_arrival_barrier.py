"""Where a session has just moved to: who waits there, for whom, and for how long."""

import dataclasses
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apptuner_relay.cluster.bridge.arrival_barrier import ARRIVAL_TIMEOUT_S, ArrivalBarriers
from apptuner_relay.cluster.bridge.roster import MigratingClient
from apptuner_relay.relay.member import Member
from apptuner_relay.session.session import Admission, Arrival, Device, Role
from tests.cluster.harness import KEY, SESSION, ClusterCase, ClusterRelay

PHONE = MigratingClient("p1", Role.MOBILE, Device("d1", None, None, 1))
CLI = MigratingClient("c1", Role.CLI, None)
GONE = MigratingClient("p2", Role.MOBILE, Device("d2", None, None, 1), is_gone=True)


class BarrierCase(ClusterCase):
    """The barriers of a relay whose session has a dashboard in it."""

    def setUp(self) -> None:
        super().setUp()
        self.over: list[str] = []
        [self.a] = self.relays("a")
        self.page = self.connect(self.a, "dashboard")
        self.barriers = ArrivalBarriers(self.a.service, self.over.append)

    def arrive(self, query: str = "deviceId=d1", client: str = "p1") -> Member:
        """A phone comes, which is that client."""
        self.connect(self.a, f"mobile?{query}")
        member: Any = self.a.service.sessions[KEY].mobiles[-1]
        member.admission = dataclasses.replace(member.admission, client=client)
        self.barriers.arrived(member)
        return member

    def is_read(self, member: Member) -> bool:
        return not member.source.held


class Waiting(BarrierCase):
    def test_nobody_waits_where_nothing_has_moved(self) -> None:
        member = self.arrive()
        self.assertTrue(self.is_read(member))
        self.successResultOf(self.barriers.wait(KEY))

    def test_until_the_last_has_come(self) -> None:
        self.barriers.expect(KEY, [PHONE, CLI])
        waiting = self.barriers.wait(KEY)
        member = self.arrive()
        self.assertFalse(self.is_read(member))
        self.assertNoResult(waiting)
        other = self.arrive("deviceId=d9", "c1")
        self.assertTrue(self.is_read(member) and self.is_read(other))
        self.successResultOf(waiting)
        self.assertEqual(self.over, [KEY])
        self.assertNotIn(KEY, self.barriers)

    def test_a_newcomer_waits_and_nobody_waits_for_it(self) -> None:
        self.barriers.expect(KEY, [PHONE])
        newcomer = self.arrive("deviceId=d9", "x")
        self.assertFalse(self.is_read(newcomer))
        self.arrive()
        self.assertTrue(self.is_read(newcomer))

    def test_until_the_others_are_known_not_to_come(self) -> None:
        self.barriers.expect(KEY, [PHONE, CLI])
        member = self.arrive()
        self.barriers.mark_absent(KEY, "c1")
        self.assertTrue(self.is_read(member))
        self.assertEqual(self.page.types(), ["cli_disconnected"])

    def test_no_longer_than_so_long(self) -> None:
        self.barriers.expect(KEY, [PHONE, CLI])
        member = self.arrive()
        self.turn(ARRIVAL_TIMEOUT_S - 0.5)
        self.assertFalse(self.is_read(member))
        self.turn(0.5)
        self.assertTrue(self.is_read(member))
        self.assertEqual(self.over, [KEY])

    def test_where_nobody_comes_along(self) -> None:
        self.barriers.expect(KEY, [])
        self.assertIn(KEY, self.barriers)
        self.barriers.lift_if_complete(KEY)
        self.assertNotIn(KEY, self.barriers)
        self.assertEqual(self.over, [KEY])

    def test_it_has_not_moved_after_all(self) -> None:
        self.barriers.expect(KEY, [PHONE, GONE])
        member = self.arrive("deviceId=d9", "x")
        self.page.received()
        self.barriers.cancel(KEY)
        self.assertTrue(self.is_read(member))
        # Nobody has gone, as nobody was to come.
        self.assertEqual(self.page.types(), [])
        self.turn(2 * ARRIVAL_TIMEOUT_S)
        self.assertEqual(self.over, [KEY])

    def test_it_moves_here_once_more(self) -> None:
        self.barriers.expect(KEY, [PHONE])
        first = self.barriers.wait(KEY)
        self.turn(ARRIVAL_TIMEOUT_S - 1)
        self.barriers.expect(KEY, [CLI])
        self.successResultOf(first)
        self.turn(2)
        self.assertIn(KEY, self.barriers)
        self.turn(ARRIVAL_TIMEOUT_S)
        self.assertNotIn(KEY, self.barriers)


class Arriving(BarrierCase):
    """As what a client comes in."""

    def admission(self, arrival: Arrival, client: str = "p1") -> Admission:
        admission = self.a.service.admit(Role.MOBILE, SESSION, "")
        return dataclasses.replace(admission, arrival=arrival, client=client)

    def resolved(self, arrival: Arrival, client: str = "p1") -> Arrival:
        return self.barriers.resolve_arrival(self.admission(arrival, client)).arrival

    def test_one_that_is_expected_has_lost_nothing(self) -> None:
        self.barriers.expect(KEY, [PHONE])
        self.assertIs(self.resolved(Arrival.MOVED), Arrival.MOVED)

    def test_one_that_is_not_has(self) -> None:
        self.assertIs(self.resolved(Arrival.MOVED), Arrival.RECOVERED)
        self.barriers.expect(KEY, [PHONE])
        self.assertIs(self.resolved(Arrival.MOVED, "x"), Arrival.RECOVERED)
        self.barriers.mark_absent(KEY, "p1")
        self.assertIs(self.resolved(Arrival.MOVED), Arrival.RECOVERED)

    def test_a_late_one_has(self) -> None:
        self.barriers.expect(KEY, [PHONE])
        self.turn(ARRIVAL_TIMEOUT_S)
        self.assertIs(self.resolved(Arrival.MOVED), Arrival.RECOVERED)

    def test_others_come_as_they_are(self) -> None:
        self.barriers.expect(KEY, [PHONE])
        for arrival in (Arrival.NEW, Arrival.RECOVERED):
            self.assertIs(self.resolved(arrival), arrival)


class Telling(BarrierCase):
    """Those who are there hear of who has not come."""

    def test_of_one_that_had_gone_before(self) -> None:
        self.barriers.expect(KEY, [GONE])
        self.barriers.lift_if_complete(KEY)
        told = self.page.received()
        self.assertEqual(told[0]["type"], "mobile_disconnected")
        self.assertEqual(told[0]["deviceId"], "d2")

    def test_not_of_one_that_has_come_back_on_its_own(self) -> None:
        self.barriers.expect(KEY, [PHONE])
        self.arrive("deviceId=d1", "another-connection")
        self.page.received()
        self.turn(ARRIVAL_TIMEOUT_S)
        self.assertNotIn("mobile_disconnected", self.page.types())


class Anything(ClusterCase):
    """In any order: nobody is held without a barrier, and each barrier ends."""

    a: ClusterRelay

    @settings(max_examples=25, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(("expect", "arrive", "mark_absent", "cancel", "lift", "time")),
                st.integers(0, 3),
            ),
            max_size=12,
        )
    )
    def test_nobody_is_held_for_ever(self, steps: list[tuple[str, int]]) -> None:
        self.make_cluster()
        [self.a] = self.relays("a", max_mobiles=100)
        self.connect(self.a, "dashboard")
        over: list[str] = []
        barriers = ArrivalBarriers(self.a.service, over.append)
        members: list[Member] = []
        begun = 0
        for what, number in steps:
            if what == "expect":
                begun += 1
                names = [f"p{one}" for one in range(number)]
                barriers.expect(
                    KEY,
                    [MigratingClient(n, Role.MOBILE, Device(n, None, None, 1)) for n in names],
                )
            elif what == "arrive":
                self.connect(self.a, f"mobile?deviceId=d{len(members)}")
                member: Any = self.a.service.sessions[KEY].mobiles[-1]
                member.admission = dataclasses.replace(member.admission, client=f"p{number}")
                barriers.arrived(member)
                members.append(member)
            elif what == "mark_absent":
                barriers.mark_absent(KEY, f"p{number}")
            elif what == "cancel":
                barriers.cancel(KEY)
            elif what == "lift":
                barriers.lift_if_complete(KEY)
            else:
                self.turn(number)
            if KEY not in barriers:
                self.assertFalse(any(one.source.held for one in members))
        self.turn(ARRIVAL_TIMEOUT_S)
        self.assertNotIn(KEY, barriers)
        self.assertFalse(any(one.source.held for one in members))
        self.assertEqual(len(over), begun)
