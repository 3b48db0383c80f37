"""The log lines about the whole relay: one a minute and one a day. Pure."""

from collections.abc import Mapping, Sequence

from apptuner_relay.operator.cluster_view import cluster_words
from apptuner_relay.operator.day_book import Day
from apptuner_relay.operator.managed_view import managed_state, managed_words
from apptuner_relay.operator.meters import Meters
from apptuner_relay.session.session import Role
from apptuner_relay.support.units import show_bytes, show_count, show_memory


def minute_fields(meters: Meters) -> dict[str, object]:
    """The fields of the minute line, for logs that programs read (``--log-format json``)."""
    counters = meters.counters
    total, today = counters.totals, meters.days.today()
    minute = meters.sampler.last_minute(total)
    fields: dict[str, object] = {
        "connections": counters.connection_count,
        "sessions": meters.session_count,
        "roles": {role.value: counters.connections[role] for role in Role},
        "peak_sessions": today.peak_sessions,
        "peak_connections": today.peak_connections,
        "bundles": total.bundles,
        "bundle_bytes": total.bundle_bytes,
        "bytes_out": total.bytes_out,
        "bundles_last_minute": minute.bundles,
        "bundle_bytes_last_minute": minute.bundle_bytes,
        "bytes_out_last_minute": minute.bytes_out,
        "memory_bytes": meters.process.memory_bytes,
        "cpu_share": round(meters.process.cpu.shares.process, 4),
        "busy_share": round(meters.process.cpu.busy, 4),
        "loop_lag_ms": meters.sampler.loop_lag_ms,
        "state": meters.health.state,
    }
    if meters.cluster is not None:
        fields["bridged"] = meters.cluster.bridged_count
        fields["visitors"] = counters.inbound
        fields["nodes"] = len(meters.cluster.nodes)
        fields["redis"] = meters.cluster.directory.state
    if meters.managed is not None:
        fields["managed"] = managed_state(meters.managed)
        fields["managed_members"] = meters.managed.members_count
        fields["managed_channels"] = meters.managed.channels_count
    return fields


_STATE = (
    *("connections", "sessions", "roles", "bundles", "bundle_bytes", "state", "bridged"),
    *("visitors", "nodes", "redis", "managed", "managed_members", "managed_channels"),
)
"""The fields that stay as they are while nothing happens."""


def minute_state(fields: Mapping[str, object], reasons: Sequence[str]) -> object:
    """What has to change for another minute line to say something new.

    :param fields: those of the line.
    :param reasons: why the relay is not ``ok``. They have figures, so only their number counts.
    """
    return [fields.get(name) for name in _STATE], len(reasons)


def minute_line(meters: Meters) -> str:
    """The minute line, for people: who is connected, what has passed, how the process is."""
    counters, health = meters.counters, meters.health
    total = counters.totals
    minute = meters.sampler.last_minute(total)
    roles = ", ".join(f"{role.value} {counters.connections[role]}" for role in Role)
    cluster = ""
    if meters.cluster is not None:
        cluster = f"; {cluster_words(meters.cluster, counters.inbound)}"
    managed = "" if meters.managed is None else f"; {managed_words(meters.managed)}"
    state = "" if health.state == "ok" else f"; {health.state}: {', '.join(health.reasons)}"
    return (
        f"{show_count(counters.connection_count, 'connection')} ({roles}) in "
        f"{show_count(meters.session_count, 'session')}, peak today "
        f"{meters.days.today().peak_sessions}; "
        f"{show_count(total.bundles, 'bundle')}, {show_bytes(total.bundle_bytes)} since the start; "
        f"{show_count(minute.bundles, 'bundle')}, {show_bytes(minute.bundle_bytes)} in the last "
        f"minute; CPU {meters.process.cpu.shares.process:.0%} of a core, memory "
        f"{show_memory(meters.process.memory_bytes)}, loop lag "
        f"{meters.sampler.loop_lag_ms:.0f} ms{cluster}{managed}{state}"
    )


def day_line(day: Day, so_far: bool) -> str:
    """The line of a day, or of the current day up to now."""
    return (
        f"day {day.date}{' so far' if so_far else ''}: peak "
        f"{show_count(day.peak_sessions, 'session')}, "
        f"{show_count(day.peak_connections, 'connection')}; "
        f"{show_count(day.bundles, 'bundle')}, {show_bytes(day.bundle_bytes)}; "
        f"{show_bytes(day.bytes_out)} sent; {show_count(day.connections, 'client')} connected"
    )
