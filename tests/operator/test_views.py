"""`apptuner_relay.operator.views`: the status and the sessions as JSON."""

import hashlib
import json

from apptuner_relay.operator.views import Views
from apptuner_relay.wire.frames import TEXT
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
                "hour",
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
                "date peak_sessions peak_connections bundles bundle_bytes bytes_out connections",
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

    def test_busiest_first(self) -> None:
        self.session()
        for name in ("a", "b"):
            cli, _ = self.relay.connect(f"/cli/{name}"), self.relay.connect(f"/mobile/{name}")
            cli.send(type="reload", x="x" * (500 if name == "b" else 3000))
        sent = [row["bytes_out"] for row in Views(self.meters).sessions()]
        self.assertEqual(sent, sorted(sent, reverse=True))
