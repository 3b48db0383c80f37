"""`apptuner_relay.session.roles`: what messages show of roles and devices."""

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.session.roles import Arrival, Device, Role, came_together, device_of
from tests.session.clients import Client, phone


class Roles(SynchronousTestCase):
    def test_the_reason_for_one_that_was_replaced(self) -> None:
        self.assertEqual(Role.CLI.replaced_reason, "New CLI connected for this project")
        self.assertEqual(Role.MOBILE.replaced_reason, "New Mobile connected for this project")

    def test_only_those_that_moved_know_of_each_other(self) -> None:
        for one in Arrival:
            for other in Arrival:
                clients = Client(Role.CLI, None, one), Client(Role.DESKTOP, None, other)
                both = one is other is Arrival.MOVED
                self.assertIs(came_together(*clients), both)


class Devices(SynchronousTestCase):
    def test_what_messages_show(self) -> None:
        device = Device("d1", "Ann's", "ios", 5, replay=True, have="0" * 64)
        self.assertEqual(
            device.describe(), {"deviceId": "d1", "deviceName": "Ann's", "platform": "ios"}
        )
        self.assertEqual(
            device.row(),
            {"deviceId": "d1", "name": "Ann's", "platform": "ios", "connectedAt": 5},
        )

    def test_a_relay_of_an_earlier_version_can_read_it(self) -> None:
        device = Device("d1", None, None, 5)
        self.assertEqual(Device(**device.to_dict()), device)
        self.assertNotIn("patch", device.to_dict())
        patched = replace(device, patch=True)
        self.assertEqual(Device(**patched.to_dict()), device)
        self.assertEqual(Device.read(patched.to_dict(), patch=True), patched)

    def test_what_a_relay_of_a_later_version_says_is_passed_over(self) -> None:
        device = Device("d1", None, None, 5, announce=True)
        self.assertEqual(Device.read(device.to_dict() | {"patch": True, "hue": 5}), device)
        self.assertRaises(TypeError, Device.read, {"device_id": "d1"})

    def test_a_phone_has_one_and_the_desktop_side_none(self) -> None:
        self.assertEqual(device_of(phone("d1")).device_id, "d1")
        self.assertRaises(TypeError, device_of, Client(Role.CLI))
