"""What is cached is what phones run: it is dropped when a client of the desktop side sends them
something else, which the relay can't follow."""

import json
from typing import Any, ClassVar

from apptuner_relay.spool.bundle_file import BundleFile
from apptuner_relay.spool.code import bundle_messages
from apptuner_relay.wire.frames import BINARY, COMPRESSED, CONTINUATION, TEXT
from tests.memory import Client, deflated, masked
from tests.relay.test_sent_patches import SenderCase, code_of, patch_text
from tests.spool.cases import Spooled, sha256
from tests.spool.test_delivery_of_patches import NEW, NEWER, OLD, OTHER, Phone

PATCH = patch_text(OLD, NEW)


class GuardCase(SenderCase):
    def setUp(self) -> None:
        super().setUp()
        self.released = self.connect("mobile")
        self.begin()
        self.released.received()

    @property
    def kept(self) -> BundleFile | None:
        return self.store.latest(next(iter(self.relay.service.sessions)))

    def say(self, sender: Client, text: bytes) -> None:
        sender.send_raw(masked(TEXT, text))
        self.turn()

    def assertNothingKept(self) -> None:
        """Nor does anybody take anything for it."""
        self.assertIsNone(self.kept)
        late = self.connect("mobile", "replay=1&deviceId=late")
        self.assertEqual(late.types(), [])
        late.lose()
        self.cli.received()
        self.patch_cli(OLD, NEWER)
        self.assertEqual(self.told(), [("bundle_wanted", "base")])
        self.bundle(self.cli, NEWER)
        self.assertEqual(self.told(), [("bundle_kept", sha256(NEWER))])


class WhatIsNotFollowed(GuardCase):
    def test_whoever_sends_a_patch_without_having_asked(self) -> None:
        for role in ("dashboard", "desktop", "cli"):
            with self.subTest(role):
                sender = self.connect(role)
                self.bundle(sender, OLD)
                self.released.received()
                self.say(sender, PATCH)
                self.assertTexts(self.texts(self.released), [PATCH])
                self.assertIsNone(self.kept)
                sender.lose()

    def test_whatever_it_is_and_however_it_comes(self) -> None:
        fields: dict[str, Any] = json.loads(PATCH)
        kind = fields.pop("type")
        long = {"edits": [[0, 0, "x" * 600]]}
        page = self.connect("dashboard", deflate=True)
        for name, text in (
            ("a patch that is none", b'{"type":"bundle_patch"}'),
            ("another order", json.dumps({**fields, "type": kind}).encode()),
            ("behind the head", json.dumps({**long, "type": kind}).encode()),
            ("a whole bundle, likewise", json.dumps({**long, "type": "bundle_update"}).encode()),
            ("escaped", PATCH.replace(b"bundle_patch", b"bundle\\u005fpatch")),
            ("of a later version", b'{"type":"bundle_delta","x":1}'),
            ("of a test page", b'{"type":"bundle","code":""}'),
        ):
            with self.subTest(name):
                self.bundle(self.cli, OLD)
                self.cli.received(), self.released.received()
                self.say(page, text)
                self.assertTexts(self.texts(self.released), [text])
                self.assertNothingKept()
                self.bundle(self.cli, OLD)
                payload = deflated(text)
                page.send_raw(masked(COMPRESSED | TEXT, payload[:5], fin=False))
                page.send_raw(masked(CONTINUATION, payload[5:]))
                self.assertNothingKept()

    def test_two_in_one_block(self) -> None:
        page = self.connect("dashboard")
        page.send_raw(masked(TEXT, b'{"type":"bundle_delta"}') * 2)
        self.assertNothingKept()

    def test_what_changes_no_code_leaves_it(self) -> None:
        page = self.connect("dashboard")
        self.say(page, b'{"type":"reload"}')
        self.say(page, b'{"type":"command","x":"%b"}' % (b"bundle_patch" * 100))
        self.say(page, b'{"x":1}')
        self.say(page, b'["bundle_patch"]')
        page.send_raw(masked(BINARY, PATCH))
        self.say(self.released, PATCH)
        self.patch_cli(OLD, NEW)
        self.assertEqual(self.told(), [("bundle_kept", sha256(NEW))])

    def test_for_one_device(self) -> None:
        one, other = self.phone("deviceId=one"), self.phone("deviceId=other")
        self.bundle(self.cli, NEW)
        one.read(), other.read()
        page = self.connect("dashboard")
        self.say(page, b'{"targetDeviceId":"one",' + PATCH[1:])
        self.assertEqual((one.client.types(), other.client.types()), (["bundle_patch"], []))
        one.client.messages.clear()
        self.say(page, b'{"targetDeviceId":"gone",' + PATCH[1:])
        # Others still run what is kept. What the one runs is not known any more.
        self.bundle(self.cli, NEWER)
        self.assertEqual((one.read(), one.code), (["bundle_update", "bundle_id"], NEWER))
        self.assertEqual((other.read(), other.code), (["bundle_patch"], NEWER))


class BeyondTheRate(GuardCase):
    settings: ClassVar[dict[str, Any]] = SenderCase.settings | {"message_rate": 2}

    def test_it_is_dropped_all_the_same(self) -> None:
        page = self.connect("dashboard")
        page.send_raw(masked(TEXT, b'{"type":"reload"}') * 20 + masked(TEXT, PATCH))
        self.relay.wait(20)
        self.assertEqual(self.released.types()[-1:], ["bundle_patch"])
        self.assertIsNone(self.kept)


class Interleaved(GuardCase):
    def test_with_a_bundle_that_grows(self) -> None:
        phone = self.phone()
        page = self.connect("dashboard")
        self.start_chunks(self.cli, OTHER, 3)
        self.chunk(self.cli, OTHER, 3, 0)
        self.say(page, PATCH)
        self.assertIsNone(self.kept)
        for index in (1, 2):
            self.chunk(self.cli, OTHER, 3, index)
        self.turn()
        # Whichever of the two the phones run, nobody was told that it is kept.
        self.assertEqual(self.told(), [])
        self.assertIsNone(self.kept)
        self.assertNotIn("bundle_id", phone.client.types())
        phone.client.lose()
        self.assertNothingKept()

    def test_with_a_bundle_whose_patch_is_being_made(self) -> None:
        phone = self.phone("", OLD)
        self.store.offload.patient = True
        self.bundle(self.cli, NEW)
        self.assertEqual(phone.read(), [])
        self.say(self.connect("dashboard"), b'{"type":"bundle_delta"}')
        while self.store.offload.waiting:
            self.store.offload.answer()
            self.turn()
        self.assertEqual(sorted(phone.read()), ["bundle_delta", "bundle_update"])
        self.assertEqual(phone.code, NEW)
        self.store.offload.patient = False
        self.assertNothingKept()

    def test_with_a_patch_that_is_being_checked(self) -> None:
        self.store.offload.patient = True
        self.patch_cli(OLD, NEWER)
        self.say(self.connect("dashboard"), PATCH)
        self.store.offload.patient = False
        self.store.offload.answer()
        self.turn()
        self.assertEqual(self.released.types(), ["bundle_patch"])
        # The page's may be something that phones don't take. So the save isn't forgotten.
        self.assertEqual(self.told(), [("bundle_wanted", "base")])
        self.assertNothingKept()

    def test_with_what_a_patch_has_made_before_anybody_needs_it_whole(self) -> None:
        self.patch(bundle_messages, "CHUNK_BYTES", 30_000)
        self.released.lose()
        phone = self.phone("", OLD)
        self.patch_cli(OLD, NEW)
        self.assertEqual((phone.read(), phone.code), (["bundle_patch"], NEW))
        self.cli.received()
        self.say(self.connect("dashboard"), b'{"type":"bundle_delta"}')
        self.assertEqual(self.store.files(), [])
        self.assertNothingKept()

    def test_with_what_a_patch_has_made_while_its_messages_are_sent(self) -> None:
        self.patch(bundle_messages, "CHUNK_BYTES", 30_000)
        self.disk.patient = True
        self.patch_cli(OLD, NEW)
        self.disk.give()
        self.say(self.connect("dashboard"), b'{"type":"bundle_delta"}')
        while self.disk.reads:
            self.disk.give()
            self.turn()
        self.disk.patient = False
        self.assertEqual(code_of(self.released.received()), [NEW])
        self.cli.received()
        self.assertNothingKept()

    def test_then_a_whole_one_is_kept(self) -> None:
        self.say(self.connect("dashboard"), PATCH)
        self.start_chunks(self.cli, OTHER, 2)
        for index in (0, 1):
            self.chunk(self.cli, OTHER, 2, index)
        self.assertEqual(self.told(), [("bundle_kept", sha256(OTHER))])


class AfterTheSession(GuardCase):
    """A CLI sends a patch and goes, and the session with it, before that is checked."""

    def setUp(self) -> None:
        super().setUp()
        self.store.offload.patient = True
        self.patch_cli(OLD, NEW)
        self.cli.lose()
        self.released.lose()
        self.assertEqual(self.relay.service.sessions, {})

    def answer(self) -> None:
        self.store.offload.patient = False
        self.store.offload.answer()
        self.turn()

    def test_it_is_kept(self) -> None:
        self.answer()
        self.assertEqual(code_of(self.connect("mobile").received()), [NEW])

    def test_a_newer_one_of_the_next_session_stays(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        self.start_chunks(cli, OTHER, 3)
        self.chunk(cli, OTHER, 3, 0)
        self.answer()
        for index in (1, 2):
            self.chunk(cli, OTHER, 3, index)
        self.assertEqual(code_of(phone.received()), [OTHER])
        cli.lose()
        self.assertEqual(code_of(self.connect("mobile").received()), [OTHER])

    def test_a_session_that_is_another_relays_by_now(self) -> None:
        self.store.forget(sha256("ABC234"))
        self.answer()
        self.assertIsNone(self.store.latest(sha256("ABC234")))
        self.assertEqual([one.suffix for one in self.store.files()], [])


class WithoutRoom(Spooled):
    """Of two bundles the one that began last isn't cached."""

    settings: ClassVar[dict[str, Any]] = {"spool_limit": 150_000}

    def test_the_other_is_not_kept_for_it(self) -> None:
        phone = Phone(self.connect("mobile"))
        cli, page = self.connect("cli"), self.connect("dashboard")
        self.start_chunks(cli, OTHER, 2)
        self.chunk(cli, OTHER, 2, 0)
        self.bundle(page, "x" * 200_000)
        self.chunk(cli, OTHER, 2, 1)
        self.assertEqual(phone.read()[-1], "bundle_update")
        self.assertEqual(self.store.bundles, 0)
