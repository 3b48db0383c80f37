"""Whether Redis may drop keys when it is full: then sessions can get two owners for a moment, and
claims be lost, without anything being wrong otherwise.

Where the user may not ask (``INFO``), or the server doesn't say, nothing is known.
"""

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.cluster.connections import Run
from apptuner_relay.cluster.redis_link import LinkLost, ServerRefused

SAFE, UNKNOWN = "noeviction", "unknown"
_LOOK_S = 60.0
_POLICY = """
local info = redis.pcall('INFO', 'memory')
local policy = type(info) == 'string' and string.match(info, 'maxmemory_policy:([%w-]+)')
return redis.status_reply(policy or 'unknown')
"""
"""→ the policy, or ``unknown``."""


class Eviction:
    """Looks now and then.

    :param run: runs a script.
    :param place: how the server is named in the log.
    """

    log = Logger()

    def __init__(self, run: Run, clock: IReactorTime, place: str) -> None:
        self.policy: str | None = None
        """What drops keys, such as ``allkeys-lru``; None where nothing does, as far as is known."""
        self._run, self._place = run, place
        self._says_nothing = False
        self._calls = LoopingCall(self._look_again)
        self._calls.clock = clock

    def start(self) -> None:
        """Look from now on."""

        def failed(failure: Failure) -> None:
            self.log.failure("asking Redis for its policy has failed", failure)

        self._calls.start(_LOOK_S, now=False).addErrback(failed)

    def stop(self) -> None:
        """Look no more."""
        if self._calls.running:
            self._calls.stop()

    async def _look_again(self) -> None:
        # Each question that is not answered would be a line in Redis' own log of those.
        if not self._says_nothing:
            await self.look()

    async def look(self) -> None:
        """Ask now, whatever answers: it may be another server."""
        try:
            said: str = await self._run(_POLICY)
        except (LinkLost, ServerRefused):
            # It is asked again when it is back.
            return
        self._says_nothing = said == UNKNOWN
        before, self.policy = self.policy, None if said in (SAFE, UNKNOWN) else said
        if self.policy is not None and self.policy != before:
            self.log.warn(
                "{place}: its maxmemory-policy is {policy}; set it to {safe}, or sessions and "
                "claims may be lost when it is full",
                place=self._place,
                policy=self.policy,
                safe=SAFE,
            )
