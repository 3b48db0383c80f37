"""Who comes along with a session that moves, and what is said of them."""

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.cluster.bridge.roster import MigratingClient, Roster, read_migrating_clients
from apptuner_relay.session.roles import Device, Role

PHONE = MigratingClient("p1", Role.MOBILE, Device("d1", "Ümit's phone", "ios", 5, replay=True))
CLI = MigratingClient("c1", Role.CLI, None)
GONE = MigratingClient("p2", Role.MOBILE, Device("d2", None, None, 6), is_gone=True)


class Writing(SynchronousTestCase):
    def test_what_is_sent_is_what_is_read(self) -> None:
        sent = [one.to_json() for one in (PHONE, CLI, GONE)]
        self.assertEqual(read_migrating_clients(sent), [PHONE, CLI, GONE])

    def test_what_no_relay_of_this_version_says(self) -> None:
        row = CLI.to_json()
        for bad in (
            None,
            {},
            ["x"],
            [None],
            [row | {"role": "king"}],
            [row | {"device": {"deviceId": "x"}}],
            [{key: row[key] for key in ("client", "role")}],
            [row] * 1001,
        ):
            with self.assertRaises(ValueError):
                read_migrating_clients(bad)


class Waiting(SynchronousTestCase):
    def test_until_all_have_come(self) -> None:
        roster = Roster([PHONE, CLI])
        self.assertFalse(roster.is_complete)
        roster.arrived("p1")
        self.assertFalse(roster.expects("p1"))
        self.assertTrue(roster.expects("c1"))
        roster.arrived("somebody else")
        self.assertFalse(roster.is_complete)
        roster.arrived("c1")
        self.assertTrue(roster.is_complete)
        self.assertEqual(roster.close(), ())

    def test_for_nobody_who_is_known_not_to_come(self) -> None:
        roster = Roster([PHONE, CLI, GONE])
        roster.arrived("c1")
        roster.mark_absent("p1")
        self.assertTrue(roster.is_complete)
        self.assertEqual(roster.close(), (GONE, PHONE))
        self.assertEqual(roster.close(), ())

    def test_no_longer(self) -> None:
        roster = Roster([PHONE, CLI])
        roster.arrived("c1")
        self.assertEqual(roster.missing, (PHONE,))
        self.assertEqual(roster.close(), (PHONE,))
        self.assertTrue(roster.is_complete)
        self.assertFalse(roster.expects("p1"))
