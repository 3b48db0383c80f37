"""`Meters`: who is there and what has passed, put together for everybody who shows it.

It reads, and counts what happens seldom: clients that come, go or are refused. It does no I/O but
to ask /proc what the process uses.
"""

import socket
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from heapq import nlargest
from typing import TYPE_CHECKING, NamedTuple

from twisted.internet.interfaces import IReactorTime

from apptuner_relay import __version__
from apptuner_relay.clocks import WallClock, in_ms
from apptuner_relay.meters import process
from apptuner_relay.meters.cluster import Cluster, cluster_row, watch_cluster
from apptuner_relay.meters.days import Day, Days
from apptuner_relay.meters.lag import LoopLag
from apptuner_relay.meters.thresholds import (
    Certificate,
    Descriptors,
    Log,
    Spool,
    watch_certificate,
    watch_descriptors,
    watch_log,
    watch_spool,
    watch_thresholds,
)
from apptuner_relay.meters.traffic import Traffic
from apptuner_relay.meters.worries import Change, Worries
from apptuner_relay.options import Settings
from apptuner_relay.session import Role

if TYPE_CHECKING:
    from apptuner_relay.access.access import Access
    from apptuner_relay.member import Member
    from apptuner_relay.service import Attendee
    from apptuner_relay.session import Session
    from apptuner_relay.slow import SlowSinks

SAMPLE_INTERVAL_S = 10.0
"""How often `Meters.sample` is to be called."""
_HOUR_SAMPLES = 360
_MINUTE_S = 60.0
_SLOW_AFTER_S = 5.0
"""A client that has not taken all that it was sent for so long is shown as slow."""
_MOST_NODES = 100
"""So many relays of a cluster are in a status; ``/api/nodes`` has all."""


class Totals(NamedTuple):
    """What has passed so far, at one time of the monotonic clock."""

    at_s: float
    bundles: int
    bundle_bytes: int
    bytes_out: int


class Meters:
    """Reads and counts.

    :param clock: the monotonic clock.
    :param wall_s: the time of day.
    :param members: every client there is, as the service keeps them.
    :param sessions: likewise the sessions, by hash.
    """

    def __init__(
        self,
        settings: Settings,
        clock: IReactorTime,
        wall_s: WallClock,
        members: "Collection[Attendee]",
        sessions: "Mapping[str, Session[Member]]",
        slow: "SlowSinks",
    ) -> None:
        self.settings = settings
        self.traffic = Traffic()
        self.lag = LoopLag(clock)
        self.worries = Worries()
        self.node = socket.gethostname()
        self.draining = False
        """Whether the relay is on its way out: it takes in nobody any more."""
        self.connections: Counter[Role] = Counter()
        self.visitors = 0
        """Members of sessions here that are connected to other relays, and counted there."""
        self.accepted: Counter[Role] = Counter()
        """Clients that came, since the start."""
        self.closes: Counter[int] = Counter()
        """Connections that ended, by the close code of RFC 6455 §7.4.1."""
        self.refusals: Counter[int] = Counter()
        """Handshakes that were refused, by HTTP status."""
        self.turned_away: Counter[str] = Counter()
        """Connections that never got to HTTP, by one of `front.REASONS`."""
        self.forwarded: Counter[str] = Counter()
        """Requests for other programs, by one of `web.request.RESULTS`."""
        self.alerts: Counter[str] = Counter()
        """What became of alerts: ``delivered``, ``failed`` or ``dropped``."""
        self.access: Access | None = None
        """What counts who was not let in, and why."""
        self._clock = clock
        self.wall_s = wall_s
        self._members = members
        self._sessions = sessions
        self._slow = slow
        self._gone_in = 0
        self._gone_out = 0
        self._fewest_sessions = 0
        self._lag_s = 0.0
        self._began_s = clock.seconds()
        self.started_s = wall_s()
        """When this relay started, by the wall clock as it was then."""
        self.days = Days(self.started_s)
        self._over: list[Day] = []
        self._hour: deque[list[float]] = deque(maxlen=_HOUR_SAMPLES)
        self._counted = self.totals
        """What `days` has of it."""
        self._samples: deque[Totals] = deque([self._counted])
        self.spool: Spool | None = None
        self.certificate: Certificate | None = None
        self.log: Log | None = None
        self.cluster: Cluster | None = None
        """None for a relay that is alone."""
        self.memory_limit = settings.memory_limit
        if self.memory_limit is None:
            self.memory_limit = process.cgroup_memory_limit()
        self.memory_limit = self.memory_limit or None
        self.descriptors_limit = process.descriptors_limit()
        self._look_at_process()
        watch_thresholds(self)

    # What the service says

    def watch_spool(self, spool: Spool) -> None:
        """Bundles are kept in ``spool``."""
        self.spool = spool
        watch_spool(self.worries, spool, self._clock.seconds, self.settings.worry_time)

    def watch_certificate(self, certificate: Certificate) -> None:
        """TLS clients are shown ``certificate``."""
        self.certificate = certificate
        days = self.settings.tls_expiry_days
        watch_certificate(self.worries, certificate, self.wall_s, days)

    def watch_cluster(self, cluster: Cluster) -> None:
        """Sessions are shared with other relays, among which this one has a name. May be called
        again with the same one."""
        if self.cluster is None:
            self.cluster = cluster
            watch_cluster(self.worries, cluster, self._clock.seconds)
        self.node = cluster.node

    def watch_descriptors(self, descriptors: Callable[[], Descriptors]) -> None:
        """What ``descriptors`` gives says whether any are left for clients."""
        watch_descriptors(self.worries, descriptors)

    def watch_log(self, log: Log) -> None:
        """What happens is told to ``log``."""
        self.log = log
        watch_log(self.worries, log)

    def joined(self, member: "Attendee") -> None:
        """A client has come in."""
        if member.through is not None:
            self.visitors += 1
            return
        self._turn_day()
        self.connections[member.role] += 1
        self.accepted[member.role] += 1
        self.days.today.connections += 1
        self._raise_peaks()

    def left(self, member: "Attendee", code: int) -> None:
        """A client's connection has gone; ``code`` is the close code (RFC 6455 §7.4.1)."""
        self._fewest_sessions = min(self._fewest_sessions, len(self._sessions))
        if member.session is not None:
            member.session.bytes_in += member.bytes_in
            member.session.bytes_out += member.sink.written
        if member.through is not None:
            self.visitors -= 1
            return
        self.connections[member.role] -= 1
        self.closes[code] += 1
        self._gone_in += member.bytes_in
        self._gone_out += member.sink.written

    def refused(self, status: int) -> None:
        """A handshake was refused with an HTTP status."""
        self.refusals[status] += 1

    def turn_away(self, reason: str) -> None:
        """A connection never got to HTTP; ``reason`` is one of `front.REASONS`."""
        self.turned_away[reason] += 1

    def forward(self, result: str) -> None:
        """A request for another program is over; ``result`` is one of `web.request.RESULTS`."""
        self.forwarded[result] += 1

    def check_worries(self) -> list[Change]:
        """Look for what is worth a worry; returns what has started or ended."""
        self._look_at_process()
        changes = self.worries.check(self._clock.seconds(), self.wall_s())
        self._fewest_sessions = len(self._sessions)
        return changes

    def sample(self) -> None:
        """Take the figures of the last `SAMPLE_INTERVAL_S`."""
        self._turn_day()
        before, now = self._samples[-1], self.totals
        now_ms = in_ms(self.wall_s())
        # Where the wall clock was put back, what it showed before can't stand in a chart.
        while self._hour and self._hour[-1][0] >= now_ms:
            self._hour.pop()
        self._samples.append(now)
        while len(self._samples) > 1 and self._samples[1].at_s <= now.at_s - _MINUTE_S:
            self._samples.popleft()
        self._lag_s = self.lag.take()
        lasted_s = now.at_s - before.at_s
        rate = max(0, now.bytes_out - before.bytes_out) / lasted_s if lasted_s > 0 else 0.0
        self._hour.append(
            [
                now_ms,
                len(self._sessions),
                sum(self.connections.values()),
                round(rate),
                self.loop_lag_ms,
            ]
        )

    def days_over(self) -> list[Day]:
        """The days that have ended since the last call."""
        self._turn_day()
        over, self._over = self._over, []
        return over

    # What is read

    @property
    def reasons(self) -> list[str]:
        """Why a load balancer should send clients elsewhere."""
        reasons = ["The relay restarts"] if self.draining else []
        return reasons + [worry.text for worry in self.worries.active if worry.degrades]

    @property
    def state(self) -> str:
        """``ok``, ``degraded`` or ``draining``."""
        if self.draining:
            return "draining"
        return "degraded" if self.reasons else "ok"

    @property
    def uptime_s(self) -> float:
        return self._clock.seconds() - self._began_s

    @property
    def session_count(self) -> int:
        return len(self._sessions)

    @property
    def fewest_sessions(self) -> int:
        """The fewest sessions that there were at once since the last `check_worries`."""
        return min(self._fewest_sessions, len(self._sessions))

    @property
    def bytes_in(self) -> int:
        """Bytes that clients have sent, over their WebSockets."""
        own = (member for member in self._members if member.through is None)
        return self._gone_in + sum(member.bytes_in for member in own)

    @property
    def bytes_out(self) -> int:
        """Bytes that clients were sent, over their WebSockets."""
        own = (member for member in self._members if member.through is None)
        return self._gone_out + sum(member.sink.written for member in own)

    @property
    def loop_lag_ms(self) -> float:
        """The worst lag of the last ten seconds or so."""
        return round(1000 * max(self._lag_s, self.lag.worst_s), 1)

    @property
    def paused_sources(self) -> int:
        """Clients that are not read from, as others don't take what they send."""
        return sum(member.source.held for member in self._members)

    @property
    def slow_sinks(self) -> int:
        """Clients that have not taken all that they were sent for some seconds."""
        return sum(self._is_slow(member) for member in self._members)

    @property
    def totals(self) -> Totals:
        """What has passed since the start."""
        traffic = self.traffic
        return Totals(self._clock.seconds(), traffic.bundles, traffic.bundle_bytes, self.bytes_out)

    def last_minute(self, now: Totals) -> Totals:
        """What of ``now`` has passed in the last minute, or since the start."""
        before = self._samples[0]
        return Totals(
            now.at_s,
            now.bundles - before.bundles,
            now.bundle_bytes - before.bundle_bytes,
            max(0, now.bytes_out - before.bytes_out),
        )

    def today(self) -> Day:
        """The day that goes on, up to now."""
        self._turn_day()
        self._count_day(self.totals)
        return self.days.today

    def status(self) -> dict[str, object]:
        """What the status page and ``/api/status`` show, JSON-able."""
        today = self.today()
        now = self.totals
        minute = self.last_minute(now)
        traffic = self.traffic
        return {
            "version": __version__,
            "node": self.node,
            "started_ms": in_ms(self.started_s),
            "now_ms": in_ms(self.wall_s()),
            "uptime_s": round(self.uptime_s, 1),
            "state": self.state,
            "reasons": self.reasons,
            "connections": {role.value: self.connections[role] for role in Role},
            "sessions": len(self._sessions),
            "total": {
                "bundles": now.bundles,
                "bundle_bytes": now.bundle_bytes,
                "bytes_in": self.bytes_in,
                "bytes_out": now.bytes_out,
                "messages_in": traffic.received,
                "messages_out": traffic.sent,
                "connections": sum(self.accepted.values()),
            },
            "last_minute": {
                "bundles": minute.bundles,
                "bundle_bytes": minute.bundle_bytes,
                "bytes_out": minute.bytes_out,
            },
            "memory_bytes": process.memory_bytes(),
            "memory_limit_bytes": self.memory_limit,
            "loop_lag_ms": self.loop_lag_ms,
            "spool": self._spool_row(),
            "cluster": self.cluster_row(_MOST_NODES),
            "descriptors": self.descriptors,
            "descriptors_limit": self.descriptors_limit,
            "today": today.row(),
            "days": [day.row() for day in self.days.past()],
            "hour": [list(row) for row in self._hour],
            "worries": [worry.row() for worry in self.worries.active],
        }

    def sessions(self, most: int | None = None) -> list[dict[str, object]]:
        """A row for each session, or for ``most`` of them: those that have a slow client or several
        CLIs first, and then those that were sent the most bytes. None has a session id: that is a
        credential; the first eight hex digits of its hash name it."""

        def weight(session: "Session[Member]") -> tuple[bool, int]:
            return self._has_slow(session) or len(session.clis) > 1, _bytes_out(session)

        count = len(self._sessions) if most is None else most
        return [self._session_row(one) for one in nlargest(count, self._sessions.values(), weight)]

    def cluster_row(self, most: int | None = None) -> dict[str, object] | None:
        """The cluster, with ``most`` of its relays; None for a relay that is alone."""
        if self.cluster is None:
            return None
        return cluster_row(self.cluster, self.visitors, self._clock.seconds(), self.wall_s(), most)

    def _spool_row(self) -> dict[str, object] | None:
        spool = self.spool
        if spool is None:
            return None
        return {
            "off": spool.off,
            "bundles": spool.bundles,
            "used_bytes": spool.used_bytes,
            "limit_bytes": spool.limit_bytes,
            "evicted": spool.evicted,
        }

    def _session_row(self, session: "Session[Member]") -> dict[str, object]:
        now_s = self._clock.seconds()
        members = session.members
        return {
            "session": session.label,
            "roles": [role.value for role in Role for one in members if one.role is role],
            "devices": [
                {
                    "deviceId": member.device.device_id,
                    "name": member.device.name,
                    "platform": member.device.platform,
                }
                for member in session.mobiles
                if member.device is not None
            ],
            "clients": [
                {"role": one.role.value, "address": one.admission.address}
                for role in Role
                for one in members
                if one.role is role
            ],
            "several_clis": len(session.clis) > 1,
            "age_s": round(now_s - session.since_s, 1),
            "idle_s": round(now_s - session.last_activity_s, 1),
            "bytes_in": session.bytes_in + sum(member.bytes_in for member in members),
            "bytes_out": _bytes_out(session),
            "slow": self._has_slow(session),
        }

    def _has_slow(self, session: "Session[Member]") -> bool:
        return any(self._is_slow(member) for member in session.members)

    def _is_slow(self, member: "Attendee") -> bool:
        return self._slow.waits_s(member.sink) >= _SLOW_AFTER_S

    def _count_day(self, now: Totals) -> None:
        """Add to today what has passed since the last time."""
        today, before = self.days.today, self._counted
        today.bundles += now.bundles - before.bundles
        today.bundle_bytes += now.bundle_bytes - before.bundle_bytes
        today.bytes_out += max(0, now.bytes_out - before.bytes_out)
        self._counted = now

    def _turn_day(self) -> None:
        wall_s = self.wall_s()
        if self.days.is_over(wall_s):
            self._count_day(self.totals)
            over = self.days.turn(wall_s)
            if over is not None:
                self._over.append(over)
            self._raise_peaks()

    def _raise_peaks(self) -> None:
        today = self.days.today
        today.peak_sessions = max(today.peak_sessions, len(self._sessions))
        today.peak_connections = max(today.peak_connections, sum(self.connections.values()))

    def _look_at_process(self) -> None:
        self.memory_bytes = process.memory_bytes()
        self.descriptors = process.descriptors()


def _bytes_out(session: "Session[Member]") -> int:
    return session.bytes_out + sum(member.sink.written for member in session.members)
