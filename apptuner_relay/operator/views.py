"""`Views`: what the status page and ``/api/`` show, as JSON-able rows. They only read.

No session id is in them: that is a credential. The first eight hex digits of its hash name a
session.
"""

from apptuner_relay import __version__
from apptuner_relay.operator.capacity import MEMORY_SHARE
from apptuner_relay.operator.cluster_view import cluster_row
from apptuner_relay.operator.history import COLUMNS
from apptuner_relay.operator.managed_view import managed_row
from apptuner_relay.operator.meters import Meters
from apptuner_relay.operator.session_rows import SessionRows
from apptuner_relay.session.session import Role
from apptuner_relay.support.clocks import in_ms
from apptuner_relay.support.version import commit

ADVICE_PATH = "/advice"
"""Where the relay says what to do about a warning, by its name."""
_MOST_NODES = 100
"""A status lists at most so many relays of a cluster; ``/api/nodes`` lists all."""


class Views:
    """Shows what the meters of a relay have."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._sessions = SessionRows(meters)

    def status(self) -> dict[str, object]:
        """What the status page and ``/api/status`` show."""
        meters = self._meters
        counters, health, process = meters.counters, meters.health, meters.process
        traffic = counters.traffic
        today = meters.days.today()
        now = counters.totals
        minute, history = meters.sampler.last_minute(now), meters.sampler.history
        return {
            "version": __version__,
            "commit": commit(),
            "node": meters.node,
            "started_ms": in_ms(meters.started_s),
            "now_ms": in_ms(meters.wall_s()),
            "uptime_s": round(meters.uptime_s, 1),
            "state": health.state,
            "reasons": health.reasons,
            "connections": {role.value: counters.connections[role] for role in Role},
            "sessions": meters.session_count,
            "total": {
                "bundles": now.bundles,
                "bundle_bytes": now.bundle_bytes,
                "bytes_in": counters.bytes_in,
                "bytes_out": now.bytes_out,
                "messages_in": traffic.received,
                "messages_out": traffic.sent,
                "connections": sum(counters.accepted.values()),
            },
            "last_minute": {
                "bundles": minute.bundles,
                "bundle_bytes": minute.bundle_bytes,
                "bytes_out": minute.bytes_out,
            },
            "memory_bytes": process.memory_now(),
            "memory_limit_bytes": process.memory_limit,
            "loop_lag_ms": meters.sampler.loop_lag_ms,
            "capacity": meters.capacity.row(),
            "spool": self._spool(),
            "cluster": self.cluster(_MOST_NODES),
            "managed": self._managed(),
            "descriptors": process.descriptors,
            "descriptors_limit": process.descriptors_limit,
            "today": today.row(),
            "days": [day.row() for day in meters.days.book.past()],
            "reload": {
                "median_s": today.reload_median_ms / 1000 if today.reloads else None,
                "p95_s": today.reload_p95_ms / 1000 if today.reloads else None,
                "count": today.reloads,
                "failed": today.failed,
            },
            "sending_bytes_per_s": round(history.bytes_per_s),
            "columns": list(COLUMNS),
            "hour": history.hour(),
            "day": history.day(),
            "month": [day.row() for day in meters.days.book.month()],
            "events": meters.events.rows(),
            "worries": [
                condition.row() | {"advice_url": f"{ADVICE_PATH}#{condition.name}"}
                for condition in health.conditions.active
            ],
            "past_worries": [past.row() for past in health.conditions.past],
            "thresholds": self._thresholds(),
        }

    def sessions(
        self, most: int | None = None, prefix: str = "", has_bundles: bool = True
    ) -> list[dict[str, object]]:
        """See `SessionRows.rows`."""
        return self._sessions.rows(most, prefix, has_bundles)

    def cluster(self, most: int | None = None) -> dict[str, object] | None:
        """The cluster, with ``most`` of its relays; None for a relay that is alone."""
        meters = self._meters
        if meters.cluster is None:
            return None
        inbound = meters.counters.inbound
        return cluster_row(meters.cluster, inbound, meters.now_s, meters.wall_s(), most)

    def _managed(self) -> dict[str, object] | None:
        managed = self._meters.managed
        return None if managed is None else managed_row(managed, self._meters.now_s)

    def _thresholds(self) -> dict[str, dict[str, float | None]]:
        """Where the warnings begin whose figures the status has, by the figure and the level; None
        where the operator wants none."""
        settings, process = self._meters.settings, self._meters.process
        lag, share = settings.lag_limit, settings.descriptors_limit
        memory = process.memory_limit
        return {
            "sessions": {"notice": settings.notice_sessions, "warning": settings.warning_sessions},
            "busy_share": {"notice": settings.notice_cpu, "warning": settings.warning_cpu},
            "loop_lag_ms": {"warning": None if lag is None else 1000 * lag},
            "memory_bytes": {"warning": None if memory is None else MEMORY_SHARE * memory},
            "descriptors": {"warning": share and share * process.descriptors_limit},
        }

    def _spool(self) -> dict[str, object] | None:
        spool = self._meters.relay.spool
        if spool is None:
            return None
        return {
            "off": spool.off,
            "bundles": spool.bundles,
            "used_bytes": spool.used_bytes,
            "limit_bytes": spool.limit_bytes,
            "evicted": spool.evicted,
        }
