"""Whether Redis evicts keys when its memory is full. Where it does, a session can get two owners
for a moment, and claims can be lost, without any other fault.

Nothing is known where the user of Redis lacks the right to ``INFO``, or where the server doesn't
report a policy.
"""

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.cluster.ownership.redis_link import LinkLost, RunScript, ServerRefused

SAFE, UNKNOWN = "noeviction", "unknown"
_LOOK_S = 60.0
_POLICY = """
local info = redis.pcall('INFO', 'memory')
local policy = type(info) == 'string' and string.match(info, 'maxmemory_policy:([%w-]+)')
return redis.status_reply(policy or 'unknown')
"""
"""→ the policy, or ``unknown``."""


class Eviction:
    """Asks the server for its policy, again and again.

    :param run: runs a script.
    :param label: how the server is named in the log.
    """

    log = Logger()

    def __init__(self, run: RunScript, clock: IReactorTime, label: str) -> None:
        self.policy: str | None = None
        """The policy that evicts keys, such as ``allkeys-lru``. None where keys stay, as far as is
        known."""
        self._run, self._label = run, label
        self._is_unknown = False
        self._calls = LoopingCall(self._check_again)
        self._calls.clock = clock

    def start(self) -> None:
        """Begin to ask."""

        def failed(failure: Failure) -> None:
            self.log.failure("asking Redis for its policy has failed", failure)

        self._calls.start(_LOOK_S, now=False).addErrback(failed)

    def stop(self) -> None:
        """Ask no more."""
        if self._calls.running:
            self._calls.stop()

    async def _check_again(self) -> None:
        # Redis logs each INFO that it denies (ACL LOG): one line is enough.
        if not self._is_unknown:
            await self.check()

    async def check(self) -> None:
        """Ask now. What answers may be another server than the last time."""
        try:
            said: str = await self._run(_POLICY)
        except (LinkLost, ServerRefused):
            # The next connection asks again.
            return
        self._is_unknown = said == UNKNOWN
        before, self.policy = self.policy, None if said in (SAFE, UNKNOWN) else said
        if self.policy is not None and self.policy != before:
            self.log.warn(
                "{label}: its maxmemory-policy is {policy}; set it to {safe}, or sessions and "
                "claims may be lost when it is full",
                label=self._label,
                policy=self.policy,
                safe=SAFE,
            )
