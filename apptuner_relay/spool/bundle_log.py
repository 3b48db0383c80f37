"""One bundle: a log, in the forms that phones take, and the file that it is cached in."""

from collections.abc import Sequence
from typing import Protocol

from apptuner_relay.flow.intake import Intake, LogIntake
from apptuner_relay.flow.log import Log
from apptuner_relay.flow.log_states import LogState
from apptuner_relay.flow.pipeline import Forms, MessageInfo, Recipient, WireForm, form_for
from apptuner_relay.flow.reception import Reception
from apptuner_relay.flow.series import Series
from apptuner_relay.flow.source import Source
from apptuner_relay.operator.bundle_record import BundleRecord
from apptuner_relay.operator.phone_record import NEWER
from apptuner_relay.spool.bundle_file import BundleFile
from apptuner_relay.spool.file_states import Cut
from apptuner_relay.spool.patches import SentPatch
from apptuner_relay.wire.chunks import CHUNK_BYTES
from apptuner_relay.wire.deflate import BombGuard

MOST_KEPT_PATCH_BYTES = 64 * 1024
"""A patch of more bytes is forgotten when all of its bundle has come."""
_LOGGED_LINES = 2
"""How many lines a released phone logs of each message of a bundle."""


class BundlePhone(Recipient, Protocol):
    """A phone that gets bundles: `relay.member.Member`."""

    reception: Reception
    """How far into a bundle it is."""

    def expect_logs(self, count: int) -> None:
        """Tell the phone's limits that it will log ``count`` lines of what it gets now."""


class BundleLog:
    """One bundle.

    :param first: its first message.
    :param file: where it is cached, if it is.
    :param phones: the phones that get it from its beginning on.
    :param sender_deflates: whether its sender may compress messages.
    :param patch: the patch that it was sent as, where it was.
    :param record: says what becomes of it, where that is recorded.
    """

    def __init__(
        self,
        series: Series,
        first: MessageInfo,
        forms: Forms,
        file: BundleFile | None,
        phones: Sequence[Recipient] = (),
        sender_deflates: bool = False,
        patch: SentPatch | None = None,
        record: BundleRecord | None = None,
    ) -> None:
        self.series = series
        self.log: Log = forms.original
        self.file = file
        self.phones = len(phones)
        """How many phones get it from its beginning on."""
        self.is_superseded = False
        """Whether it was cut because its sender has begun another."""
        self.guard: BombGuard | None = None
        """Has inflated some of its last message, where that is compressed."""
        self._is_being_cut = False
        self._first = first
        self._forms = forms
        self.patch = patch
        """The patch that it was sent as, where it was."""
        self.record = record
        """Says what becomes of it, where that is recorded."""
        self._more_may_be_compressed = sender_deflates and not series.single
        # For a single phone, compressing costs more than sending it plain. What a patch makes has
        # cost no uplink, and a CLI would have sent it compressed.
        self._deflates_plain = patch is not None or sum(phone.deflates for phone in phones) > 1
        if file is not None:
            file.content = self

    @property
    def is_growing(self) -> bool:
        """Whether more of it is to come."""
        return not (self.log.has_ended or self._is_being_cut)

    @property
    def is_cut(self) -> bool:
        """Whether its rest never comes."""
        return self.log.state is LogState.CUT or self._is_being_cut

    @property
    def can_be_had(self) -> bool:
        """Whether a phone that joins now can get all of it."""
        return not self.is_cut and not self.log.base

    def take(self, phone: BundlePhone) -> Log:
        """The log that ``phone`` follows from its start."""
        form = self._form_for(phone)
        count = 1 + self.series.chunks
        if form is WireForm.CHUNKS:
            count = 1 + (self._first.size or self._first.limit) // CHUNK_BYTES
        phone.expect_logs(_LOGGED_LINES * count)
        return self._forms.take(form)

    @property
    def head(self) -> bytes:
        """The beginning of its first message, inflated."""
        return self._first.head

    def need(self) -> None:
        """A phone is about to get it whole."""
        if self.file is not None:
            self.file.need()

    def is_compressed_for(self, phone: BundlePhone) -> bool:
        """Whether ``phone`` gets it compressed."""
        form = self._form_for(phone)
        if form is WireForm.ORIGINAL:
            return self._first.compressed or self._more_may_be_compressed
        return form is WireForm.DEFLATED

    def saved_bytes(self, got: Log) -> int:
        """By how many bytes ``got``, its log for phones that take it compressed, is smaller than
        its log inflated. Of what its sender has compressed that is an estimate, by what was
        inflated of it: 64 KiB of each message."""
        if got is self.log:
            return 0 if self.guard is None else round(got.size * (self.guard.expansion - 1))
        return self.log.size - got.size

    def is_series_for(self, phone: BundlePhone) -> bool:
        """Whether ``phone`` gets it in several messages."""
        return not self.series.single or self._form_for(phone) is WireForm.CHUNKS

    def _form_for(self, phone: BundlePhone) -> WireForm:
        return form_for(phone, self._first, self._deflates_plain, self._more_may_be_compressed)

    def begin(self, source: Source, message: MessageInfo) -> Intake:
        """Where the pieces of its next message go, which comes from ``source``."""
        return LogIntake(source, self.log, message.opcode, message.limit, self.sender_is_gone)

    def complete(self) -> None:
        """All of it has come from its sender."""
        if self.record is not None:
            self.record.come()
        if self.patch is not None and len(self.patch.message) > MOST_KEPT_PATCH_BYTES:
            self.patch = None
        self.log.complete()

    def sender_is_gone(self, why: str) -> None:
        """Cut it: its sender has disconnected, or has stopped."""
        self._cut(Cut.SENDER, why)

    def supersede(self) -> None:
        """Cut it: its sender has begun another."""
        self.is_superseded = self.is_growing
        self._cut(Cut.SUPERSEDED, NEWER)

    def _cut(self, cause: Cut, why: str) -> None:
        if self.log.has_ended:
            return
        if self.series.endless and self.log.is_between_messages:
            self.complete()
            return
        # Watchers of the file are told first, and have to see that the bundle is cut.
        self._is_being_cut = True
        if self.record is not None:
            self.record.cut(why)
        if self.file is not None:
            self.file.cut(cause)
        self.log.cut(why)
