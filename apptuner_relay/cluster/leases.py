"""What a node remembers of sessions: its leases, whose the others are, what is in doubt. Pure."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import islice

from apptuner_relay.cluster.directory import Lease, NodeInfo, check_address, check_node

_OTHER = re.compile(r"other ([0-9]{1,16}) (\S+) (\S+)")
_MINE = re.compile(r"mine ([0-9]{1,16})")
BATCH = 200
"""Sessions in one call of a script: Redis does nothing else meanwhile, for about a millisecond."""
LOOK_FOR_BATCH = 1000
"""Likewise, where the script only looks whether they are there."""


class Leases:
    """One node's memory of the directory."""

    def __init__(self) -> None:
        self.held: OrderedDict[str, Lease] = OrderedDict()
        """This node's own. Those that were renewed longest ago come first."""
        self.others: dict[str, Lease] = {}
        """Other nodes', of sessions that this node asked for."""
        self.doubtful: set[str] = set()
        """Sessions that may be this node's in the directory, and should not be: the answer to a
        claim or release was lost."""

    def hold(self, lease: Lease) -> None:
        """It is this node's."""
        self.others.pop(lease.session, None)
        self.doubtful.discard(lease.session)
        self.held[lease.session] = lease

    def learn(self, lease: Lease) -> None:
        """It is another's, and this node wants to hear of it."""
        self.held.pop(lease.session, None)
        self.doubtful.discard(lease.session)
        self.others[lease.session] = lease

    def due(self, renewals: int) -> list[str]:
        """Some of this node's sessions, so that each has its turn in about as many calls."""
        count = -(-len(self.held) // max(1, renewals))
        some = list(islice(self.held, count))
        for session in some:
            self.held.move_to_end(session)
        return some


def batches(sessions: Iterable[str], size: int = BATCH) -> Iterator[list[str]]:
    """As many at a time as one call of a script takes."""
    left = iter(sessions)
    while some := list(islice(left, size)):
        yield some


def parse_other(session: str, reply: str) -> Lease | None:
    """The lease in ``other epoch node address``; None for anything else."""
    found = _OTHER.fullmatch(reply)
    if not found:
        return None
    try:
        return Lease(session, check_node(found[2]), check_address(found[3]), int(found[1]))
    except ValueError:
        return None


def parse_mine(reply: str) -> int | None:
    """The epoch in ``mine epoch``; None for anything else."""
    found = _MINE.fullmatch(reply)
    return int(found[1]) if found else None


def parse_node(reply: str) -> NodeInfo | None:
    """A line of what the ``NODES`` script replies; None when it is damaged."""
    try:
        node, address, sessions, connections, since_ms, draining, version = reply.split(" ")
        return NodeInfo(
            check_node(node),
            check_address(address),
            int(sessions),
            int(connections),
            int(since_ms),
            draining == "1",
            version,
        )
    except ValueError:
        return None
