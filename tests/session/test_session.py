"""`apptuner_relay.session.session`: who has which place, and who gets what."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.session.session import (
    Arrival,
    BadRequest,
    Limits,
    Role,
    Seating,
    Session,
    session_hash,
)
from tests.session.clients import LIMITS, Client, come, phone, told


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

    def test_who_is_connected_in_another_way_keeps_its_place(self) -> None:
        cli, phones = Client(Role.CLI), [phone(name) for name in "abc"]
        for one in (*phones, cli):
            self.session.join(one, 1)
        again, other_cli = phone("b"), Client(Role.CLI)
        self.session.substitute(phones[1], again)
        self.session.substitute(cli, other_cli)
        self.assertEqual(self.session.mobiles, (phones[0], again, phones[2]))
        self.assertEqual((self.session.clis, self.session.desktop_side), ((other_cli,),) * 2)
        self.assertIs(self.session.phone("b"), again)
        # Whoever was in its place before has left without a word.
        self.assertEqual(self.session.leave(phones[1], 2), [])
        self.assertEqual(told(self.session.leave(again, 3), other_cli)[0], "mobile_disconnected")

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
