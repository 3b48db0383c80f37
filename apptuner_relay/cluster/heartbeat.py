"""Beats: so the other nodes know that this one lives, and with it its leases."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.cluster import scripts
from apptuner_relay.cluster.leases import LOOK_FOR_BATCH, batches
from apptuner_relay.cluster.ledger import Ledger, Run
from apptuner_relay.cluster.presence import Presence
from apptuner_relay.cluster.redis_link import LinkLost, ServerRefused


@dataclass(frozen=True)
class Timing:
    """All in seconds."""

    lease: float = 6.0
    """How long a node that isn't heard keeps its sessions."""
    renew: float = 2.0
    """From beat to beat."""
    answer: float = 2.0
    """How long a claim may take, and the server to reply."""
    grace: float = 1.0
    """How long no session gets a new owner after no node at all was heard for a lease time."""
    keep: float = 3600.0
    """How long an epoch is remembered of a session that nobody uses."""


class Heartbeat:
    """Beats as long as there is a server, and compares leases whenever it may not have been heard.

    :param describe: what the node says of itself: address, connections, start, version.
    :param busy: sessions that are being claimed or released now.
    """

    log = Logger()

    def __init__(
        self,
        run: Run,
        ledger: Ledger,
        presence: Presence,
        clock: IReactorTime,
        timing: Timing,
        describe: Callable[[], tuple[str, int, int, str]],
        busy: Collection[str],
    ) -> None:
        self.draining = False
        self._run, self._ledger, self._presence = run, ledger, presence
        self._clock, self._timing, self._describe = clock, timing, describe
        self._busy = busy
        self._last_s: float | None = None
        self._is_first = True
        self._lock = DeferredLock()
        self._calls = LoopingCall(self.beat)
        self._calls.clock = clock

    @property
    def fresh(self) -> bool:
        """Whether the leases can't have ended: the last beat that was answered was sent within
        their time."""
        last_s = self._last_s
        return last_s is not None and self._clock.seconds() - last_s < self._timing.lease

    def start(self) -> None:
        """Beat from now on."""

        def failed(failure: Failure) -> None:
            self.log.failure("a heartbeat has failed; they go on", failure)
            if not self._presence.is_stopped:
                self.start()

        self._calls.start(self._timing.renew, now=False).addErrback(failed)

    def stop(self) -> None:
        """Beat no more."""
        if self._calls.running:
            self._calls.stop()

    async def beat(self) -> None:
        """Beat now. Without a server, nothing happens."""
        await self._lock.acquire()
        try:
            if not self._presence.is_stopped:
                await self._beat()
        except (LinkLost, ServerRefused):
            # Whoever keeps the connection says so.
            return
        finally:
            self._lock.release()

    async def _beat(self) -> None:
        timing, leases = self._timing, self._ledger.leases
        sent_s = self._clock.seconds()
        address, connections, since_ms, version = self._describe()
        due = leases.due(int(timing.keep / 3 / timing.renew))
        rest = batches(set(leases.held).difference(due), LOOK_FOR_BATCH)
        state, *doubted = await self._run(
            scripts.BEAT,
            int(timing.lease * 1000),
            int(timing.grace * 1000),
            int(self._is_first),
            int(self.draining),
            address,
            len(leases.held),
            connections,
            since_ms,
            version,
            len(due),
            *due,
            *next(rest, ()),
        )
        if self._presence.is_stopped:
            return
        if state == "replaced":
            self._last_s = None
            self._presence.lost(
                "another process has taken this node's id; every node needs one of its own"
            )
            self._ledger.drop_all()
            return
        self._is_first = False
        if self._last_s is not None and sent_s - self._last_s > timing.keep:
            # Epochs may have been forgotten meanwhile, and can't be compared.
            leases.doubtful.update(leases.held)
            self._ledger.drop_all()
        if state == "new" or self._presence.is_away:
            doubted = list(leases.held)
        else:
            for some in rest:
                doubted += await self._run(scripts.LOOK_FOR, *some)
        await self._ledger.restore(doubted)
        self._last_s = sent_s
        await self._ledger.release(leases.doubtful.difference(self._busy))
        if self._presence.is_away:
            await self._ledger.look()
            self._presence.reached()
