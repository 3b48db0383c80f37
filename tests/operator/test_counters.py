"""`apptuner_relay.operator.counters`: clients, closes, refusals and bytes."""

from apptuner_relay.wire.frames import CLOSE
from tests.memory import masked
from tests.operator.meters_case import MetersCase


class ConnectionTest(MetersCase):
    def test_who_is_there(self) -> None:
        cli, (phone,) = self.session()
        other = self.relay.connect("/dashboard/other")
        status = self.status()
        self.assertEqual(
            status["connections"],
            {"cli": 1, "dashboard": 1, "desktop": 0, "mobile": 1, "upload": 0},
        )
        self.assertEqual(status["sessions"], 2)
        for client in (cli, phone, other):
            client.lose()
        status = self.status()
        self.assertEqual(set(status["connections"].values()), {0})
        self.assertEqual(status["sessions"], 0)
        self.assertEqual(status["total"]["connections"], 3)
        today = status["today"]
        self.assertEqual((today["peak_sessions"], today["peak_connections"]), (2, 3))
        self.assertEqual(today["connections"], 3)

    def test_close_codes(self) -> None:
        cli, (one, two) = self.session(phones=2)
        one.send_raw(masked(CLOSE, b"\x03\xe9"))
        one.lose()
        two.send_raw(masked(CLOSE, b""))
        two.lose()
        cli.send_raw(masked(0x3, b""))
        cli.send_raw(masked(CLOSE, b"\x03\xe8"))
        cli.lose()
        self.relay.connect("/cli/X").lose()
        self.assertEqual(self.meters.counters.closes, {1001: 1, 1005: 1, 1002: 1, 1006: 1})

    def test_refused_handshakes(self) -> None:
        self.session(phones=5)
        for target in ("/mobile/ABC234", "/cli/a.b", "/nobody/A"):
            self.relay.connect(target, welcome=False)
        self.assertEqual(self.meters.counters.refusals, {403: 1, 400: 1, 404: 1})


class ByteTest(MetersCase):
    def test_bytes_out_are_what_the_clients_got(self) -> None:
        cli, (phone,) = self.session()
        cli.read()
        before = self.meters.counters.bytes_out
        self.assertEqual(len(phone.transport.value()), 0)
        cli.send(type="reload")
        cli.send(type="bundle_update", payload={"code": "é" * 3000})
        self.assertEqual(self.meters.counters.bytes_out - before, len(phone.transport.value()))
        phone.lose()
        self.assertGreater(self.meters.counters.bytes_out, before)
