"""Which phones get a bundle of one sender: with the group, from the spool, or not at all.

Every message of a bundle begins here. A phone gets the chunks of a series with the group only if
it got its start with the group, and nothing newer since: then it has joined in time, is quick
enough, and runs no mixture of two senders' bundles.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from apptuner_relay.bundles.follower import Phone
from apptuner_relay.bundles.playback import Playback
from apptuner_relay.bundles.tape import Tape
from apptuner_relay.flow import Source
from apptuner_relay.meters.traffic import BundleWatch
from apptuner_relay.passage import Fork, Way
from apptuner_relay.series import Series, chunk_index, chunks_announced
from apptuner_relay.stages import Refuse
from apptuner_relay.ways import Parcel, make_way
from apptuner_relay.wire.frames import CLOSE_INTERNAL_ERROR

STRAY = "bundle_chunk without its bundle_start: the bundle has to be sent again, from its start"


class Recipient(Phone, Protocol):
    """A phone of the session."""

    playback: Playback | None


class _Begun(NamedTuple):
    """What has been begun, and the phones that were sent its beginning with the group."""

    series: Series
    phones: list[Recipient]


class BundleFanout:
    """The bundles of one desktop-side sender.

    :param refuse: closes the sender's connection.
    :param complain: tells the sender of a mistake.
    """

    def __init__(
        self,
        source: Source,
        refuse: Refuse,
        complain: Callable[[str], None],
        watch: BundleWatch,
        tape: Tape | None = None,
    ) -> None:
        self._source = source
        self._refuse = refuse
        self._complain = complain
        self._watch = watch
        self._tape = tape
        self._begun: dict[str | None, _Begun] = {}
        """By the device that it is for; None for all."""
        self._passing: _Begun | None = None
        """What the message in progress belongs to."""
        self._waiting_since_s: float | None = None
        self.has_sent = False
        """Whether it has ever begun a bundle."""

    @property
    def busy(self) -> bool:
        """Whether more is to come of a bundle that is kept, or that a phone waits for."""
        if self._tape is not None and self._tape.recording:
            return True
        return any(_awaited(one) for one in self._begun.values() if not one.series.endless)

    def begin(self, message: Parcel, phones: Sequence[Recipient], target: str | None) -> Way:
        """The way of a message that begins, which is part of a bundle.

        :param phones: whom it is for; ``target`` says that it is for one device alone.
        """
        self._waiting_since_s = None
        if message.type == "bundle_chunk":
            group, kept = self._go_on(message, phones, target)
        else:
            group, kept = self._begin(message, phones, target)
        if phones or kept is not None:
            self._watch.begins(message.type, message.head)
        if kept is None:
            return make_way(message, self._source, group, self._refuse)
        assert kept.bundle is not None
        message = dataclasses.replace(message, offset=kept.bundle.size)
        return Fork((make_way(message, self._source, group, self._refuse), kept))

    def passed(self, size: int) -> None:
        """A message has come whole, ``size`` bytes of it."""
        self._watch.ends(size)
        begun, self._passing = self._passing, None
        if begun is None:
            return
        series, phones = begun
        if series.complete:
            self._forget(series)
        for phone in phones:
            if series.complete:
                phone.reception.ended(series)
            else:
                phone.reception.begun(series)

    def flush(self) -> None:
        """A block has been taken in."""
        if self._tape is not None:
            self._tape.flush()

    def stop(self, reason: str) -> bool:
        """What has been begun and isn't complete never will be: phones that have part of it are
        closed with 1011. Whether there was anything."""
        was_busy = self.busy
        if self._tape is not None:
            self._tape.stop()
        self._passing = None
        begun, self._begun = self._begun, {}
        for series, phones in begun.values():
            for phone in phones:
                if series.endless:
                    phone.reception.ended(series)
                elif phone.reception.lost(series):
                    phone.sink.cut(CLOSE_INTERNAL_ERROR, reason)
        return was_busy

    def stalled(self, now_s: float) -> float:
        """For how many seconds a bundle in progress has waited for its next message.

        Call it at intervals: the time is counted from the first call that finds it waiting.
        """
        if self._passing is not None or self._source.held or not self.busy:
            self._waiting_since_s = None
            return 0.0
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        return now_s - self._waiting_since_s

    def _begin(
        self, message: Parcel, phones: Sequence[Recipient], target: str | None
    ) -> tuple[list[Recipient], Tape | None]:
        """A bundle begins: who gets it with the group, and the tape if that takes it."""
        single = message.type == "bundle_update"
        series = Series(None if single else chunks_announced(message.head))
        tape = self._tape if target is None else None
        kept = tape if tape is not None and tape.begin(message, series) else None
        bundle = kept.bundle if kept is not None else None
        group: list[Recipient] = []
        for phone in phones:
            if bundle is None or phone.playback is None or not phone.playback.offer(bundle):
                phone.reception.promise(series)
                group.append(phone)
        self.has_sent = True
        waiting = [(key, one) for key, one in self._begun.items() if key is None or _awaited(one)]
        self._begun = dict(waiting)
        self._passing = self._begun[target] = _Begun(series, group)
        return group, kept

    def _go_on(
        self, message: Parcel, phones: Sequence[Recipient], target: str | None
    ) -> tuple[list[Recipient], Tape | None]:
        """Likewise for a chunk."""
        # One for all is no part of what was begun for one device, nor the other way round.
        begun = self._begun.get(target)
        if begun is None:
            if target is None or phones:
                self._complain(STRAY)
            return [], None
        self._passing = begun
        series = begun.series
        series.announce(chunks_announced(message.head))
        series.count(chunk_index(message.head))
        group = [one for one in phones if one in begun.phones and one.reception.takes(series)]
        kept = self._tape is not None and target is None and self._tape.records(series)
        return group, self._tape if kept else None

    def _forget(self, series: Series) -> None:
        for target, begun in tuple(self._begun.items()):
            if begun.series is series:
                del self._begun[target]


def _awaited(begun: _Begun) -> bool:
    """Whether a phone waits for the rest of it."""
    series, phones = begun
    return any(one.reception.awaits(series) and not one.sink.closed for one in phones)
