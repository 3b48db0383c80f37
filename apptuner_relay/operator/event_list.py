"""`EventList`: the last things that have happened to a relay, for people. Pure.

It is short, so two rules keep what matters in it. The same event again and again, within a minute,
is one row with a count. And where it is full, it is the kind of event with the most rows that loses
its oldest one: thousands of refusals don't push out the one warning.
"""

from collections import OrderedDict
from collections.abc import Callable

from apptuner_relay.operator.conditions import Level
from apptuner_relay.support.clocks import WallClock, in_ms
from apptuner_relay.support.lazy_text import LazyText
from apptuner_relay.support.plain_enum import PlainEnum

MOST_EVENTS = 50
MERGED_S = 60.0
"""For so long after the first one, events with the same key are one row."""


class EventKind(PlainEnum):
    """What has happened."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    REFUSED = "refused"
    BUNDLE = "bundle"
    """A bundle is settled: all its phones have answered or left, or it was cut."""
    FAILED = "failed"
    """A phone has answered a bundle with an error."""
    WARNING = "warning"
    """A warning or notice has started or ended."""


INFO = "info"
NOTICE, WARNING = Level.NOTICE.value, Level.WARNING.value


class _Event:
    __slots__ = (
        *("at_ms", "began_s", "count", "id", "key", "kind", "level"),
        *("order", "session", "since_ms", "text"),
    )

    def __init__(self, number: int, kind: EventKind, key: object, now_s: float) -> None:
        self.id = number
        self.kind = kind
        self.key = key
        self.began_s = now_s
        self.count = 0
        self.since_ms = self.at_ms = self.order = 0
        self.level = INFO
        self.session: str | None = None
        self.text: str | LazyText = ""

    def row(self) -> dict[str, object]:
        times = f" ({self.count} times)" if self.count > 1 else ""
        return {
            "id": self.id,
            "at_ms": self.at_ms,
            "kind": self.kind.value,
            "session": self.session,
            "level": self.level,
            "text": f"{self.text}{times}",
            "count": self.count,
            "since_ms": self.since_ms,
        }


class EventList:
    """The last `MOST_EVENTS` events.

    :param seconds: the monotonic clock.
    :param wall_s: the time of day.
    """

    def __init__(self, seconds: Callable[[], float], wall_s: WallClock) -> None:
        self._seconds = seconds
        self._wall_s = wall_s
        self._kinds: dict[EventKind, OrderedDict[int, _Event]] = {
            kind: OrderedDict() for kind in EventKind
        }
        self._last: dict[object, _Event] = {}
        """The last event of each key."""
        self._size = 0
        self._next = 0

    def add(
        self,
        kind: EventKind,
        text: str | LazyText,
        *,
        session: str | None = None,
        level: str = INFO,
        key: object = None,
    ) -> None:
        """Something has happened.

        :param text: what, without what could be a credential; printable.
        :param session: how logs name the session that it happened to.
        :param key: events with the same key and kind are alike: within a minute they are one row,
            which has the text of the last one. None for one that is like no other.
        """
        now_s = self._seconds()
        self._next += 1
        event = self._find(kind, key, now_s)
        event.count += 1
        event.at_ms, event.order = in_ms(self._wall_s()), self._next
        if event.count == 1:
            event.since_ms = event.at_ms
        event.text, event.session, event.level = text, session, level

    def _find(self, kind: EventKind, key: object, now_s: float) -> _Event:
        if key is not None:
            key = (kind, key)
            last = self._last.get(key)
            if last is not None and now_s - last.began_s < MERGED_S:
                self._kinds[kind].move_to_end(last.id)
                return last
        event = _Event(self._next, kind, key, now_s)
        self._kinds[kind][event.id] = event
        if key is not None:
            self._last[key] = event
        self._size += 1
        if self._size > MOST_EVENTS:
            self._drop(max(self._kinds.values(), key=len))
        return event

    def _drop(self, those: "OrderedDict[int, _Event]") -> None:
        _, oldest = those.popitem(last=False)
        self._size -= 1
        if self._last.get(oldest.key) is oldest:
            del self._last[oldest.key]

    def rows(self) -> list[dict[str, object]]:
        """As JSON shows them, the last one first. A row keeps its id while it is counted up."""
        events = [event for those in self._kinds.values() for event in those.values()]
        events.sort(key=lambda one: one.order, reverse=True)
        return [event.row() for event in events]
