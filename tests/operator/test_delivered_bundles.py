"""`apptuner_relay.operator.delivered_bundles`: what is recorded of bundles in every form in which
they come and go."""

from typing import Any

from apptuner_relay.session.session import Role, session_hash
from apptuner_relay.web.site import make_site
from apptuner_relay.wire.frames import TEXT
from tests.managed.gateway.gateway_case import SESSION, GatewayCase
from tests.memory import Relay, masked
from tests.operator.test_bundle_records import RecordsCase
from tests.relay.test_sent_patches import patch_text
from tests.spool.cases import SlowCase, sha256, some_code
from tests.spool.test_delivery_of_patches import NEW, OLD
from tests.web.uploading import Uploader


class OfPatches(RecordsCase):
    def forms(self) -> dict[str, str]:
        return {phone["deviceId"]: phone["form"] for phone in self.row()["phones"]}

    def test_one_that_the_relay_makes(self) -> None:
        cli, phone = self.connect("cli"), self.phone("ann", "&patch=1")
        self.bundle(cli, OLD)
        self.relay.clock.advance(0.1)
        phone.send(type="bundle_ack", success=True)
        self.bundle(cli, NEW)
        self.relay.clock.advance(0.1)
        (ann,) = self.row()["phones"]
        self.assertEqual((ann["form"], ann["state"]), ("patch", "sent"))
        self.assertLess(ann["bytes"], 2000)
        self.assertEqual(self.row()["form"], "whole")

    def test_one_that_the_phone_can_not_apply(self) -> None:
        cli, phone = self.connect("cli"), self.phone("ann", "&patch=1")
        self.bundle(cli, OLD)
        self.relay.clock.advance(0.1)
        self.bundle(cli, NEW)
        phone.send(type="bundle_ack", success=False, error="another base")
        self.assertEqual(self.states(), {"ann": "failed"})
        phone.send(type="bundle_wanted")
        (ann,) = self.row()["phones"]
        self.assertEqual((ann["form"], ann["state"], ann["error"]), ("whole", "sent", None))
        self.assertGreater(ann["bytes"], len(NEW))
        phone.send(type="bundle_ack", success=True)
        self.assertEqual(self.states(), {"ann": "acknowledged"})

    def test_one_that_a_cli_sends(self) -> None:
        cli = self.connect("cli", "patch=1")
        self.phone("ann", "&patch=1")
        self.phone("bob")
        self.bundle(cli, OLD)
        self.relay.clock.advance(0.1)
        text = patch_text(OLD, NEW)
        cli.send_raw(masked(TEXT, text))
        self.relay.clock.advance(0.1)
        row = self.row()
        self.assertEqual((row["form"], row["bytes"]), ("patch", len(text)))
        self.assertEqual((row["state"], row["in_s"]), ("whole", 0.0))
        self.assertEqual(self.forms(), {"ann": "patch", "bob": "whole"})
        self.assertEqual(self.states(), {"ann": "sent", "bob": "sent"})

    def test_one_that_goes_to_phones_that_take_it_alone(self) -> None:
        cli, phone = self.connect("cli", "patch=1"), self.phone("ann", "&patch=1")
        self.bundle(cli, OLD)
        self.relay.clock.advance(0.1)
        cli.send_raw(masked(TEXT, patch_text(OLD, NEW)))
        self.relay.clock.advance(0.1)
        self.settled.clear()
        phone.send(type="bundle_ack", success=True)
        self.assertEqual([one.number for one in self.settled], [2])

    def test_one_that_is_refused_is_no_bundle(self) -> None:
        cli = self.connect("cli", "patch=1")
        self.bundle(cli, OLD)
        self.relay.clock.advance(0.1)
        cli.send_raw(masked(TEXT, patch_text(NEW, NEW + "// more")))
        self.relay.clock.advance(0.1)
        self.assertEqual(len(self.rows()), 1)


class OfUploads(RecordsCase):
    def test_one(self) -> None:
        self.phone("ann")
        site = make_site(self.relay.service)
        site.startFactory()
        upload = Uploader(site, 4)
        upload.send(b"code")
        self.relay.clock.advance(0)
        row = self.row()
        self.assertEqual((row["form"], row["sender"]["role"]), ("upload", "upload"))
        self.assertEqual((row["state"], self.states()), ("whole", {"ann": "sent"}))


class OfSlowPhones(SlowCase):
    def row(self) -> dict[str, Any]:
        rows: list[dict[str, Any]] = self.relay.service.meters.bundles.rows(session_hash("ABC234"))
        return rows[0]

    def test_when_its_first_and_its_last_byte_are_out(self) -> None:
        slow = self.join_slow("deviceId=slow", room=10_000)
        self.bundle(self.cli, some_code(300_000))
        phone = next(one for one in self.row()["phones"] if one["deviceId"] == "slow")
        self.assertEqual((phone["state"], phone["first_out_s"]), ("getting", 0.0))
        self.relay.clock.advance(3)
        self.drink(slow)
        phone = next(one for one in self.row()["phones"] if one["deviceId"] == "slow")
        self.assertEqual((phone["state"], phone["first_out_s"]), ("sent", 0.0))
        self.assertEqual((phone["last_out_s"], self.row()["last_out_s"]), (3.0, 3.0))

    def test_one_that_takes_nothing(self) -> None:
        slow = self.join_slow("deviceId=slow")
        self.bundle(self.cli, some_code(300_000))
        self.relay.wait(31)
        row = self.row()
        phone = next(one for one in row["phones"] if one["deviceId"] == "slow")
        self.assertTrue(row["settled"])
        self.assertEqual((phone["state"], phone["first_out_s"]), ("waiting", None))
        self.sip(slow)
        phone = next(one for one in self.row()["phones"] if one["deviceId"] == "slow")
        self.assertEqual((phone["state"], phone["first_out_s"]), ("getting", 31.0))

    def test_from_a_disk_that_takes_its_time(self) -> None:
        self.disk.patient = True
        slow = self.join_slow("deviceId=slow", room=10_000)
        self.bundle(self.cli, some_code(300_000))
        self.drink(slow)
        phone = next(one for one in self.row()["phones"] if one["deviceId"] == "slow")
        self.assertEqual(phone["state"], "sent")
        self.bundle(self.cli, some_code(300_000, seed=2))
        late = self.join_slow("deviceId=late&replay=1", room=None)  # type: ignore[arg-type]
        self.assertIsNone(self.row()["phones"][-1]["first_out_s"])
        self.relay.clock.advance(1)
        self.drink(late)
        phone = self.row()["phones"][-1]
        self.assertEqual((phone["deviceId"], phone["first_out_s"]), ("late", 1.0))

    def test_saves_that_supersede_each_other(self) -> None:
        self.join_slow("deviceId=slow", room=10_000)
        for seed in range(3):
            self.bundle(self.cli, some_code(300_000, seed))
        rows = self.relay.service.meters.bundles.recent(session_hash("ABC234"))
        states = [
            phone.state.value
            for record in reversed(rows)
            for phone in record.phones
            if phone.device.device_id == "slow"
        ]
        self.assertEqual(states, ["getting", "superseded", "waiting"])


class WithoutASpool(RecordsCase):
    def setUp(self) -> None:
        super().setUp()
        self.relay = Relay()
        self.records = self.relay.service.meters.bundles
        self.records.subscribe(self.settled.append)

    def test_a_bundle_that_only_streams(self) -> None:
        cli, phone = self.connect("cli"), self.phone("ann", f"&have={sha256('code')}")
        self.bundle(cli, "code")
        self.assertEqual(self.states(), {"ann": "sent"})
        phone.send(type="bundle_ack", success=True)
        self.assertEqual(len(self.settled), 1)

    def test_for_nobody(self) -> None:
        self.bundle(self.connect("cli"), "code")
        self.assertEqual((len(self.settled), self.row()["bytes"] > 0), (1, True))


class Replayed(RecordsCase):
    def test_a_phone_that_is_sent_it_again(self) -> None:
        cli, phone = self.connect("cli"), self.phone("ann")
        self.bundle(cli, "code")
        (member,) = (one for one in self.relay.service.clients if one.role is Role.MOBILE)
        self.relay.clock.advance(2)
        delivery = member.delivery  # type: ignore[attr-defined]
        delivery.send_again()
        first, again = self.row()["phones"]
        self.assertEqual((first["source"], first["state"]), ("live", "superseded"))
        self.assertEqual((again["source"], again["state"]), ("kept", "sent"))
        phone.send(type="bundle_ack", success=True)
        self.assertEqual(self.row()["phones"][1]["state"], "acknowledged")

    def test_rows_of_phones_that_come_again_and_again(self) -> None:
        self.bundle(self.connect("cli"), "code")
        for _ in range(60):
            self.phone("ann", "&replay=1").lose()
        self.assertEqual(len(self.row()["phones"]), 50)


class InChannels(GatewayCase):
    def test_a_phone_and_a_cli_of_a_channel(self) -> None:
        cli = self.come(Role.CLI, "c", acks=True)
        phone = self.come(name="Pixel 9", platform="android")
        page = self.relay.connect(f"/desktop/{SESSION}")
        page.send(type="bundle_update", payload={"code": "x"})
        self.turn(1)
        phone.send({"type": "bundle_ack", "success": False, "error": "no"})
        self.turn(1)
        records = self.relay.service.meters.bundles.rows(session_hash(SESSION))
        (row,) = records[0]["phones"]  # type: ignore[misc,index]
        self.assertEqual((row["form"], row["state"]), ("whole", "failed"))
        acks = [one for one in cli.received() if one["type"] == "bundle_ack"]
        self.assertEqual([one["deviceName"] for one in acks], ["Pixel 9"])
