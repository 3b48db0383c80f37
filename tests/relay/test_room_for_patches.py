"""What is on the disk while patches are checked and sent counts as what is kept does."""

from typing import Any, ClassVar

from apptuner_relay.relay import sent_patches
from apptuner_relay.spool.code import bundle_messages
from tests.relay.test_sent_patches import SenderCase, code_of
from tests.spool.cases import sha256
from tests.spool.test_delivery_of_patches import NEW, NEWER, OLD


class RoomCase(SenderCase):
    def assertAllIsCounted(self) -> None:
        sizes = [path.stat().st_size for path in self.store.files()]
        # A bundle_start may wait to be written.
        self.assertLess(abs(self.store.used_bytes - sum(sizes)), 200)


class Counted(RoomCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(bundle_messages, "CHUNK_BYTES", 30_000)
        self.begin()

    def test_while_it_is_checked_and_afterwards(self) -> None:
        self.store.offload.patient = True
        self.patch_cli(OLD, NEW)
        # The base's code is there by now; that of the result takes less than its edits say.
        self.assertGreater(self.store.used_bytes, 2 * len(OLD.encode()) + len(NEW.encode()))
        self.store.offload.patient = False
        self.store.offload.answer()
        self.turn()
        self.assertEqual(self.told(), [("bundle_kept", sha256(NEW))])
        self.assertAllIsCounted()

    def test_when_its_messages_are_written(self) -> None:
        self.patch_cli(OLD, NEW)
        self.assertAllIsCounted()
        self.assertEqual(code_of(self.connect("mobile", "replay=1").received()), [NEW])
        self.assertAllIsCounted()

    def test_when_it_is_refused(self) -> None:
        for old, new in ((NEW, NEWER), (OLD, NEW), (OLD, NEW)):
            self.patch_cli(old, new)
        self.assertEqual([said for _, said in self.told()], ["base", sha256(NEW), "base"])
        self.assertAllIsCounted()

    def test_when_it_takes_too_long(self) -> None:
        self.store.offload.patient = True
        self.patch_cli(OLD, NEW)
        self.relay.clock.advance(sent_patches.CHECK_S)
        self.assertEqual(self.told(), [("bundle_wanted", "not_now")])
        self.assertAllIsCounted()


class Full(RoomCase):
    settings: ClassVar[dict[str, Any]] = SenderCase.settings | {"spool_limit": 220_000}

    def test_there_is_no_room_for_what_it_makes(self) -> None:
        phone = self.connect("mobile")
        self.begin()
        phone.received()
        self.patch_cli(OLD, NEW)
        self.assertEqual(self.told(), [("bundle_wanted", "not_now")])
        self.assertAllIsCounted()
        self.assertEqual(phone.types(), [])
        self.bundle(self.cli, NEW)
        self.assertEqual(code_of(phone.received()), [NEW])
        self.assertEqual(self.told(), [("bundle_kept", sha256(NEW))])

    def test_bundles_of_others_make_room(self) -> None:
        other = self.relay.connect("/cli/OTHER1")
        self.bundle(other, "x" * 30_000)
        self.begin()
        self.assertEqual(self.store.bundles, 2)
        self.patch_cli(OLD, NEW)
        self.assertEqual(self.store.bundles, 1)
