"""Tells an upload what has become of its bundle: whether it is kept, and to how many phones it has
gone. `bundle_receipt_states` has the states.

The receipt is a message to the upload's connection, so that it finds its way also where that is at
another relay. No WebSocket client gets one.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

from apptuner_relay.relay.bundle_receipt_states import (
    OUTCOMES,
    TRANSITIONS,
    ReceiptEvent,
    ReceiptState,
)
from apptuner_relay.spool.bundle_log import BundleLog
from apptuner_relay.spool.file_states import FileState
from apptuner_relay.wire.bundle_patch import PatchFault
from apptuner_relay.wire.messages import BUNDLE_WANTED, compact_json

_TYPE = "bundle_receipt"


class Receipt(NamedTuple):
    """What has become of a bundle."""

    outcome: ReceiptState
    """One of `bundle_receipt_states.OUTCOMES`."""
    phones: int
    """To how many phones it has gone from its beginning on."""

    def write(self) -> bytes:
        """The message."""
        return compact_json({"type": _TYPE, "outcome": self.outcome.value, "phones": self.phones})


def read_receipt(message: bytes | bytearray) -> Receipt | None:
    """The receipt that a message of this relay or another one is; None where it is another."""
    try:
        fields = json.loads(message)
        if fields["type"] != _TYPE:
            return None
        outcome, phones = ReceiptState(fields["outcome"]), int(fields["phones"])
    except (ValueError, TypeError, KeyError):
        return None
    return Receipt(outcome, phones) if outcome in OUTCOMES else None


def read_patch_refusal(message: bytes | bytearray) -> PatchFault | None:
    """What is wrong with the patch that a message of the relay refuses; None where it is another
    message."""
    try:
        fields = json.loads(message)
        if fields["type"] != BUNDLE_WANTED:
            return None
        return PatchFault(fields["reason"])
    except (ValueError, TypeError, KeyError):
        return None


_THERE = (FileState.COMPLETE, FileState.DEFERRED)


class BundleReceipt:
    """The receipt for the first bundle of one sender.

    :param tell: sends that a message of the relay's own.
    """

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        self.state = ReceiptState.SENDING
        self._tell = tell

    def completed(self, bundle: BundleLog) -> None:
        """All of a bundle has come from its sender."""
        if self.state is ReceiptState.SENDING:
            self._happens(ReceiptEvent.COMPLETED)
            self._look(bundle)

    def overtaken(self) -> None:
        """Another bundle has taken its place while the patch was checked that it was sent as."""
        if self.state is ReceiptState.SENDING:
            self._happens(ReceiptEvent.OVERTAKEN)
            self._tell(Receipt(self.state, 0).write())

    def _look(self, bundle: BundleLog) -> None:
        """Look how far the bundle's file is, until it is either whole or given up."""
        file = bundle.file
        is_there = file is not None and file.state in _THERE
        if file is not None and file.is_open and not is_there:
            file.watch(lambda: self._look(bundle))
            return
        if file is None or not is_there:
            self._happens(ReceiptEvent.GIVEN_UP)
        else:
            # Of two senders' bundles the store keeps the one that began last.
            self._happens(ReceiptEvent.WRITTEN if file.is_kept else ReceiptEvent.OVERTAKEN)
        self._tell(Receipt(self.state, bundle.phones).write())

    def _happens(self, event: ReceiptEvent) -> None:
        self.state = TRANSITIONS.get((self.state, event), self.state)
