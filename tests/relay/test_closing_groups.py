"""`apptuner_relay.relay.closing_groups`: the order in which the clients of a session are closed."""

from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.relay.closing_groups import GroupClosing, OutboundGroups
from apptuner_relay.relay.frame_handler import Connection
from apptuner_relay.session.roles import Admission, Role


class Client:
    """A client whose connection notes what is done to it."""

    def __init__(self, role: Role, session: str = "s") -> None:
        self.admission = Admission(role, session, None, "")
        self.settled = True
        self.bytes_in = 0
        self.done: list[str] = []

    @property
    def connection(self) -> Connection:
        return cast(Connection, self)

    def dismiss(self, code: int, reason: str) -> None:
        self.done.append(f"dismissed with {code}")

    def close(self, code: int, reason: str) -> None:
        self.done.append(f"closed with {code}")


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.groups = OutboundGroups()
        self.cli, self.page = Client(Role.CLI), Client(Role.DESKTOP)
        self.phone = Client(Role.MOBILE)
        self.there = [self.cli, self.page, self.phone]

    def update(self, *undelivered: str) -> None:
        self.groups.update(self.there, undelivered)

    def closing(self) -> GroupClosing:
        self.update()
        (group,) = self.groups.list()
        return GroupClosing(group)

    def done(self) -> list[list[str]]:
        return [one.done for one in (self.cli, self.page, self.phone)]


class Closing(Case):
    def test_the_desktop_side_goes_first(self) -> None:
        closing = self.closing()
        closing.proceed()
        dismissed = ["dismissed with 1012"]
        self.assertEqual(self.done(), [dismissed, dismissed, []])
        self.there.remove(self.cli)
        self.update()
        closing.proceed()
        self.assertEqual(self.done(), [dismissed, dismissed, []])
        self.there.remove(self.page)
        self.update()
        closing.proceed()
        self.assertEqual(self.done(), [dismissed] * 3)

    def test_nobody_goes_while_anything_is_on_its_way(self) -> None:
        closing = self.closing()
        self.phone.settled = False
        self.assertFalse(closing.settled)
        closing.proceed()
        self.assertEqual(self.done(), [[], [], []])
        self.phone.settled = True
        closing.proceed()
        self.assertEqual(self.done()[0], ["dismissed with 1012"])

    def test_what_a_dismissed_client_still_sends_keeps_the_phones_alone(self) -> None:
        closing = self.closing()
        closing.proceed()
        self.cli.settled = False
        self.assertTrue(closing.settled)
        closing.proceed()
        self.assertEqual(self.phone.done, [])

    def test_the_phones_wait_for_messages_of_clients_that_have_gone(self) -> None:
        closing = self.closing()
        self.there = [self.phone]
        self.update("s")
        closing.proceed()
        self.assertEqual(self.phone.done, [])
        self.update()
        closing.proceed()
        self.assertEqual(self.phone.done, ["dismissed with 1012"])

    def test_the_cut_spares_nobody(self) -> None:
        closing = self.closing()
        self.phone.settled = False
        closing.cut()
        self.assertEqual(self.done(), [["closed with 1012"]] * 3)


class Outbound(Case):
    def test_clients_of_one_session_are_one_group(self) -> None:
        self.there.append(Client(Role.CLI, "another"))
        self.update("another")
        one, other = self.groups.list()
        self.assertEqual((one.desktop_side, one.mobiles), ([self.cli, self.page], [self.phone]))
        self.assertEqual([one.has_undelivered, other.has_undelivered], [False, False])
        self.update("another")
        self.assertTrue(other.has_undelivered)

    def test_a_group_stays_the_same_while_its_clients_change(self) -> None:
        self.update()
        (before,) = self.groups.list()
        late: Any = Client(Role.MOBILE)
        self.there = [late]
        self.update()
        (after,) = self.groups.list()
        self.assertIs(after, before)
        self.assertEqual((after.desktop_side, after.mobiles), ([], [late]))

    def test_a_group_without_clients_is_not_listed(self) -> None:
        self.update()
        self.there.clear()
        self.update()
        self.assertEqual(self.groups.list(), [])
