"""Counters of messages and bundles, which the data path increments.

Bytes are those of messages' payloads, by type. Connections and sinks count the bytes that went over
the wire, with those of frame headers.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence

from apptuner_relay.wire.bundle_patch import PATCH_TYPE, PatchFault
from apptuner_relay.wire.messages import BUNDLE_TYPES

BINARY_KIND = "binary"
PATCH_RESULTS = ("taken", "overtaken", *(fault.value for fault in PatchFault))
"""What may become of a patch that a client sends: it is its session's bundle, another bundle has
begun meanwhile, or it is refused."""
NOTICE_KIND = "notice"
"""The relay's own messages: the welcome, pongs, clients that connect and disconnect, errors."""
OTHER_KIND = "other"
"""Text of any type that is not listed: clients may send any number of types."""
KINDS = (
    "bundle_update",
    "bundle_start",
    "bundle_chunk",
    PATCH_TYPE,
    "bundle_ack",
    "console_log",
    "ping",
    BINARY_KIND,
    NOTICE_KIND,
    OTHER_KIND,
)

BUNDLE_SIZES_BYTES = tuple(
    round(megabytes * 1_000_000) for megabytes in (0.1, 0.5, 1, 2, 5, 10, 15, 20, 30, 40, 50)
)
BUNDLE_DURATIONS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)

_TOTAL_CHUNKS = re.compile(rb'"totalChunks"\s*:\s*([0-9]{1,9})')


class Tally:
    """Messages of one kind: whole ones that clients have sent, and those sent to clients.

    A message for three phones is received once and sent three times, whatever coding each gets it
    in. Its bytes are those with which it was received.
    """

    __slots__ = ("received", "received_bytes", "sent", "sent_bytes")

    def __init__(self) -> None:
        self.received = 0
        self.received_bytes = 0
        self.sent = 0
        self.sent_bytes = 0

    def passed(self, count: int, size: int, reach: int) -> None:
        """``count`` messages of ``size`` bytes together were received, for ``reach`` clients."""
        self.received += count
        self.received_bytes += size
        self.sent += count * reach
        self.sent_bytes += size * reach

    def said(self, size: int) -> None:
        """The relay itself has sent one of ``size`` bytes to one client."""
        self.sent += 1
        self.sent_bytes += size


class Histogram:
    """Counts values by size, as Prometheus' histograms do.

    :param bounds: the upper bounds of the buckets, inclusive and ascending.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.total: float = 0
        self._counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        self.total += value
        self._counts[bisect_left(self.bounds, value)] += 1

    @property
    def count(self) -> int:
        return sum(self._counts)

    def cumulative(self) -> list[int]:
        """How many values were at most each bound; the last one counts all."""
        sums: list[int] = []
        for count in self._counts:
            sums.append(count + (sums[-1] if sums else 0))
        return sums


class Traffic:
    """What has passed since the start."""

    def __init__(self) -> None:
        self.tallies = {kind: Tally() for kind in KINDS}
        self.notices = self.tallies[NOTICE_KIND]
        self.binary = self.tallies[BINARY_KIND]
        self.pings = self.tallies["ping"]
        self.bundle_sizes = Histogram(BUNDLE_SIZES_BYTES)
        self.bundle_durations = Histogram(BUNDLE_DURATIONS_S)
        self.bundles = 0
        self.bundle_bytes = 0
        self.dropped_logs = 0
        """Console logs that were dropped, as their phone exceeded the message rate."""
        self.throttled = 0
        """How often a client was not read from for a while, as it exceeded the message rate."""
        self.patch_saved_bytes = 0
        """By how many bytes the patches that phones were sent are smaller than what they make."""
        self.compression_saved_bytes = 0
        """By how many bytes the compressed bundles that phones were sent are smaller than inflated:
        see `bundle_log.BundleLog.saved_bytes`."""
        self.patches: Counter[str] = Counter()
        """Patches that clients have sent, by one of `PATCH_RESULTS`."""
        self._other = self.tallies[OTHER_KIND]

    def tally(self, kind: str | None) -> Tally:
        """The tally of a text message's ``type``."""
        return self.tallies.get(kind, self._other) if kind is not None else self._other

    def bundle_passed(self, size: int, duration_s: float) -> None:
        """A whole bundle has passed: ``size`` bytes as received, within ``duration_s``."""
        self.bundles += 1
        self.bundle_bytes += size
        self.bundle_sizes.observe(size)
        self.bundle_durations.observe(max(0.0, duration_s))

    def patched(self, size: int, whole: int) -> None:
        """A phone was sent a patch of ``size`` bytes, which makes code of ``whole`` bytes."""
        self.tallies[PATCH_TYPE].said(size)
        self.patch_saved_bytes += max(0, whole - size)

    @property
    def received(self) -> int:
        """Messages that clients have sent."""
        return sum(tally.received for tally in self.tallies.values())

    @property
    def sent(self) -> int:
        """Messages that were sent to clients."""
        return sum(tally.sent for tally in self.tallies.values())


class BundleWatch:
    """Counts the whole bundles of one sender: a ``bundle_update``, or a ``bundle_start`` and all of
    the ``bundle_chunk`` messages that it announces.

    :param now_s: the monotonic clock.
    """

    __slots__ = (
        "_chunked_bytes",
        "_chunked_since_s",
        "_chunks_left",
        "_kind",
        "_message_began_s",
        "_now_s",
        "_traffic",
    )

    def __init__(self, traffic: Traffic, now_s: Callable[[], float]) -> None:
        self._traffic = traffic
        self._now_s = now_s
        self._kind = ""
        self._message_began_s = 0.0
        self._chunks_left = 0
        self._chunked_bytes = 0
        self._chunked_since_s = 0.0

    def begins(self, kind: str | None, head: bytes) -> None:
        """A message that begins with ``head`` is being sent to somebody."""
        self._kind = kind if kind in BUNDLE_TYPES else ""
        if not self._kind:
            return
        self._message_began_s = self._now_s()
        if kind == "bundle_start":
            found = _TOTAL_CHUNKS.search(head)
            self._chunks_left = int(found[1]) if found else 0
            self._chunked_bytes = 0
            self._chunked_since_s = self._message_began_s

    def ends(self, size: int) -> None:
        """The message that began last is whole; it has ``size`` bytes."""
        kind, self._kind = self._kind, ""
        if kind == "bundle_update":
            self._traffic.bundle_passed(size, self._now_s() - self._message_began_s)
        elif kind and self._chunks_left:
            self._chunked_bytes += size
            if kind == "bundle_chunk":
                self._chunks_left -= 1
                if not self._chunks_left:
                    lasted_s = self._now_s() - self._chunked_since_s
                    self._traffic.bundle_passed(self._chunked_bytes, lasted_s)
