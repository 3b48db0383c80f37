"""What the bench reads of a relay's own metrics."""

import re
import urllib.request

_DELAY = re.compile(
    rb'^apptuner_relay_loop_delay_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE
)


def delays_in(metrics: bytes) -> dict[float, float]:
    """How often the event loop was at most so late, by the bounds of the histogram, in seconds."""
    return {float(bound): float(count) for bound, count in _DELAY.findall(metrics)}


def delays_of(port: int) -> dict[float, float]:
    """The same of the relay at ``port`` of 127.0.0.1, now.

    :raises OSError: it doesn't answer.
    """
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return delays_in(answer.read())
