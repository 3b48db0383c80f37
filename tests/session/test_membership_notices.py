"""`apptuner_relay.session.membership_notices`: what members are told of each other."""

import hashlib
import json

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.session.session import (
    Arrival,
    Device,
    Role,
    Session,
    session_hash,
)
from tests.session.clients import LIMITS, Client, come, phone, told


class Arriving(SynchronousTestCase):
    def setUp(self) -> None:
        self.session: Session[Client] = Session(session_hash("ABC234"))

    def test_welcome(self) -> None:
        cli = Client(Role.CLI)
        (notice,) = self.session.join(cli, 42)
        expected = hashlib.sha256(b"ABC234").hexdigest()
        self.assertEqual(
            json.loads(notice.message),
            {"type": "connected", "sessionId": expected, "clientType": "cli", "timestamp": 42},
        )

    def test_phone_is_announced_to_the_desktop_side(self) -> None:
        cli, dashboard, desktop = map(Client, (Role.CLI, Role.DASHBOARD, Role.DESKTOP))
        for client in (cli, dashboard, desktop):
            self.session.join(client, 1)
        pixel = phone("d1", "Pixel")
        notices = self.session.join(pixel, 9)
        self.assertEqual(told(notices, pixel), ["connected"])
        for client in (cli, dashboard, desktop):
            self.assertEqual(told(notices, client), ["mobile_connected", "device_list"])
        come = next(n for n in notices if n.to is cli)
        self.assertEqual(
            json.loads(come.message),
            {
                "type": "mobile_connected",
                "deviceId": "d1",
                "deviceName": "Pixel",
                "platform": "ios",
                "timestamp": 9,
            },
        )
        listed = next(n for n in notices if b"device_list" in n.message)
        self.assertEqual(
            json.loads(listed.message)["devices"],
            [{"deviceId": "d1", "name": "Pixel", "platform": "ios", "connectedAt": 5}],
        )

    def test_page_that_comes_late_is_told_of_each_phone(self) -> None:
        self.session.join(phone("a"), 1)
        self.session.join(phone("b"), 1)
        for role in (Role.DASHBOARD, Role.DESKTOP):
            client = Client(role)
            types = told(self.session.join(client, 2), client)
            expected = ["connected", "mobile_connected", "mobile_connected", "device_list"]
            self.assertEqual(types, expected)

    def test_cli_that_comes_late_is_told_once_and_bundles_once(self) -> None:
        for name in ("a", "b", "c"):
            self.session.join(phone(name, f"Phone {name}"), 1)
        cli = Client(Role.CLI)
        notices = self.session.join(cli, 2)
        self.assertEqual(told(notices, cli), ["connected", "mobile_connected", "device_list"])
        names = [device["name"] for device in json.loads(notices[-1].message)["devices"]]
        self.assertEqual(names, ["Phone a", "Phone b", "Phone c"])

    def test_phones_hear_of_the_first_desktop_and_of_the_last(self) -> None:
        pixel = phone()
        self.session.join(pixel, 1)
        one, two = Client(Role.DESKTOP), Client(Role.DESKTOP)
        self.assertEqual(told(self.session.join(one, 2), pixel), ["desktop_connected"])
        self.assertEqual(told(self.session.join(two, 2), pixel), [])
        self.assertEqual(told(self.session.leave(one, 3), pixel), [])
        self.assertEqual(told(self.session.leave(two, 3), pixel), ["desktop_disconnected"])

    def test_phones_hear_of_the_desktop_role_only(self) -> None:
        pixel = phone()
        self.session.join(pixel, 1)
        desktop = Client(Role.DESKTOP)
        self.assertEqual(told(self.session.join(desktop, 2), pixel), ["desktop_connected"])
        self.assertEqual(told(self.session.leave(desktop, 3), pixel), ["desktop_disconnected"])
        for role in (Role.CLI, Role.DASHBOARD):
            client = Client(role)
            self.assertEqual(told(self.session.join(client, 2), pixel), [])
            self.assertEqual(told(self.session.leave(client, 3), pixel), [])


class Leaving(SynchronousTestCase):
    def setUp(self) -> None:
        self.session: Session[Client] = Session(session_hash("ABC234"))
        self.cli, self.dashboard = Client(Role.CLI), Client(Role.DASHBOARD)
        self.desktop, self.phone = Client(Role.DESKTOP), phone()
        for client in (self.cli, self.dashboard, self.desktop, self.phone):
            self.session.join(client, 1)

    def test_cli(self) -> None:
        notices = self.session.leave(self.cli, 2)
        self.assertEqual(told(notices, self.dashboard), ["cli_disconnected"])
        self.assertEqual(told(notices, self.desktop), ["cli_disconnected"])
        self.assertEqual(told(notices, self.phone), [])

    def test_phone(self) -> None:
        notices = self.session.leave(self.phone, 2)
        for client in (self.cli, self.dashboard, self.desktop):
            self.assertEqual(told(notices, client), ["mobile_disconnected", "device_list"])

    def test_one_of_two_phones(self) -> None:
        other = phone("d2")
        self.session.join(other, 2)
        notices = self.session.leave(self.phone, 3)
        self.assertEqual(told(notices, self.cli), ["mobile_disconnected", "device_list"])
        for page in (self.dashboard, self.desktop):
            self.assertEqual(told(notices, page), ["device_list"])
        notices = self.session.leave(other, 4)
        for client in (self.cli, self.dashboard, self.desktop):
            self.assertEqual(told(notices, client), ["mobile_disconnected", "device_list"])

    def test_one_of_two_clis(self) -> None:
        other = Client(Role.CLI)
        self.session.join(other, 2)
        self.assertEqual(self.session.leave(self.cli, 3), [])
        notices = self.session.leave(other, 4)
        self.assertEqual(told(notices, self.dashboard), ["cli_disconnected"])

    def test_twice_is_once(self) -> None:
        self.assertTrue(self.session.leave(self.cli, 2))
        self.assertEqual(self.session.leave(self.cli, 2), [])

    def test_last_one_leaves_it_empty(self) -> None:
        for client in (self.cli, self.dashboard, self.desktop):
            self.session.leave(client, 2)
        self.assertFalse(self.session.empty)
        self.session.leave(self.phone, 2)
        self.assertTrue(self.session.empty)


class Moving(SynchronousTestCase):
    """A session that comes from another relay, member by member."""

    def arrive(self, arrival: Arrival, *later: Client) -> list[list[str]]:
        session: Session[Client] = Session(session_hash("ABC234"))
        cli = Client(Role.CLI, None, arrival)
        session.join(cli, 1)
        told_cli = []
        for client in later:
            told_cli.append(told(session.join(client, 1), cli))
        return told_cli

    def test_nobody_is_told_of_who_moved_along(self) -> None:
        moved = Client(Role.MOBILE, Device("d1", None, None, 5), Arrival.MOVED)
        self.assertEqual(
            self.arrive(Arrival.MOVED, moved, phone("d2")),
            [["device_list"], ["mobile_connected", "device_list"]],
        )

    def test_a_client_that_came_meanwhile_is_told_of_who_moved(self) -> None:
        moved = Client(Role.MOBILE, Device("d1", None, None, 5), Arrival.MOVED)
        self.assertEqual(self.arrive(Arrival.NEW, moved), [["mobile_connected", "device_list"]])

    def test_pages_never_take_a_phone_for_gone_that_moves(self) -> None:
        """One phone leaves when the others have not arrived yet."""
        session: Session[Client] = Session(session_hash("ABC234"))
        one, two = (
            Client(Role.MOBILE, Device(name, None, None, 5), Arrival.MOVED) for name in ("a", "b")
        )
        early, late = (Client(Role.DASHBOARD, None, Arrival.MOVED) for _ in range(2))
        session.join(early, 1)
        session.join(one, 1)
        self.assertEqual(told(session.leave(one, 2), early), ["mobile_disconnected", "device_list"])
        self.assertEqual(told(session.join(two, 3), early), ["mobile_connected", "device_list"])
        self.assertEqual(told(session.join(late, 4), late), ["device_list"])

    def test_phones_never_take_a_desktop_for_gone_that_moves(self) -> None:
        session: Session[Client] = Session(session_hash("ABC234"))
        one, two = (Client(Role.DESKTOP, None, Arrival.MOVED) for _ in range(2))
        early, late = (
            Client(Role.MOBILE, Device(name, None, None, 5), Arrival.MOVED) for name in ("a", "b")
        )
        for client in (early, one):
            session.join(client, 1)
        self.assertEqual(told(session.leave(one, 2), early), ["desktop_disconnected"])
        self.assertEqual(told(session.join(two, 3), early), ["desktop_connected"])
        self.assertEqual(told(session.join(late, 4), late), [])

    def test_two_clis_move_beside_each_other(self) -> None:
        session: Session[Client] = Session(session_hash("ABC234"))
        for arrival in (Arrival.MOVED, Arrival.RECOVERED):
            clis = [
                Client(Role.CLI, None, arrival, f"{arrival}{at}", at) for at in (2000, 1000, 3000)
            ]
            for cli in clis:
                session.check_room(cli.admission, LIMITS, 0)
                come(session, cli)
            self.assertEqual(session.clis, tuple(clis))
            for cli in clis:
                session.leave(cli, 1)

    def test_after_a_failure_a_cli_is_told_of_all_phones_once(self) -> None:
        session: Session[Client] = Session(session_hash("ABC234"))
        roles = (Role.CLI, Role.DESKTOP)
        cli, dashboard = (Client(role, None, Arrival.RECOVERED) for role in roles)
        phones = [
            Client(Role.MOBILE, Device(name, None, None, 5), Arrival.RECOVERED, lost_ms=lost_ms)
            for name, lost_ms in (("a", 100), ("b", 110), ("c", 90), ("d", 120), ("e", 5_650))
        ]
        for client in (phones[0], cli, dashboard):
            session.join(client, 5_000)
        self.assertFalse(session.membership_notices.has_answered(phones[1], session, 5_000))
        notices = session.join(phones[1], 5_500)
        self.assertEqual(told(notices, cli), ["device_list"])
        self.assertEqual(told(notices, dashboard), ["mobile_connected", "device_list"])
        # It has begun the bundle by now, but this phone gets it all the same.
        session.membership_notices.bundle_begins(cli)
        self.assertTrue(session.membership_notices.has_answered(phones[2], session, 5_600))
        self.assertEqual(told(session.join(phones[2], 5_600, served=True), cli), ["device_list"])
        # Where nothing is kept it has to be sent again, and to one that was somewhere else.
        expected = ["mobile_connected", "device_list"]
        self.assertEqual(told(session.join(phones[3], 5_600), cli), expected)
        session.membership_notices.bundle_begins(cli)
        self.assertFalse(session.membership_notices.has_answered(phones[4], session, 5_700))
        self.assertEqual(told(session.join(phones[4], 5_700), cli), expected)
        self.assertEqual(told(session.join(phone("new"), 5_800), cli), expected)

    def test_a_cli_that_never_answered_is_told_again_after_a_failure(self) -> None:
        session: Session[Client] = Session(session_hash("ABC234"))
        cli = Client(Role.CLI)
        for client in (cli, phone("a")):
            session.join(client, 1)
        recovered = Client(Role.MOBILE, Device("b", None, None, 5), Arrival.RECOVERED)
        notices = session.join(recovered, 1 + 60_000)
        self.assertEqual(told(notices, cli), ["mobile_connected", "device_list"])

    def test_after_a_failure_everybody_is_told(self) -> None:
        recovered = Client(Role.MOBILE, Device("d1", None, None, 5), Arrival.RECOVERED)
        self.assertEqual(
            self.arrive(Arrival.RECOVERED, recovered), [["mobile_connected", "device_list"]]
        )

    def test_who_moved_and_left_is_missed_by_those_who_move_later(self) -> None:
        session: Session[Client] = Session(session_hash("ABC234"))
        gone = [
            Client(Role.MOBILE, Device("d1", None, None, 5), Arrival.MOVED),
            Client(Role.DESKTOP, None, Arrival.MOVED),
            Client(Role.CLI, None, Arrival.MOVED),
            phone("d2"),
        ]
        for client in gone:
            session.join(client, 1)
        for client in gone:
            session.leave(client, 2)
        for client, expected in (
            (
                Client(Role.DASHBOARD, None, Arrival.MOVED),
                ["mobile_disconnected", "cli_disconnected"],
            ),
            (
                Client(Role.MOBILE, Device("d3", None, None, 5), Arrival.MOVED),
                ["desktop_disconnected"],
            ),
            (Client(Role.CLI), ["connected", "mobile_connected", "device_list"]),
        ):
            self.assertEqual(told(session.join(client, 3), client), expected)

    def test_nobody_is_welcomed_twice(self) -> None:
        session: Session[Client] = Session(session_hash("ABC234"))
        for arrival in (Arrival.MOVED, Arrival.RECOVERED):
            self.assertEqual(session.join(Client(Role.CLI, None, arrival), 1), [])
