"""Short ways to metric families of Prometheus, with the relay's prefix in front of their names."""

from collections.abc import Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from apptuner_relay.operator.traffic import Histogram


def gauge(name: str, text: str, value: float) -> Metric:
    """A gauge without labels."""
    return GaugeMetricFamily(f"apptuner_relay_{name}", text, value=value)


def counter(name: str, text: str, value: float) -> Metric:
    """A counter without labels."""
    family = CounterMetricFamily(f"apptuner_relay_{name}", text)
    family.add_metric([], value)
    return family


def counters(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    """A counter with one label."""
    family = CounterMetricFamily(f"apptuner_relay_{name}", text, labels=[label])
    for value, count in values.items():
        family.add_metric([value], count)
    return family


def histogram(name: str, text: str, values: Histogram) -> Metric:
    """A histogram with all its buckets."""
    return HistogramMetricFamily(
        f"apptuner_relay_{name}", text, buckets=_buckets(values), sum_value=values.total
    )


def histograms(name: str, text: str, label: str, values: Mapping[str, Histogram]) -> Metric:
    """A histogram with one label."""
    family = HistogramMetricFamily(f"apptuner_relay_{name}", text, labels=[label])
    for value, one in values.items():
        family.add_metric([value], _buckets(one), one.total)
    return family


def _buckets(values: Histogram) -> list[tuple[str, float]]:
    bounds = [*(str(float(bound)) for bound in values.bounds), "+Inf"]
    counts = [float(count) for count in values.cumulative()]
    return list(zip(bounds, counts, strict=True))
