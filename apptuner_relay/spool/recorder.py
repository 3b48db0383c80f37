"""Opens the logs of bundles: in a file where they are cached, in the forms that phones take."""

from collections.abc import Callable, Sequence

from apptuner_relay.flow.log_maker import LogMaker
from apptuner_relay.flow.pipeline import MessageInfo
from apptuner_relay.flow.series import Series
from apptuner_relay.flow.source import Source
from apptuner_relay.operator.bundle_record import BundleRecord
from apptuner_relay.spool.bundle import StoredForm
from apptuner_relay.spool.bundle_log import BundleLog, BundlePhone
from apptuner_relay.spool.patches import SentPatch
from apptuner_relay.spool.store import Store

BeginRecord = Callable[[Series, str | None], BundleRecord]
"""Begins the record of a bundle: of what kind of series it is, and for which device alone."""


def _refuse_nobody(code: int, reason: str) -> None:
    """Who has sent it has gone."""


class Recorder:
    """The bundles of one sender.

    :param store: where bundles are cached, if they are.
    :param deflates: whether the sender may compress messages.
    :param refuse: closes the sender's connection with a close code and a reason: what it sent is
        bad.
    :param patch: the patch that its only bundle was sent as, where it was.
    :param begin_record: None where there are to be no records.
    """

    __slots__ = (
        "_begin_record", "_deflates", "_logs", "_patch", "_refuse", "_session_hash", "_source",
        "_store",
    )  # fmt: skip

    def __init__(
        self,
        store: Store | None,
        session_hash: str,
        source: Source,
        logs: LogMaker,
        deflates: bool,
        refuse: Callable[[int, str], None],
        patch: SentPatch | None = None,
        begin_record: BeginRecord | None = None,
    ) -> None:
        self._store = store
        self._session_hash = session_hash
        self._source = source
        self._logs = logs
        self._deflates = deflates
        self._refuse = refuse
        self._patch = patch
        self._begin_record = begin_record

    def close(self) -> None:
        """The sender has gone: there is nobody to refuse. A bundle that is kept has its recorder as
        long as it is kept."""
        self._refuse = _refuse_nobody
        self._begin_record = None

    def open(
        self,
        series: Series,
        first: MessageInfo,
        phones: Sequence[BundlePhone],
        keep: bool,
        target: str | None = None,
    ) -> BundleLog:
        """Open the log of a bundle that begins with the message ``first``.

        :param phones: the phones that get it from its beginning on.
        :param keep: whether it is to be cached for others.
        :param target: the device that it is for, where it is for one alone.
        """
        file = None
        if keep and self._store is not None:
            form = StoredForm(series, first.size, first.now_ms)
            file = self._store.record(self._session_hash, form)
            if file is not None and self._patch is not None:
                file.expect(self._patch.digest, self._patch.code_path)

        def refuse(code: int, reason: str) -> None:
            if file is not None:
                file.unreadable()
            self._refuse(code, reason)

        log = self._logs.open(self._source, self._session_hash, file)
        forms = self._logs.forms(log, self._session_hash, first, refuse)
        begin = self._begin_record
        record = None if begin is None else begin(series, target)
        return BundleLog(series, first, forms, file, phones, self._deflates, self._patch, record)
