"""What an operator is shown of a cluster: its relays, the clients that are bridged between them,
and whether Redis can be reached. Pure.

The cluster itself is above this part, and is read through the protocols here. A relay that is alone
has none.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from apptuner_relay.operator.conditions import Conditions
from apptuner_relay.support.units import show_duration

UNREACHABLE_S = 5.0
"""How long Redis may be unreachable before that is worth a warning: a failover takes seconds."""


class PeerNode(Protocol):
    """What a relay of the cluster has written of itself: `directory.NodeInfo`."""

    @property
    def node(self) -> str: ...

    @property
    def address(self) -> str: ...

    @property
    def sessions(self) -> int:
        """The sessions that it owns, with those of which it only has a cached bundle."""

    @property
    def connections(self) -> int: ...

    @property
    def since_ms(self) -> int: ...

    @property
    def draining(self) -> bool: ...

    @property
    def version(self) -> str: ...


class DirectoryCounters(Protocol):
    """What the directory has done since the start: `directory.DirectoryCounts`."""

    @property
    def commands(self) -> int: ...

    @property
    def claims(self) -> int: ...

    @property
    def lost(self) -> int: ...


class DirectoryView(Protocol):
    """The directory of sessions and their owners, in Redis: `directory.Directory`."""

    @property
    def state(self) -> str:
        """``connected``, or ``away`` while Redis is unreachable."""

    @property
    def unreachable_since_s(self) -> float | None: ...

    @property
    def counters(self) -> DirectoryCounters: ...

    @property
    def eviction_policy(self) -> str | None:
        """Redis' ``maxmemory-policy`` where it drops keys, such as ``allkeys-lru``."""


class ClaimsState(Protocol):
    """The claims that the relays share through Redis: `redis_claims.RedisClaims`."""

    @property
    def state(self) -> str:
        """``connected``, ``away`` or ``refused``."""

    @property
    def unreachable_since_s(self) -> float | None: ...

    @property
    def refusal(self) -> str | None:
        """The error code with which Redis refuses to store claims, such as ``READONLY``."""

    @property
    def refusals(self) -> int: ...


class ClusterView(Protocol):
    """Shares this relay's sessions with other relays: `placement.ClusterPlacement`."""

    @property
    def node(self) -> str:
        """This relay's name in the cluster."""

    @property
    def directory(self) -> DirectoryView: ...

    @property
    def nodes(self) -> Sequence[PeerNode]:
        """All relays, this one included, as they were seen last."""

    @property
    def bridged_count(self) -> int:
        """Clients connected here whose sessions other relays own."""

    @property
    def claims(self) -> ClaimsState | None:
        """None where claims are turned off."""

    def look(self) -> Deferred[bool]:
        """Bring `nodes` up to date. Never fails; fires with False when Redis didn't answer."""


def unreachable_s(cluster: ClusterView, now_s: float) -> float | None:
    """For how many seconds Redis has been unreachable; None while it is connected."""
    since_s = cluster.directory.unreachable_since_s
    return None if since_s is None else max(0.0, now_s - since_s)


def watch_cluster(
    conditions: Conditions, cluster: ClusterView, seconds: Callable[[], float]
) -> None:
    """Have ``conditions`` watch the directory.

    The relay goes on without Redis, and the other relays miss it as well, so none of these
    conditions is a reason to send clients elsewhere.
    """

    def redis() -> str | None:
        gone_s = unreachable_s(cluster, seconds())
        if gone_s is None or gone_s < UNREACHABLE_S:
            return None
        return (
            f"Redis has been unreachable for {show_duration(gone_s)}: sessions stay on their "
            "relays, new ones begin on whichever relay their clients connect to, and each relay "
            "knows only the claims that it has seen"
        )

    def claims() -> str | None:
        shared = cluster.claims
        if shared is None or shared.unreachable_since_s is None:
            return None
        if shared.refusal is None and cluster.directory.unreachable_since_s is not None:
            # All of Redis is unreachable: that is one warning, not two.
            return None
        gone_s = max(0.0, seconds() - shared.unreachable_since_s)
        if gone_s < UNREACHABLE_S:
            return None
        why = "is unreachable" if shared.refusal is None else f"refuses them ({shared.refusal})"
        return (
            f"For {show_duration(gone_s)} this relay has known only the claims that it has seen: "
            f"Redis {why}. Anybody can join a session whose claim it has not seen"
        )

    def eviction() -> str | None:
        policy = cluster.directory.eviction_policy
        if policy is None:
            return None
        return (
            f"Redis drops keys when it is full (maxmemory-policy {policy}): sessions may get two "
            "owners for a moment, and claims may be lost. Set it to noeviction"
        )

    conditions.watch("redis", redis)
    conditions.watch("claims", claims)
    conditions.watch("redis_eviction", eviction)


def cluster_row(
    cluster: ClusterView, inbound: int, now_s: float, wall_s: float, most: int | None = None
) -> dict[str, object]:
    """The cluster as JSON shows it.

    :param most: list so many relays at most, this one among them; None for all.
    """
    gone_s = unreachable_s(cluster, now_s)
    nodes = cluster.nodes
    if most is not None and len(nodes) > most:
        # This relay first: its page is the one that is looked at.
        nodes = sorted(nodes, key=lambda one: one.node != cluster.node)[:most]
    return {
        "redis": cluster.directory.state,
        "redis_away_s": None if gone_s is None else round(gone_s, 1),
        **claims_row(cluster.claims),
        "bridged": cluster.bridged_count,
        "visitors": inbound,
        "node_count": len(cluster.nodes),
        "nodes": [_node_row(one, wall_s) for one in nodes],
    }


def claims_row(claims: ClaimsState | None) -> dict[str, object]:
    """The state of claims as JSON shows it."""
    if claims is None:
        return {"claims": "off"}
    refusal = {} if claims.refusal is None else {"claims_refusal": claims.refusal}
    return {"claims": claims.state, **refusal}


def cluster_words(cluster: ClusterView, inbound: int) -> str:
    """The cluster in words, for the minute line."""
    return (
        f"{cluster.bridged_count} bridged to other relays, {inbound} from them; "
        f"{len(cluster.nodes)} relays, Redis {cluster.directory.state}"
    )


def _node_row(node: PeerNode, wall_s: float) -> dict[str, object]:
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
