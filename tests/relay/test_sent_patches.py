"""`apptuner_relay.relay.sent_patches`: a CLI sends patches, and every phone gets its code in the
form that it takes; or the CLI is told to send the whole."""

import json
from typing import Any, ClassVar

from apptuner_relay.relay import sent_patches
from apptuner_relay.relay.member import Member
from apptuner_relay.session.session import Role
from apptuner_relay.spool.bundle import NoCode
from apptuner_relay.spool.code import bundle_messages
from apptuner_relay.spool.code.patch_making import make_patch
from apptuner_relay.wire.bundle_patch import (
    MOST_PATCH_BYTES,
    BundlePatch,
    Edit,
    PatchFault,
    build_patch,
)
from apptuner_relay.wire.frames import COMPRESSED, CONTINUATION, TEXT
from tests.memory import Client, deflated, masked
from tests.spool.cases import Spooled, sha256, some_code
from tests.spool.test_delivery_of_patches import NEW, NEWER, OLD, OTHER, Phone


def patch_text(old: str, new: str) -> bytes:
    """The ``bundle_patch`` that a CLI sends."""
    before, after = old.encode(), new.encode()
    made = make_patch(before, sha256(old), after, sha256(new), lambda: 0.0)
    return build_patch(made, 7)


def code_of(messages: list[dict[str, Any]]) -> list[str]:
    """The bundles that came, in one message or in chunks."""
    codes: list[str] = []
    for one in messages:
        match one["type"]:
            case "bundle_update":
                codes.append(one["payload"]["code"])
            case "bundle_start":
                codes.append("")
            case "bundle_chunk":
                codes[-1] += one["data"]
    return codes


class SenderCase(Spooled):
    settings: ClassVar[dict[str, Any]] = {"max_message": 5_000_000}

    def setUp(self) -> None:
        super().setUp()
        self.cli = self.connect("cli", "patch=1")
        self.traffic = self.relay.service.meters.counters.traffic

    def phone(self, query: str = "", code: str | None = None) -> Phone:
        have = f"&have={sha256(code)}" if code else ""
        return Phone(self.connect("mobile", f"patch=1{have}&{query}"), code)

    def patch_cli(self, old: str, new: str, cli: Client | None = None) -> bytes:
        """Have a CLI send a patch."""
        text = patch_text(old, new)
        (cli or self.cli).send_raw(masked(TEXT, text))
        self.turn()
        return text

    def turn(self) -> None:
        self.relay.clock.advance(0.1)

    def told(self, cli: Client | None = None) -> list[tuple[str, str]]:
        """What a CLI was told of its bundles."""
        fields = {"bundle_kept": "sha256", "bundle_wanted": "reason"}
        messages = (cli or self.cli).received()
        return [
            (one["type"], one[fields[one["type"]]]) for one in messages if one["type"] in fields
        ]

    def begin(self) -> None:
        """The CLI's first bundle."""
        self.bundle(self.cli, OLD)
        self.assertEqual(self.told(), [("bundle_kept", sha256(OLD))])


class Taken(SenderCase):
    def test_the_welcome_says_whether_patches_are_taken(self) -> None:
        for query, expected in (("patch=1", True), ("", None), ("patch=0", None)):
            cli = self.relay.connect(f"/cli/S{len(query)}?{query}", welcome=False)
            self.assertEqual(cli.received()[0].get("patch"), expected)
        page = self.relay.connect("/dashboard/X?patch=1", welcome=False)
        self.assertNotIn("patch", page.received()[0])

    def test_every_phone_gets_it_in_the_form_that_it_takes(self) -> None:
        released, phone, behind = self.connect("mobile"), self.phone(), self.phone()
        told = self.connect("mobile", "announce=1")
        self.begin()
        for one in (phone, behind):
            one.read()
        behind.client.send(type="bundle_wanted")
        self.assertEqual(behind.read(), ["bundle_update", "bundle_id"])
        for client in (released, told):
            client.received()
        text = self.patch_cli(OLD, NEW)
        self.assertTexts(self.texts(phone.client), [text])
        self.assertEqual(code_of(released.received()), [NEW])
        self.assertEqual(told.received()[0]["sha256"], sha256(NEW))
        self.assertEqual(self.told(), [("bundle_kept", sha256(NEW))])

    def test_one_after_the_other(self) -> None:
        phone, released = self.phone(), self.connect("mobile")
        self.begin()
        phone.read()
        released.received()
        for old, new in ((OLD, NEW), (NEW, NEWER), (NEWER, OLD)):
            self.patch_cli(old, new)
            self.assertEqual(phone.read(), ["bundle_patch"])
            self.assertEqual((phone.code, code_of(released.received())), (new, [new]))
            self.assertEqual(self.told(), [("bundle_kept", sha256(new))])
        # A whole one goes on from there.
        self.bundle(self.cli, NEW)
        self.assertEqual((phone.read(), phone.code), (["bundle_patch"], NEW))
        self.assertEqual(self.traffic.patches["taken"], 3)

    def test_long_code_comes_in_chunks(self) -> None:
        self.patch(bundle_messages, "CHUNK_BYTES", 30_000)
        released, phone = self.connect("mobile"), self.phone()
        late = self.phone(code=OLD)
        self.begin()
        for one in (phone, late):
            one.read()
        released.received()
        self.patch_cli(OLD, NEW)
        messages = released.received()
        self.assertEqual([one["type"] for one in messages[:2]], ["bundle_start", "bundle_chunk"])
        self.assertEqual(code_of(messages), [NEW])
        self.assertEqual(phone.read(), ["bundle_patch"])
        self.assertEqual(self.told(), [("bundle_kept", sha256(NEW))])
        self.assertEqual(code_of(self.connect("mobile", "replay=1").received()), [NEW])

    def test_compressed_and_in_frames(self) -> None:
        released = self.connect("mobile")
        self.cli = self.connect("cli", "patch=1", deflate=True)
        self.begin()
        released.received()
        payload = deflated(patch_text(OLD, NEW))
        self.cli.send_raw(masked(COMPRESSED | TEXT, payload[:9], fin=False))
        self.cli.send_raw(masked(CONTINUATION, payload[9:]))
        self.turn()
        self.assertEqual(code_of(released.received()), [NEW])

    def test_phones_that_take_compressed_messages_get_it_so(self) -> None:
        phone = self.connect("mobile", deflate=True)
        self.begin()
        phone.received()
        phone.frames.clear()
        self.patch_cli(OLD, NEW)
        self.assertEqual(code_of(phone.received()), [NEW])
        self.assertTrue(phone.frames[0][0] & COMPRESSED)

    def test_who_joins_late(self) -> None:
        self.begin()
        self.patch_cli(OLD, NEW)
        self.cli.lose()
        known, at_base, other = (self.phone("", code) for code in (NEW, OLD, OTHER))
        released = self.connect("mobile")
        self.assertEqual(known.read(), ["bundle_unchanged"])
        # Its base isn't on the disk any more, but the patch is known.
        self.assertEqual((at_base.read(), at_base.code), (["bundle_patch"], NEW))
        self.assertEqual(other.read(), ["bundle_update", "bundle_id"])
        self.assertEqual(code_of(released.received()), [NEW])

    def test_a_phone_that_cannot_apply_it(self) -> None:
        phone = self.phone()
        self.begin()
        phone.read()
        self.patch_cli(OLD, NEW)
        phone.client.received()
        phone.client.messages.clear()
        phone.client.send(type="bundle_wanted", reason="old")
        self.assertEqual((phone.read(), phone.code), (["bundle_update", "bundle_id"], NEW))

    def test_an_unfinished_bundle_gives_way(self) -> None:
        phone = self.connect("mobile")
        self.begin()
        phone.received()
        self.start_chunks(self.cli, OTHER, 3)
        self.chunk(self.cli, OTHER, 3, 0)
        self.patch_cli(OLD, NEW)
        # Else a move of the session would wait for the rest.
        [sender] = [one for one in self.relay.service.clients if one.role is Role.CLI]
        assert isinstance(sender, Member)
        self.assertFalse(sender.recording)
        self.chunk(self.cli, OTHER, 3, 1)
        self.assertEqual(code_of(phone.received())[-1], NEW)
        self.assertEqual(code_of(self.connect("mobile", "replay=1").received()), [NEW])

    def test_nothing_is_left_on_the_disk(self) -> None:
        self.begin()
        before = self.store.files()
        self.patch_cli(OLD, NEW)
        self.patch_cli(OLD, NEW)
        self.assertEqual(self.told()[-1], ("bundle_wanted", "base"))
        after = self.store.files()
        # The bundle, and its code, which the second patch was compared with.
        self.assertEqual(len(before), 1)
        self.assertEqual(sorted(one.suffix for one in after), [before[0].suffix, ".identity"])

    def test_what_is_saved_is_counted(self) -> None:
        phones = self.phone(), self.phone()
        self.begin()
        text = self.patch_cli(OLD, NEW)
        for phone in phones:
            phone.read()
        tally = self.traffic.tallies["bundle_patch"]
        self.assertEqual((tally.received, tally.sent), (1, 2))
        saved = 2 * (len(NEW.encode()) - len(text))
        self.assertEqual(self.traffic.patch_saved_bytes, saved)


class Refused(SenderCase):
    def setUp(self) -> None:
        super().setUp()
        self.released, self.label = self.connect("mobile"), self.phone()
        self.begin()
        self.label.read()
        self.released.received()

    def refused(self, text: bytes, fault: PatchFault) -> None:
        """Phones get nothing, what is kept stays, and the CLI goes on."""
        self.cli.send_raw(masked(TEXT, text))
        self.turn()
        self.assertEqual(self.told(), [("bundle_wanted", fault.value)])
        self.assertEqual((self.texts(self.released), self.label.read()), ([], []))
        late = self.connect("mobile", "replay=1")
        self.assertEqual(code_of(late.received()), [OLD])
        late.lose()
        self.cli.received()
        self.assertEqual(self.traffic.patches[fault.value], 1)

    def test_each_reason(self) -> None:
        size, units = len(NEW.encode()), len(NEW.encode("utf-16-le")) // 2
        right = BundlePatch(sha256(OLD), sha256(NEW), size, units, [])
        text = json.loads(patch_text(OLD, NEW))
        edits = [Edit(*edit) for edit in text["edits"]]
        end = len(OLD.encode("utf-16-le")) // 2
        for patch, fault in (
            (right._replace(base=sha256(OTHER)), PatchFault.BASE),
            (right._replace(edits=[Edit(3, 2, "")]), PatchFault.ORDER),
            (right._replace(edits=[Edit(end, end + 1, "")]), PatchFault.BOUNDS),
            (right._replace(edits=edits, size=size + 1), PatchFault.SIZE),
            (right._replace(edits=edits, units=units + 1), PatchFault.UNITS),
            (right._replace(edits=edits, sha256=sha256(OLD)), PatchFault.SHA256),
            (right._replace(size=6_000_000), PatchFault.TOO_BIG),
        ):
            with self.subTest(fault):
                self.refused(build_patch(patch, 1), fault)

    def test_malformed(self) -> None:
        self.refused(b'{"type":"bundle_patch","edits":1}', PatchFault.MALFORMED)

    def test_longer_than_any_patch(self) -> None:
        text = b'{"type":"bundle_patch","x":"%b"}' % (b"x" * MOST_PATCH_BYTES)
        self.refused(text, PatchFault.TOO_BIG)

    def test_for_one_device(self) -> None:
        text = patch_text(OLD, NEW)
        target = b'{"targetDeviceId":"d",' + text[1:]
        self.refused(target, PatchFault.TARGET)
        self.connect("mobile", "deviceId=d")
        self.cli.received()
        self.traffic.patches.clear()
        self.refused(target, PatchFault.TARGET)

    def test_nothing_is_kept(self) -> None:
        self.store.forget(self.relay.service.sessions.popitem()[0])
        self.cli = self.relay.connect("/cli/OTHER1?patch=1")
        self.patch_cli(OLD, NEW)
        self.assertEqual(self.told(), [("bundle_wanted", "base")])

    def test_then_the_whole_is_taken(self) -> None:
        self.refused(b'{"type":"bundle_patch"}', PatchFault.MALFORMED)
        self.bundle(self.cli, NEW)
        self.assertEqual(code_of(self.released.received()), [NEW])
        self.assertEqual((self.label.read(), self.label.code), (["bundle_patch"], NEW))

    def test_what_is_no_deflate_closes(self) -> None:
        self.cli = self.connect("cli", "patch=1", deflate=True)
        head = deflated(b'{"type":"bundle_patch","x":"' + b"x" * 600)
        self.cli.send_raw(masked(COMPRESSED | TEXT, head + b"\x07\xff\xff"))
        self.cli.read()
        self.assertEqual(self.cli.closed and self.cli.closed[0], 1007)


class WhileItIsChecked(SenderCase):
    """The worker takes its time."""

    def setUp(self) -> None:
        super().setUp()
        self.released = self.connect("mobile")
        self.begin()
        self.released.received()
        self.store.offload.patient = True

    def answer(self) -> None:
        """Let the worker answer all that it was asked."""
        while self.store.offload.waiting:
            self.store.offload.answer()
            self.turn()

    def test_the_cli_is_not_read_from(self) -> None:
        self.patch_cli(OLD, NEW)
        self.assertEqual(self.cli.transport.producerState, "paused")
        self.cli.send_raw(masked(TEXT, b'{"type":"ping"}'))
        self.assertEqual(self.cli.received(), [])
        self.answer()
        self.assertEqual(self.cli.transport.producerState, "producing")
        self.assertEqual(sorted(self.cli.types()), ["bundle_kept", "pong"])
        self.assertEqual(code_of(self.released.received()), [NEW])

    def test_the_worker_need_not_hash_what_it_has_made(self) -> None:
        self.patch_cli(OLD, NEW)
        self.store.offload.answer()
        self.turn()
        self.assertEqual(self.store.offload.waiting, [])
        self.assertEqual(self.told(), [("bundle_kept", sha256(NEW))])

    def test_a_whole_bundle_of_another_sender_wins(self) -> None:
        self.patch_cli(OLD, NEW)
        self.bundle(self.connect("dashboard"), OTHER)
        self.answer()
        self.assertEqual(code_of(self.released.received()), [OTHER])
        self.assertEqual(self.traffic.patches, {"overtaken": 1})

    def test_a_takeover(self) -> None:
        self.patch_cli(OLD, NEW)
        newer = self.connect("cli", "patch=1")
        self.answer()
        # What the former one sent came whole, and nothing has come since.
        self.assertEqual(code_of(self.released.received()), [NEW])
        self.patch_cli(NEW, NEWER, newer)
        self.answer()
        self.assertEqual(code_of(self.released.received()), [NEWER])
        self.assertEqual(self.told(newer)[-1], ("bundle_kept", sha256(NEWER)))

    def test_a_takeover_by_one_that_sends_at_once(self) -> None:
        self.patch_cli(OLD, NEW)
        self.bundle(self.connect("cli"), OTHER)
        self.answer()
        self.assertEqual(code_of(self.released.received()), [OTHER])

    def test_of_two_in_one_block_the_last(self) -> None:
        both = masked(TEXT, patch_text(OLD, NEW)) + masked(TEXT, patch_text(OLD, NEWER))
        self.cli.send_raw(both)
        self.turn()
        self.answer()
        got = code_of(self.released.received())
        self.assertEqual(got[-1:], [NEWER])

    def test_the_worker_is_lost(self) -> None:
        self.patch(self.store.patches, "apply", self._not_now)
        self.patch_cli(OLD, NEW)
        self.assertEqual(self.told(), [("bundle_wanted", "not_now")])

    def test_the_worker_takes_too_long(self) -> None:
        self.patch_cli(OLD, NEW)
        self.relay.clock.advance(sent_patches.CHECK_S)
        self.assertEqual(self.told(), [("bundle_wanted", "not_now")])
        self.assertEqual(self.cli.transport.producerState, "producing")
        self.bundle(self.cli, NEWER)
        self.answer()
        self.assertEqual(code_of(self.released.received()), [NEWER])

    def test_a_mistake_of_the_relay_costs_one_patch(self) -> None:
        self.patch(self.store.patches, "apply", self._mistake)
        self.patch_cli(OLD, NEW)
        self.assertEqual(self.told(), [("bundle_wanted", "not_now")])
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)
        self.assertEqual(self.cli.transport.producerState, "producing")

    async def _mistake(self, *about: object) -> None:
        raise LookupError

    async def _not_now(self, *about: object) -> None:
        raise NoCode("the worker died")


class ASlowDisk(SenderCase):
    """What a patch has made is read in threads, and phones take their time."""

    def test_it_waits_for_the_disk(self) -> None:
        self.patch(bundle_messages, "CHUNK_BYTES", 30_000)
        phone = self.connect("mobile")
        self.begin()
        phone.received()
        self.disk.patient = True
        self.patch_cli(OLD, NEW)
        while self.disk.reads:
            self.disk.give()
            self.turn()
        self.assertEqual(code_of(phone.received()), [NEW])

    def test_it_can_not_be_read(self) -> None:
        self.begin()

        def fail(*about: object) -> Any:
            raise OSError("broken")

        self.patch(self.disk, "open", fail)
        self.patch_cli(OLD, NEW)
        self.assertEqual(self.told(), [("bundle_wanted", "not_now")])

    def test_big_code(self) -> None:
        code = some_code(900_000)
        phone = self.connect("mobile")
        self.bundle(self.cli, code)
        phone.received()
        self.patch_cli(code, code + "//")
        self.assertEqual(code_of(phone.received()), [code + "//"])
