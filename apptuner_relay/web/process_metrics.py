"""The metrics of the relay's process: its event loop, the CPU time that it takes, its log; and what
it was built from. prometheus-client has those of any process.
"""

import platform
from collections.abc import Iterator
from functools import cache

from prometheus_client.core import InfoMetricFamily, Metric

from apptuner_relay import __version__
from apptuner_relay.operator.meters import Meters
from apptuner_relay.support.version import commit
from apptuner_relay.web.metric_families import counter, gauge, histogram


def process_families(meters: Meters) -> Iterator[Metric]:
    """The families of every relay."""
    build = InfoMetricFamily("apptuner_relay_build", "What it was made from, and what it runs on.")
    build.add_metric([], _build_labels())
    yield build
    if meters.log is not None:
        yield counter(
            "log_lines_dropped",
            "Log lines that were dropped, as nobody read the log or it could not be written.",
            meters.log.dropped,
        )
    yield gauge(
        "loop_lag_seconds",
        "The longest delay of the event loop in the last ten seconds or so.",
        meters.sampler.loop_lag_ms / 1000,
    )
    yield histogram(
        "loop_delay_seconds",
        "How late the event loop was, measured four times a second.",
        meters.sampler.lag.delays,
    )
    cpu = meters.process.cpu
    times = cpu.read()
    yield counter(
        "loop_cpu_seconds",
        "CPU time of the event loop's thread, which can take one core at most.",
        times.loop_s,
    )
    yield counter(
        "worker_cpu_seconds",
        "CPU time of the bundle worker, which is a process of its own.",
        times.workers_s,
    )
    yield gauge(
        "usable_cores", "Cores that the relay may use: its affinity, and its CPU quota.", cpu.cores
    )
    yield gauge(
        "busy_ratio",
        "What the warnings of CPU go by: of what it can take, the share that the relay took in the "
        "last minute.",
        cpu.busy,
    )
    limit = meters.process.memory_limit
    if limit is not None:
        yield gauge(
            "memory_limit_bytes",
            "Memory that the process may use (--memory-limit, or the control group's).",
            limit,
        )


@cache
def _build_labels() -> dict[str, str]:
    from importlib.metadata import version

    return {
        "version": __version__,
        "commit": commit() or "",
        "python": platform.python_version(),
        "twisted": version("twisted"),
        "autobahn": version("autobahn"),
    }
