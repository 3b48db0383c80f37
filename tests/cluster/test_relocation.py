"""What becomes of a client whose session has moved, whatever its new place is."""

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.relocation import Relocations
from apptuner_relay.session.session import Arrival, BadRequest, Role


class Remote:
    def __init__(self, arrival: Arrival) -> None:
        self.admission = SimpleNamespace(arrival=arrival)
        self.role, self.label = Role.MOBILE, "1" * 8
        self.is_gone = False
        self.heard_s = 0.0
        self.closed: tuple[int, str] | None = None

    def refuse(self, code: int, why: str) -> None:
        self.closed = code, why


class Place:
    def __init__(self) -> None:
        self.resumed: list[Any] = []
        self.abandoned = 0

    def resume(self, remote: Any) -> None:
        self.resumed.append(remote)

    def abandon(self) -> None:
        self.abandoned += 1


class RelocationTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(100)
        self.searches: list[tuple[Deferred[Any], float]] = []
        self.relocations = Relocations(self, self.clock)  # type: ignore[arg-type]

    async def find(self, admission: Any, until_s: float) -> Any:
        """See `PlaceFinder`."""
        search: Deferred[Any] = Deferred()
        self.searches.append((search, until_s))
        return await search

    def start(self, arrival: Arrival = Arrival.MOVED, heard_s: float = 100) -> Remote:
        remote = Remote(arrival)
        remote.heard_s = heard_s
        self.relocations.start(remote)  # type: ignore[arg-type]
        return remote

    def test_it_goes_on_at_its_place(self) -> None:
        remote, place = self.start(), Place()
        self.assertEqual(len(self.relocations), 1)
        self.searches[0][0].callback(place)
        self.assertEqual((place.resumed, place.abandoned), ([remote], 0))
        self.assertEqual(len(self.relocations), 0)

    def test_how_long_it_is_looked_for(self) -> None:
        for heard_s, until_s in ((100, 111.5), (95, 106.5), (90, 102), (10, 102)):
            self.start(heard_s=heard_s)
            self.assertEqual(self.searches[-1][1], until_s)

    def test_it_is_refused(self) -> None:
        """With the code by which a client knows whether to come back."""
        for status, code in ((403, 1008), (409, 1000), (400, 1013), (429, 1013), (503, 1013)):
            remote = self.start()
            self.searches[-1][0].errback(BadRequest(status, "why"))
            self.assertEqual(remote.closed, (code, "why"))

    def test_one_that_has_gone_meanwhile(self) -> None:
        """The new owner, which waits for it, hears that it won't come."""
        remote, place = self.start(), Place()
        remote.is_gone = True
        self.searches[0][0].callback(place)
        self.assertEqual((place.resumed, place.abandoned), ([], 1))

    def test_one_that_has_gone_before(self) -> None:
        """Others only wait for it where the session was handed over."""
        for arrival in Arrival:
            self.searches.clear()
            remote = Remote(arrival)
            remote.is_gone = True
            self.relocations.start(remote)  # type: ignore[arg-type]
            self.assertEqual(len(self.searches), arrival is Arrival.MOVED)

    def test_a_fault_closes_that_client_only(self) -> None:
        remote, other, place = self.start(), self.start(), Place()
        self.searches[0][0].errback(ZeroDivisionError())
        self.assertEqual(remote.closed and remote.closed[0], 1011)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.searches[1][0].callback(place)
        self.assertEqual(place.resumed, [other])

    def test_so_many_at_the_same_time(self) -> None:
        remotes, place = [self.start() for _ in range(150)], Place()
        self.assertEqual(len(self.searches), 100)
        self.assertEqual(len(self.relocations), 150)
        for n in range(150):
            self.searches[n][0].callback(place)
        self.assertEqual(place.resumed, remotes)
        self.assertEqual(len(self.relocations), 0)
