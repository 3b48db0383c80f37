"""`apptuner_relay.spool.delivery` to phones that take patches: labels, patches, and whole bundles
when there is no way around."""

import json
from typing import Any

from tests.memory import Client
from tests.spool.cases import SlowCase, Spooled, sha256, some_code
from tests.spool.code.patch_texts import in_javascript

OLD = some_code(40_000) + "é🛒;\n" + some_code(40_000, seed=2)
NEW = OLD.replace("é🛒", "🛍 new")
NEWER = NEW + "\n// newer"
OTHER = some_code(60_000, seed=3)


class Phone:
    """Applies patches to what it has, and takes the labels of what it gets."""

    def __init__(self, client: Client, code: str | None = None) -> None:
        self.client = client
        self.code = code
        self.label: str | None = None if code is None else sha256(code)
        self.types: list[str] = []

    def read(self) -> list[str]:
        """Take in what came. Returns the types of the messages."""
        messages, self.client.messages = self.client.received(), []
        for message in messages:
            self.take(message)
        return [message["type"] for message in messages]

    def take(self, message: dict[str, Any]) -> None:
        match message["type"]:
            case "bundle_update":
                self.code, self.label = message["payload"]["code"], None
            case "bundle_start":
                self.code, self.label = "", None
            case "bundle_chunk":
                assert self.code is not None
                self.code += message["data"]
            case "bundle_id":
                assert self.code is not None
                assert message["sha256"] == sha256(self.code)
                assert message["units"] == len(self.code.encode("utf-16-le")) // 2
                self.label = message["sha256"]
            case "bundle_unchanged":
                assert message["sha256"] == self.label
            case "bundle_patch":
                assert self.code is not None and message["base"] == self.label
                self.code = in_javascript(self.code, message["edits"])
                self.label = message["sha256"]
                assert self.label == sha256(self.code)


class PatchCase(Spooled):
    def setUp(self) -> None:
        super().setUp()
        self.cli = self.connect("cli")

    def phone(self, query: str = "", code: str | None = None) -> Phone:
        have = f"&have={sha256(code)}" if code else ""
        return Phone(self.connect("mobile", f"patch=1{have}&{query}"), code)

    def send(self, code: str, *phones: Phone) -> list[list[str]]:
        """Send a bundle; all phones have it then. Returns what each was sent."""
        self.bundle(self.cli, code)
        types = [phone.read() for phone in phones]
        self.assertEqual([phone.code == code for phone in phones], [True] * len(phones))
        self.assertEqual([phone.label for phone in phones], [sha256(code)] * len(phones))
        return types


class Patched(PatchCase):
    def test_a_label_then_patches(self) -> None:
        phone = self.phone()
        self.assertEqual(self.send(OLD, phone), [["bundle_update", "bundle_id"]])
        self.assertEqual(self.send(NEW, phone), [["bundle_patch"]])
        self.assertEqual(self.send(NEWER, phone), [["bundle_patch"]])
        self.assertEqual(self.send(OLD, phone), [["bundle_patch"]])
        self.assertEqual(self.send(OLD, phone), [["bundle_unchanged"]])

    def test_released_phones_get_all_whole(self) -> None:
        released, phone = self.connect("mobile"), self.phone()
        for code in (OLD, NEW):
            text = self.bundle(self.cli, code)
            self.assertTexts(self.texts(released), [text])
        phone.read()
        self.assertEqual(phone.code, NEW)

    def test_what_is_too_different_comes_whole(self) -> None:
        phone = self.phone()
        self.send(OLD, phone)
        self.assertEqual(self.send(OTHER, phone), [["bundle_update", "bundle_id"]])
        self.assertEqual(self.send(OTHER + ";", phone), [["bundle_patch"]])

    def test_in_chunks(self) -> None:
        phone = self.phone()
        self.chunks(self.cli, OLD, 3)
        phone.code = OLD
        self.assertEqual(phone.read(), ["bundle_start", *["bundle_chunk"] * 3, "bundle_id"])
        self.chunks(self.cli, NEW, 3)
        self.assertEqual(phone.read(), ["bundle_patch"])
        self.assertEqual(phone.code, NEW)

    def test_a_phone_that_joins_with_what_it_has(self) -> None:
        first = self.phone()
        for code in (OLD, NEW):
            self.send(code, first)
        last, before, older = (self.phone("replay=1", code) for code in (NEW, OLD, OTHER))
        self.assertEqual(last.read(), ["bundle_unchanged"])
        self.assertEqual(before.read(), ["bundle_patch"])
        self.assertEqual(older.read(), ["bundle_update", "bundle_id"])
        phones = (first, last, before, older)
        self.assertEqual(self.send(NEWER, *phones), [["bundle_patch"]] * 4)

    def test_a_phone_that_comes_back_meets_a_newer_bundle(self) -> None:
        phone = self.phone()
        self.send(OLD, phone)
        phone.client.lose()
        back = self.phone(code=OLD)
        self.assertEqual(back.read(), [])
        self.assertEqual(self.send(NEW, back), [["bundle_patch"]])

    def test_one_that_cannot_apply_it_gets_the_whole(self) -> None:
        phone = self.phone()
        self.send(OLD, phone)
        self.bundle(self.cli, NEW)
        self.cli.received()
        phone.client.received()
        phone.client.messages.clear()
        phone.client.send(type="bundle_wanted", reason="old")
        self.assertEqual(phone.read(), ["bundle_update", "bundle_id"])
        self.assertEqual((phone.code, self.cli.received()), (NEW, []))
        self.assertEqual(self.send(NEWER, phone), [["bundle_patch"]])

    def test_one_that_asks_for_the_whole_before_it_has_come(self) -> None:
        phone = self.phone()
        self.send(OLD, phone)
        rest = self.half(self.cli, NEW)
        phone.client.send(type="bundle_wanted")
        phone.client.send(type="bundle_wanted")
        self.cli.send_raw(rest)
        self.assertEqual(phone.read(), ["bundle_update", "bundle_id"])
        self.assertEqual(phone.code, NEW)

    def test_bundle_wanted_of_others_goes_to_the_desktop_side(self) -> None:
        self.connect("mobile").send(type="bundle_wanted")
        self.assertEqual(self.cli.received()[-1]["type"], "bundle_wanted")
        phone = self.phone()
        for _ in range(2):
            phone.client.send(type="bundle_wanted")
            self.assertEqual(self.cli.received()[-1]["type"], "bundle_wanted")
        self.bundle(self.cli, OLD)
        phone.client.received()
        count = len(self.cli.received())
        phone.client.send(type="bundle_wanted")
        self.assertEqual(len(self.cli.received()), count)

    def test_a_bundle_for_one_phone_alone_has_no_label(self) -> None:
        phone = self.phone("deviceId=d")
        self.send(OLD, phone)
        text = {"type": "bundle_update", "targetDeviceId": "d", "payload": {"code": OTHER}}
        self.cli.send(**text)
        self.assertEqual(phone.read(), ["bundle_update"])
        self.assertEqual(self.send(NEW, phone), [["bundle_update", "bundle_id"]])

    def test_a_bundle_that_is_cut_short_changes_nothing(self) -> None:
        phone = self.phone()
        self.send(OLD, phone)
        self.half(self.cli, NEW)
        self.cli.lose()
        self.cli = self.connect("cli")
        self.assertEqual(phone.read(), [])
        self.assertEqual(self.send(NEWER, phone), [["bundle_patch"]])

    def test_a_phone_that_skipped_a_bundle_gets_the_whole(self) -> None:
        phone = self.phone()
        self.send(OLD, phone)
        self.store.offload.patient = True
        self.bundle(self.cli, NEW)
        self.bundle(self.cli, NEWER)
        self.assertEqual(phone.read(), [])
        self.store.offload.answer()
        self.assertEqual(phone.read(), ["bundle_update", "bundle_id"])
        self.assertEqual(phone.code, NEWER)

    def test_no_label_once_a_newer_bundle_has_begun(self) -> None:
        phone = self.phone()
        self.store.offload.patient = True
        self.bundle(self.cli, OLD)
        rest = self.half(self.cli, NEW)
        self.store.offload.answer()
        self.assertEqual(phone.read(), ["bundle_update"])
        self.cli.send_raw(rest)
        self.store.offload.answer()
        self.assertEqual(phone.read(), ["bundle_update", "bundle_id"])

    def test_bundles_that_can_not_be_read_come_whole(self) -> None:
        phone = self.phone()
        self.send(OLD, phone)
        self.cli.send(type="bundle_update", payload={"map": NEW})
        self.assertEqual([one["type"] for one in phone.client.received()], ["bundle_update"])

    def test_announced_bundles_are_not_patched(self) -> None:
        phone = self.connect("mobile", "patch=1&announce=1")
        for code in (OLD, NEW):
            self.bundle(self.cli, code)
            self.assertEqual(
                [json.loads(one)["type"] for one in self.texts(phone)], ["bundle_available"]
            )


class FromASender(PatchCase):
    """A ``bundle_patch`` of the desktop side, which the relay passes on as it does any message."""

    def test_what_is_cached_is_not_what_phones_run_any_more(self) -> None:
        released, phone = self.connect("mobile"), self.phone()
        for code, size in ((OLD, 10), (NEW, 10), (NEWER, 100_000)):
            with self.subTest(size=size):
                self.send(code, phone)
                self.assertNotEqual(self.store.files(), [])
                self.texts(released)
                patch = self.cli.send(type="bundle_patch", base=sha256(code), edits="x" * size)
                self.assertTexts(self.texts(released), [patch])
                self.assertEqual(self.store.files(), [])
                self.assertTexts(self.texts(self.connect("mobile", "replay=1")), [])
                self.assertEqual(self.texts(phone.client), [patch])

    def test_what_a_phone_has_is_unknown_then(self) -> None:
        phone = self.phone()
        self.send(OLD, phone)
        self.cli.send(type="bundle_patch", base=sha256(OLD))
        phone.client.received()
        phone.client.messages.clear()
        self.assertEqual(self.send(NEW, phone), [["bundle_update", "bundle_id"]])

    def test_one_for_a_single_phone_changes_nothing_for_others(self) -> None:
        phone, other = self.phone("deviceId=d"), self.phone()
        self.send(OLD, phone, other)
        self.cli.send(type="bundle_patch", targetDeviceId="d")
        phone.client.received()
        phone.client.messages.clear()
        types = self.send(NEW, phone, other)
        self.assertEqual(types, [["bundle_update", "bundle_id"], ["bundle_patch"]])


class Kept(PatchCase):
    """How many bundles of a session are on disk."""

    def test_the_last_but_one_while_a_phone_takes_patches(self) -> None:
        for code in (OLD, NEW):
            self.send(code)
        self.assertEqual(len(self.store.files()), 1)
        phone = self.phone("replay=1")
        phone.read()
        for code in (OLD, NEW, NEWER):
            self.send(code, phone)
        wires = [path for path in self.store.files() if path.suffix != ".identity"]
        self.assertEqual(len(wires), 2)
        phone.client.lose()
        self.send(OLD)
        self.assertEqual(len(self.store.files()), 1)

    def test_the_last_but_one_goes_first_when_there_is_no_room(self) -> None:
        phone = self.phone()
        for code in (OLD, NEW):
            self.send(code, phone)
        self.store._most_bytes = self.store.used_bytes + 10_000
        self.relay.connect("/cli/ABC235").send(type="bundle_update", payload={"code": OTHER})
        self.assertEqual((self.store.bundles, self.store.evicted), (2, 0))
        self.assertEqual(self.send(NEWER, phone), [["bundle_patch"]])


class SlowPhones(SlowCase):
    def test_a_label_comes_behind_all_of_its_bundle(self) -> None:
        slow = self.join_slow("patch=1")
        text = self.bundle(self.cli, OLD)
        self.assertTexts(self.texts(slow), [])
        *_, bundle, label = self.drink(slow)
        self.assertTexts([bundle], [text])
        self.assertEqual(json.loads(label)["sha256"], sha256(OLD))
