"""Keeps what this node remembers of sessions and what the server has written in agreement."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from twisted.logger import Logger

from apptuner_relay.cluster import scripts
from apptuner_relay.cluster.directory import Counters, Events, Lease
from apptuner_relay.cluster.leases import Leases, batches, parse_mine, parse_other
from apptuner_relay.cluster.redis_link import LinkLost, ServerRefused

Run = Callable[..., Awaitable[Any]]
"""Runs a script, as this node, with what it takes behind the four arguments that all take. Raises
`LinkLost` or `ServerRefused`."""


class Ledger:
    """Compares, and says what came of it.

    :param subscribe: called with a session of another's, and whether to hear that it moves.
    """

    log = Logger()

    def __init__(
        self,
        run: Run,
        node: str,
        address: str,
        events: Events,
        subscribe: Callable[[str, bool], None],
    ) -> None:
        self.leases = Leases()
        self.counters = Counters()
        self._run, self._events, self._subscribe = run, events, subscribe
        self._node, self._address = node, address

    def learn(self, session: str, reply: str) -> Lease | None:
        """What a claim's reply says of the owner, if it does."""
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
        """Whose it is, if it is another's, is of no interest any more."""
        if self.leases.others.pop(session, None) is not None:
            self._subscribe(session, False)

    def drop(self, session: str, lease: Lease | None) -> None:
        """A lease was lost, to ``lease`` or to nobody."""
        self.leases.held.pop(session, None)
        self.counters.lost += 1
        self.log.info(
            "session {session}: no longer this node's, but {owner}'s",
            session=session[:8],
            owner=lease.node if lease else "nobody",
        )
        self._events.lost(session, lease)

    def drop_all(self) -> None:
        """All leases were lost."""
        for session in tuple(self.leases.held):
            self.drop(session, None)

    async def restore(self, sessions: Sequence[str]) -> None:
        """Compare leases with the server's, and write those again that it has lost.

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

    async def look(self) -> None:
        """Find out what became of sessions of others while nothing was heard.

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
        """Give back what is this node's. What can't be now is doubtful from then on."""
        self.leases.doubtful.update(sessions)
        try:
            for some in batches(sessions):
                await self._run(scripts.RELEASE, *some)
                self.leases.doubtful.difference_update(some)
        except (LinkLost, ServerRefused):
            return
