"""Joins the messages that wait for one channel into events. Pure: it neither sends nor has timers.

What is urgent overtakes everything. Console logs may wait, so that many of them share an event; the
rest may not, and takes the logs before it along, so that the order of each sender is kept. What
waits is bounded: the oldest logs are dropped first, and those who miss them are told how many.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple

from apptuner_relay.managed.protocol.cutting import NotCuttable, cut_log
from apptuner_relay.managed.protocol.numbered_events import (
    DESKTOP,
    PHONES,
    Recipients,
    event_overhead,
    is_message,
    is_to,
)
from apptuner_relay.support.units import show_count
from apptuner_relay.wire import messages


class Urgency(Enum):
    """What may be done with a message."""

    URGENT = "urgent"
    """It overtakes what isn't: acknowledgements, notices of bundles, a Close, the state."""
    ORDINARY = "ordinary"
    """It goes out at once, behind what has come before it."""
    LOG = "log"
    """It may wait, be cut, and be dropped."""


class Fate(Enum):
    """What has become of a message that was added."""

    WAITS = "waits"
    CUT = "cut"
    """It waits, cut to what an event may have."""
    TOO_LONG = "too long"
    """It was dropped: it is longer than an event may be, and no log."""
    MALFORMED = "malformed"
    """It was dropped: it is no JSON object, and would spoil the whole event."""
    FULL = "full"
    """It was dropped: too much waits that is no log."""


class Batch(NamedTuple):
    """What shares an event."""

    to: Recipients | None
    messages: tuple[bytes, ...]
    logs: int
    """How many of them are console logs of clients."""


class _Waiting(NamedTuple):
    to: Recipients | None
    message: bytes
    is_log: bool


class Batches:
    """The messages that wait for one channel.

    :param event_bytes: how many bytes the data of an event may have, which is what services limit:
        the JSON text in UTF-8, not what becomes of it in a string or a request.
    :param most_bytes: how many bytes of messages may wait.
    """

    def __init__(self, event_bytes: int, most_bytes: int) -> None:
        self._event_bytes = event_bytes
        self._most_bytes = most_bytes
        # By their numbers, which say in which order they came.
        self._urgent: OrderedDict[int, _Waiting] = OrderedDict()
        self._others: OrderedDict[int, _Waiting] = OrderedDict()
        self._logs: OrderedDict[int, None] = OrderedDict()
        self._came = 0
        self._bytes = 0
        self._dropped: dict[Recipients | None, int] = {}
        self.dropped = 0
        """How many logs were dropped because too much waited."""

    def __len__(self) -> int:
        return len(self._urgent) + len(self._others)

    def __bool__(self) -> bool:
        return bool(self._urgent or self._others or self._dropped)

    @property
    def waiting_bytes(self) -> int:
        """How many bytes of messages wait."""
        return self._bytes

    @property
    def is_due(self) -> bool:
        """Whether anything waits that is no log."""
        return bool(self._urgent) or len(self._others) > len(self._logs)

    @property
    def is_full_event(self) -> bool:
        """Whether so much waits that more won't fit into one event: nothing is gained by
        waiting."""
        return self._bytes >= self._event_bytes

    def add(self, to: Recipients | None, message: bytes, urgency: Urgency) -> Fate:
        """Have a message wait.

        :param to: who it is for, of a relay's events; None of a client's.
        """
        if not is_message(message):
            return Fate.MALFORMED
        fate = Fate.WAITS
        most = self._room(to)
        is_log = urgency is Urgency.LOG
        if len(message) > most:
            try:
                message = cut_log(message, most) if is_log else b""
            except NotCuttable:
                message = b""
            if not message:
                return Fate.TOO_LONG
            fate = Fate.CUT
        while self._bytes + len(message) > self._most_bytes and self._logs:
            self._drop_oldest()
        if self._bytes + len(message) > self._most_bytes:
            if not is_log:
                return Fate.FULL
            self._count_dropped(to)
            return Fate.FULL
        self._came += 1
        self._bytes += len(message)
        waiting = self._urgent if urgency is Urgency.URGENT else self._others
        waiting[self._came] = _Waiting(to, message, is_log)
        if is_log:
            self._logs[self._came] = None
        return fate

    def take(self, now_ms: int) -> Batch | None:
        """Remove and return what goes into the next event; None where nothing waits.

        :param now_ms: the time, of a notice: ms since the epoch.
        """
        first = next(iter((self._urgent or self._others).values()), None)
        if first is not None:
            to = first.to
        elif self._dropped:
            to = next(iter(self._dropped))
        else:
            return None
        room, taken, logs = self._room(to) + 1, [], 0
        # What is urgent and was for others stays in front of the rest for them.
        numbers, room, blocked = _choose(self._urgent, to, room, ())
        for number in numbers:
            taken.append(self._remove(self._urgent, number))
        if to in self._dropped:
            notice = self._notice(to, now_ms)
            if len(notice) < room:
                taken.append(notice)
                room -= len(notice) + 1
                del self._dropped[to]
            elif not taken:
                # There never will be room.
                del self._dropped[to]
        if to not in self._dropped:
            numbers, room, blocked = _choose(self._others, to, room, blocked)
            for number in numbers:
                logs += number in self._logs
                taken.append(self._remove(self._others, number))
        return Batch(to, tuple(taken), logs)

    def forget(self, user_id: str) -> None:
        """Drop what is for that one alone: it has left."""
        for waiting in (self._urgent, self._others):
            gone = [number for number, one in waiting.items() if one.to == (user_id,)]
            for number in gone:
                self._remove(waiting, number)
        self._dropped.pop((user_id,), None)

    def clear(self) -> int:
        """Drop everything. Returns how many messages that were."""
        count = len(self)
        for waiting in (self._urgent, self._others, self._logs):
            waiting.clear()
        self._dropped.clear()
        self._bytes = 0
        return count

    def _room(self, to: Recipients | None) -> int:
        """How many bytes the messages of an event may have, with commas between them."""
        return self._event_bytes - event_overhead(to)

    def _remove(self, waiting: OrderedDict[int, _Waiting], number: int) -> bytes:
        one = waiting.pop(number)
        self._logs.pop(number, None)
        self._bytes -= len(one.message)
        return one.message

    def _drop_oldest(self) -> None:
        number = next(iter(self._logs))
        to = self._others[number].to
        self._remove(self._others, number)
        self._count_dropped(to)

    def _count_dropped(self, to: Recipients | None) -> None:
        self.dropped += 1
        self._dropped[to] = self._dropped.get(to, 0) + 1

    def _notice(self, to: Recipients | None, now_ms: int) -> bytes:
        count = show_count(self._dropped[to], "log message was", "log messages were")
        text = f"AppTuner relay: {count} dropped: more than the channel takes"
        return messages.console_warning(text, now_ms)


def _choose(
    waiting: Mapping[int, _Waiting],
    to: Recipients | None,
    room: int,
    blocked: Iterable[Recipients | None],
) -> tuple[list[int], int, set[Recipients | None]]:
    """Which of ``waiting`` go into an event for ``to``: none of them overtakes another that is for
    any of the same.

    :param room: how many bytes they may have, each with a comma.
    :param blocked: for whom something waits that has to go first.
    :return: their numbers, the room that is left, and for whom something waits behind them.
    """
    chosen: list[int] = []
    others = set(blocked)
    is_open = not any(may_share(to, other) for other in others)
    for number, one in waiting.items():
        if not is_open:
            break
        if one.to == to:
            if len(one.message) + 1 > room:
                others.add(to)
                break
            chosen.append(number)
            room -= len(one.message) + 1
        elif one.to not in others:
            others.add(one.to)
            is_open = not may_share(to, one.to)
    return chosen, room, others


def may_share(one: Recipients | None, other: Recipients | None) -> bool:
    """Whether anybody may be among both."""
    if one is None or other is None or one == other:
        return True
    if isinstance(one, tuple) and isinstance(other, tuple):
        return not set(one).isdisjoint(other)
    if isinstance(one, tuple):
        return any(is_to(other, user_id) for user_id in one)
    if isinstance(other, tuple):
        return any(is_to(one, user_id) for user_id in other)
    return {one, other} != {PHONES, DESKTOP}
