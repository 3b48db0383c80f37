"""`apptuner_relay.session`: who is in a session, who is told what, and who gets what."""

import hashlib
import json
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.session import (
    Admission,
    Arrival,
    BadRequest,
    Device,
    Limits,
    Notice,
    Role,
    Seating,
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
    lost_ms: int = 0
    said_s: float | None = None
    heard_s: float = 0.0

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
            lost_ms=self.lost_ms,
        )


LIMITS = Limits(phones=5)


def phone(device_id: str = "d1", name: str | None = None) -> Client:
    return Client(Role.MOBILE, Device(device_id, name, "ios", 5))


def come(session: Session[Client], client: Client, now_ms: int = 1) -> list[Notice[Client]]:
    """Have ``client`` come in as the service does."""
    seating = session.seat(client.admission, LIMITS, now_ms / 1000)
    return session.join(client, now_ms, seating.replaced)


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


class TakingOver(SynchronousTestCase):
    def setUp(self) -> None:
        self.session: Session[Client] = Session(session_hash("ABC234"))

    def test_first_cli_is_replaced_and_leaves_without_a_word(self) -> None:
        dashboard = Client(Role.DASHBOARD)
        self.session.join(dashboard, 1)
        first, second = Client(Role.CLI), Client(Role.CLI)
        come(self.session, first, 1)
        self.assertEqual(
            self.session.seat(second.admission, LIMITS, 0.002), Seating(replaced=(first,))
        )
        self.assertEqual(told(come(self.session, second, 2), dashboard), [])
        self.assertEqual(self.session.leave(first, 3), [])
        self.assertEqual(self.session.desktop_side, (second, dashboard))

    def test_pages_stay_beside_one_another(self) -> None:
        pages = [Client(role) for role in (Role.DASHBOARD, Role.DESKTOP) * 5]
        for page in pages:
            come(self.session, page)
        self.assertEqual(self.session.pages, tuple(pages))
        pixel = phone()
        notices = self.session.join(pixel, 2)
        self.assertEqual(self.session.audience(pixel), tuple(pages))
        for page in pages:
            self.assertEqual(told(notices, page), ["mobile_connected", "device_list"])

    def test_page_by_another_way_takes_its_own_place(self) -> None:
        lost = Client(Role.DASHBOARD, None, client="c1")
        again = Client(Role.DASHBOARD, None, Arrival.RECOVERED, client="c1")
        other = Client(Role.DASHBOARD, None, client="c2")
        for client in (lost, other, again):
            come(self.session, client)
        self.assertEqual(self.session.pages, (other, again))

    def test_a_claim_takes_no_session_from_any_cli_without_a_secret(self) -> None:
        self.session.join(Client(Role.CLI), 1)
        self.session.join(Client(Role.CLI), 1)
        claiming = replace(Client(Role.DASHBOARD).admission, authorized=True, claims=True)
        with self.assertRaises(BadRequest) as caught:
            self.session.check_room(claiming, LIMITS, 0)
        self.assertEqual(caught.exception.status, 409)

    def test_reason(self) -> None:
        self.assertEqual(Role.CLI.replaced_reason, "New CLI connected for this project")

    def test_phone_that_comes_back_takes_its_own_place(self) -> None:
        cli = Client(Role.CLI)
        self.session.join(cli, 1)
        ghost, back = phone("same"), phone("same")
        self.session.join(ghost, 1)
        self.session.check_room(back.admission, Limits(phones=1), 0)
        self.assertIs(self.session.occupant(back.admission), ghost)
        expected = ["mobile_disconnected", "mobile_connected", "device_list"]
        self.assertEqual(told(come(self.session, back, 2), cli), expected)
        self.assertEqual(self.session.leave(ghost, 3), [])
        self.assertEqual(self.session.mobiles, (back,))

    def test_room(self) -> None:
        for name in "abcde":
            self.session.check_room(phone(name).admission, LIMITS, 0)
            self.session.join(phone(name), 1)
        with self.assertRaises(BadRequest) as caught:
            self.session.check_room(phone("f").admission, LIMITS, 0)
        self.assertEqual(caught.exception.status, 403)
        self.session.check_room(Client(Role.CLI).admission, LIMITS, 0)

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
                self.session.check_room(moved.admission, LIMITS, 0)
                continue
            with self.assertRaises(BadRequest) as caught:
                self.session.check_room(moved.admission, LIMITS, 0)
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
        self.assertFalse(session.announcements.has_answered(phones[1], session, 5_000))
        notices = session.join(phones[1], 5_500)
        self.assertEqual(told(notices, cli), ["device_list"])
        self.assertEqual(told(notices, dashboard), ["mobile_connected", "device_list"])
        # It has begun the bundle by now, but this phone gets it all the same.
        session.announcements.bundle_begins(cli)
        self.assertTrue(session.announcements.has_answered(phones[2], session, 5_600))
        self.assertEqual(told(session.join(phones[2], 5_600, served=True), cli), ["device_list"])
        # Where nothing is kept it has to be sent again, and to one that was somewhere else.
        expected = ["mobile_connected", "device_list"]
        self.assertEqual(told(session.join(phones[3], 5_600), cli), expected)
        session.announcements.bundle_begins(cli)
        self.assertFalse(session.announcements.has_answered(phones[4], session, 5_700))
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
            place = role if role is Role.CLI else (role, name)
            if comes:
                client = phone(name) if role is Role.MOBILE else Client(role)
                before = present.get(place)
                if role is Role.MOBILE:
                    self.assertIs(session.occupant(client.admission), before)
                elif role is not Role.CLI and before is not None:
                    session.leave(before, 1)
                present[place] = client
                notices = come(session, client)
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
