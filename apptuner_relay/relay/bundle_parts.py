"""What a member has for bundles: the desktop side sends them, and may send patches; phones get and
acknowledge them.
"""

from typing import Generic, NamedTuple, TypeVar

from apptuner_relay.flow.dispatch import Dispatch
from apptuner_relay.flow.source import Source
from apptuner_relay.relay.acknowledgements import Acknowledgements
from apptuner_relay.relay.bundle_receipt import BundleReceipt
from apptuner_relay.relay.compression_trial import CompressionTrial
from apptuner_relay.relay.frame_handler import Connection
from apptuner_relay.relay.member_context import MemberContext
from apptuner_relay.relay.notices import Notices
from apptuner_relay.relay.sent_patches import PatchingMember, SentPatches
from apptuner_relay.session.session import Role, Session
from apptuner_relay.spool.delivery import Delivery
from apptuner_relay.spool.fanout import BundleFanout
from apptuner_relay.wire import messages
from apptuner_relay.wire.bundle_ack import ACK_TYPE
from apptuner_relay.wire.bundle_patch import PATCH_TYPE

_M = TypeVar("_M", bound=PatchingMember)
_ACKS = frozenset({ACK_TYPE})


class BundleParts(NamedTuple, Generic[_M]):
    """Those of one member."""

    types: frozenset[str]
    """The messages that it takes in on its own: bundles, which are for phones that come later, too;
    acknowledgements."""
    bundles: BundleFanout | None = None
    """Of the desktop side."""
    patches: SentPatches[_M] | None = None
    """Of a client that may send patches."""
    delivery: Delivery | None = None
    """Of a phone."""
    trial: CompressionTrial | None = None
    """Of a phone."""
    acks: Acknowledgements | None = None
    """Of a phone."""


def make_bundle_parts(
    member: _M,
    session: Session[_M],
    source: Source,
    connection: Connection,
    context: MemberContext,
    notices: Notices,
    dispatch: Dispatch,
) -> BundleParts[_M]:
    """Make those of ``member``, which is being made."""
    admission, device = member.admission, member.device
    if device is not None:
        trial = CompressionTrial(context.inflating, session.hash, device.device_id, context.seconds)
        delivery = context.make_delivery(member, admission, device, notices, trial)
        acks = Acknowledgements(device, source, dispatch, delivery.recorded.answered)
        return BundleParts(_ACKS, delivery=delivery, trial=trial, acks=acks)
    types = messages.BUNDLE_TYPES
    receipt = BundleReceipt(notices.tell) if member.role is Role.UPLOAD else None
    completed = None if receipt is None else receipt.completed
    patches: SentPatches[_M] | None = None
    if admission.patches:
        patches = SentPatches(member, session, source, context, notices, receipt)
        types |= {PATCH_TYPE}
        completed = patches.completed
    bundles = context.make_fanout(admission, source, connection, notices, completed)
    return BundleParts(types, bundles, patches)
