"""`apptuner_relay.relay.bundle_receipt`: what the sender of a bundle is told, and when."""

from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay.bundle_receipt import (
    BundleReceipt,
    Receipt,
    read_patch_refusal,
    read_receipt,
)
from apptuner_relay.relay.bundle_receipt_states import ReceiptState
from apptuner_relay.spool.file_states import FileState
from apptuner_relay.wire import messages
from apptuner_relay.wire.bundle_patch import PatchFault


class File:
    """A bundle's file, as far as a receipt looks at it."""

    def __init__(self) -> None:
        self.state = FileState.FINISHING
        self.is_kept = True
        self._watcher: Any = None

    @property
    def is_open(self) -> bool:
        return self.state in (FileState.GROWING, FileState.FINISHING)

    def watch(self, watcher: Any) -> None:
        assert self._watcher is None
        self._watcher = watcher

    def progress(self, state: FileState) -> None:
        self.state = state
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher()


class BundleReceiptTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.told: list[Receipt | None] = []
        self.receipt = BundleReceipt(lambda message: self.told.append(read_receipt(message)))
        self.file = File()

    def complete(self, file: File | None, phones: int = 2) -> None:
        self.receipt.completed(SimpleNamespace(file=file, phones=phones))  # type: ignore[arg-type]

    def test_once_it_is_in_its_file(self) -> None:
        self.complete(self.file)
        self.file.progress(FileState.FINISHING)
        self.assertEqual(self.told, [])
        self.file.progress(FileState.COMPLETE)
        self.assertEqual(self.told, [Receipt(ReceiptState.KEPT, 2)])

    def test_what_comes_later_is_not_told(self) -> None:
        self.complete(self.file)
        self.file.progress(FileState.COMPLETE)
        self.file.progress(FileState.CUT)
        self.complete(None)
        self.assertEqual(len(self.told), 1)

    def test_a_later_bundle_was_quicker(self) -> None:
        self.complete(self.file)
        self.file.is_kept = False
        self.file.progress(FileState.COMPLETE)
        self.assertEqual(self.told, [Receipt(ReceiptState.SUPERSEDED, 2)])

    def test_a_disk_that_fails(self) -> None:
        self.complete(self.file)
        self.file.is_kept = False
        self.file.progress(FileState.CUT)
        self.assertEqual(self.told, [Receipt(ReceiptState.NOT_KEPT, 2)])

    def test_no_file(self) -> None:
        self.complete(None, 0)
        self.assertEqual(self.told, [Receipt(ReceiptState.NOT_KEPT, 0)])

    def test_a_patch_that_is_overtaken(self) -> None:
        self.receipt.overtaken()
        self.complete(self.file)
        self.receipt.overtaken()
        self.assertEqual(self.told, [Receipt(ReceiptState.SUPERSEDED, 0)])


class ReadReceiptTest(SynchronousTestCase):
    def test_every_refusal_of_a_patch(self) -> None:
        for fault in PatchFault:
            message = messages.bundle_wanted(fault.value, 1)
            self.assertIs(read_patch_refusal(message), fault)
            self.assertIsNone(read_receipt(message))

    def test_other_messages(self) -> None:
        for message in (
            b"",
            b"1",
            b"[]",
            b'{"type":"pong","timestamp":1}',
            b'{"type":"bundle_receipt"}',
            b'{"type":"bundle_receipt","outcome":"sending","phones":1}',
            b'{"type":"bundle_receipt","outcome":"kept","phones":null}',
        ):
            self.assertIsNone(read_receipt(message), message)
            self.assertIsNone(read_patch_refusal(message), message)
        for reason in (b'"news"', b"null", b"[]"):
            wanted = b'{"type":"bundle_wanted","reason":%b}' % reason
            self.assertIsNone(read_patch_refusal(wanted))
