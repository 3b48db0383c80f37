"""`apptuner_relay.web.bundle_upload` with patches: what phones get of them, and the answers."""

import gzip
from typing import Any

from apptuner_relay.relay import sent_patches
from apptuner_relay.session.session import Role
from apptuner_relay.spool.bundle import NoCode
from apptuner_relay.spool.code import bundle_messages
from apptuner_relay.web.site import make_site
from apptuner_relay.wire.bundle_patch import MOST_PATCH_BYTES, PATCH_MEDIA_TYPE
from tests.memory import Relay
from tests.relay.test_sent_patches import code_of, patch_text
from tests.spool.cases import sha256
from tests.spool.test_delivery_of_patches import NEW, NEWER, OLD, Phone
from tests.web.test_bundle_upload import UploadCase
from tests.web.uploading import Uploader


class PatchCase(UploadCase):
    settings = {"max_message": 5_000_000}

    def patch_up(self, body: bytes, base: str | None = OLD, **more: Any) -> Uploader:
        """Upload a patch."""
        head = {"Content_Type": PATCH_MEDIA_TYPE, **more}
        if base is not None:
            head["If_Match"] = f'"{sha256(base)}"'
        one = self.upload(len(body), **head)
        if body and one.status is None:
            one.send(body)
        self.relay.clock.advance(0.1)
        return one

    def assertRefused(self, one: Uploader, status: int, reason: str | None) -> None:
        self.assertEqual((one.status, one.found.get("reason")), (status, reason), one.found)
        self.assertTrue(one.found["error"])
        self.relay.clock.advance(0)
        self.assertEqual(self.uploads, [])

    def phone(self) -> Phone:
        return Phone(self.connect("mobile", "patch=1&replay=1"), None)


class Taken(PatchCase):
    def test_every_phone_gets_it_in_the_form_that_it_takes(self) -> None:
        released, phone = self.connect("mobile"), self.phone()
        self.assertEqual(self.push(OLD).status, 201)
        phone.read()
        released.received()
        text = patch_text(OLD, NEW)
        one = self.patch_up(text)
        url = f"/bundles/ABC234/{sha256(NEW)}"
        self.assertEqual(one.status, 201, one.found)
        self.assertEqual(
            one.found,
            {"sha256": sha256(NEW), "size": len(NEW.encode()), "phones": 2, "url": url},
        )
        assert one.answer is not None
        self.assertEqual(one.answer.headers["location"], url)
        self.assertEqual((phone.read(), phone.code), (["bundle_patch"], NEW))
        self.assertEqual(code_of(released.received()), [NEW])
        self.assertEqual(code_of(self.connect("mobile", "replay=1").received()), [NEW])
        self.assertEqual(self.relay.service.meters.counters.traffic.patches["taken"], 1)

    def test_one_after_the_other_and_compressed(self) -> None:
        phone = self.phone()
        self.push(OLD)
        phone.read()
        for old, new in ((OLD, NEW), (NEW, NEWER), (NEWER, OLD)):
            body = gzip.compress(patch_text(old, new))
            one = self.patch_up(body, old, Content_Encoding="gzip")
            self.assertEqual((one.status, one.found["sha256"]), (201, sha256(new)))
            self.assertEqual((phone.read(), phone.code), (["bundle_patch"], new))

    def test_what_a_cli_has_sent_is_patched(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        self.bundle(cli, OLD)
        phone.received()
        self.assertEqual(self.patch_up(patch_text(OLD, NEW)).status, 201)
        self.assertEqual(code_of(phone.received()), [NEW])

    def test_nobody_is_there(self) -> None:
        self.push(OLD)
        one = self.patch_up(patch_text(OLD, NEW))
        self.assertEqual((one.status, one.found["phones"]), (201, 0))

    def test_long_code_is_kept_before_anybody_needs_its_messages(self) -> None:
        self.patch(bundle_messages, "CHUNK_BYTES", 30_000)
        self.push(OLD)
        one = self.patch_up(patch_text(OLD, NEW))
        self.assertEqual((one.status, one.found["sha256"]), (201, sha256(NEW)))
        self.assertEqual(code_of(self.connect("mobile", "replay=1").received()), [NEW])

    def test_in_small_pieces(self) -> None:
        self.push(OLD)
        one = self.upload(
            None, Content_Type=f"{PATCH_MEDIA_TYPE}; charset=utf-8", If_Match=f'"{sha256(OLD)}-br"'
        )
        text = patch_text(OLD, NEW)
        for at in range(len(text)):
            one.send(text[at : at + 1])
        one.end()
        self.relay.clock.advance(0.1)
        self.assertEqual(one.status, 201)


class Refused(PatchCase):
    def setUp(self) -> None:
        super().setUp()
        self.push(OLD)
        self.released = self.connect("mobile")
        self.released.received()

    def tearDown(self) -> None:
        self.relay.clock.advance(0)
        self.assertEqual(self.got(self.released), [])
        self.assertEqual(code_of(self.connect("mobile", "replay=1").received())[:1], [OLD])

    def test_what_is_kept_is_something_else(self) -> None:
        self.assertRefused(self.patch_up(patch_text(NEW, NEWER), NEW), 412, "base")

    def test_it_does_not_fit(self) -> None:
        text = patch_text(OLD, NEW)
        other = text.replace(sha256(NEW).encode(), sha256(NEWER).encode())
        self.assertRefused(self.patch_up(other), 422, "sha256")
        aimed = text.replace(b"{", b'{"targetDeviceId":"x",', 1)
        self.assertRefused(self.patch_up(aimed), 422, "target")
        typed = text[:-1] + b',"type":"bundle_update"}'
        self.assertRefused(self.patch_up(typed), 400, "malformed")
        self.assertRefused(self.patch_up(text[:-1]), 400, "malformed")

    def test_what_is_refused_at_once(self) -> None:
        text = patch_text(OLD, NEW)
        self.assertRefused(self.patch_up(text, None), 428, None)
        self.assertRefused(self.patch_up(text, NEW), 422, "base")
        self.assertRefused(self.patch_up(b""), 400, "malformed")
        self.assertRefused(self.patch_up(b"x" * (MOST_PATCH_BYTES + 1)), 413, "too_big")
        for media_type in ("application/json", "application/json-patch+json; charset=utf-8"):
            one = self.patch_up(text, Content_Type=media_type)
            self.assertRefused(one, 415, None)
            assert one.answer is not None
            self.assertIn(PATCH_MEDIA_TYPE, one.answer.headers["accept"])

    def test_it_can_not_be_checked(self) -> None:
        self.patch(sent_patches, "CHECK_S", 1.0)
        store = self.relay.service.store
        assert store is not None

        async def fail(*arguments: Any) -> Any:
            raise NoCode("the worker died")

        self.patch(store.patches, "apply", fail)
        one = self.patch_up(patch_text(OLD, NEW))
        self.assertRefused(one, 503, "not_now")
        assert one.answer is not None
        self.assertIn("retry-after", one.answer.headers)


class Overtaken(PatchCase):
    def test_a_bundle_that_begins_while_it_is_checked_takes_its_place(self) -> None:
        self.push(OLD)
        cli, phone = self.connect("cli"), self.connect("mobile")
        store = self.relay.service.store
        assert store is not None
        apply = store.patches.apply

        async def later(*arguments: Any) -> Any:
            patch = await apply(*arguments)
            self.bundle(cli, NEWER)
            return patch

        self.patch(store.patches, "apply", later)
        phone.received()
        one = self.patch_up(patch_text(OLD, NEW))
        self.assertEqual((one.status, one.found["sha256"]), (409, sha256(NEW)))
        self.assertEqual(code_of(phone.received()), [NEWER])


class Unspooled(PatchCase):
    def test_nothing_is_kept_that_could_be_patched(self) -> None:
        self.relay.service.stopService()
        self.relay = Relay()
        self.site = make_site(self.relay.service)
        self.site.startFactory()
        one = self.patch_up(patch_text(OLD, NEW))
        self.assertEqual((one.status, one.found["reason"]), (412, "base"))
        self.assertEqual([c for c in self.relay.service.clients if c.role is Role.UPLOAD], [])
