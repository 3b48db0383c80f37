"""`RoundTrip`: what a ping has measured."""

from typing import NamedTuple


class RoundTrip(NamedTuple):
    """How long a ping of the relay's and its answer have taken."""

    took_s: float
    at_s: float
    """When the answer came, in seconds of the monotonic clock."""
