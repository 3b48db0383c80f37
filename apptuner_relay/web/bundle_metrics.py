"""The metrics of bundles: how many, how large, how fast they reach phones and what those say, what
is saved on the way, what goes over HTTP, and what is cached.
"""

from collections.abc import Iterator

from prometheus_client.core import Metric

from apptuner_relay.operator.bundle_outcomes import RESULTS, BundleOutcomes
from apptuner_relay.operator.meters import Meters
from apptuner_relay.operator.observed import SpoolState
from apptuner_relay.operator.phone_record import DeliverySource
from apptuner_relay.operator.traffic import PATCH_RESULTS
from apptuner_relay.spool.bundle import IDENTITY
from apptuner_relay.web.metric_families import counter, counters, gauge, histogram, histograms
from apptuner_relay.web.negotiation import PREFERENCE
from apptuner_relay.web.upload_answers import RESULTS as UPLOAD_RESULTS
from apptuner_relay.wire.dictionary_transport import DCZ

DOWNLOAD_CODINGS = (*PREFERENCE, DCZ)


def bundle_families(meters: Meters) -> Iterator[Metric]:
    """The families of every relay."""
    traffic = meters.counters.traffic
    yield counter("bundles", "Bundles passed from the desktop side to phones.", traffic.bundles)
    yield histogram("bundle_size_bytes", "Size of a bundle as received.", traffic.bundle_sizes)
    yield histogram(
        "bundle_duration_seconds",
        "Time from a bundle's first byte received to its last.",
        traffic.bundle_durations,
    )
    yield from _outcome_families(meters.outcomes)
    yield counters(
        "patches",
        "Patches that CLIs and uploads have sent, by result.",
        "result",
        {result: traffic.patches[result] for result in PATCH_RESULTS},
    )
    yield counter(
        "patch_saved_bytes",
        "Bytes by which the patches that phones were sent are smaller than the code that they "
        "make.",
        traffic.patch_saved_bytes,
    )
    yield counter(
        "compression_saved_bytes",
        "Bytes by which the compressed bundles that phones were sent over WebSockets are smaller "
        "than inflated; of those that their sender has compressed, estimated from 64 KiB of each "
        "message.",
        traffic.compression_saved_bytes,
    )
    yield counters(
        "uploads",
        "Bundles that were uploaded over HTTP, by the status of the answer; lost is for those "
        "whose client disconnected before it.",
        "result",
        {result: meters.counters.uploads[result] for result in UPLOAD_RESULTS}
        | meters.counters.uploads,
    )
    yield from _download_families(meters)


def _outcome_families(outcomes: BundleOutcomes) -> Iterator[Metric]:
    yield histograms(
        "delivery_seconds",
        "Time from a bundle's first byte received to the last one sent to the last of its phones "
        "(live); for each phone that gets it from the log, from when it asks (kept).",
        "source",
        outcomes.deliveries,
    )
    yield histogram(
        "reload_seconds",
        "Time from a bundle's first byte received until the last of the phones that were there "
        "said that it runs the bundle.",
        outcomes.reloads,
    )
    yield counters(
        "acknowledgements",
        "What became of bundles at phones: the phone said that it runs the bundle (success) or "
        "can't (failure), or said nothing within 30 s (none); it got only a part (cut), left "
        "before it answered (left), or got another bundle instead (superseded).",
        "result",
        {result: outcomes.acknowledgements[result] for result in RESULTS.values()},
    )
    yield counters(
        "phones_served",
        "Phones that got all of a bundle, or a message in its place: as it came (live), or from "
        "the log, as they joined late or it was sent again (kept).",
        "source",
        {source.value: outcomes.phones[source.value] for source in DeliverySource},
    )


def _download_families(meters: Meters) -> Iterator[Metric]:
    downloads = meters.counters.downloads
    yield counters(
        "downloads",
        "Bundles that clients have got over HTTP, whole or in part, by content coding; dcz is only "
        "what has changed.",
        "coding",
        {coding: downloads.sent[coding] for coding in DOWNLOAD_CODINGS},
    )
    yield counter(
        "downloads_unchanged",
        "Requests over HTTP of clients that had the bundle already (304).",
        downloads.unchanged,
    )
    yield counter(
        "downloads_aborted",
        "Downloads over HTTP that ended before all was sent.",
        downloads.aborted,
    )
    yield counters(
        "download_saved_bytes",
        "Bytes by which the whole bundles that clients have got over HTTP were smaller than their "
        "code, by content coding.",
        "coding",
        {one: downloads.saved_bytes[one] for one in DOWNLOAD_CODINGS if one != IDENTITY},
    )


def spool_families(spool: SpoolState) -> Iterator[Metric]:
    """The families of a relay that caches bundles."""
    yield gauge("spool_up", "1 while bundles are cached, 0 while the disk fails.", not spool.off)
    yield gauge("spool_bundles", "Bundles that are cached.", spool.bundles)
    yield gauge("spool_bytes", "Disk space that cached bundles take.", spool.used_bytes)
    yield gauge(
        "spool_limit_bytes", "Disk space that they may take (--spool-limit).", spool.limit_bytes
    )
    yield gauge(
        "spool_backlog_bytes", "Bytes that wait to be written to disk.", spool.backlog_bytes
    )
    yield counter(
        "spool_evicted", "Cached bundles that were evicted for want of room.", spool.evicted
    )
    yield counter("spool_failures", "Times that the disk has failed.", spool.failures)
