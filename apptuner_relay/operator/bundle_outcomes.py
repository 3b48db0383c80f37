"""`BundleOutcomes`: how fast bundles reach phones, and what phones say of them, summed up from the
records of bundles for metrics.
"""

from collections import Counter

from apptuner_relay.operator.bundle_phone_states import BundlePhoneState
from apptuner_relay.operator.bundle_record import BundleRecord
from apptuner_relay.operator.phone_record import DeliverySource, PhoneRecord
from apptuner_relay.operator.traffic import Histogram

RELOADS_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0)
RESULTS = {
    BundlePhoneState.ACKNOWLEDGED: "success",
    BundlePhoneState.FAILED: "failure",
    BundlePhoneState.UNANSWERED: "none",
    BundlePhoneState.CUT: "cut",
    BundlePhoneState.LEFT: "left",
    BundlePhoneState.SUPERSEDED: "superseded",
}
"""What became of a bundle at a phone, by the state in which nothing is awaited of it any more."""


class BundleOutcomes:
    """Counts since the start."""

    def __init__(self) -> None:
        self.reloads = Histogram(RELOADS_S)
        """From a bundle's first byte to the last acknowledgement."""
        self.deliveries = {source.value: Histogram(RELOADS_S) for source in DeliverySource}
        """Likewise to the last byte for the last phone; from the log, for each phone, from when it
        asked."""
        self.acknowledgements: Counter[str] = Counter()
        """By one of `RESULTS`."""
        self.phones: Counter[str] = Counter()
        """Phones that got all of a bundle, or a message in its place, by `DeliverySource`."""

    def settled(self, record: BundleRecord) -> None:
        """No phone of a bundle is waited for any more."""
        last_out_s, acknowledged_s = record.last_out_s, record.acknowledged_s
        if record.state.is_whole and last_out_s is not None:
            self.deliveries[DeliverySource.LIVE.value].observe(last_out_s)
        if acknowledged_s is not None:
            self.reloads.observe(acknowledged_s)
        for phone in record.live:
            if not phone.is_awaited:
                self._count(phone)

    def phone_ended(self, phone: PhoneRecord) -> None:
        """Nothing is awaited of a phone for which the record of its bundle did not wait; or it
        answers after all, or says something else."""
        if not phone.is_counted:
            if phone.source is DeliverySource.KEPT and phone.last_out_s is not None:
                took_s = max(0.0, phone.last_out_s - phone.zero_s)
                self.deliveries[phone.source.value].observe(took_s)
            self._count(phone)
        elif phone.state in (BundlePhoneState.ACKNOWLEDGED, BundlePhoneState.FAILED):
            self.acknowledgements[RESULTS[phone.state]] += 1

    def _count(self, phone: PhoneRecord) -> None:
        phone.is_counted = True
        self.acknowledgements[RESULTS[phone.state]] += 1
        if phone.last_out_s is not None:
            self.phones[phone.source.value] += 1
