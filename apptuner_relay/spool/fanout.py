"""The bundles of one sender: each becomes a log, which phones follow.

A phone follows a bundle from its beginning or not at all, so that it never runs a mixture of two.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from apptuner_relay.flow.intake import GuardedIntake, Intake, guarded
from apptuner_relay.flow.pipeline import MessageInfo
from apptuner_relay.flow.series import Series, chunk_index, chunks_announced
from apptuner_relay.flow.source import Source
from apptuner_relay.operator.traffic import BundleWatch
from apptuner_relay.spool.bundle_log import BundleLog, BundlePhone
from apptuner_relay.spool.delivery import Delivery
from apptuner_relay.spool.recorder import Recorder

STRAY = "bundle_chunk without its bundle_start: the bundle has to be sent again, from its start"


class FanoutRecipient(BundlePhone, Protocol):
    """A phone of the session."""

    delivery: Delivery | None


class BundleFanout:
    """The bundles of one desktop-side sender.

    :param complain: tells the sender of a mistake that it has made.
    :param on_complete: called with each bundle of which all has come.
    """

    __slots__ = (
        "_begun", "_complain", "_on_complete", "_passing", "_recorder", "_source",
        "_waiting_since_s", "_watch", "has_sent",
    )  # fmt: skip

    def __init__(
        self,
        source: Source,
        recorder: Recorder,
        complain: Callable[[str], None],
        watch: BundleWatch,
        on_complete: Callable[[BundleLog], None] | None = None,
    ) -> None:
        self._source = source
        self._recorder = recorder
        self._complain = complain
        self._watch = watch
        self._on_complete = on_complete
        self._begun: dict[str | None, BundleLog] = {}
        """The bundles of which more is to come, by the device that each is for; None for all."""
        self._passing: BundleLog | None = None
        """The bundle that the message in progress belongs to."""
        self._waiting_since_s: float | None = None
        self.has_sent = False
        """Whether it has ever begun a bundle."""

    @property
    def busy(self) -> bool:
        """Whether more is to come of a bundle that is cached, or that a phone waits for."""
        return any(_is_awaited(one) for one in self._begun.values())

    @property
    def is_unfinished(self) -> bool:
        """Whether more is to come of a bundle, needed or not."""
        return bool(self._begun)

    def begin(
        self, message: MessageInfo, phones: Sequence[FanoutRecipient], target: str | None
    ) -> Intake | None:
        """Where the pieces of a message go that begins, and is part of a bundle; None if nobody
        needs them.

        :param phones: the phones that it is for.
        :param target: the device that it is for, where it is for one alone.
        """
        self._waiting_since_s = None
        if message.type == "bundle_chunk":
            bundle = self._go_on(message, phones, target)
        else:
            bundle = self._begin(message, phones, target)
        self._passing = bundle
        if bundle is None:
            return None
        if phones or bundle.file is not None:
            self._watch.begins(message.type, message.head)
        if not bundle.is_growing or (bundle.file is None and not bundle.log.is_read):
            return None
        self._source.feeds = [phone.sink for phone in phones]
        intake = guarded(message, bundle.begin(self._source, message))
        if isinstance(intake, GuardedIntake):
            bundle.guard = intake.guard
        return intake

    @property
    def begun(self) -> BundleLog | None:
        """The bundle for all phones of which more is to come."""
        return self._begun.get(None)

    def passed(self, size: int) -> None:
        """A message has come whole, ``size`` bytes of it."""
        self._watch.ends(size)
        bundle, self._passing = self._passing, None
        if bundle is None:
            return
        if bundle.record is not None:
            bundle.record.count(size)
        if bundle.series.complete:
            bundle.complete()
            for target, begun in tuple(self._begun.items()):
                if begun is bundle:
                    del self._begun[target]
            if self._on_complete is not None:
                self._on_complete(bundle)

    def defer(self, bundle: BundleLog, make: Callable[[], None]) -> None:
        """Of ``bundle``, which has begun, the code is in a file: have ``make`` called, once, when
        somebody needs the rest of its messages, which are to be sent then."""
        assert bundle.file is not None
        on_complete, self._on_complete = self._on_complete, None

        def needed() -> None:
            # What lies before isn't the time that it takes to pass.
            self._watch.begins("bundle_start", bundle.head)
            make()

        bundle.file.defer(needed)
        if on_complete is not None:
            on_complete(bundle)

    def stop(self, why: str) -> bool:
        """Cut the bundles that aren't complete: phones that have part of one are closed with 1011.
        Returns whether there was any."""
        was_busy = self.busy
        self._passing = None
        begun, self._begun = self._begun, {}
        for bundle in begun.values():
            bundle.sender_is_gone(why)
        return was_busy

    def close(self, why: str) -> bool:
        """The sender has gone. See `stop`."""
        was_busy = self.stop(why)
        self._recorder.close()
        return was_busy

    def give_way(self) -> None:
        """Its client begins a bundle in another way: give up those for all phones that it has
        begun. To be called between two messages."""
        self._supersede(None)

    def stalled(self, now_s: float) -> float:
        """How many seconds a bundle in progress has waited for its next message.

        To be called at intervals: the time is counted from the first call that finds it waiting.
        """
        if self._passing is not None or self._source.held or not self.busy:
            self._waiting_since_s = None
            return 0.0
        if self._waiting_since_s is None:
            self._waiting_since_s = now_s
        return now_s - self._waiting_since_s

    def _begin(
        self, message: MessageInfo, phones: Sequence[FanoutRecipient], target: str | None
    ) -> BundleLog:
        """A bundle begins."""
        single = message.type == "bundle_update"
        series = Series(None if single else chunks_announced(message.head))
        self._supersede(target)
        keep = target is None and not series.endless
        bundle = self._begun[target] = self._recorder.open(series, message, phones, keep, target)
        self.has_sent = True
        for phone in phones:
            if phone.delivery is not None:
                phone.delivery.deliver(bundle)
        if bundle.record is not None:
            bundle.record.begun()
        return bundle

    def _supersede(self, target: str | None) -> None:
        for key, earlier in tuple(self._begun.items()):
            # A bundle for one device goes on while that device waits for it.
            if key == target or (key is not None and not _is_awaited(earlier)):
                del self._begun[key]
                earlier.supersede()

    def _go_on(
        self, message: MessageInfo, phones: Sequence[FanoutRecipient], target: str | None
    ) -> BundleLog | None:
        """A chunk begins. Returns its bundle, where that has begun."""
        # A chunk for all is no part of a bundle for one device, nor the other way round.
        bundle = self._begun.get(target)
        if bundle is None:
            if target is None or phones:
                self._complain(STRAY)
            return None
        bundle.series.announce(chunks_announced(message.head))
        bundle.series.count(chunk_index(message.head))
        return bundle


def _is_awaited(bundle: BundleLog) -> bool:
    """Whether more of it is to come, and somebody needs it."""
    if bundle.series.endless or not bundle.is_growing:
        return False
    return bundle.file is not None or bundle.log.is_read
