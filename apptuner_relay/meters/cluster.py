"""What the meters tell of a relay that shares its sessions with others: who they are, how many of
its clients are bridged, and whether the directory is there. Pure.

A relay that is alone has none of it. How sessions are shared is up to `Cluster`, of which this
knows the figures only.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from apptuner_relay.meters.amounts import show_duration
from apptuner_relay.meters.worries import Worries

AWAY_S = 5.0
"""A directory that has been away for so long is worth a worry: a failover may take some seconds."""


class Node(Protocol):
    """What a relay of the cluster has said of itself: `directory.NodeInfo`."""

    @property
    def node(self) -> str: ...

    @property
    def address(self) -> str: ...

    @property
    def sessions(self) -> int:
        """Those that are its own, with those of which it only keeps a bundle."""

    @property
    def connections(self) -> int: ...

    @property
    def since_ms(self) -> int: ...

    @property
    def draining(self) -> bool: ...

    @property
    def version(self) -> str: ...


class Counters(Protocol):
    """What was done since the start: `directory.Counters`."""

    @property
    def commands(self) -> int: ...

    @property
    def claims(self) -> int: ...

    @property
    def lost(self) -> int: ...


class Directory(Protocol):
    """Where it is written whose a session is: `directory.Directory`."""

    @property
    def state(self) -> str:
        """``connected`` or ``away``."""

    @property
    def away_since_s(self) -> float | None: ...

    @property
    def counters(self) -> Counters: ...

    @property
    def eviction_policy(self) -> str | None:
        """What drops keys there, such as ``allkeys-lru``."""


class Claims(Protocol):
    """The claims that the relays share: `claims.RedisClaims`."""

    @property
    def state(self) -> str:
        """``connected``, ``away`` or ``refused``."""

    @property
    def away_since_s(self) -> float | None: ...

    @property
    def refusal(self) -> str | None:
        """The code with which Redis refuses them, such as ``READONLY``."""

    @property
    def refusals(self) -> int: ...


class Cluster(Protocol):
    """What shares this relay's sessions with others: `homes.Homes`."""

    @property
    def node(self) -> str:
        """This relay's name among them."""

    @property
    def directory(self) -> Directory: ...

    @property
    def nodes(self) -> Sequence[Node]:
        """All of them, this one included, as they were seen last."""

    @property
    def bridged_count(self) -> int:
        """Clients of this relay whose sessions are other relays'."""

    @property
    def claims(self) -> Claims | None:
        """None where there are to be none."""

    def look(self) -> Deferred[bool]:
        """Bring `nodes` up to date. Never fails; False when the directory didn't answer."""


def away_s(cluster: Cluster, now_s: float) -> float | None:
    """For how many seconds the directory has been away; None while it is there."""
    since_s = cluster.directory.away_since_s
    return None if since_s is None else max(0.0, now_s - since_s)


def watch_cluster(worries: Worries, cluster: Cluster, seconds: Callable[[], float]) -> None:
    """Have ``worries`` watch the directory. The relay goes on without, so it is no reason to send
    clients elsewhere: the others miss it as well."""

    def redis() -> str | None:
        gone_s = away_s(cluster, seconds())
        if gone_s is None or gone_s < AWAY_S:
            return None
        return (
            f"Redis has been away for {show_duration(gone_s)}: sessions stay where they are, new "
            "ones begin wherever their clients come in, and claims are known only where they were "
            "seen"
        )

    def claims() -> str | None:
        shared = cluster.claims
        if shared is None or shared.away_since_s is None:
            return None
        if shared.refusal is None and cluster.directory.away_since_s is not None:
            # All of Redis is away, and that is one warning.
            return None
        gone_s = max(0.0, seconds() - shared.away_since_s)
        if gone_s < AWAY_S:
            return None
        why = "is away" if shared.refusal is None else f"refuses them ({shared.refusal})"
        return (
            f"Claims are known here only as far as they were seen here, for "
            f"{show_duration(gone_s)}: Redis {why}. Of a session that was not seen, whoever comes "
            "is let in"
        )

    def eviction() -> str | None:
        policy = cluster.directory.eviction_policy
        if policy is None:
            return None
        return (
            f"Redis drops keys when it is full (maxmemory-policy {policy}): sessions may get two "
            "owners for a moment, and claims be lost. Set it to noeviction"
        )

    worries.watch("redis", redis)
    worries.watch("claims", claims)
    worries.watch("redis_eviction", eviction)


def cluster_row(
    cluster: Cluster, visitors: int, now_s: float, wall_s: float, most: int | None = None
) -> dict[str, object]:
    """The cluster as JSON shows it, with this relay and as many others as make ``most``."""
    gone_s = away_s(cluster, now_s)
    nodes = cluster.nodes
    if most is not None and len(nodes) > most:
        # This one first: it is the one that is looked at.
        nodes = sorted(nodes, key=lambda one: one.node != cluster.node)[:most]
    return {
        "redis": cluster.directory.state,
        "redis_away_s": None if gone_s is None else round(gone_s, 1),
        **claims_row(cluster.claims),
        "bridged": cluster.bridged_count,
        "visitors": visitors,
        "node_count": len(cluster.nodes),
        "nodes": [_node_row(one, wall_s) for one in nodes],
    }


def claims_row(claims: Claims | None) -> dict[str, object]:
    """The state of claims as JSON shows it."""
    if claims is None:
        return {"claims": "off"}
    refusal = {} if claims.refusal is None else {"claims_refusal": claims.refusal}
    return {"claims": claims.state, **refusal}


def cluster_words(cluster: Cluster, visitors: int) -> str:
    """For the minute's line."""
    return (
        f"{cluster.bridged_count} bridged to other relays, {visitors} from them; "
        f"{len(cluster.nodes)} relays, Redis {cluster.directory.state}"
    )


def _node_row(node: Node, wall_s: float) -> dict[str, object]:
    return {
        "node": node.node,
        "address": node.address,
        "sessions": node.sessions,
        "connections": node.connections,
        "since_ms": node.since_ms,
        # By this relay's clock, which may differ from that one's.
        "uptime_s": round(max(0.0, wall_s - node.since_ms / 1000), 1),
        "draining": node.draining,
        "version": node.version,
    }
