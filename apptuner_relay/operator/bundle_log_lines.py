"""Logs a line for each bundle once no phone is waited for any more, and one for each phone that
gets it later."""

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel

from apptuner_relay.operator.bundle_lines import (
    BundleText,
    PhoneText,
    has_failed,
    has_phone_failed,
)
from apptuner_relay.operator.bundle_record import BundleRecord
from apptuner_relay.operator.bundle_records import BundleRecords
from apptuner_relay.operator.phone_record import PhoneRecord
from apptuner_relay.support.log_throttle import INTERVAL_S, LogQuota
from apptuner_relay.support.units import show_count

MOST_OF_SESSION = 20
"""How many lines a session may have in `INTERVAL_S`, and as many of bundles that have failed."""
MOST_OF_ALL = 200
"""Likewise for all sessions together."""


class BundleLogLines:
    """Those of one relay.

    :param which: ``on``; ``failed`` for bundles alone with which something has gone wrong; ``off``.
    """

    log = Logger()

    def __init__(self, records: BundleRecords, which: str, clock: IReactorTime) -> None:
        self._clock = clock
        self.change(which)
        quotas = [LogQuota(clock.seconds, MOST_OF_SESSION, MOST_OF_ALL) for _ in range(2)]
        self._ordinary, self._failed = quotas
        self._call: IDelayedCall | None = None
        records.subscribe(self._settled)
        records.subscribe_phones(self._ended)

    def change(self, which: str) -> None:
        """Log these from now on."""
        self._is_off = which == "off"
        self._only_failed = which == "failed"

    def stop(self) -> None:
        """The relay stops: say what has not been said."""
        if self._call is not None:
            self._call.cancel()
            self._tell_skipped()

    def _settled(self, record: BundleRecord) -> None:
        failed = has_failed(record)
        if self._may_log(record.session_hash, failed):
            self.log.emit(
                LogLevel.warn if failed else LogLevel.info,
                "session {session}: {bundle_text}",
                session=record.label,
                bundle_text=BundleText(record),
                kind="bundle",
                bundle=record.row(),
            )

    def _ended(self, phone: PhoneRecord) -> None:
        failed = has_phone_failed(phone)
        if self._may_log(phone.record.session_hash, failed):
            self.log.emit(
                LogLevel.warn if failed else LogLevel.info,
                "session {session}: {phone_text}",
                session=phone.record.label,
                phone_text=PhoneText(phone),
                kind="bundle_phone",
                id=phone.record.number,
                phone=phone.row(),
            )

    def _may_log(self, session_hash: str, failed: bool) -> bool:
        if self._is_off or (self._only_failed and not failed):
            return False
        may = (self._failed if failed else self._ordinary).take(session_hash)
        if not may and self._call is None:
            self._call = self._clock.callLater(INTERVAL_S, self._tell_skipped)
        return may

    def _tell_skipped(self) -> None:
        """Say how many lines were not logged, as nothing else may be logged behind them."""
        self._call = None
        skipped = self._ordinary.take_skipped() + self._failed.take_skipped()
        if len(skipped) == 1:
            ((session_hash, count),) = skipped.items()
            self.log.info(
                "session {session}: {count} more lines like this were not logged",
                session=session_hash[:8],
                count=count,
            )
        elif skipped:
            self.log.info(
                "{count} more lines about bundles of {sessions} were not logged",
                count=skipped.total(),
                sessions=show_count(len(skipped), "session"),
            )
