"""Two CLIs that come at the same time, one to the relay that has the session and one to another:
every order of what happens on their ways is tried, and the same things have to be true of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.caller import Caller
from apptuner_relay.access.claim_conflicts import check_conflicts
from apptuner_relay.access.claims import Claim, MemoryClaims
from apptuner_relay.relay.admission import AdmissionControl
from apptuner_relay.session.session import (
    Admission,
    BadRequest,
    Device,
    Limits,
    Role,
    Session,
    session_hash,
)
from tests.memory import Relay

HASH = session_hash("ABC234")
ONE, OTHER = "0123456789abcdef-one", "0123456789abcdef-other"
LIMITS = Limits(phones=5)
STEPS = 8
"""What one client waits for on its way, at most."""

delays = st.lists(st.integers(0, 9), min_size=STEPS, max_size=STEPS)


@dataclass(eq=False)
class Seat:
    """A member of the session, or one who was."""

    admission: Admission
    device: Device | None = None

    @property
    def role(self) -> Role:
        return self.admission.role


class World:
    """What the relays share: the session, which is one relay's, and the claims."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.claims = MemoryClaims(1000.0, clock.seconds)
        self.session: Session[Seat] = Session(HASH)
        self.displaced: list[Seat] = []

    def check(self, admission: Admission) -> None:
        check_conflicts(admission, self.session.desktop_side)
        self.session.check_room(admission, LIMITS, self.clock.seconds())

    def enter(self, admission: Admission) -> Seat:
        seat = Seat(admission)
        seating = self.session.seat(admission, LIMITS, self.clock.seconds())
        self.displaced += seating.replaced
        self.session.join(seat, 0, seating.replaced)
        return seat


class Way:
    """One client's: every step takes its own time."""

    def __init__(self, world: World, is_owner: bool, delays: Sequence[int]) -> None:
        self._world, self._is_owner, self._delays = world, is_owner, list(delays)
        relay = Relay()
        relay.service.access.claims = self
        relay.hooks.subscribe_placement(self)  # type: ignore[arg-type]
        self._entrance = AdmissionControl(relay.service)
        self.seat: Seat | None = None
        self.refused: BadRequest | None = None

    def _later(self) -> Deferred[None]:
        return deferLater(self._world.clock, self._delays.pop())

    async def come(self, secret: str | None) -> None:
        await self._later()
        admission = Admission(Role.CLI, HASH, None, "", client=str(id(self)))
        try:
            place: Any = await self._entrance.find(admission, Caller(secret=secret))
        except BadRequest as refusal:
            self.refused = refusal
            return
        try:
            place.check()
        except BadRequest as refusal:
            place.abandon()
            self.refused = refusal
            return
        place.enter(None)

    # Its relay's claims

    def look(self, session: str) -> Deferred[Claim | None]:
        async def look() -> Claim | None:
            await self._later()
            return self._world.claims.find(session)

        return Deferred.fromCoroutine(look())

    def take(self, session: str, claim: Claim, is_tentative: bool = False) -> Deferred[Claim]:
        async def take() -> Claim:
            await self._later()
            return await self._world.claims.take(session, claim, is_tentative)

        return Deferred.fromCoroutine(take())

    def give_back(self, session: str, claim: Claim) -> Deferred[None]:
        return self._world.claims.give_back(session, claim)

    def is_provisional(self, session: str) -> bool:
        return self._world.claims.is_provisional(session)

    # Where its relay finds the session

    def find(self, admission: Admission, claim: Any) -> Deferred[Any]:
        async def find() -> Any:
            await self._later()
            self._admission = admission
            self._world.check(admission)
            if not self._is_owner:
                await claim()
                await self._later()
                self._world.check(admission)
                self.seat = self._world.enter(admission)
                await self._later()
            return self

        return Deferred.fromCoroutine(find())

    # As the place

    is_here = True

    def check(self) -> None:
        if self.seat is None:
            self._world.check(self._admission)

    def enter(self, connection: object) -> None:
        if self.seat is None:
            self.seat = self._world.enter(self._admission)

    def abandon(self) -> None:
        if self.seat is not None:
            self._world.session.leave(self.seat, 0)


class TwoAtOnce(SynchronousTestCase):
    def run_them(
        self, secrets: tuple[str | None, str | None], ways: tuple[list[int], list[int]]
    ) -> tuple[World, list[Way]]:
        clock = Clock()
        world = World(clock)
        both = [
            Way(world, is_owner, delays)
            for is_owner, delays in zip((True, False), ways, strict=True)
        ]
        for way, secret in zip(both, secrets, strict=True):
            Deferred.fromCoroutine(way.come(secret)).addErrback(self.fail)
        clock.pump([1.0] * 10 * STEPS)
        return world, both

    @given(delays, delays)
    def test_with_different_secrets(self, here: list[int], there: list[int]) -> None:
        """One has the session, and is not disturbed; the other is refused, and its secret does
        not count."""
        world, both = self.run_them((ONE, OTHER), (here, there))
        (winner,) = [way for way in both if way.refused is None]
        self.assertEqual(world.session.members, (winner.seat,))
        self.assertEqual(world.displaced, [])
        claim = world.claims.find(HASH)
        assert claim is not None and winner.seat is not None
        self.assertEqual(claim.proof, winner.seat.admission.proof)

    @given(delays, delays, st.sampled_from([(ONE, None), (None, ONE)]))
    def test_with_a_secret_and_without(
        self, here: list[int], there: list[int], secrets: tuple[str | None, str | None]
    ) -> None:
        """Likewise; and a session in which the one without it is has no claim."""
        world, both = self.run_them(secrets, (here, there))
        (winner,) = [way for way in both if way.refused is None]
        self.assertEqual(world.session.members, (winner.seat,))
        self.assertEqual(world.displaced, [])
        assert winner.seat is not None
        claimed = world.claims.find(HASH) is not None
        self.assertEqual(claimed, winner.seat.admission.authorized)

    @given(delays, delays, st.sampled_from([None, ONE]))
    def test_alike(self, here: list[int], there: list[int], secret: str | None) -> None:
        """The one that comes last has it, as ever."""
        world, both = self.run_them((secret, secret), (here, there))
        self.assertEqual([way.refused for way in both], [None, None])
        (stays,) = world.session.members
        (goes,) = world.displaced
        self.assertEqual({stays, goes}, {way.seat for way in both})
