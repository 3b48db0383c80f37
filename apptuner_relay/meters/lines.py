"""The log's lines about the whole relay: each minute's and each day's. Pure."""

from typing import TYPE_CHECKING

from apptuner_relay.meters.amounts import show_bytes, show_count, show_memory
from apptuner_relay.meters.cluster import cluster_words
from apptuner_relay.meters.days import Day
from apptuner_relay.session import Role

if TYPE_CHECKING:
    from apptuner_relay.meters.meters import Meters


def minute_fields(meters: "Meters") -> dict[str, object]:
    """What the minute's line says, for logs that are read by programs."""
    total, today = meters.totals, meters.today()
    minute = meters.last_minute(total)
    fields: dict[str, object] = {
        "connections": sum(meters.connections.values()),
        "sessions": meters.session_count,
        "roles": {role.value: meters.connections[role] for role in Role},
        "peak_sessions": today.peak_sessions,
        "peak_connections": today.peak_connections,
        "bundles": total.bundles,
        "bundle_bytes": total.bundle_bytes,
        "bytes_out": total.bytes_out,
        "bundles_last_minute": minute.bundles,
        "bundle_bytes_last_minute": minute.bundle_bytes,
        "bytes_out_last_minute": minute.bytes_out,
        "memory_bytes": meters.memory_bytes,
        "loop_lag_ms": meters.loop_lag_ms,
        "state": meters.state,
    }
    if meters.cluster is not None:
        fields["bridged"] = meters.cluster.bridged_count
        fields["visitors"] = meters.visitors
        fields["nodes"] = len(meters.cluster.nodes)
        fields["redis"] = meters.cluster.directory.state
    return fields


def minute_line(meters: "Meters") -> str:
    """For people: who is there, what has passed, how the process is."""
    total = meters.totals
    minute = meters.last_minute(total)
    roles = ", ".join(f"{role.value} {meters.connections[role]}" for role in Role)
    cluster = ""
    if meters.cluster is not None:
        cluster = f"; {cluster_words(meters.cluster, meters.visitors)}"
    state = "" if meters.state == "ok" else f"; {meters.state}: {', '.join(meters.reasons)}"
    return (
        f"{show_count(sum(meters.connections.values()), 'connection')} ({roles}) in "
        f"{show_count(meters.session_count, 'session')}, peak today "
        f"{meters.today().peak_sessions}; "
        f"{show_count(total.bundles, 'bundle')}, {show_bytes(total.bundle_bytes)} since the start; "
        f"{show_count(minute.bundles, 'bundle')}, {show_bytes(minute.bundle_bytes)} in the last "
        f"minute; memory {show_memory(meters.memory_bytes)}, loop lag {meters.loop_lag_ms:.0f} ms"
        f"{cluster}{state}"
    )


def day_line(day: Day, so_far: bool) -> str:
    """For people: a day's figures, or those of a day that goes on."""
    return (
        f"day {day.date}{' so far' if so_far else ''}: peak "
        f"{show_count(day.peak_sessions, 'session')}, "
        f"{show_count(day.peak_connections, 'connection')}; "
        f"{show_count(day.bundles, 'bundle')}, {show_bytes(day.bundle_bytes)}; "
        f"{show_bytes(day.bytes_out)} sent; {show_count(day.connections, 'client')} came"
    )
