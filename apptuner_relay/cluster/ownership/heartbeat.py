"""Heartbeats: they tell the other nodes that this one lives, and so keep its leases."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.cluster.ownership import scripts
from apptuner_relay.cluster.ownership.availability import Availability
from apptuner_relay.cluster.ownership.directory import NodeInfo
from apptuner_relay.cluster.ownership.leases import LOOK_FOR_BATCH, batches, parse_nodes
from apptuner_relay.cluster.ownership.reconciler import Reconciler, ReconcilerRun
from apptuner_relay.cluster.ownership.redis_link import LinkLost, ServerRefused


@dataclass(frozen=True)
class Timing:
    """The times of a directory, all in seconds."""

    lease: float = 8.0
    """How long a node keeps its sessions after its last heartbeat: long enough for one that gets no
    answer, and the next one on a new connection."""
    renew: float = 4.0
    """The interval of heartbeats."""
    answer: float = 2.0
    """How long a claim may take, and a reply of the server."""
    grace: float = 1.0
    """How long no session gets a new owner, after no node has beaten for a lease time."""
    keep: float = 3600.0
    """How long the server remembers the epoch of a session that nobody uses."""


_LIST_EVERY, _LISTED_EACH = 3, 32
"""Every which beat asks for the living nodes as well: the third, or one for so many nodes where
they are many, as Redis has to look at all of them."""


class Heartbeat:
    """Beats while the server is reachable, and compares leases whenever a beat may have been
    missed.

    :param describe: gives what the node says of itself: address, connections, start in milliseconds
        since the epoch, version.
    :param busy: the sessions that are being claimed or released now.
    :param on_listed: called with the living nodes, by id, as some of the beats are told.
    """

    log = Logger()

    def __init__(
        self,
        run: ReconcilerRun,
        reconciler: Reconciler,
        availability: Availability,
        clock: IReactorTime,
        timing: Timing,
        describe: Callable[[], tuple[str, int, int, str]],
        busy: Collection[str],
        on_listed: Callable[[list[NodeInfo]], None],
    ) -> None:
        self.draining = False
        self._run, self._reconciler, self._availability = run, reconciler, availability
        self._clock, self._timing, self._describe = clock, timing, describe
        self._busy, self._on_listed = busy, on_listed
        self._beats_until_list = 0
        self._last_s: float | None = None
        self._is_first = True
        self._lock = DeferredLock()
        self._calls = LoopingCall(self.beat)
        self._calls.clock = clock

    @property
    def fresh(self) -> bool:
        """Whether no lease can have ended: the last beat that was answered was sent less than a
        lease time ago."""
        last_s = self._last_s
        return last_s is not None and self._clock.seconds() - last_s < self._timing.lease

    def start(self) -> None:
        """Begin to beat."""

        def failed(failure: Failure) -> None:
            self.log.failure("a heartbeat has failed; the next one follows", failure)
            if not self._availability.is_stopped:
                self.start()

        self._calls.start(self._timing.renew, now=False).addErrback(failed)

    def stop(self) -> None:
        """Beat no more."""
        if self._calls.running:
            self._calls.stop()

    async def beat(self) -> None:
        """Beat now. Nothing happens while the server is unreachable."""
        await self._lock.acquire()
        try:
            if not self._availability.is_stopped:
                await self._beat()
        except (LinkLost, ServerRefused):
            # The link reports it.
            return
        finally:
            self._lock.release()

    async def _beat(self) -> None:
        timing, leases = self._timing, self._reconciler.leases
        sent_s = self._clock.seconds()
        address, connections, since_ms, version = self._describe()
        due = leases.due(int(timing.keep / 3 / timing.renew))
        rest = batches(set(leases.held).difference(due), LOOK_FOR_BATCH)
        lists = self._beats_until_list == 0
        state, *told = await self._run(
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
            int(lists),
            len(due),
            *due,
            *next(rest, ()),
        )
        if self._availability.is_stopped:
            return
        if state == "replaced":
            self._last_s = None
            self._availability.lost(
                "another process has taken this node's id; every node needs one of its own"
            )
            self._reconciler.drop_all()
            return
        self._is_first = False
        nodes, doubted = parse_nodes(told)
        if lists:
            self._beats_until_list = max(_LIST_EVERY, len(nodes) // _LISTED_EACH)
            self._on_listed(nodes)
        self._beats_until_list -= 1
        if self._last_s is not None and sent_s - self._last_s > timing.keep:
            # Epochs may have been forgotten meanwhile, and can't be compared.
            leases.doubtful.update(leases.held)
            self._reconciler.drop_all()
        if state == "new" or self._availability.is_unreachable:
            doubted = list(leases.held)
        else:
            for some in rest:
                doubted += await self._run(scripts.LOOK_FOR, *some)
        await self._reconciler.restore(doubted)
        self._last_s = sent_s
        await self._reconciler.release(leases.doubtful.difference(self._busy))
        if self._availability.is_unreachable:
            await self._reconciler.check_others()
            self._availability.reached()
