"""What a gateway has to publish in one channel: merged, joined (`batches`), numbered, in order.

Texts that several users are told in one turn of the reactor are one event for all of them. Console
logs wait for `LOG_DELAY_S` and go together; anything else goes at the end of the turn. What the
service doesn't take now waits, within a bound.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from apptuner_relay.managed.gateway.merging import Merger
from apptuner_relay.managed.protocol.batches import Batch, Batches, Fate, Urgency
from apptuner_relay.managed.protocol.numbered_events import (
    DESKTOP,
    EVENT_NAME,
    PHONES,
    Numbering,
    Recipients,
    encode_event,
    new_epoch,
)
from apptuner_relay.managed.protocol.state_messages import type_of
from apptuner_relay.managed.protocol.user_ids import UserId
from apptuner_relay.operator.managed_counters import ManagedCounters
from apptuner_relay.session.roles import Role
from apptuner_relay.support.clocks import WallClock, in_ms

LOG_DELAY_S = 0.15
"""How long console logs wait for others."""
MOST_WAITING_BYTES = 256 * 1024
"""How many bytes of messages may wait."""
_RETRY_S = 0.5
_LOG_TYPE = "console_log"
_URGENT_TYPES = frozenset(
    {
        *("connected", "bundle_ack", "bundle_available", "bundle_unchanged", "closed"),
        *("state", "state_wanted", "adopt", "released"),
    }
)


class OutboxOptions(NamedTuple):
    """What the outboxes of a service share."""

    clock: IReactorTime
    wall_s: WallClock
    counters: ManagedCounters
    event_limit: int
    """How many bytes the data of an event may have."""


class Outbox:
    """That of one channel.

    :param present: who is in the channel, by ``user_id``, as of now.
    :param publish: publishes an event with a name and data; False where it could not be taken.
    :param skipped: called with the size of a message that is too long for an event.
    """

    def __init__(
        self,
        options: OutboxOptions,
        present: Mapping[str, UserId],
        publish: Callable[[str, str], bool],
        skipped: Callable[[int], None],
    ) -> None:
        self._clock, self._wall_s = options.clock, options.wall_s
        self._counters = options.counters
        self._present = present
        self._publish = publish
        self._skipped = skipped
        self._numbering = Numbering(new_epoch())
        self._merger = Merger()
        self._batches = Batches(options.event_limit, MOST_WAITING_BYTES)
        self._refused: Batch | None = None
        """What the service has not taken, and is to take next."""
        self._turn_call: IDelayedCall | None = None
        self._later_call: IDelayedCall | None = None
        self.is_open = False
        """Whether the service takes events now; `flush` when that changes."""

    def say(self, user_id: str, text: bytes) -> None:
        """Tell a user a text."""
        self._merger.say(user_id, text)
        if self._turn_call is None:
            self._turn_call = self._clock.callLater(0, self._end_turn)

    def flush(self) -> None:
        """Publish what waits, now."""
        self._sort()
        self._send(everything=True)

    def forget(self, user_id: str) -> None:
        """Somebody has left the channel."""
        self._batches.forget(user_id)

    def stop(self) -> None:
        """Forget what waits."""
        for call in (self._turn_call, self._later_call):
            if call is not None and call.active():
                call.cancel()
        self._turn_call = self._later_call = self._refused = None
        self._merger.take()
        self._batches.clear()

    def _end_turn(self) -> None:
        self._turn_call = None
        self._sort()
        self._send(everything=False)
        if self._batches and self.is_open:
            self._flush_later(LOG_DELAY_S)

    def _sort(self) -> None:
        """Have what was said wait for its turn."""
        batches = self._batches
        dropped = batches.dropped
        missed = False
        for said in self._merger.take():
            to = self._recipients(said.users)
            if to is None:
                continue
            fate = batches.add(to, said.text, _urgency(said.text))
            if fate is Fate.TOO_LONG:
                self._skipped(len(said.text))
            elif fate is Fate.FULL:
                missed = True
        if missed:
            # Whoever misses a number asks for the state.
            self._numbering.count()
        self._count_dropped(batches.dropped - dropped + missed)

    def _count_dropped(self, count: int) -> None:
        if count:
            self._counters.count_dropped("full" if self.is_open else "away", count)

    def _flush_later(self, delay_s: float) -> None:
        if self._later_call is None:
            self._later_call = self._clock.callLater(delay_s, self._flush_now)

    def _flush_now(self) -> None:
        self._later_call = None
        self.flush()

    def _send(self, everything: bool) -> None:
        """Publish what waits, as far as the service takes it.

        :param everything: logs as well that could wait for others.
        """
        batches = self._batches
        while self.is_open:
            if self._refused is None:
                if not (everything or batches.is_due or batches.is_full_event):
                    return
                self._refused = batches.take(in_ms(self._wall_s()))
            batch, numbering = self._refused, self._numbering
            if batch is None:
                return
            data = encode_event(numbering.epoch, numbering.next_n, batch.to, batch.messages)
            if not self._publish(EVENT_NAME, data):
                self._flush_later(_RETRY_S)
                return
            self._refused = None
            numbering.count()

    def _recipients(self, users: Sequence[str]) -> Recipients | None:
        """How an event names those of ``users`` that are in the channel; None where none is.

        Only several can be a whole side: what one alone is told may not be for somebody who has
        just come.
        """
        there = [one for one in users if one in self._present]
        if len(there) < 2:
            return tuple(there) or None
        phones = {name for name, one in self._present.items() if one.role is Role.MOBILE}
        if set(there) == phones:
            return PHONES
        relays = {name for name, one in self._present.items() if one.is_relay}
        if set(there) == self._present.keys() - phones - relays:
            return DESKTOP
        return tuple(there)


def _urgency(text: bytes) -> Urgency:
    kind = type_of(text)
    if kind == _LOG_TYPE:
        return Urgency.LOG
    return Urgency.URGENT if kind in _URGENT_TYPES else Urgency.ORDINARY
