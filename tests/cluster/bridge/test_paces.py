"""Phones that are slow on another relay than their session's: each goes at its own pace."""

import json
from collections.abc import Iterator

from apptuner_relay.wire.frames import CONTINUATION, TEXT
from tests.cluster.harness import SESSION, ClusterCase, ClusterClient, ClusterRelay
from tests.memory import masked
from tests.memory_store import MemoryStore
from tests.spool.cases import Sips, some_code

TEXT_OF_IT = json.dumps({"type": "bundle_update", "payload": {"code": some_code(900_000)}}).encode()


class Paces(ClusterCase):
    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.relays("ab", MemoryStore)
        self.cli = self.connect(self.a, "cli")
        self.quick = self.connect(self.a, "mobile?deviceId=quick")
        self.slow = self.connect(self.b, "mobile?deviceId=slow")
        self.sips = Sips(self.slow)
        for one in self.cluster.clients:
            one.received()

    def push(self, text: bytes = TEXT_OF_IT) -> Iterator[None]:
        """Send a message in frames. Nobody holds the CLI."""
        for at in range(0, len(text), 50_000):
            self.assertEqual(self.cli.transport.producerState, "producing")
            end = at + 50_000 >= len(text)
            self.cli.send_raw(masked(CONTINUATION if at else TEXT, text[at : at + 50_000], end))
            self.turn(0.05)
            yield

    def texts(self, client: ClusterClient) -> list[bytes]:
        client.read()
        taken, client.messages = client.messages, []
        return [text for text in taken if b"bundle_" in text[:40]]

    def drink(self) -> list[bytes]:
        for _ in range(20):
            self.sips.sip(None)
            self.turn()
        return self.texts(self.slow)

    def test_a_slow_one_holds_nobody_and_gets_all_of_it(self) -> None:
        for number, _ in enumerate(self.push()):
            if number % 4 == 0:
                self.sips.sip(5000)
        self.assertTrue(self.texts(self.quick) == [TEXT_OF_IT])
        self.assertTrue(self.drink() == [TEXT_OF_IT])
        self.assertIsNone(self.slow.closed)

    def test_one_that_goes_meanwhile(self) -> None:
        pushing = self.push()
        for _ in range(8):
            next(pushing)
        self.slow.lose()
        self.turn(1)
        for _ in pushing:
            pass
        self.assertTrue(self.texts(self.quick) == [TEXT_OF_IT])
        self.assertNothingInUse()

    def assertNothingInUse(self) -> None:
        self.assertFalse(any(one.in_use for one in self.a.service.store._counted))

    def test_a_way_that_stands_still(self) -> None:
        for wire in self.cluster.wires:
            wire.is_stuck = True
        for _ in self.push():
            pass
        self.assertTrue(self.texts(self.quick) == [TEXT_OF_IT])
        for wire in self.cluster.wires:
            wire.is_stuck = False
        self.assertTrue(self.drink() == [TEXT_OF_IT])

    def test_one_that_comes_late_by_the_other_relay(self) -> None:
        self.assertTrue(self.texts(self.join_in_the_middle()) == [TEXT_OF_IT])

    def test_its_sender_goes_in_the_middle(self) -> None:
        pushing = self.push()
        for _ in range(8):
            next(pushing)
        self.sips.sip(5000)
        self.turn(1)
        self.cli.lose()
        self.turn(1)
        self.drink()
        assert self.slow.closed is not None
        self.assertEqual(self.slow.closed[0], 1011)

    def test_their_session_moves_while_one_is_behind(self) -> None:
        self.stop_while_one_is_behind()
        self.assertEqual(self.owner, "b")
        self.assertIsNone(self.slow.closed)
        # The other relay has it now, for those who come.
        self.assertTrue(self.texts(self.join_b("mobile?deviceId=new&replay=1")) == [TEXT_OF_IT])

    def test_the_cli_is_on_the_other_relay(self) -> None:
        self.cli.lose()
        self.turn(1)
        self.cli = self.connect(self.b, "cli")
        near = Sips(self.quick)
        for number, _ in enumerate(self.push()):
            if number % 4 == 0:
                near.sip(5000)
                self.sips.sip(5000)
        self.assertTrue(self.drink() == [TEXT_OF_IT])
        near.sip(None)
        self.turn(1)
        self.assertTrue(self.texts(self.quick) == [TEXT_OF_IT])

    def join_in_the_middle(self) -> ClusterClient:
        """A phone joins at the other relay while a bundle is sent, and asks for a replay."""
        pushing = self.push()
        for _ in range(8):
            next(pushing)
        late = self.connect(self.b, "mobile?deviceId=late&replay=1")
        for _ in pushing:
            pass
        self.turn(1)
        return late

    def stop_while_one_is_behind(self) -> None:
        """The owner stops; the slow phone gets the whole bundle all the same."""
        for _ in self.push():
            self.sips.sip(2000)
        stopping = self.a.stop()
        self.turn(1)
        self.assertTrue(self.drink() == [TEXT_OF_IT])
        self.ends(stopping, self.cli, self.quick)

    def join_b(self, target: str) -> ClusterClient:
        role, _, query = target.partition("?")
        client = self.cluster.connect(self.b, f"/{role}/{SESSION}?{query}")
        self.turn(1)
        return client


class WithoutASpool(Paces):
    """Where neither relay keeps anything, the CLI is held before it is too much."""

    def relays(self, names: str, *args: object, **settings: object) -> list[ClusterRelay]:
        return super().relays(names, window=4_000_000)

    def assertNothingInUse(self) -> None:
        """There is nothing that could be."""

    def test_one_that_comes_late_by_the_other_relay(self) -> None:
        self.assertEqual(self.texts(self.join_in_the_middle()), [])

    def test_their_session_moves_while_one_is_behind(self) -> None:
        self.stop_while_one_is_behind()
        self.assertIsNone(self.slow.closed)
