"""`apptuner_relay.session`: who is in a session, who is told what, and who gets what."""

import hashlib
import json
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.session import (
    Admission,
    Arrival,
    BadRequest,
    Device,
    Notice,
    Role,
    Session,
    check_session_id,
    parse_device,
    parse_path,
    session_hash,
)


@dataclass(eq=False)
class Client:
    """The least that a session takes as a member."""

    role: Role
    device: Device | None = None
    arrival: Arrival = Arrival.NEW
    client: str = ""
    since_ms: int = 0

    @property
    def admission(self) -> Admission:
        return Admission(
            self.role,
            "0" * 64,
            self.device,
            "",
            arrival=self.arrival,
            client=self.client,
            since_ms=self.since_ms,
        )


def phone(device_id: str = "d1", name: str | None = None) -> Client:
    return Client(Role.MOBILE, Device(device_id, name, "ios", 5))


def told(notices: list[Notice[Client]], client: Client) -> list[str]:
    """The types of what ``client`` is told, in order."""
    return [json.loads(notice.message)["type"] for notice in notices if notice.to is client]


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

    def test_desktop_side_that_comes_late_is_told_of_each_phone(self) -> None:
        self.session.join(phone("a"), 1)
        self.session.join(phone("b"), 1)
        for role in (Role.CLI, Role.DASHBOARD, Role.DESKTOP):
            client = Client(role)
            types = told(self.session.join(client, 2), client)
            expected = ["connected", "mobile_connected", "mobile_connected", "device_list"]
            self.assertEqual(types, expected)

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

    def test_twice_is_once(self) -> None:
        self.assertTrue(self.session.leave(self.cli, 2))
        self.assertEqual(self.session.leave(self.cli, 2), [])

    def test_last_one_leaves_it_empty(self) -> None:
        for client in (self.cli, self.dashboard, self.desktop):
            self.session.leave(client, 2)
        self.assertFalse(self.session.empty)
        self.session.leave(self.phone, 2)
        self.assertTrue(self.session.empty)


class TakingOver(SynchronousTestCase):
    def setUp(self) -> None:
        self.session: Session[Client] = Session(session_hash("ABC234"))

    def test_first_one_is_replaced_and_leaves_without_a_word(self) -> None:
        dashboard = Client(Role.DASHBOARD)
        self.session.join(dashboard, 1)
        first, second = Client(Role.CLI), Client(Role.CLI)
        self.assertIsNone(self.session.occupant(Role.CLI, None))
        self.session.join(first, 1)
        self.assertIs(self.session.occupant(Role.CLI, None), first)
        self.assertEqual(told(self.session.join(second, 2), dashboard), [])
        self.assertEqual(self.session.leave(first, 3), [])
        self.assertIn(second, self.session.desktop_side)

    def test_reasons(self) -> None:
        self.assertEqual(Role.CLI.replaced_reason, "New CLI connected for this project")
        self.assertEqual(Role.DASHBOARD.replaced_reason, "New Dashboard connected for this project")
        self.assertEqual(Role.DESKTOP.replaced_reason, "New Desktop connected for this project")

    def test_phone_that_comes_back_takes_its_own_place(self) -> None:
        cli = Client(Role.CLI)
        self.session.join(cli, 1)
        ghost, back = phone("same"), phone("same")
        self.session.join(ghost, 1)
        self.session.check_room(back.admission, 1)
        self.assertIs(self.session.occupant(Role.MOBILE, back.device), ghost)
        expected = ["mobile_disconnected", "mobile_connected", "device_list"]
        self.assertEqual(told(self.session.join(back, 2), cli), expected)
        self.assertEqual(self.session.leave(ghost, 3), [])
        self.assertEqual(self.session.mobiles, (back,))

    def test_room(self) -> None:
        for name in "abcde":
            self.session.check_room(phone(name).admission, 5)
            self.session.join(phone(name), 1)
        with self.assertRaises(BadRequest) as caught:
            self.session.check_room(phone("f").admission, 5)
        self.assertEqual(caught.exception.status, 403)
        self.session.check_room(Client(Role.CLI).admission, 5)

    def test_who_moves_here_too_late(self) -> None:
        self.session.join(Client(Role.CLI, client="new", since_ms=2000), 1)
        for moved, fits in (
            (Client(Role.CLI, None, Arrival.MOVED, "old", 1000), False),
            (Client(Role.CLI, None, Arrival.RECOVERED, "old", 1000), False),
            (Client(Role.CLI, None, Arrival.RECOVERED, "newer", 3000), True),
            (Client(Role.CLI, None, Arrival.RECOVERED, "new", 2000), True),
            (Client(Role.CLI, None, Arrival.NEW, "of a node with a slow clock", 1000), True),
        ):
            if fits:
                self.session.check_room(moved.admission, 5)
                continue
            with self.assertRaises(BadRequest) as caught:
                self.session.check_room(moved.admission, 5)
            self.assertEqual(caught.exception.status, 409)
            self.assertEqual(str(caught.exception), "New CLI connected for this project")


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


class Audience(SynchronousTestCase):
    def test_sides(self) -> None:
        session: Session[Client] = Session("0" * 64)
        cli, dashboard, one, two = (
            Client(Role.CLI),
            Client(Role.DASHBOARD),
            phone("1"),
            phone("2"),
        )
        for client in (cli, dashboard, one, two):
            session.join(client, 1)
        self.assertEqual(session.audience(cli), (one, two))
        self.assertEqual(session.audience(dashboard), (one, two))
        self.assertEqual(session.audience(two), (cli, dashboard))
        self.assertIs(session.phone("2"), two)
        self.assertIsNone(session.phone("3"))

    @given(
        st.lists(st.tuples(st.sampled_from([*Role]), st.sampled_from("abc"), st.booleans())),
    )
    def test_places_are_taken_once_and_notices_go_to_members(
        self, steps: list[tuple[Role, str, bool]]
    ) -> None:
        session: Session[Client] = Session("0" * 64)
        present: dict[object, Client] = {}
        for role, name, comes in steps:
            place = (role, name) if role is Role.MOBILE else role
            if comes:
                client = phone(name) if role is Role.MOBILE else Client(role)
                occupant = session.occupant(client.role, client.device)
                self.assertIs(occupant, present.get(place))
                present[place] = client
                notices = session.join(client, 1)
            elif place in present:
                notices = session.leave(present.pop(place), 1)
            else:
                continue
            self.assertEqual(set(session.members), set(present.values()))
            for notice in notices:
                self.assertIn(notice.to, present.values())
        self.assertEqual(session.empty, not present)


class Parsing(SynchronousTestCase):
    def test_paths(self) -> None:
        self.assertEqual(parse_path("/cli/ABC234"), (Role.CLI, "ABC234"))
        self.assertEqual(parse_path("/mobile/a-b_C"), (Role.MOBILE, "a-b_C"))
        for path, status in [
            ("/", 404),
            ("/admin/ABC234", 404),
            ("/CLI/ABC234", 404),
            ("/cli", 400),
            ("/cli/", 400),
            ("/cli/a b", 400),
            ("/cli/ABC/234", 400),
            ("/cli/" + "A" * 65, 400),
            ("/cli/ABC%32", 400),
            ("/cli/ABC\n", 400),
        ]:
            with self.assertRaises(BadRequest) as caught:
                parse_path(path)
            self.assertEqual(caught.exception.status, status, path)

    def test_longest_session_id(self) -> None:
        self.assertEqual(check_session_id("A" * 64), "A" * 64)

    def test_device(self) -> None:
        device = parse_device("deviceId=x%3A1&name=My%20phone&platform=android", "made", 7)
        self.assertEqual(device, Device("x:1", "My phone", "android", 7))
        self.assertEqual(parse_device("", "made", 7), Device("made", None, None, 7))
        self.assertEqual(parse_device("model=Pixel+9", "made", 7).name, "Pixel 9")

    def test_name_is_cleaned(self) -> None:
        self.assertEqual(parse_device("name=a%1b%5B31mb%0Ac", "x", 0).name, "a[31mbc")
        self.assertEqual(len(parse_device("name=" + "n" * 500, "x", 0).name or ""), 64)
        self.assertIsNone(parse_device("name=%00%20", "x", 0).name)

    def test_bad_device(self) -> None:
        for query in ("deviceId=a%20b", "deviceId=" + "x" * 65, "platform=symbian", "a=1&" * 40):
            with self.assertRaises(BadRequest) as caught:
                parse_device(query, "x", 0)
            self.assertEqual(caught.exception.status, 400)

    @given(st.text(max_size=200))
    def test_any_query_is_read_or_refused(self, query: str) -> None:
        try:
            device = parse_device(query, "x", 0)
        except BadRequest as refusal:
            self.assertEqual(refusal.status, 400)
        else:
            self.assertTrue(device.name is None or device.name.isprintable())
