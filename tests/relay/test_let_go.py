"""What is left of a client that has gone: nothing that needs Python's garbage collector. That looks
at everything once in 70,000 clients, and until then a relay would have the memory of them all.
"""

import gc
import weakref
from typing import Any

from apptuner_relay.relay.member import Member
from apptuner_relay.wire.frames import COMPRESSED, TEXT
from tests.memory import Client, deflated, masked
from tests.spool.cases import Spooled, some_code


class WithoutACollector(Spooled):
    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(gc.enable)
        gc.disable()

    def life(self, rate_is_exceeded: bool = False) -> list["weakref.ref[Any]"]:
        """A CLI sends bundles to phones that take them in several forms, and all of them go."""
        clients = [
            self.connect("cli", deflate=True),
            self.connect("mobile"),
            self.connect("mobile", "platform=ios&chunks=1"),
            self.connect("mobile", deflate=True),
        ]
        cli = clients[0]
        text = b'{"type":"bundle_update","payload":{"code":"%b"}}' % (b"x" * 2_000_000)
        cli.send_raw(masked(TEXT | COMPRESSED, deflated(text)))
        cli.send_raw(masked(TEXT, text))
        self.chunks(cli, "x" * 300_000, 3)
        for n in range(2000 if rate_is_exceeded else 3):
            clients[1].send(type="console_log", n=n)
        members = [one for one in self.relay.service.clients if isinstance(one, Member)]
        self.assertEqual(len(members), len(clients))
        left = [weakref.ref(one.protocol) for one in clients]
        left += [weakref.ref(one) for one in members]
        left += [weakref.ref(one.sink) for one in members]
        del members
        for client in clients:
            client.read()
            self.lose(client)
        self.relay.wait(5)
        return left

    def lose(self, client: Client) -> None:
        """The connection is gone, and its transport lets go of its producer."""
        client.lose()
        client.transport.unregisterProducer()

    def assertNothingLeft(self, left: list["weakref.ref[Any]"]) -> None:
        self.assertEqual([found for ref in left if (found := ref()) is not None], [])

    def test_clients_go(self) -> None:
        self.assertNothingLeft(self.life())

    def test_clients_go_that_have_sent_too_much(self) -> None:
        self.assertNothingLeft(self.life(rate_is_exceeded=True))

    def test_a_kept_bundle_keeps_none_of_its_clients(self) -> None:
        left = self.life()
        self.assertIsNotNone(self.store.last(self.hash()))
        self.assertNothingLeft(left)

    def test_a_dropped_bundle_goes(self) -> None:
        self.life()
        file = self.store.last(self.hash())
        assert file is not None
        left = [weakref.ref(file.content)]
        self.store.drop(file)
        del file
        self.assertNothingLeft(left)

    def test_a_client_goes_that_is_cut_in_mid_bundle(self) -> None:
        cli, phone = self.connect("cli"), self.connect("mobile")
        self.half(cli, some_code(500_000))
        left = [weakref.ref(cli.protocol), weakref.ref(phone.protocol)]
        self.lose(cli)
        self.lose(phone)
        del cli, phone
        self.relay.wait(5)
        self.assertNothingLeft(left)

    def hash(self) -> str:
        return next(iter(self.store._latest))
