"""Keeps the leases that this node remembers in agreement with those that the server holds."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from twisted.logger import Logger

from apptuner_relay.cluster.ownership import scripts
from apptuner_relay.cluster.ownership.directory import DirectoryCounts, Events, Lease
from apptuner_relay.cluster.ownership.leases import Leases, batches, parse_mine, parse_other
from apptuner_relay.cluster.ownership.redis_link import LinkLost, ServerRefused

ReconcilerRun = Callable[..., Awaitable[Any]]
"""Runs a script as this node. The arguments are those behind the four that all scripts take. Raises
`LinkLost` or `ServerRefused`."""


class Reconciler:
    """Compares leases, and raises the events of what has changed.

    :param subscribe: called with another node's session, and whether to be notified when it moves.
    """

    log = Logger()

    def __init__(
        self,
        run: ReconcilerRun,
        node: str,
        address: str,
        events: Events,
        subscribe: Callable[[str, bool], None],
    ) -> None:
        self.leases = Leases()
        self.counters = DirectoryCounts()
        self._run, self._events, self._subscribe = run, events, subscribe
        self._node, self._address = node, address

    def learn(self, session: str, reply: str) -> Lease | None:
        """Remember the lease in the reply to a claim. None where it names no owner."""
        epoch = parse_mine(reply)
        if epoch is not None:
            self.forget_other(session)
            lease = Lease(session, self._node, self._address, epoch)
            self.leases.hold(lease)
            return lease
        other = parse_other(session, reply)
        if other is not None:
            if session in self.leases.held:
                self.drop(session, other)
            if session not in self.leases.others:
                self._subscribe(session, True)
            self.leases.learn(other)
        return other

    def forget_other(self, session: str) -> None:
        """Forget the lease of a session, if it is another node's."""
        if self.leases.others.pop(session, None) is not None:
            self._subscribe(session, False)

    def drop(self, session: str, lease: Lease | None) -> None:
        """A lease of this node was lost. ``lease`` is the new one, or None."""
        self.leases.held.pop(session, None)
        self.counters.lost += 1
        self.log.info(
            "session {session}: lost the lease to {owner}",
            session=session[:8],
            owner=lease.node if lease else "nobody",
        )
        self._events.lost(session, lease)

    def drop_all(self) -> None:
        """All leases of this node were lost."""
        for session in tuple(self.leases.held):
            self.drop(session, None)

    async def restore(self, sessions: Sequence[str]) -> None:
        """Compare leases of this node with the server's. The server gets those again that it has
        lost.

        :raises LinkLost:
        :raises ServerRefused:
        """
        for some in batches(sessions):
            before = [lease for session in some if (lease := self.leases.held.get(session))]
            if not before:
                continue
            pairs = [word for lease in before for word in (lease.session, lease.epoch)]
            replies = await self._run(scripts.RESTORE, *pairs)
            for lease, reply in zip(before, replies, strict=True):
                if self.leases.held.get(lease.session) is not lease:
                    continue
                epoch = parse_mine(reply)
                if epoch is None:
                    self.drop(lease.session, parse_other(lease.session, reply))
                elif epoch != lease.epoch:
                    self.leases.hold(lease._replace(epoch=epoch))

    async def check_others(self) -> None:
        """Find out which sessions of other nodes have moved while no notice was received.

        :raises LinkLost:
        :raises ServerRefused:
        """
        for some in batches(tuple(self.leases.others)):
            replies = await self._run(scripts.LOOK, 0, *some)
            for session, reply in zip(some, replies, strict=True):
                known = self.leases.others.get(session)
                if known is not None and parse_other(session, reply) != known:
                    self._events.moved(session)

    async def release(self, sessions: Collection[str]) -> None:
        """End leases of this node. Those that can't be ended now become doubtful."""
        self.leases.doubtful.update(sessions)
        try:
            for some in batches(sessions):
                await self._run(scripts.RELEASE, *some)
                self.leases.doubtful.difference_update(some)
        except (LinkLost, ServerRefused):
            return
