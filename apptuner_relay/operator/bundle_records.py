"""The records of the last bundles of each session: what the log, the metrics, the status page and
the session page say about a bundle comes from here.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from apptuner_relay.operator.bundle_record import BundleForm, BundleRecord, BundleSender
from apptuner_relay.operator.moved_records import MOVED, read_record
from apptuner_relay.operator.phone_record import PhoneRecord
from apptuner_relay.session.session import Admission
from apptuner_relay.support.clocks import WallClock, in_ms

ANSWER_S = 30.0
"""How long phones may take to answer, after the last byte of a bundle has come."""
_EARLY_S = 0.001
"""By how much less is no less."""
MOST_BUNDLES = 20
"""How many bundles of a session are remembered."""
MOST_ENDED = 1000
"""How many sessions are remembered that have ended."""
ENDED_S = 3600.0
"""For how long they are."""
MOST_ROWS = 50_000
"""How many rows all records have together: some 14 MB. The oldest records go first."""


class _SessionBundles:
    """Those of one session."""

    __slots__ = ("count", "records")

    def __init__(self) -> None:
        self.count = 0
        """How many bundles there were, those that are forgotten included."""
        self.records: deque[BundleRecord] = deque()


class BundleRecords:
    """Those of one relay. It is the `bundle_record.RecordKeeper` of its records.

    :param clock: the monotonic clock.
    :param wall_s: the time of day.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, wall_s: WallClock) -> None:
        self._clock = clock
        self._wall_s = wall_s
        self._sessions: dict[str, _SessionBundles] = {}
        self._ended: OrderedDict[str, float] = OrderedDict()
        """When sessions have ended of which there are records, the earliest first."""
        self._held: dict[BundleRecord, None] = {}
        """The records of all sessions, the oldest first."""
        self._rows = 0
        self._expected: dict[BundleRecord | PhoneRecord, float] = {}
        """Until when an answer is awaited. As all have the same time, the next to expire is the
        first."""
        self._call: IDelayedCall | None = None
        self._on_settled: list[Callable[[BundleRecord], None]] = []
        self._on_ended: list[Callable[[PhoneRecord], None]] = []
        self._is_stopped = False

    # What others see

    def rows(self, session_hash: str) -> list[dict[str, object]]:
        """The last bundles of a session, the newest first, as JSON shows them.

        :param session_hash: the whole hash.
        """
        return [record.row() for record in self.recent(session_hash)]

    def recent(self, session_hash: str) -> Sequence[BundleRecord]:
        """The records of a session's last bundles, the newest first."""
        self._forget_ended()
        bundles = self._sessions.get(session_hash)
        return () if bundles is None else tuple(reversed(bundles.records))

    def subscribe(self, on_settled: Callable[[BundleRecord], None]) -> None:
        """``on_settled`` is called with each record once, when no phone is waited for any more."""
        self._on_settled.append(on_settled)

    def subscribe_phones(self, on_ended: Callable[[PhoneRecord], None]) -> None:
        """``on_ended`` is called with each phone for which a record didn't wait, when nothing is
        awaited of it any more: it got the bundle from the log, or was late. It is called again
        where that phone answers after all, or says something else."""
        self._on_ended.append(on_ended)

    # What the relay says

    def begin(
        self,
        admission: Admission,
        form: BundleForm,
        target: str | None = None,
        is_endless: bool = False,
    ) -> BundleRecord:
        """A bundle begins, whose sender was let in with ``admission``. See `BundleRecord`."""
        session_hash = admission.session_hash
        bundles = self._sessions.get(session_hash)
        if bundles is None:
            bundles = self._sessions[session_hash] = _SessionBundles()
        self._ended.pop(session_hash, None)
        bundles.count += 1
        record = BundleRecord(
            self,
            session_hash,
            bundles.count,
            BundleSender(admission.role, admission.address),
            form,
            in_ms(self._wall_s()),
            target,
            is_endless,
        )
        self._hold(bundles, record)
        return record

    def session_began(self, session_hash: str) -> None:
        """A session has its first member."""
        self._ended.pop(session_hash, None)

    def session_ended(self, session_hash: str) -> None:
        """A session has no member any more."""
        if session_hash in self._sessions:
            self._ended.pop(session_hash, None)
            self._ended[session_hash] = self._clock.seconds()
        self._forget_ended()

    # Sessions that move between relays

    def adopt(self, session_hash: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """A session is this relay's from now on: go on with its records, as another relay has
        written them (`rows`). What was not written by a relay of this version is passed over."""
        bundles = self._sessions.get(session_hash)
        if bundles is not None:
            # It was here before, and these are older.
            self._forget_session(session_hash)
        bundles = self._sessions[session_hash] = _SessionBundles()
        for row in reversed(rows[:MOST_BUNDLES]):
            try:
                record = read_record(self, session_hash, row, in_ms(self._wall_s()))
            except (ValueError, TypeError, KeyError, OverflowError):
                continue
            bundles.count = max(bundles.count, record.number)
            self._hold(bundles, record)
            record.go_on()
        # Until its first client arrives.
        self.session_ended(session_hash)

    def give_away(self, session_hash: str, are_adopted: bool) -> None:
        """A session is another relay's from now on.

        :param are_adopted: whether that goes on with its records.
        """
        bundles = self._sessions.get(session_hash)
        if bundles is None:
            return
        for record in tuple(bundles.records):
            if are_adopted:
                self.forget(record)
            for phone in record.phones:
                if are_adopted:
                    self.forget(phone)
                else:
                    phone.leave(MOVED)
        if are_adopted:
            self._ended.pop(session_hash, None)
            self._forget_session(session_hash)

    def stop(self) -> None:
        """Wait for no answers any more."""
        self._is_stopped = True
        self._expected.clear()
        if self._call is not None and self._call.active():
            self._call.cancel()

    # What records call: `bundle_record.RecordKeeper`

    def now_s(self) -> float:
        """See `RecordKeeper`."""
        return self._clock.seconds()

    def expect(self, one: BundleRecord | PhoneRecord) -> None:
        """See `RecordKeeper`."""
        if self._is_stopped:
            return
        self._expected.pop(one, None)
        self._expected[one] = self._clock.seconds() + ANSWER_S
        if self._call is None:
            self._call = self._clock.callLater(ANSWER_S, self._expire)

    def forget(self, one: BundleRecord | PhoneRecord) -> None:
        """See `RecordKeeper`. The call stays: there is one for all, which costs nothing."""
        self._expected.pop(one, None)

    def grew(self, record: BundleRecord, rows: int) -> None:
        """See `RecordKeeper`."""
        if record in self._held:
            self._count(rows)

    def settled(self, record: BundleRecord) -> None:
        """See `RecordKeeper`."""
        for call in self._on_settled:
            try:
                call(record)
            except Exception:  # whoever listens, bundles go on
                self.log.failure("telling of a bundle has failed")

    def ended(self, phone: PhoneRecord) -> None:
        """See `RecordKeeper`."""
        for call in self._on_ended:
            try:
                call(phone)
            except Exception:  # whoever listens, bundles go on
                self.log.failure("telling of a phone's bundle has failed")

    # Within

    def _hold(self, bundles: _SessionBundles, record: BundleRecord) -> None:
        bundles.records.append(record)
        self._held[record] = None
        self._count(1 + len(record.phones))
        if len(bundles.records) > MOST_BUNDLES:
            self._drop(bundles.records[0])

    def _forget_session(self, session_hash: str) -> None:
        for record in tuple(self._sessions[session_hash].records):
            self._drop(record)
        del self._sessions[session_hash]

    def _expire(self) -> None:
        now_s = self._clock.seconds()
        while self._expected:
            one, until_s = next(iter(self._expected.items()))
            if until_s > now_s:
                break
            del self._expected[one]
            self._expire_one(one, now_s)
        self._call = None
        if self._expected:
            until_s = next(iter(self._expected.values()))
            self._call = self._clock.callLater(until_s - now_s, self._expire)

    def _expire_one(self, one: BundleRecord | PhoneRecord, now_s: float) -> None:
        if isinstance(one, BundleRecord) and one.last_in_s + ANSWER_S > now_s + _EARLY_S:
            # More of an endless one has come since.
            self.expect(one)
        else:
            one.expire()

    def _count(self, rows: int) -> None:
        self._rows += rows
        while self._rows > MOST_ROWS and len(self._held) > 1:
            self._drop(next(iter(self._held)))

    def _drop(self, record: BundleRecord) -> None:
        """Forget a record, the first one of its session."""
        del self._held[record]
        self._rows -= 1 + len(record.phones)
        bundles = self._sessions[record.session_hash]
        bundles.records.popleft()

    def _forget_ended(self) -> None:
        oldest_s = self._clock.seconds() - ENDED_S
        while self._ended:
            session_hash, ended_s = next(iter(self._ended.items()))
            if len(self._ended) <= MOST_ENDED and ended_s > oldest_s:
                return
            del self._ended[session_hash]
            self._forget_session(session_hash)
