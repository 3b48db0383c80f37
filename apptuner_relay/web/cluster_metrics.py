"""The metrics of relays that share sessions: Redis, claims, the other relays."""

from collections.abc import Iterator

from prometheus_client.core import Metric

from apptuner_relay.operator.cluster_view import ClusterView
from apptuner_relay.web.metric_families import counter, gauge


def cluster_families(cluster: ClusterView, inbound: int) -> Iterator[Metric]:
    """The families of one relay of a cluster.

    :param inbound: how many members of its sessions are connected to other relays.
    """
    directory = cluster.directory
    yield gauge(
        "redis_up",
        "1 while Redis is connected, 0 while it is unreachable.",
        directory.state != "away",
    )
    claims = cluster.claims
    if claims is not None:
        yield gauge(
            "claims_up",
            "1 while claims are shared, 0 while this relay knows only those that it has seen.",
            claims.state == "connected",
        )
        yield counter(
            "claims_refusals",
            "Times that Redis has refused a command for a claim.",
            claims.refusals,
        )
    yield gauge(
        "redis_evicts",
        "1 if Redis drops keys when it is full (maxmemory-policy), as far as it says.",
        directory.eviction_policy is not None,
    )
    yield gauge("nodes", "Relays that share sessions, as they were seen last.", len(cluster.nodes))
    yield gauge(
        "bridged_clients",
        "Clients connected here whose sessions other relays own.",
        cluster.bridged_count,
    )
    yield gauge(
        "visitors",
        "Members of this relay's sessions that are connected to other relays, and counted there.",
        inbound,
    )
    done = directory.counters
    yield counter("directory_commands", "Commands sent to Redis.", done.commands)
    yield counter(
        "directory_claims", "Times that the owner of a session was looked up.", done.claims
    )
    yield counter(
        "directory_leases_lost",
        "Sessions that this relay lost to another one, or whose lease expired.",
        done.lost,
    )
