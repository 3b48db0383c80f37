"""`apptuner_relay.operator.views`: the status and the sessions as JSON."""

import hashlib
import json

from apptuner_relay.operator.views import Views
from apptuner_relay.wire.frames import PING, PONG, TEXT
from tests.memory import masked
from tests.operator.meters_case import LABEL, MetersCase


class ShapeTest(MetersCase):
    def test_every_field(self) -> None:
        status = self.status()
        self.assertEqual(
            list(status),
            [
                "version",
                "commit",
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
                "capacity",
                "spool",
                "cluster",
                "managed",
                "descriptors",
                "descriptors_limit",
                "today",
                "days",
                "reload",
                "sending_bytes_per_s",
                "columns",
                "hour",
                "day",
                "month",
                "events",
                "worries",
                "past_worries",
                "thresholds",
            ],
        )
        self.assertEqual(
            status["thresholds"],
            {
                "sessions": {"notice": None, "warning": None},
                "busy_share": {"notice": 0.5, "warning": 0.8},
                "loop_lag_ms": {"warning": 250},
                "memory_bytes": {"warning": None},
                "descriptors": {"warning": 0.8 * status["descriptors_limit"]},
            },
        )
        self.assertEqual(status["state"], "ok")
        self.assertIsNone(status["memory_limit_bytes"])
        for part, names in [
            ("connections", "cli dashboard desktop mobile upload"),
            (
                "total",
                "bundles bundle_bytes bytes_in bytes_out messages_in messages_out connections",
            ),
            ("last_minute", "bundles bundle_bytes bytes_out"),
            (
                "today",
                "date peak_sessions peak_connections bundles bundle_bytes bytes_out connections "
                "reloads failed reload_median_ms reload_p95_ms",
            ),
        ]:
            self.assertEqual(list(status[part]), names.split())

    def test_no_session_id_anywhere(self) -> None:
        self.session()
        shown = json.dumps([Views(self.meters).status(), Views(self.meters).sessions()])
        self.assertNotIn("ABC234", shown)
        self.assertIn(LABEL, shown)
        self.assertNotIn(hashlib.sha256(b"ABC234").hexdigest(), shown)


class SessionsTest(MetersCase):
    def test_a_row(self) -> None:
        cli, (phone,) = self.session()
        self.relay.clock.advance(5)
        text = cli.send(type="bundle_update", payload={"code": "x" * 5000})
        self.relay.clock.advance(2)
        (row,) = Views(self.meters).sessions()
        self.assertEqual(row["session"], LABEL)
        self.assertEqual(row["roles"], ["cli", "mobile"])
        self.assertEqual(row["devices"], [{"deviceId": "d0", "name": None, "platform": None}])
        self.assertEqual((row["age_s"], row["idle_s"]), (7, 2))
        self.assertEqual(row["bytes_in"], len(masked(TEXT, text)))
        self.assertIs(row["slow"], False)
        phone.lose()
        (after,) = Views(self.meters).sessions()
        self.assertGreaterEqual(after["bytes_out"], row["bytes_out"])

    def test_the_busiest_of_them_in_the_order_in_which_they_began(self) -> None:
        self.session()
        for name in ("a", "b", "c"):
            cli, _ = self.relay.connect(f"/cli/{name}"), self.relay.connect(f"/mobile/{name}")
            cli.send(type="reload", x="x" * {"a": 1000, "b": 500, "c": 3000}[name])
            self.relay.clock.advance(0.01)
        rows = Views(self.meters).sessions(2)
        self.assertEqual([row["session"] for row in rows], [label("a"), label("c")])
        times = [row["since_ms"] for row in Views(self.meters).sessions()]
        self.assertEqual(times, sorted(times))

    def test_those_that_began_at_once_stand_still(self) -> None:
        for n in range(20):
            self.relay.connect(f"/cli/s{n}")
        shown = [row["session"] for row in Views(self.meters).sessions()]
        self.assertEqual(shown, sorted(shown))
        self.relay.clock.advance(7.0001)
        self.assertEqual([row["session"] for row in Views(self.meters).sessions()], shown)

    def test_one_of_them(self) -> None:
        self.session()
        self.relay.connect("/cli/other")
        (row,) = Views(self.meters).sessions(prefix=hashlib.sha256(b"ABC234").hexdigest())
        self.assertEqual(row["session"], LABEL)
        self.assertEqual(Views(self.meters).sessions(prefix="0" * 64), [])

    def test_a_client(self) -> None:
        self.relay.clock.advance(0.5)
        self.relay.connect("/mobile/ABC234?deviceId=d1&name=Pixel+9&platform=android&agent=kit/1.0")
        self.assertEqual(
            Views(self.meters).sessions()[0]["clients"],
            [
                {
                    "role": "mobile",
                    "address": "192.168.1.1",
                    "agent": "kit/1.0",
                    "deviceId": "d1",
                    "name": "Pixel 9",
                    "platform": "android",
                    "round_trip_ms": None,
                    "round_trip_at_ms": None,
                    "since_ms": 1_000_500,
                    "behind": False,
                    "through": None,
                }
            ],
        )

    def test_a_clients_round_trip(self) -> None:
        phone = self.relay.connect("/mobile/ABC234")
        self.relay.wait(5)
        self.relay.clock.advance(0.25)
        phone.read()
        (ping,) = [payload for opcode, _, payload in phone.frames if opcode == PING]
        phone.send_raw(masked(PONG, ping))
        (row,) = Views(self.meters).sessions()[0]["clients"]  # type: ignore[misc]
        self.assertEqual((row["round_trip_ms"], row["round_trip_at_ms"]), (250.0, 1_005_250))


def label(session: str) -> str:
    return hashlib.sha256(session.encode()).hexdigest()[:8]


class EventsTest(MetersCase):
    def test_who_comes_and_goes(self) -> None:
        _, (phone,) = self.session()
        self.relay.clock.advance(75)
        phone.lose()
        gone, phone_came, cli_came = self.status()["events"]
        self.assertEqual(cli_came["text"], "cli from 192.168.1.1")
        self.assertEqual(phone_came["text"], "mobile from 192.168.1.1; d0")
        self.assertEqual((gone["kind"], gone["session"]), ("disconnected", LABEL))
        self.assertRegex(gone["text"], r"^mobile: .* \(1006\), after 1 min 15 s; d0$")
        self.assertEqual(gone["level"], "info")

    def test_one_that_is_refused_again_and_again(self) -> None:
        for n in range(300):
            self.assertEqual(self.relay.connect(f"/cli/no%20{n}", welcome=False).status, 400)
        (row,) = self.status()["events"]
        self.assertRegex(row["text"], r"^192.168.1.1 with 400: Bad session id.* \(300 times\)$")
        self.assertEqual((row["count"], row["session"], row["level"]), (300, None, "notice"))


class HistoriesTest(MetersCase):
    def test_they_begin_with_the_relay(self) -> None:
        status = self.status()
        self.assertEqual((status["hour"], status["day"]), ([], []))
        self.assertEqual([day["date"] for day in status["month"]], ["1970-01-01"])
        self.meters.sample()
        status = self.status()
        self.assertEqual(len(status["hour"]), 1)
        self.assertEqual(status["hour"], status["day"])
        self.assertEqual(len(status["columns"]), len(status["hour"][0]))

    def test_reload_times(self) -> None:
        self.assertEqual(
            self.status()["reload"], {"median_s": None, "p95_s": None, "count": 0, "failed": 0}
        )
        for meter in (self.meters.days, self.meters.sampler):
            for seconds in (0.4, 0.5, 9.0):
                meter.count_reload(seconds)
            meter.count_failed()
        self.meters.sample()
        reload = self.status()["reload"]
        self.assertTrue(0.49 <= reload["median_s"] <= 0.51, reload)
        self.assertTrue(8.8 <= reload["p95_s"] <= 9.2, reload)
        self.assertEqual((reload["count"], reload["failed"]), (3, 1))
        row = dict(zip(self.status()["columns"], self.status()["hour"][-1], strict=True))
        self.assertEqual((row["reload_s"], row["failed"]), (0.5, 1))


class AdviceTest(MetersCase):
    def test_where_it_is(self) -> None:
        self.meters.health.conditions.watch("spool", lambda: "The disk is full")
        self.meters.health.check()
        (worry,) = self.status()["worries"]
        self.assertEqual(worry["advice_url"], "/advice#spool")


class ReloadsTest(MetersCase):
    def test_one_that_fails_on_a_phone(self) -> None:
        cli, (phone, other) = self.session(phones=2)
        cli.send(type="bundle_update", payload={"code": "x" * 5000})
        self.relay.clock.advance(0.5)
        phone.send(type="bundle_ack", success=True)
        self.relay.clock.advance(0.25)
        other.send(type="bundle_ack", success=False, error="SyntaxError: a\nb")
        failed, bundle = self.status()["events"][:2]
        self.assertEqual((failed["kind"], failed["level"]), ("failed", "warning"))
        self.assertRegex(failed["text"], r'^"d1": SyntaxError: a b$')
        self.assertEqual((bundle["kind"], bundle["session"]), ("bundle", LABEL))
        self.assertRegex(
            bundle["text"],
            r"^5\.0 kB in .*; 2 of 2 phones in .*; acknowledged 0\.5 s; d1: SyntaxError: a b$",
        )
        reload = self.status()["reload"]
        self.assertEqual((reload["count"], reload["failed"]), (1, 1))
        (row,) = Views(self.meters).sessions()
        self.assertEqual((row["reload_s"], row["failed"]), (0.5, 1))
        (shown,) = row["bundles"]  # type: ignore[misc]
        self.assertEqual([one["state"] for one in shown["phones"]], ["acknowledged", "failed"])

    def test_one_that_is_cut(self) -> None:
        cli, _ = self.session()
        cli.send_raw(
            masked(TEXT, b'{"type":"bundle_update","payload":{"code":"' + b"x" * 9000, fin=False)
        )
        cli.lose()
        bundle = next(row for row in self.status()["events"] if row["kind"] == "bundle")
        self.assertEqual(bundle["level"], "notice")
        self.assertIn(", cut short: ", bundle["text"])
        self.assertEqual(self.status()["reload"]["count"], 0)
