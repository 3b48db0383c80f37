"""The states of a `bundle_receipt.BundleReceipt`, and the events that change them. Pure."""

from apptuner_relay.support.plain_enum import PlainEnum


class ReceiptState(PlainEnum):
    """What is known of a bundle whose sender waits for a receipt."""

    SENDING = "sending"
    """Its sender has yet to send all of it."""
    WRITING = "writing"
    """All of it has come, and is on its way to the disk."""
    KEPT = "kept"
    """All of it is in its file, and it is its session's bundle."""
    SUPERSEDED = "superseded"
    """A bundle that began later is its session's."""
    NOT_KEPT = "not kept"
    """It is in no file, or not all of it: it has only gone to the phones."""


class ReceiptEvent(PlainEnum):
    """What happens to the bundle."""

    COMPLETED = "completed"
    """Its sender has sent all of it."""
    WRITTEN = "written"
    """The disk has all of it."""
    OVERTAKEN = "overtaken"
    """The disk has all of it, and all of a bundle that began later; or it was sent as a patch, and
    another bundle began while that was checked."""
    GIVEN_UP = "given up"
    """It has no file: the spool is off or full, or the disk has failed."""


TRANSITIONS: dict[tuple[ReceiptState, ReceiptEvent], ReceiptState] = {
    (ReceiptState.SENDING, ReceiptEvent.COMPLETED): ReceiptState.WRITING,
    (ReceiptState.SENDING, ReceiptEvent.OVERTAKEN): ReceiptState.SUPERSEDED,
    (ReceiptState.WRITING, ReceiptEvent.WRITTEN): ReceiptState.KEPT,
    (ReceiptState.WRITING, ReceiptEvent.OVERTAKEN): ReceiptState.SUPERSEDED,
    (ReceiptState.WRITING, ReceiptEvent.GIVEN_UP): ReceiptState.NOT_KEPT,
}
"""An event that is missing for a state changes nothing."""

OUTCOMES = frozenset({ReceiptState.KEPT, ReceiptState.SUPERSEDED, ReceiptState.NOT_KEPT})
"""The states in which the receipt is made out."""
