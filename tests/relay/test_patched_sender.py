"""`apptuner_relay.relay.patched_sender`: the messages of what a patch has made are written when
somebody needs them. What else becomes of it is in `test_sent_patches`."""

import errno
from typing import Any

from apptuner_relay.spool.bundle import CODINGS, IDENTITY, NotNow
from apptuner_relay.spool.bundle_file import BundleFile
from apptuner_relay.spool.code import bundle_messages
from apptuner_relay.spool.file_states import FileState
from tests.log_capture import capture_log
from tests.relay.test_sent_patches import SenderCase, code_of
from tests.spool.cases import sha256
from tests.spool.test_delivery_of_patches import NEW, NEWER, OLD, OTHER


class OnDemand(SenderCase):
    """Long code that only phones with its base get: its messages wait for who needs them."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(bundle_messages, "CHUNK_BYTES", 30_000)
        self.patched = self.phone()
        self.begin()
        self.patched.read()
        self.patch_cli(OLD, NEW)
        self.assertEqual((self.patched.read(), self.patched.code), (["bundle_patch"], NEW))
        self.assertEqual(self.told(), [("bundle_kept", sha256(NEW))])
        self.assertEqual(self.store.offload.written, 0)

    def last(self) -> BundleFile:
        [session] = self.relay.service.sessions
        bundle = self.store.last(session)
        assert bundle is not None
        return bundle

    def test_they_are_written_once_for_all_that_come_late(self) -> None:
        for _ in range(2):
            self.assertEqual(code_of(self.connect("mobile", "replay=1").received()), [NEW])
        inflating = self.connect("mobile", "replay=1", deflate=True)
        self.assertEqual(code_of(inflating.received()), [NEW])
        self.assertEqual(self.store.offload.written, 1)
        self.assertIs(self.last().state, FileState.COMPLETE)
        self.assertEqual(self.patched.read(), [])
        self.assertEqual(self.told(), [])

    def test_one_after_the_other(self) -> None:
        for old, new in ((NEW, NEWER), (NEWER, OLD), (OLD, NEW)):
            self.patch_cli(old, new)
            self.assertEqual((self.patched.read(), self.patched.code), (["bundle_patch"], new))
            self.assertEqual(self.told(), [("bundle_kept", sha256(new))])
        self.assertEqual(self.store.offload.written, 0)
        self.assertEqual(code_of(self.connect("mobile", "replay=1").received()), [NEW])
        # The one before as well is a base.
        at_base = self.phone("replay=1", OLD)
        self.assertEqual((at_base.read(), at_base.code), (["bundle_patch"], NEW))

    def test_a_whole_one_goes_on_from_there(self) -> None:
        self.bundle(self.cli, NEWER)
        self.assertEqual((self.patched.read(), self.patched.code), (["bundle_patch"], NEWER))
        self.assertEqual(code_of(self.connect("mobile", "replay=1").received()), [NEWER])

    def test_a_phone_that_can_not_apply_it(self) -> None:
        self.patched.client.send(type="bundle_wanted", reason="old")
        got = self.patched.read()
        self.assertEqual((got[0], got[-1]), ("bundle_start", "bundle_id"))
        self.assertEqual(self.patched.code, NEW)

    def test_phones_that_need_no_messages(self) -> None:
        known, at_base = self.phone("replay=1", NEW), self.phone("replay=1", OLD)
        self.assertEqual(known.read(), ["bundle_unchanged"])
        self.assertEqual((at_base.read(), at_base.code), (["bundle_patch"], NEW))
        told = self.connect("mobile", "announce=1&replay=1").received()
        self.assertEqual(told[0]["sha256"], sha256(NEW))
        self.assertEqual(self.store.offload.written, 0)

    def test_every_coding_is_made_of_its_code(self) -> None:
        for coding in CODINGS:
            path = self.successResultOf(self.last().code(coding))
            self.assertEqual(path.read_text(), NEW)
        self.assertEqual(self.store.offload.written, 0)

    def test_it_leaves_nothing_on_the_disk(self) -> None:
        [session] = self.relay.service.sessions
        self.store.forget(session)
        self.turn()
        self.assertEqual(self.store.files(), [])
        self.assertEqual(self.store.used_bytes, 0)

    def test_it_goes_when_its_time_is_over(self) -> None:
        self.relay.clock.advance(601)
        self.store.sweep()
        self.assertEqual(self.store.bundles, 0)

    def test_its_messages_can_not_be_written(self) -> None:
        lines = capture_log(self)

        def fail(*about: object) -> Any:
            raise OSError("broken")

        self.patch(self.disk, "open", fail)
        late = self.connect("mobile", "replay=1")
        late.read()
        self.assertEqual(late.closed and late.closed[0], 1011)
        self.assertIn("lost: broken", "".join(lines))
        self.assertEqual(self.store.bundles, 0)
        # The CLI is told that its base is gone, and sends the whole.
        self.patch_cli(NEW, NEWER)
        self.assertEqual(self.told(), [("bundle_wanted", "base")])
        self.bundle(self.cli, NEWER)
        self.assertEqual(
            (self.patched.read(), self.patched.code), (["bundle_update", "bundle_id"], NEWER)
        )

    def test_it_stays_when_the_disk_fails(self) -> None:
        last = self.last()
        # Another session's bundle can't be written.
        self.disk.error = OSError(errno.ENOSPC, "full")
        self.bundle(self.relay.connect("/cli/OTHER1"), OTHER)
        self.assertIsNotNone(self.store.off)
        self.assertEqual(self.phone("replay=1", OLD).read(), ["bundle_patch"])
        path = self.successResultOf(last.code(IDENTITY))
        self.assertEqual(path.read_text(), NEW)

    def test_it_is_dropped_when_there_is_no_room_for_its_messages(self) -> None:
        self.store.limit_bytes = self.store._most_bytes = self.store._bundle_bytes
        late = self.connect("mobile", "replay=1")
        self.assertEqual(code_of(late.received()), [NEW])
        self.assertLessEqual(self.store.used_bytes, self.store.limit_bytes)

    def test_the_worker_is_lost_once(self) -> None:
        write, lost = self.store.patches.write, [NotNow("the worker died")]

        async def fail(*about: Any) -> int:
            if lost:
                raise lost.pop()
            return await write(*about)

        self.patch(self.store.patches, "write", fail)
        self.assertEqual(code_of(self.connect("mobile", "replay=1").received()), [NEW])

    def test_a_newer_one_while_its_messages_are_sent(self) -> None:
        self.disk.patient = True
        late = self.connect("mobile", "replay=1")
        got = late.received()
        self.disk.give()
        self.bundle(self.cli, NEWER)
        while self.disk.reads:
            self.disk.give()
            self.turn()
        self.disk.patient = False
        self.assertEqual(code_of(got + late.received())[-1], NEWER)
        self.assertEqual(code_of(self.connect("mobile", "replay=1").received()), [NEWER])
