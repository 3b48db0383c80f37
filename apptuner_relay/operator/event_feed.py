"""`EventFeed`: puts what happens to a relay into words, for its `EventList`.

It is called for each client that comes and goes, so it makes a text only when somebody reads it.
"""

from apptuner_relay.operator.bundle_lines import BundleText, has_failed
from apptuner_relay.operator.bundle_record import BundleRecord
from apptuner_relay.operator.conditions import Change
from apptuner_relay.operator.event_list import INFO, NOTICE, WARNING, EventKind, EventList
from apptuner_relay.operator.observed import ClientView
from apptuner_relay.operator.phone_record import PhoneRecord
from apptuner_relay.session.client_words import ClientWords
from apptuner_relay.session.roles import Admission, Role
from apptuner_relay.support.client_address import UNKNOWN
from apptuner_relay.support.lazy_text import Lasted, LazyText
from apptuner_relay.support.units import show_duration
from apptuner_relay.wire.frames import (
    CLOSE_ABNORMAL,
    CLOSE_NO_STATUS,
    CLOSE_NORMAL,
    CLOSE_POLICY,
    CLOSE_SERVICE_RESTART,
)

_GOING_AWAY = 1001
_QUIET_CODES = frozenset(
    (CLOSE_NORMAL, _GOING_AWAY, CLOSE_NO_STATUS, CLOSE_ABNORMAL, CLOSE_SERVICE_RESTART)
)
"""Close codes of clients that come and go as clients do."""
_NOTICE_CODES = frozenset((CLOSE_POLICY, *range(3000, 5000)))


class _Connected(LazyText):
    __slots__ = ("_admission",)

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def __str__(self) -> str:
        admission = self._admission
        through = f" through {admission.through}" if admission.through else ""
        address = admission.address or UNKNOWN
        return f"{admission.role.value} from {address}{through}{ClientWords(admission)}"


class _Disconnected(LazyText):
    __slots__ = ("_admission", "_code", "_lasted_s", "_why")

    def __init__(self, admission: Admission, code: int, why: str, lasted_s: float | None) -> None:
        self._admission, self._code, self._why = admission, code, why
        self._lasted_s = lasted_s

    def __str__(self) -> str:
        admission = self._admission
        return (
            f"{admission.role.value}: {self._why or 'gone'} ({self._code}), after "
            f"{Lasted(self._lasted_s)}{ClientWords(admission)}"
        )


class EventFeed:
    """Feeds one list."""

    def __init__(self, events: EventList) -> None:
        self._events = events

    def connected(self, client: ClientView) -> None:
        """A client has joined a session."""
        admission = client.admission
        self._events.add(
            EventKind.CONNECTED,
            _Connected(admission),
            session=admission.session_hash[:8],
            key=_who(admission),
        )

    def disconnected(self, client: ClientView, code: int, why: str, lasted_s: float | None) -> None:
        """A client's connection has ended; ``code`` is the close code (RFC 6455 §7.4)."""
        admission = client.admission
        level = INFO if code in _QUIET_CODES else NOTICE if code in _NOTICE_CODES else WARNING
        self._events.add(
            EventKind.DISCONNECTED,
            _Disconnected(admission, code, why, lasted_s),
            session=admission.session_hash[:8],
            level=level,
            key=(_who(admission), level),
        )

    def refused(
        self, status: int, address: str | None, why: str, role: Role | None, session: str | None
    ) -> None:
        """A handshake was refused with an HTTP status."""
        asked = "" if role is None else f"{role.value} from "
        self._events.add(
            EventKind.REFUSED,
            f"{asked}{address or UNKNOWN} with {status}: {why}",
            session=session,
            level=NOTICE,
            key=(address, status, why),
        )

    def settled(self, record: BundleRecord) -> None:
        """No phone of a bundle is waited for any more."""
        self._events.add(
            EventKind.BUNDLE,
            str(BundleText(record)).removeprefix("bundle "),
            session=record.label,
            level=NOTICE if has_failed(record) else INFO,
        )

    def failed(self, phone: PhoneRecord) -> None:
        """A phone has answered a bundle with an error."""
        name = phone.shown.replace('"', "'")
        self._events.add(
            EventKind.FAILED,
            f'"{name}": {phone.error or "no reason given"}',
            session=phone.record.label,
            level=WARNING,
            key=(phone.record.session_hash, phone.device.device_id, phone.error),
        )

    def changed(self, change: Change) -> None:
        """A warning has started or ended."""
        condition = change.condition
        over = "" if change.started else f"over after {show_duration(change.lasted_s)}: "
        self._events.add(
            EventKind.WARNING,
            f"{over}{condition.text}",
            level=condition.level.value if change.started else INFO,
        )


def _who(admission: Admission) -> tuple[object, ...]:
    """What a client has in common with its next connection."""
    device = admission.device
    own = admission.address if device is None else device.device_id
    return admission.session_hash, admission.role, own
