"""What the members of one relay share, and what is made from that for each of them."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

from twisted.internet.interfaces import IDelayedCall

from apptuner_relay.config.groups.limit_settings import LimitSettings
from apptuner_relay.flow.log_maker import LogMaker
from apptuner_relay.flow.series import Series
from apptuner_relay.flow.source import Source
from apptuner_relay.operator.bundle_record import BundleForm, BundleRecord
from apptuner_relay.operator.bundle_records import BundleRecords
from apptuner_relay.operator.delivered_bundles import DeliveredBundles
from apptuner_relay.operator.traffic import BundleWatch, Traffic
from apptuner_relay.relay.compression_trial import CompressionTrial
from apptuner_relay.relay.frame_handler import Connection
from apptuner_relay.relay.notices import Notices
from apptuner_relay.session.session import Admission, Arrival, Device, Role
from apptuner_relay.spool.bundle_log import BundleLog, BundlePhone
from apptuner_relay.spool.delivery import Delivery
from apptuner_relay.spool.fanout import BundleFanout
from apptuner_relay.spool.inflating import InflatingRecord
from apptuner_relay.spool.patches import SentPatch
from apptuner_relay.spool.recorded_delivery import RecordedDelivery
from apptuner_relay.spool.recorder import BeginRecord, Recorder
from apptuner_relay.spool.store import Store
from apptuner_relay.support.clocks import WallClock, in_ms


class OverRate(Protocol):
    """What waits of a member that has sent more messages than it may: its `DelayedLogs`."""

    def catch_up(self) -> bool:
        """Due every second: send on the logs that waited, and read on, if the client may send more.
        Whether that is all for now."""

    def lift_rate(self) -> None:
        """The relay stops: read on, as bundles and the answer to its Close may come behind messages
        that would have to wait."""


class MemberContext(NamedTuple):
    """What the members of one relay share."""

    limits: LimitSettings
    splits_bundles: bool
    """Whether phones that ask for it are sent bundles in chunk messages."""
    seconds: Callable[[], float]
    """The monotonic clock."""
    wall_s: WallClock
    """The time of day."""
    traffic: Traffic
    on_over_rate: Callable[[OverRate], None]
    """Called for a member that has sent more messages than it may."""
    on_unfinished: Callable[[Any], None]
    """Called with a member that has begun a message or a bundle, of which the rest may be missing;
    more than once for the same one."""
    logs: LogMaker
    """Opens the logs of long messages."""
    inflating: InflatingRecord
    """Which phones are sent bundles plain."""
    store: Store | None
    """Where bundles are cached, if they are."""
    later: Callable[[float, Callable[[], None]], IDelayedCall]
    """Calls a function after a delay in seconds."""
    records: BundleRecords
    """What becomes of bundles."""

    def now_ms(self) -> int:
        """The time in ms since the epoch."""
        return in_ms(self.wall_s())

    def make_fanout(
        self,
        admission: Admission,
        source: Source,
        connection: Connection,
        notices: Notices,
        on_complete: Callable[[BundleLog], None] | None,
    ) -> BundleFanout:
        """What sends the bundles of a client of the desktop side to phones. ``on_complete`` is
        called with each bundle of which all has come."""
        recorder = Recorder(
            self.store,
            admission.session_hash,
            source,
            self.logs,
            connection.deflates,
            connection.close,
            begin_record=partial(self._begin_record, admission),
        )
        watch = BundleWatch(self.traffic, self.seconds)
        return BundleFanout(source, recorder, notices.complain, watch, on_complete)

    def _begin_record(
        self, admission: Admission, series: Series, target: str | None
    ) -> BundleRecord:
        form = BundleForm.WHOLE if series.single else BundleForm.CHUNKS
        if admission.role is Role.UPLOAD:
            form = BundleForm.UPLOAD
        return self.records.begin(admission, form, target, series.endless)

    def make_patched_fanout(
        self,
        session_hash: str,
        source: Source,
        patch: SentPatch,
        begin_record: BeginRecord,
        on_complete: Callable[[BundleLog], None],
    ) -> BundleFanout:
        """What sends phones the bundle that a patch has made."""

        def refuse(code: int, reason: str) -> None:
            """The relay has written it, and doesn't refuse it."""

        recorder = Recorder(
            self.store, session_hash, source, self.logs, False, refuse, patch, begin_record
        )
        watch = BundleWatch(self.traffic, self.seconds)
        return BundleFanout(source, recorder, lambda text: None, watch, on_complete)

    def _compressed(self, trial: CompressionTrial, saved_bytes: int) -> None:
        trial.sent()
        self.traffic.compression_saved_bytes += max(0, saved_bytes)

    def make_delivery(
        self,
        phone: BundlePhone,
        admission: Admission,
        device: Device,
        notices: Notices,
        trial: CompressionTrial,
    ) -> Delivery:
        """What gets a phone the bundles of its session."""
        announce = admission.bundles_url if device.announce else None
        # One that has been here before may have got other code since.
        have = device.have if admission.arrival is Arrival.NEW else None

        return Delivery(
            self.store,
            admission.session_hash,
            phone,
            notices.tell,
            self.now_ms,
            RecordedDelivery(DeliveredBundles(self.records, admission.session_hash, device), phone),
            have,
            announce,
            device.patch,
            partial(self._compressed, trial),
            self.traffic.patched,
        )
