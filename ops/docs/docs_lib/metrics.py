# ruff: noqa: E501 (a paragraph is one line in a page)
"""docs/reference/metrics.md: the metrics of ``GET /metrics`` and the warnings of a relay, from what
the relay itself exposes.

It makes the meters of a relay that has everything: a spool, TLS, a log of its own, a cluster, a
managed service. Each is added to a relay without it, and what that adds to the metrics is what needs it.
"""

from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import Metric
from twisted.internet.task import Clock

from apptuner_relay.config.groups.warning_settings import WarningSettings
from apptuner_relay.flow.slow_consumers import SlowConsumers
from apptuner_relay.operator.managed_counters import ManagedCounters
from apptuner_relay.operator.meters import Meters
from apptuner_relay.operator.observed import RelayView
from apptuner_relay.web.metrics import MeterCollector

PATH = "docs/reference/metrics.md"

INTRODUCTION = """\
# Metrics

`GET /metrics` serves these metrics to Prometheus, in its text format or, if the scraper accepts it, in OpenMetrics 1.0. A request needs the admin token or, where there is none, must come from the relay's own machine; `--metrics open` serves everybody. No label holds a session id. [ops/prometheus](../../ops/prometheus/README.md) has a configuration and alerts, [ops/grafana](../../ops/grafana/README.md) a dashboard.

Counters start at 0 with the process. Every value of a label is exposed from the start, except rare close codes and HTTP statuses. `ops/docs/run` makes this page from the code.
"""
WARNINGS_INTRODUCTION = """\
## Warnings

A relay watches conditions, and warns of each that lasts. A warning that starts or ends is a line in the log, an alert to `--alert-url` and a change of `apptuner_relay_worry{name,level}`; while it is active it is on the status page, and in `worries` of `/api/status`. Of a notice and a warning about the same, only the higher one is active. One that degrades the relay stands in `/health` as well, with 503, so that monitors notice and new clients are sent elsewhere; those of a managed service with 200, as every other relay misses it too.

[Troubleshooting](../how-to/troubleshoot.md#warnings) says more of what to do about each.

| name | level | degrades | watched | active while | what to do |
|---|---|---|---|---|---|
"""

_UNITS = {
    "_timestamp_seconds": "seconds since the epoch",
    "_start_time_seconds": "seconds since the epoch",
    "_seconds": "seconds",
    "_bytes": "bytes",
    "_ratio": "a share of 1",
    "_cores": "cores",
}
LABELS = {
    "role": "the role of the client",
    "kind": "the message's `type`; `binary` for binary messages, `notice` for the relay's own, `other` for any other text",
    "code": "the close code (RFC 6455 §7.4.1)",
    "le": "the upper bound of the bucket",
    "version": "the relay's version",
    "commit": "the commit it was built from; empty where that is unknown",
    "python": "Python's version",
    "twisted": "Twisted's",
    "autobahn": "Autobahn's",
    "node": "the relay's name: `--node`, else the host's name",
    "name": "the warning, see below",
    "level": "`notice` or `warning`",
    "refusal": "the service's own code (4000 to 4399), or the HTTP status; `other` for any other number",
}
"""What labels mean whose values are not a short list."""
WARNINGS = {
    "sessions_notice": (
        "there have been more sessions than `--notice-sessions` for `--tune warning-time`; that is off by default",
        "You set the limit. [What a relay carries](capacity.md) says more than a count; `apptuner-relay plan --from URL` says what more users would take.",
    ),
    "sessions_warning": (
        "there have been more sessions than `--warning-sessions` for `--tune warning-time`; that is off by default",
        "You set the limit. Start another relay, or raise it.",
    ),
    "cpu_notice": (
        "for `--tune warning-time` the event loop has taken more than `--tune notice-cpu` of a core, or the whole relay as much of the cores that it may use",
        "Plan another relay: `apptuner-relay plan --from URL`.",
    ),
    "cpu_warning": (
        "likewise, more than `--tune warning-cpu`",
        "Start another relay ([how](../how-to/several-relays.md)), or have phones and CLIs send only what has changed ([how](../how-to/send-only-what-changed.md)).",
    ),
    "loop_lag": (
        "the event loop has been later than `--tune lag-limit` for a minute",
        "Where the relay is busy, start another one. Where it is not, something else has its core: look at steal time and at what else runs there.",
    ),
    "memory": (
        "the process has used more than 90% of `--memory-limit` for a minute",
        "Raise the limit of the container or service, or send clients to another relay.",
    ),
    "descriptors": (
        "more than `--tune descriptors-limit` of the file descriptors have been open for a minute",
        "Raise `LimitNOFILE` (`ulimit -n`).",
    ),
    "descriptors_used_up": (
        "clients are refused with 503 for want of file descriptors, or soon will be",
        "Raise `LimitNOFILE` (`ulimit -n`).",
    ),
    "spool": (
        "the disk of the spool has failed; messages are still relayed, new bundles are not cached",
        "Repair the disk, or make room. The relay tries again by itself, every 10 s to 5 min.",
    ),
    "spool_budget": (
        "cached bundles take more than 90% of `--spool-limit`, or were evicted within `--tune warning-time`",
        "Raise `--spool-limit`, or lower `--bundle-ttl`.",
    ),
    "claims_file": (
        "the file of claims can't be written, or another relay has it: at a restart its claims would be lost",
        "The warning says why. Give the relay a `--state-dir` of its own that it can write. It tries again by itself, every 10 s.",
    ),
    "state_dir": (
        "daily metrics can't be saved, for instance as another relay has `--state-dir`",
        "As for `claims_file`.",
    ),
    "certificate": (
        "the TLS certificate expires within `--tls-expiry-days`, or has expired",
        "Renew it; the relay loads the new one by itself.",
    ),
    "certificate_renewal": (
        "the certificate's files have changed, and can't be loaded; the old certificate is used",
        "The warning says what is wrong with them. Put the right pair in place.",
    ),
    "log": (
        "nobody reads the log, or it can't be written",
        "Look at what reads the relay's standard output, or at the disk of `--logfile`.",
    ),
    "redis": (
        "Redis has been unreachable for 5 seconds",
        "Start Redis, or repair the network to it. Relays go on with the sessions that they have.",
    ),
    "claims": (
        "Redis has refused to store claims, or its connection for claims has been lost, for 5 seconds",
        "The warning has Redis' error code. Point `--redis` at the master; give it memory and rights.",
    ),
    "redis_eviction": (
        "Redis drops keys when it is full (`maxmemory-policy`)",
        "Set `maxmemory-policy noeviction`.",
    ),
    "managed": (
        "no event could be published to the managed service for 5 seconds",
        "Start it, or repair the network to it. Everybody else goes on, and who was in a channel asks for the state when it is back.",
    ),
    "managed_refusal": (
        "the managed service refuses the connection, the credentials or events until somebody changes something: 4001 (no such application), 4004 or 403 (a quota is used up), 401 (a wrong secret)",
        "The warning has the code and the reason. Mend the application, the secret or the plan; the relay tries again by itself, every few minutes.",
    ),
}
"""When each warning is active, and what an operator can do."""


class Equipment(NamedTuple):
    """What a relay may have, and its metrics need."""

    title: str
    spool: bool = False
    certificate: bool = False
    log: bool = False
    claims_file: bool = False
    days: bool = False
    cluster: bool = False
    managed: bool = False
    memory_limit: bool = False


EQUIPMENT = (
    Equipment("every relay"),
    Equipment("memory limit", memory_limit=True),
    Equipment("log of the relay's own", log=True),
    Equipment("`--spool-dir`", spool=True),
    Equipment("file of claims", claims_file=True),
    Equipment("`--state-dir`", days=True),
    Equipment("TLS", certificate=True),
    Equipment("`--redis`", cluster=True),
    Equipment("`--managed`", managed=True),
)
"""A relay with nothing, and then with each thing that adds metrics."""
_NEEDS = {
    "every relay": "always",
    "memory limit": "with `--memory-limit`, or in a control group with a limit",
    "log of the relay's own": "unless twistd has another `--logger`",
    "`--spool-dir`": "with a spool (`--spool-dir`)",
    "file of claims": "without `--redis`, unless `--state-dir` or `--claims` is `off`",
    "`--state-dir`": "unless `--state-dir` is `off`",
    "TLS": "with `tls:` endpoints",
    "`--redis`": "with `--redis`",
    "`--managed`": "with `--managed`",
}


def make_meters(equipment: Equipment) -> Meters:
    """The meters of a relay that has nothing but ``equipment``."""
    clock = Clock()
    spool: Any = SimpleNamespace(
        evicted=0, limit_bytes=1, off=None, failures=0, bundles=0, used_bytes=0, backlog_bytes=0
    )
    view = RelayView(
        clients=(),
        sessions={},
        slow=SlowConsumers(1.0, 1.0, clock.seconds),
        access=SimpleNamespace(limited=Counter(), denied=Counter(), failed_joins=0),
        spool=spool if equipment.spool else None,
        descriptors=lambda: SimpleNamespace(limit=1, kept=0, are_used_up=False),
        is_draining=lambda: False,
        is_stopping=lambda: False,
    )
    settings = WarningSettings(memory_limit=1 if equipment.memory_limit else 0)
    meters = Meters(settings, clock, clock.seconds, view)
    if equipment.certificate:
        certificate: Any = SimpleNamespace(
            refused=None, reloads=Counter(), expires_s=1e9, expires="", shown=""
        )
        meters.watch_certificate(certificate)
    if equipment.claims_file:
        claims_file: Any = SimpleNamespace(trouble=None, bad_lines=0)
        meters.watch_claims_file(claims_file)
    if equipment.days:
        meters.watch_days(lambda: None)
    if equipment.log:
        log: Any = SimpleNamespace(dropped=0, trouble=None)
        meters.watch_log(log)
    if equipment.cluster:
        cluster: Any = SimpleNamespace(
            node="",
            nodes=(),
            bridged_count=0,
            claims=SimpleNamespace(
                state="connected", unreachable_since_s=None, refusal=None, refusals=0
            ),
            directory=SimpleNamespace(
                state="connected",
                eviction_policy=None,
                counters=SimpleNamespace(commands=0, claims=0, lost=0),
            ),
        )
        meters.watch_cluster(cluster)
    if equipment.managed:
        counters = ManagedCounters()
        counters.round_trip_s = 0.0
        managed: Any = SimpleNamespace(
            is_up=True,
            away_since_s=None,
            refusal=None,
            members_count=0,
            channels_count=0,
            counters=counters,
        )
        meters.watch_managed(managed)
    return meters


def families(equipment: Equipment) -> dict[str, Metric]:
    """The relay's own metrics, by name."""
    return {metric.name: metric for metric in MeterCollector(make_meters(equipment)).collect()}


def watched() -> dict[str, tuple[str, str, bool]]:
    """Level, equipment and whether it degrades, of every warning by name."""
    found: dict[str, tuple[str, str, bool]] = {}
    for equipment in EQUIPMENT:
        conditions = make_meters(equipment).health.conditions
        for name, level in conditions.levels.items():
            found.setdefault(name, (level.value, equipment.title, name in conditions.degrading))
    return found


def render() -> str:
    """The page."""
    return "\n".join([INTRODUCTION, *_sections(), _process(), _warnings()])


def _sections() -> Iterator[str]:
    base = families(EQUIPMENT[0])
    for equipment in EQUIPMENT:
        own = families(equipment)
        added = [own[name] for name in own if equipment is EQUIPMENT[0] or name not in base]
        if not added:
            continue
        rows = "\n".join(_row(metric) for metric in added)
        title = (
            "Metrics of " + equipment.title if equipment is EQUIPMENT[0] else _capital(equipment)
        )
        needs = "" if equipment is EQUIPMENT[0] else f"{_NEEDS[equipment.title].capitalize()}.\n\n"
        yield f"## {title}\n\n{needs}| metric | type | unit | labels | meaning |\n|---|---|---|---|---|\n{rows}\n"


def _capital(equipment: Equipment) -> str:
    names = {
        "`--spool-dir`": "Spool",
        "`--redis`": "Cluster",
        "`--managed`": "Managed service",
        "memory limit": "Memory limit",
    }
    return names.get(equipment.title, equipment.title[0].upper() + equipment.title[1:])


def _row(metric: Metric) -> str:
    text = metric.documentation.replace("|", "\\|")
    return (
        f"| `{_exposed(metric)}` | {metric.type} | {_unit(metric)} | {_labels(metric)} | {text} |"
    )


def _unit(metric: Metric) -> str:
    for end, unit in _UNITS.items():
        if metric.name.endswith(end):
            return unit
    is_state = metric.type in ("info", "unknown") or metric.documentation.startswith("1 ")
    return "1 or 0" if is_state or metric.name == "python_info" else "count"


def _exposed(metric: Metric) -> str:
    suffixes = {"counter": "_total", "info": "_info"}
    return metric.name + suffixes.get(metric.type, "")


def _labels(metric: Metric) -> str:
    values: dict[str, list[str]] = {}
    for sample in metric.samples:
        for label, value in sample.labels.items():
            known = values.setdefault(label, [])
            if value not in known:
                known.append(value)
    shown = [
        f"`{label}`: " + (LABELS.get(label) or ", ".join(f"`{value}`" for value in those))
        for label, those in values.items()
    ]
    return "; ".join(shown)


def _process() -> str:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    rows = "\n".join(
        f"| `{_exposed(metric)}` | {metric.type} | {_unit(metric)} | "
        f"{metric.documentation.rstrip('.')}. |"
        for metric in registry.collect()
    )
    return (
        "## Process\n\nFrom [prometheus-client](https://prometheus.github.io/client_python/), "
        f"on Linux.\n\n| metric | type | unit | meaning |\n|---|---|---|---|\n{rows}\n"
    )


def _warnings() -> str:
    rows = []
    for name, (level, equipment, degrades) in watched().items():
        when, action = WARNINGS[name]
        needs = _NEEDS[equipment]
        rows.append(
            f"| `{name}` | {level} | {'yes' if degrades else 'no'} | {needs} | {when} | {action} |"
        )
    return WARNINGS_INTRODUCTION + "\n".join(rows) + "\n"
