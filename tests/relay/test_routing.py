"""`apptuner_relay.relay.routing`: where a message goes, and what its sender is answered."""

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay.routing import NO_PHONE, Routing, route_message
from apptuner_relay.session.roles import Admission, Device, Role
from apptuner_relay.session.session import Session

NOW_MS = 1_700_000_000_000


@dataclass(eq=False)
class Client:
    role: Role
    device: Device | None = None
    said_s: float | None = None
    heard_s: float = 0.0

    @property
    def admission(self) -> Admission:
        return Admission(self.role, "0" * 64, self.device, "")


def phone(device_id: str) -> Client:
    return Client(Role.MOBILE, Device(device_id, None, "ios", 0))


def answered(route: Routing[Client]) -> dict[str, Any]:
    """The relay's answer."""
    assert route.answer is not None
    answer: dict[str, Any] = json.loads(route.answer(NOW_MS))
    return answer


class Routes(SynchronousTestCase):
    def setUp(self) -> None:
        self.session: Session[Client] = Session("0" * 64)
        self.cli, self.page = Client(Role.CLI), Client(Role.DASHBOARD)
        self.phones = phone("one"), phone("two")

    def join(self, *clients: Client) -> None:
        for client in clients:
            self.session.join(client, 0)

    def route(
        self, sender: Client, text: bytes, complete: bool = True, binary: bool = False
    ) -> Routing[Client]:
        return route_message(sender, self.session, text, complete, binary)

    def test_from_the_desktop_side_to_every_phone(self) -> None:
        self.join(self.cli, self.page, *self.phones)
        for sender in (self.cli, self.page):
            route = self.route(sender, b'{"type":"reload"}')
            self.assertEqual(route, Routing(self.phones, "reload", True))

    def test_from_a_phone_to_the_desktop_side(self) -> None:
        self.join(self.cli, self.page, *self.phones)
        route = self.route(self.phones[0], b'{"type":"console_log","targetDeviceId":"two"}')
        self.assertEqual(route, Routing((self.cli, self.page), "console_log", True))

    def test_to_one_device(self) -> None:
        self.join(self.cli, *self.phones)
        route = self.route(self.cli, b'{"type":"reload","targetDeviceId":"two"}')
        self.assertEqual(route, Routing((self.phones[1],), "reload", target="two"))

    def test_to_a_device_that_is_not_connected(self) -> None:
        self.join(self.cli, *self.phones)
        route = self.route(self.cli, b'{"type":"reload","targetDeviceId":"three"}')
        self.assertEqual((route.members, route.target), ((), "three"))
        self.assertEqual(answered(route)["type"], "error")
        self.assertIn("three is not connected", str(answered(route)))

    def test_a_ping_is_answered_and_goes_to_nobody(self) -> None:
        self.join(self.cli, *self.phones)
        for sender in (self.cli, *self.phones):
            route = self.route(sender, b'{"type":"ping"}')
            self.assertEqual((route.members, route.type), ((), "ping"))
            self.assertEqual(answered(route)["type"], "pong")

    def test_without_a_phone_the_desktop_side_is_told(self) -> None:
        self.join(self.cli)
        route = self.route(self.cli, b'{"type":"reload"}')
        self.assertEqual((route.members, route.complaint), ((), NO_PHONE))

    def test_without_a_phone_a_bundle_needs_none(self) -> None:
        # It is cached for the phones that join later.
        self.join(self.cli)
        for kind in (b"bundle_update", b"bundle_start", b"bundle_chunk"):
            self.assertIsNone(self.route(self.cli, b'{"type":"%b"}' % kind).complaint)

    def test_without_a_desktop_side_a_phone_is_told_nothing(self) -> None:
        self.join(*self.phones)
        route = self.route(self.phones[0], b'{"type":"console_log"}')
        self.assertEqual(route, Routing((), "console_log", True))

    def test_what_is_no_object_is_told_to_its_sender_alone(self) -> None:
        self.join(self.cli, *self.phones)
        route = self.route(self.cli, b"[1, 2]")
        self.assertEqual(route.members, ())
        self.assertEqual(answered(route)["type"], "error")

    def test_binary_goes_to_the_other_side(self) -> None:
        self.join(self.cli)
        route = self.route(self.cli, b"\x00\x01", binary=True)
        self.assertEqual((route.members, route.complaint), ((), NO_PHONE))
        self.join(*self.phones)
        self.assertEqual(self.route(self.cli, b"\x00", binary=True), Routing(self.phones))
        self.assertEqual(self.route(self.phones[0], b"\x00", binary=True), Routing((self.cli,)))

    @given(st.binary(max_size=600), st.booleans(), st.booleans(), st.sampled_from(list(Role)))
    def test_whatever_comes_never_goes_back_to_its_side(
        self, head: bytes, complete: bool, binary: bool, role: Role
    ) -> None:
        self.setUp()
        self.join(self.cli, self.page, *self.phones)
        sender = self.phones[0] if role is Role.MOBILE else Client(role)
        route = self.route(sender, head, complete, binary)
        sides = {member.role is Role.MOBILE for member in route.members}
        self.assertNotIn(sender.role is Role.MOBILE, sides)
        self.assertFalse(route.members and route.answer)
