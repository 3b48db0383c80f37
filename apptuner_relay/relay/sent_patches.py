"""The patches that a CLI (``patch=1``) or an upload sends in the place of bundles: each is checked
in the worker process, becomes the session's bundle, and goes to the phones in the form that each
of them takes.

While that lasts nothing more is read from the sender. A bundle that anybody begins meanwhile takes
the place of a patch that is still being checked, as it would that of a bundle.
"""

from collections.abc import Iterable
from functools import partial
from typing import Generic, NamedTuple, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from apptuner_relay.flow.intake import Intake
from apptuner_relay.flow.pipeline import MessageInfo
from apptuner_relay.flow.series import Series
from apptuner_relay.flow.source import Source
from apptuner_relay.operator.bundle_record import BundleForm, BundleRecord
from apptuner_relay.relay.bundle_receipt import BundleReceipt
from apptuner_relay.relay.kept_notices import KeptNotices
from apptuner_relay.relay.member_context import MemberContext
from apptuner_relay.relay.notices import Notices
from apptuner_relay.relay.patch_intake import PatchIntake
from apptuner_relay.relay.patched_sender import PatchedSender
from apptuner_relay.session.roles import HasRole
from apptuner_relay.session.session import Session
from apptuner_relay.spool.bundle import NoCode
from apptuner_relay.spool.fanout import BundleFanout, FanoutRecipient
from apptuner_relay.spool.patches import SentPatch
from apptuner_relay.spool.spare_files import remove
from apptuner_relay.spool.store import Store
from apptuner_relay.wire import messages
from apptuner_relay.wire.bundle_patch import BadPatch, PatchFault

CHECK_S = 10.0
"""How long it may take to check a patch. It takes a tenth of a second; but the worker may be busy
with the bundles of others."""


class PatchingMember(HasRole, FanoutRecipient, Protocol):
    """A `relay.member.Member`, which imports this module."""

    bundles: BundleFanout | None
    """Where the bundles go that it sends whole."""

    def patched(self) -> None:
        """A patch of it is dealt with, and no other waits."""


def outdate(
    store: Store | None,
    session_hash: str,
    phones: Iterable[FanoutRecipient],
    target: str | None,
) -> None:
    """A client sends ``phones`` a patch that the relay doesn't follow, as it hasn't said that it
    would, or another kind of bundle: what is cached is not what they run from now on.

    :param target: the device that it is for, where it is for one alone.
    """
    for phone in phones:
        if phone.delivery is not None:
            phone.delivery.outdate()
    if store is not None and target is None:
        store.outdate(session_hash)


class _ArrivedPatch(NamedTuple):
    """A patch that has come whole."""

    message: bytes
    began_s: float
    """When its first byte came, and when the last one did: seconds of the monotonic clock."""
    last_in_s: float


_M = TypeVar("_M", bound=PatchingMember)


class SentPatches(Generic[_M]):
    """Those of one client.

    :param receipt: what an upload is told; a CLI is told of each bundle that is kept.
    """

    log = Logger()

    def __init__(
        self,
        sender: _M,
        session: Session[_M],
        source: Source,
        context: MemberContext,
        notices: Notices,
        receipt: BundleReceipt | None = None,
    ) -> None:
        self._sender = sender
        self._session = session
        self._source = source
        self._context = context
        self._notices = notices
        self._receipt = receipt
        keeps = (lambda file: True) if context.store is None else context.store.may_keep
        kept = receipt or KeptNotices(notices.tell, keeps, context.now_ms)
        self.completed = kept.completed
        """To be called when all of a bundle of the client has come."""
        self.busy = False
        """Whether one is being checked, or what it makes is being sent."""
        self._newer: _ArrivedPatch | None = None
        """One that came meanwhile: of several the last."""

    def open(self, message: MessageInfo, target: str | None) -> Intake:
        """Where the pieces of a patch go that begins.

        :param target: the device that it is for, where it is for one alone.
        """
        return PatchIntake(message, partial(self._take, target, self._context.seconds()))

    def _take(self, target: str | None, began_s: float, message: bytes | None) -> None:
        if message is None:
            self._refuse(PatchFault.TOO_BIG)
            return
        if target is not None:
            self._refuse(PatchFault.TARGET)
            return
        arrived = _ArrivedPatch(message, began_s, self._context.seconds())
        if self.busy:
            self._newer = arrived
        else:
            self.busy = True
            self._session.patches_under_way += 1
            self._source.hold(self)
            Deferred.fromCoroutine(self._work(arrived)).addErrback(self._failed)

    async def _work(self, arrived: _ArrivedPatch) -> None:
        try:
            following: _ArrivedPatch | None = arrived
            while following is not None:
                await self._deal_with(following)
                following, self._newer = self._newer, None
        finally:
            self.busy, self._newer = False, None
            self._session.patches_under_way -= 1
            # This may hold the source, which is to be held without a gap.
            self._sender.patched()
            if not self._source.gone:
                self._source.let_go(self)

    async def _deal_with(self, arrived: _ArrivedPatch) -> None:
        store, notices = self._context.store, self._session.membership_notices
        base = None if store is None else store.last(self._session.hash)
        if store is None or base is None:
            self._refuse(PatchFault.BASE)
            return
        begun, growing = notices.bundles_begun, store.growing(base.session_hash)
        checking = Deferred.fromCoroutine(store.patches.apply(base, arrived.message))
        limit = self._context.later(CHECK_S, checking.cancel)
        try:
            patch = await checking
        except BadPatch as refusal:
            self._refuse(refusal.fault)
            return
        except (NoCode, CancelledError):
            self._refuse(PatchFault.NOT_NOW)
            return
        finally:
            if limit.active():
                limit.cancel()
        try:
            now_growing = store.growing(base.session_hash)
            if self._newer is not None or notices.bundles_begun != begun:
                self._context.traffic.patches["overtaken"] += 1
                if self._receipt is not None:
                    self._receipt.overtaken()
            elif store.last(base.session_hash) is not base or now_growing not in (None, growing):
                # Phones may have other code by now. Where the client is gone, the session may be
                # another relay's, or have ended and begun again.
                self._refuse(PatchFault.BASE)
            else:
                await self._send(store, patch, arrived)
        except (NoCode, OSError):
            self._refuse(PatchFault.NOT_NOW)
        finally:
            store.take(-patch.digest.size)
            store.disk.run(partial(remove, patch.code_path)).addErrback(lambda failure: None)

    async def _send(self, store: Store, patch: SentPatch, arrived: _ArrivedPatch) -> None:
        session = self._session
        session.membership_notices.bundle_begins(self._sender)
        if self._sender.bundles is not None:
            self._sender.bundles.give_way()
        sender = PatchedSender(
            session.hash,
            patch,
            store,
            self._context,
            partial(self._begin_record, arrived),
            lambda: session.mobiles,
            self.completed,
        )
        await sender.send()
        self._context.traffic.patches["taken"] += 1

    def _begin_record(
        self, arrived: _ArrivedPatch, series: Series, target: str | None
    ) -> BundleRecord:
        record = self._context.records.begin(self._sender.admission, BundleForm.PATCH)
        record.come_as_patch(len(arrived.message), arrived.began_s, arrived.last_in_s)
        return record

    def _failed(self, failure: Failure) -> None:
        self.log.failure("dealing with a patch has failed", failure)
        self._refuse(PatchFault.NOT_NOW)

    def _refuse(self, fault: PatchFault) -> None:
        self._context.traffic.patches[fault.value] += 1
        self._notices.answer(messages.bundle_wanted(fault.value, self._context.now_ms()))
