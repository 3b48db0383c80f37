"""`apptuner_relay.meters.meters` and `lines`: what a relay with traffic shows of itself."""

import hashlib
import json

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.meters.amounts import show_bytes, show_memory
from apptuner_relay.meters.days import DAY_S, Day
from apptuner_relay.meters.lines import day_line, minute_fields, minute_line
from apptuner_relay.meters.meters import Meters
from apptuner_relay.wire.frames import BINARY, CLOSE, COMPRESSED, CONTINUATION, TEXT
from tests.memory import Client, Relay, deflated, masked

LABEL = hashlib.sha256(b"ABC234").hexdigest()[:8]


class MetersCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.relay = Relay(memory_limit=0, ping_timeout=9999.0, session_timeout=9e6)
        self.meters: Meters = self.relay.service.meters

    def session(self, phones: int = 1) -> tuple[Client, list[Client]]:
        cli = self.relay.connect("/cli/ABC234")
        return cli, [self.relay.connect(f"/mobile/ABC234?deviceId=d{i}") for i in range(phones)]

    def status(self) -> dict:
        return json.loads(json.dumps(self.meters.status(), allow_nan=False))

    def tally(self, kind: str) -> tuple[int, int]:
        tally = self.meters.traffic.tallies[kind]
        return tally.received, tally.sent

    def tally_bytes(self, kind: str) -> tuple[int, int]:
        tally = self.meters.traffic.tallies[kind]
        return tally.received_bytes, tally.sent_bytes


class ShapeTest(MetersCase):
    def test_every_field(self) -> None:
        status = self.status()
        self.assertEqual(
            list(status),
            [
                "version",
                "node",
                "started_ms",
                "now_ms",
                "uptime_s",
                "state",
                "reasons",
                "connections",
                "sessions",
                "total",
                "last_minute",
                "memory_bytes",
                "memory_limit_bytes",
                "loop_lag_ms",
                "spool",
                "cluster",
                "descriptors",
                "descriptors_limit",
                "today",
                "days",
                "hour",
                "worries",
            ],
        )
        self.assertEqual(status["state"], "ok")
        self.assertIsNone(status["memory_limit_bytes"])
        for part, names in [
            ("connections", "cli dashboard desktop mobile"),
            (
                "total",
                "bundles bundle_bytes bytes_in bytes_out messages_in messages_out connections",
            ),
            ("last_minute", "bundles bundle_bytes bytes_out"),
            (
                "today",
                "date peak_sessions peak_connections bundles bundle_bytes bytes_out connections",
            ),
        ]:
            self.assertEqual(list(status[part]), names.split())

    def test_no_session_id_anywhere(self) -> None:
        self.session()
        shown = json.dumps([self.meters.status(), self.meters.sessions()])
        self.assertNotIn("ABC234", shown)
        self.assertIn(LABEL, shown)
        self.assertNotIn(hashlib.sha256(b"ABC234").hexdigest(), shown)


class ConnectionTest(MetersCase):
    def test_who_is_there(self) -> None:
        cli, (phone,) = self.session()
        other = self.relay.connect("/dashboard/other")
        status = self.status()
        self.assertEqual(
            status["connections"], {"cli": 1, "dashboard": 1, "desktop": 0, "mobile": 1}
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
        self.assertEqual(self.meters.closes, {1001: 1, 1005: 1, 1002: 1, 1006: 1})

    def test_refused_handshakes(self) -> None:
        self.session(phones=5)
        for target in ("/mobile/ABC234", "/cli/a.b", "/nobody/A"):
            self.relay.connect(target, welcome=False)
        self.assertEqual(self.meters.refusals, {403: 1, 400: 1, 404: 1})


class TrafficTest(MetersCase):
    def test_a_bundle(self) -> None:
        cli, phones = self.session(phones=2)
        before = self.status()
        text = cli.send(type="bundle_update", payload={"code": "x" * 100_000})
        sent = 0
        for phone in phones:
            sent += len(phone.transport.value())
            phone.read()
        status = self.status()
        self.assertEqual(status["total"]["bundles"], 1)
        self.assertEqual(status["total"]["bundle_bytes"], len(text))
        self.assertEqual(status["last_minute"]["bundles"], 1)
        grown = {key: status["total"][key] - before["total"][key] for key in before["total"]}
        self.assertEqual(grown["bytes_in"], len(masked(TEXT, text)))
        self.assertGreater(grown["bytes_out"], 2 * len(text))
        self.assertLessEqual(grown["bytes_out"], sent)
        self.assertEqual((grown["messages_in"], grown["messages_out"]), (1, 2))
        self.assertEqual(self.tally("bundle_update"), (1, 2))

    def test_bytes_out_are_what_the_clients_got(self) -> None:
        cli, (phone,) = self.session()
        cli.read()
        before = self.meters.bytes_out
        self.assertEqual(len(phone.transport.value()), 0)
        cli.send(type="reload")
        cli.send(type="bundle_update", payload={"code": "é" * 3000})
        self.assertEqual(self.meters.bytes_out - before, len(phone.transport.value()))
        phone.lose()
        self.assertGreater(self.meters.bytes_out, before)

    def test_a_bundle_byte_by_byte_is_counted_at_its_end(self) -> None:
        cli, _ = self.session()
        text = b'{"type":"bundle_update","payload":{"code":"' + b"x" * 600 + b'"}}'
        wire = masked(TEXT, text[:300], False) + masked(CONTINUATION, text[300:])
        for i in range(len(wire)):
            self.assertEqual(self.meters.traffic.bundles, 0)
            cli.send_raw(wire[i : i + 1])
        self.assertEqual(self.meters.traffic.bundles, 1)
        self.assertEqual(self.meters.traffic.bundle_bytes, len(text))

    def test_a_bundle_that_is_cut_short_is_none(self) -> None:
        cli, _ = self.session()
        cli.send_raw(masked(TEXT, b'{"type":"bundle_update","x":"' + b"x" * 5000, False))
        cli.lose()
        self.assertEqual(self.meters.traffic.bundles, 0)
        self.assertEqual(self.tally("bundle_update"), (0, 0))

    def test_a_bundle_for_nobody_is_a_message_but_was_not_passed_on(self) -> None:
        cli, _ = self.session(phones=0)
        cli.send(type="bundle_update", payload={"code": "x" * 5000})
        cli.send(type="bundle_update", payload={"code": "x"})
        self.assertEqual(self.meters.traffic.bundles, 0)
        self.assertEqual(self.tally("bundle_update"), (2, 0))

    def test_a_phone_sends_no_bundles(self) -> None:
        _, (phone,) = self.session()
        phone.send(type="bundle_update", payload={"code": "x" * 5000})
        self.assertEqual(self.meters.traffic.bundles, 0)

    def test_small_bundles_in_one_segment(self) -> None:
        cli, _ = self.session()
        text = b'{"type":"bundle_update","payload":{}}'
        cli.send_raw(masked(TEXT, text) * 3)
        self.assertEqual(self.meters.traffic.bundles, 3)
        self.assertEqual(self.meters.traffic.bundle_bytes, 3 * len(text))

    def test_messages_by_type(self) -> None:
        cli, (one, two) = self.session(phones=2)
        logs = b'{"type":"console_log","payload":{}}'
        one.send_raw(masked(TEXT, logs) * 10 + masked(TEXT, b'{"type":"x"}') + masked(TEXT, logs))
        two.send(type="bundle_ack", success=True)
        two.send(type="ping")
        cli.send(type="console_log", payload={"args": ["x" * 2000]})
        cli.send_raw(masked(BINARY, b"1234"))
        cli.send_raw(masked(TEXT, b"[]"))
        self.assertEqual(self.tally("console_log"), (12, 13))
        self.assertEqual(self.tally("other"), (2, 1))
        self.assertEqual(self.tally("bundle_ack"), (1, 1))
        self.assertEqual(self.tally("ping"), (1, 0))
        self.assertEqual(self.tally("binary"), (1, 2))
        # Three welcomes, two phones announced and listed, a pong and an error.
        self.assertEqual(self.tally("notice"), (0, 9))

    def test_bytes_by_type(self) -> None:
        cli, (one, two) = self.session(phones=2)
        notices = self.tally_bytes("notice")
        logs = b'{"type":"console_log","payload":{}}'
        short, long = b'{"type":"x"}', b'{"type":"x","y":"' + b"y" * 2000 + b'"}'
        one.send_raw(masked(TEXT, logs) * 10 + masked(TEXT, short) + masked(TEXT, logs))
        self.assertEqual(self.tally_bytes("console_log"), (11 * len(logs), 11 * len(logs)))
        wire = masked(TEXT, long[:1000], False) + masked(CONTINUATION, long[1000:])
        for i in range(len(wire)):
            cli.send_raw(wire[i : i + 1])
        self.assertEqual(self.tally_bytes("other"), (len(short + long), len(short) + 2 * len(long)))
        cli.send_raw(masked(BINARY, b"1234"))
        self.assertEqual(self.tally_bytes("binary"), (4, 8))
        self.assertEqual(self.tally_bytes("notice"), notices)
        two.read()
        two.send(type="ping")
        self.assertEqual(
            self.tally_bytes("notice"), (0, notices[1] + len(two.transport.value()) - 2)
        )

    def test_a_long_message_for_nobody_counts_when_it_is_whole(self) -> None:
        cli, _ = self.session(phones=0)
        text = b'{"type":"reload","x":"' + b"x" * 5000
        cli.send_raw(masked(TEXT, text, False))
        self.assertEqual(self.tally("other"), (0, 0))
        cli.send_raw(masked(CONTINUATION, b'"}'))
        self.assertEqual(self.tally("other"), (1, 0))
        self.assertEqual(self.tally_bytes("other"), (len(text) + 2, 0))

    def test_a_compressed_bundle_counts_as_it_came(self) -> None:
        cli = self.relay.connect("/cli/ABC234", deflate=True)
        self.relay.connect("/mobile/ABC234")
        text = b'{"type":"bundle_update","payload":{"code":"' + b"x" * 50_000 + b'"}}'
        payload = deflated(text)
        cli.send_raw(masked(TEXT | COMPRESSED, payload))
        self.assertEqual(self.meters.traffic.bundles, 1)
        self.assertEqual(self.meters.traffic.bundle_bytes, len(payload))


class TimeTest(MetersCase):
    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds // 10):
            self.relay.clock.advance(10)
            self.meters.sample()

    def test_the_last_minute(self) -> None:
        cli, _ = self.session()
        cli.send(type="bundle_update", payload={"code": "x" * 1000})
        self.pass_time(30)
        cli.send(type="bundle_update", payload={"code": "x" * 1000})
        self.assertEqual(self.status()["last_minute"]["bundles"], 2)
        self.pass_time(40)
        self.assertEqual(self.status()["last_minute"]["bundles"], 1)
        self.pass_time(60)
        last = self.status()["last_minute"]
        self.assertEqual(last, {"bundles": 0, "bundle_bytes": 0, "bytes_out": 0})

    def test_the_hour(self) -> None:
        cli, _ = self.session()
        cli.send(type="bundle_update", payload={"code": "x" * 99_000})
        self.pass_time(10)
        first = self.status()["hour"][0]
        self.assertEqual(first[:3], [1_010_000, 1, 2])
        self.assertEqual(first[3], round(self.meters.bytes_out / 10))
        self.pass_time(2 * 3600)
        hour = self.status()["hour"]
        self.assertEqual(len(hour), 360)
        self.assertEqual(hour[-1][0], self.relay.clock.seconds() * 1000)
        self.assertEqual(hour[-1][0] - hour[0][0], 3_590_000)

    def test_a_clock_that_is_put_back(self) -> None:
        self.pass_time(100)
        self.relay.clock.rightNow -= 50
        self.session()
        self.pass_time(10)
        times = [row[0] for row in self.status()["hour"]]
        self.assertEqual(times, sorted(set(times)))
        self.assertEqual(self.status()["last_minute"]["bundles"], 0)

    def test_midnight(self) -> None:
        cli, _ = self.session()
        cli.send(type="bundle_update", payload={"code": "x" * 1000})
        self.relay.clock.advance(DAY_S - self.relay.clock.seconds() % DAY_S - 1)
        self.assertEqual(self.meters.days_over(), [])
        self.relay.clock.advance(1)
        (over,) = self.meters.days_over()
        self.assertEqual((over.date, over.peak_connections, over.bundles), ("1970-01-01", 2, 1))
        self.assertEqual(self.meters.days_over(), [])
        cli.send(type="bundle_update", payload={"code": "x" * 1000})
        cli.send(type="bundle_update", payload={"code": "x" * 1000})
        status = self.status()
        self.assertEqual(status["today"]["date"], "1970-01-02")
        self.assertEqual(status["today"]["bundles"], 2)
        self.assertEqual(status["total"]["bundles"], 3)
        # Those who are there at midnight are there on the new day, but didn't come on it.
        self.assertEqual(status["today"]["peak_connections"], 2)
        self.assertEqual(status["today"]["connections"], 0)
        self.assertEqual([day["date"] for day in status["days"]], ["1970-01-01"])
        self.assertEqual(status["days"][0]["bundles"], 1)

    def test_draining(self) -> None:
        self.session()
        self.relay.service.stopService()
        self.assertEqual(self.status()["state"], "draining")
        self.assertEqual(self.status()["reasons"], ["The relay restarts"])


class SessionsTest(MetersCase):
    def test_a_row(self) -> None:
        cli, (phone,) = self.session()
        self.relay.clock.advance(5)
        text = cli.send(type="bundle_update", payload={"code": "x" * 5000})
        self.relay.clock.advance(2)
        (row,) = self.meters.sessions()
        self.assertEqual(row["session"], LABEL)
        self.assertEqual(row["roles"], ["cli", "mobile"])
        self.assertEqual(row["devices"], [{"deviceId": "d0", "name": None, "platform": None}])
        self.assertEqual((row["age_s"], row["idle_s"]), (7, 2))
        self.assertEqual(row["bytes_in"], len(masked(TEXT, text)))
        self.assertIs(row["slow"], False)
        phone.lose()
        (after,) = self.meters.sessions()
        self.assertGreaterEqual(after["bytes_out"], row["bytes_out"])

    def test_busiest_first(self) -> None:
        self.session()
        for name in ("a", "b"):
            cli, _ = self.relay.connect(f"/cli/{name}"), self.relay.connect(f"/mobile/{name}")
            cli.send(type="reload", x="x" * (500 if name == "b" else 3000))
        sent = [row["bytes_out"] for row in self.meters.sessions()]
        self.assertEqual(sent, sorted(sent, reverse=True))

    def test_slow_and_paused(self) -> None:
        cli, (phone,) = self.session()
        phone.protocol.transport.producer.pauseProducing()
        cli.send(type="bundle_update", payload={"code": "x" * 5000})
        self.assertEqual((self.meters.paused_sources, self.meters.slow_sinks), (1, 0))
        self.relay.clock.advance(6)
        self.assertEqual(self.meters.slow_sinks, 1)
        self.assertIs(self.meters.sessions()[0]["slow"], True)
        phone.protocol.transport.producer.resumeProducing()
        self.assertEqual((self.meters.paused_sources, self.meters.slow_sinks), (0, 0))
        self.assertIs(self.meters.sessions()[0]["slow"], False)


class LineTest(MetersCase):
    def test_the_minute(self) -> None:
        cli, _ = self.session(phones=2)
        self.relay.connect("/cli/other").lose()
        cli.send(type="bundle_update", payload={"code": "x" * 1_500_000})
        line = minute_line(self.meters)
        self.assertRegex(
            line,
            r"^3 connections \(cli 1, dashboard 0, desktop 0, mobile 2\) in 1 session, peak today "
            r"2; 1 bundle, 1\.5 MB since the start; 1 bundle, 1\.5 MB in the last minute; "
            r"memory \d+\.\d MiB, loop lag 0 ms$",
        )
        fields = minute_fields(self.meters)
        self.assertEqual((fields["connections"], fields["peak_sessions"]), (3, 2))
        json.dumps(fields)

    def test_amounts(self) -> None:
        for count, traffic, memory in (
            (0, "0 B", "0 B"),
            (999, "999 B", "999 B"),
            (1000, "1.0 kB", "1000 B"),
            (1024, "1.0 kB", "1.0 KiB"),
            (999_949, "999.9 kB", "976.5 KiB"),
            (999_950, "1.0 MB", "976.5 KiB"),
            (2**30 - 1, "1.1 GB", "1.0 GiB"),
            (15_400_000, "15.4 MB", "14.7 MiB"),
            (10**12 - 1, "1.0 TB", "931.3 GiB"),
            (2 * 10**15, "2000.0 TB", "1819.0 TiB"),
        ):
            self.assertEqual((show_bytes(count), show_memory(count)), (traffic, memory), count)

    def test_what_is_wrong_is_in_the_line(self) -> None:
        self.meters.draining = True
        self.assertTrue(minute_line(self.meters).endswith("; draining: The relay restarts"))

    def test_the_day(self) -> None:
        day = Day("2026-11-23", 7, 19, 34, 510_200_000, 1_200_000_000, 1)
        self.assertEqual(
            day_line(day, so_far=False),
            "day 2026-11-23: peak 7 sessions, 19 connections; 34 bundles, 510.2 MB; 1.2 GB sent; "
            "1 client came",
        )
        self.assertIn("2026-11-23 so far: ", day_line(day, so_far=True))
