"""What a node remembers of sessions: its own leases, those of other nodes, and doubtful ones.
Pure."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import islice

from apptuner_relay.cluster.ownership.directory import Lease, NodeInfo, NodeLife, Suspicion
from apptuner_relay.config.node_names import check_address, check_node

_OTHER = re.compile(r"other ([0-9]{1,16}) (\S+) (\S+)")
_MINE = re.compile(r"mine ([0-9]{1,16})")
BATCH = 200
"""Sessions in one call of a script, during which Redis serves nobody else: about a millisecond."""
LOOK_FOR_BATCH = 1000
"""Likewise, for a script that only checks whether keys exist."""


class Leases:
    """One node's memory of the directory."""

    def __init__(self) -> None:
        self.held: OrderedDict[str, Lease] = OrderedDict()
        """This node's own leases. The one that was renewed longest ago is the first."""
        self.others: dict[str, Lease] = {}
        """The leases of other nodes, for sessions that this node has asked for."""
        self.doubtful: set[str] = set()
        """The sessions that may wrongly be this node's in the directory, as the answer to a claim
        or a release was lost."""

    def hold(self, lease: Lease) -> None:
        """Remember a lease of this node."""
        self.others.pop(lease.session, None)
        self.doubtful.discard(lease.session)
        self.held[lease.session] = lease

    def learn(self, lease: Lease) -> None:
        """Remember a lease of another node."""
        self.held.pop(lease.session, None)
        self.doubtful.discard(lease.session)
        self.others[lease.session] = lease

    def due(self, renewals: int) -> list[str]:
        """Some of this node's sessions, so that ``renewals`` calls in turn give all of them."""
        count = -(-len(self.held) // max(1, renewals))
        some = list(islice(self.held, count))
        for session in some:
            self.held.move_to_end(session)
        return some


def batches(sessions: Iterable[str], size: int = BATCH) -> Iterator[list[str]]:
    """As many sessions at a time as one call of a script takes."""
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


def parse_nodes(replies: Iterable[str]) -> tuple[list[NodeInfo], list[str]]:
    """The nodes in some lines of a reply, by id, and the lines that are about sessions. What is
    damaged is left out."""
    lines = list(replies)
    found = (parse_node(line) for line in lines if " " in line)
    nodes = sorted(info for info in found if info is not None)
    return nodes, [line for line in lines if " " not in line]


def parse_suspicion(reply: str) -> Suspicion:
    """What the ``SUSPECT`` script replies."""
    word, *rest = reply.split(" ")
    if word == "silent" and len(rest) == 2 and rest[1].isdecimal():
        return Suspicion(NodeLife.SILENT, rest[0], int(rest[1]))
    if word in ("lives", "ended"):
        return Suspicion(NodeLife(word))
    return Suspicion(NodeLife.UNKNOWN)


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
