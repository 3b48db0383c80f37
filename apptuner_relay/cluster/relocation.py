"""Sends clients after their sessions, when those have moved to other relays or their owner has
failed. The clients stay connected to this relay."""

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.cluster.bridge.remote_member import RemoteMember
from apptuner_relay.cluster.place_finder import PlaceFinder
from apptuner_relay.session.session import Arrival, BadRequest
from apptuner_relay.wire.frames import (
    CLOSE_INTERNAL_ERROR,
    CLOSE_NORMAL,
    CLOSE_POLICY,
    CLOSE_TRY_AGAIN_LATER,
)

_SILENCE_S = 11.5
"""How long after the last sign of its session a client's new place is looked for, before it is
closed to try through another relay; but not less than `_LEAST_S`."""
_LEAST_S = 2.0
_MAX_RELOCATIONS = 100
"""How many clients are sent after their sessions at the same time."""
_CLOSE_CODES = {403: CLOSE_POLICY, 409: CLOSE_NORMAL}
"""By HTTP status, the close code of a client that its session's new owner refuses. Any other status
may pass: 1013."""


class Relocations:
    """The clients whose new places are being looked for."""

    log = Logger()

    def __init__(self, finder: PlaceFinder, clock: IReactorTime) -> None:
        self._finder, self._clock = finder, clock
        self._running: set[Deferred[None]] = set()
        self._slots = DeferredSemaphore(_MAX_RELOCATIONS)

    def __len__(self) -> int:
        return len(self._running)

    def start(self, remote: RemoteMember) -> None:
        """Find a client its new place, or close it where there is none."""
        relocation = self._slots.run(self._run, remote)
        self._running.add(relocation)
        relocation.addBoth(lambda _: self._running.discard(relocation))

    def _run(self, remote: RemoteMember) -> Deferred[None]:
        def failed(failure: Failure) -> None:
            self.log.failure(
                "session {session}: sending {role} after it has failed",
                failure,
                session=remote.label,
                role=remote.role.value,
            )
            remote.refuse(CLOSE_INTERNAL_ERROR, "The relay has failed at this")

        return Deferred.fromCoroutine(self._relocate(remote)).addErrback(failed)

    async def _relocate(self, remote: RemoteMember) -> None:
        if remote.is_gone and remote.admission.arrival is not Arrival.MOVED:
            return
        try:
            until_s = max(self._clock.seconds() + _LEAST_S, remote.heard_s + _SILENCE_S)
            place = await self._finder.find(remote.admission, until_s)
        except BadRequest as refusal:
            code = _CLOSE_CODES.get(refusal.status, CLOSE_TRY_AGAIN_LATER)
            remote.refuse(code, str(refusal))
            return
        if remote.is_gone:
            # This tells the new owner, which waits for the client.
            place.abandon()
        else:
            place.resume(remote)
