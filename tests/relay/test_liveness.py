"""`apptuner_relay.relay.liveness` and the rest of the relay, on transports in memory: who has a
place, and who is still there.
"""

from twisted.logger import capturedLogs, formatEvent

from apptuner_relay.operator.views import Views
from apptuner_relay.wire.frames import PONG
from tests.edge.memory_case import MemoryCase
from tests.memory import Client, Relay, masked

TAKEN = (1000, "New CLI connected for this project")


def answer(*clients: Client) -> None:
    """Have them answer the pings that they have got."""
    for client in clients:
        before = client.pings
        client.read()
        if client.pings > before:
            client.send_raw(masked(PONG, b""))


class Pages(MemoryCase):
    def test_any_number_listens(self) -> None:
        pages = [self.connect(f"/{role}/ABC234") for role in ("dashboard", "desktop") * 5]
        phone = self.connect("/mobile/ABC234")
        phone.send(type="console_log")
        for page in pages:
            self.assertEqual(page.types(), ["mobile_connected", "device_list", "console_log"])
            self.assertIsNone(page.closed)
        pages[3].send(type="reload")
        self.assertEqual(phone.types(), ["reload"])

    def test_beyond_the_limit_the_oldest_that_says_nothing_goes(self) -> None:
        self.relay = Relay(max_pages=3)
        pages = [self.connect("/dashboard/ABC234") for _ in range(3)]
        pages[0].send(type="ping")
        newest = self.connect("/desktop/ABC234")
        for page in (*pages, newest):
            page.read()
        self.assertEqual((pages[1].closed or (0, ""))[0], 1000)
        self.assertIn("pages", (pages[1].closed or (0, ""))[1])
        self.assertEqual([page.closed for page in (pages[0], pages[2], newest)], [None] * 3)

    def test_the_one_that_had_to_go_is_refused_until_it_gives_up(self) -> None:
        self.relay = Relay(max_pages=1)
        self.connect("/dashboard/ABC234")
        newest = self.connect("/dashboard/ABC234")
        for _ in range(10):
            self.relay.wait(1)
            refused = self.relay.connect("/dashboard/ABC234", welcome=False)
            self.assertEqual(refused.status, 403)
            self.assertIn(b"1 pages", refused.body)
        newest.read()
        self.assertIsNone(newest.closed)
        self.connect("/dashboard/ABC234")

    def test_a_page_with_the_secret_sends_away_all_that_have_shown_none(self) -> None:
        pages = [self.connect("/dashboard/ABC234") for _ in range(3)]
        claimed = self.connect("/dashboard/ABC234?key=" + "s" * 20)
        for page in pages:
            page.read()
            self.assertEqual((page.closed or (0, ""))[0], 1008)
        second = self.connect("/desktop/ABC234?key=" + "s" * 20)
        claimed.read()
        self.assertIsNone(claimed.closed)
        self.assertIsNone(second.closed)


class CLIs(MemoryCase):
    def war(self) -> tuple[Client, Client, Client]:
        """Two released CLIs: the first one is closed, and comes back. Returns all three
        connections."""
        first, second = self.connect("/cli/ABC234"), self.connect("/cli/ABC234")
        first.read()
        self.assertEqual(first.closed, TAKEN)
        first.lose()
        self.relay.wait(5)
        return first, second, self.connect("/cli/ABC234")

    def test_one_that_comes_back_is_let_in_beside_one_that_answers(self) -> None:
        phone = self.connect("/mobile/ABC234")
        page = self.connect("/dashboard/ABC234")
        with capturedLogs() as events:
            _, second, again = self.war()
            answer(second, page, phone)
            self.relay.wait(30)
            answer(second, again)
        for client in (second, again, page, phone):
            client.received()
            self.assertIsNone(client.closed)
        lines = [line for line in map(formatEvent, events) if "2 CLIs are connected" in line]
        self.assertEqual(len(lines), 1)
        second.send(type="reload")
        again.send(type="reload")
        self.assertEqual(phone.types(), ["reload", "reload"])
        phone.send(type="bundle_ack", success=True)
        self.assertEqual((second.types(), again.types()), (["bundle_ack"], ["bundle_ack"]))
        page.received()
        second.lose()
        self.assertEqual(page.types(), [])
        again.lose()
        self.assertEqual(page.types(), ["cli_disconnected"])

    def test_one_that_comes_back_takes_over_from_one_that_does_not_answer(self) -> None:
        with capturedLogs() as events:
            _, second, again = self.war()
            self.relay.wait(4)
            second.read()
            self.assertIsNone(second.closed)
            self.relay.wait(2)
        second.read()
        again.read()
        self.assertEqual(second.closed, TAKEN)
        self.assertIsNone(again.closed)
        self.assertNotIn("CLIs are connected", " ".join(map(str, map(formatEvent, events))))

    def test_what_the_other_says_is_an_answer(self) -> None:
        _, second, again = self.war()
        second.send(type="ping")
        self.relay.wait(10)
        for client in (second, again):
            client.read()
            self.assertIsNone(client.closed)

    def test_one_that_was_heard_just_now_is_not_asked(self) -> None:
        self.connect("/cli/ABC234")
        second = self.connect("/cli/ABC234")
        self.relay.wait(4)
        second.send(type="ping")
        self.relay.wait(1)
        self.connect("/cli/ABC234")
        self.relay.wait(8)
        second.read()
        # That which measures the round trip.
        self.assertEqual((second.pings, second.closed), (1, None))

    def test_a_crashed_one_that_restarts_takes_over(self) -> None:
        crashed = self.connect("/cli/ABC234")
        self.relay.wait(30)
        again = self.connect("/cli/ABC234")
        crashed.read()
        self.assertEqual(crashed.closed, TAKEN)
        again.read()
        self.assertIsNone(again.closed)

    def test_the_page_of_the_operator_has_it(self) -> None:
        (row,) = self.sessions_of("one")
        self.assertFalse(row["several_clis"])
        self.war()
        row = next(
            row for row in Views(self.relay.service.meters).sessions() if row["several_clis"]
        )
        self.assertEqual(row["roles"], ["cli", "cli"])

    def sessions_of(self, session: str) -> list[dict[str, object]]:
        self.connect(f"/cli/{session}")
        return Views(self.relay.service.meters).sessions()


class Phones(MemoryCase):
    def test_who_joins_has_the_others_pinged(self) -> None:
        alive, dead = (self.connect("/mobile/ABC234") for _ in range(2))
        self.relay.wait(4)
        self.connect("/mobile/ABC234")
        answer(alive)
        dead.read()
        self.assertEqual((alive.pings, dead.pings), (1, 1))
        # It had 40 s and more to go by itself.
        for _ in range(6):
            self.relay.wait(5)
            answer(alive)
        self.assertTrue(dead.transport.disconnected)
        self.assertFalse(alive.transport.disconnected)

    def test_a_dead_one_makes_room_for_a_sixth(self) -> None:
        cli = self.connect("/cli/ABC234")
        page = self.connect("/dashboard/ABC234")
        phones = [self.connect(f"/mobile/ABC234?deviceId=d{i}") for i in range(5)]
        for _ in range(8):
            self.relay.wait(3)
            answer(cli, page, *phones[:3], phones[4])
        for phone in (*phones[:3], phones[4]):
            phone.send(type="ping")
        cli.received()
        page.received()
        sixth = Client(self.relay.service, "/mobile/ABC234?deviceId=d5")
        self.relay.wait(2, 0.1)
        sixth.read()
        self.assertEqual(sixth.status, 101)
        phones[3].read()
        self.assertEqual((phones[3].closed or (0, ""))[0], 1000)
        self.assertEqual(
            cli.types(), ["mobile_disconnected", "device_list", "mobile_connected", "device_list"]
        )
        self.assertEqual(page.types(), ["device_list", "mobile_connected", "device_list"])

    def test_where_all_answer_a_sixth_is_refused(self) -> None:
        phones = [self.connect(f"/mobile/ABC234?deviceId=d{i}") for i in range(5)]
        self.relay.wait(19)
        for phone in phones:
            phone.read()
        self.relay.wait(1)
        sixth = Client(self.relay.service, "/mobile/ABC234?deviceId=d5")
        self.assertEqual(sixth.status, 0)
        answer(*phones)
        self.relay.wait(0.5, 0.1)
        sixth.read()
        self.assertEqual(sixth.status, 403)
        for phone in phones:
            phone.read()
            self.assertIsNone(phone.closed)
