"""`apptuner_relay.operator.log_lines`: the minute line, and the line of a day."""

import json

from apptuner_relay.operator.day_book import Day
from apptuner_relay.operator.log_lines import day_line, minute_fields, minute_line
from tests.operator.meters_case import MetersCase


class LineTest(MetersCase):
    def test_the_minute(self) -> None:
        cli, _ = self.session(phones=2)
        self.relay.connect("/cli/other").lose()
        cli.send(type="bundle_update", payload={"code": "x" * 1_500_000})
        line = minute_line(self.meters)
        self.assertRegex(
            line,
            r"^3 connections \(cli 1, dashboard 0, desktop 0, mobile 2, upload 0\) in 1 session, "
            r"peak today 2; 1 bundle, 1\.5 MB since the start; "
            r"1 bundle, 1\.5 MB in the last minute; CPU \d+% of a core, "
            r"memory \d+\.\d [MG]iB, loop lag 0 ms$",
        )
        fields = minute_fields(self.meters)
        self.assertEqual((fields["connections"], fields["peak_sessions"]), (3, 2))
        json.dumps(fields)

    def test_what_is_wrong_is_in_the_line(self) -> None:
        self.relay.service.stopService()
        self.assertTrue(minute_line(self.meters).endswith("; draining: The relay restarts"))

    def test_the_day(self) -> None:
        day = Day("2026-11-23", 7, 19, 34, 510_200_000, 1_200_000_000, 1)
        self.assertEqual(
            day_line(day, so_far=False),
            "day 2026-11-23: peak 7 sessions, 19 connections; 34 bundles, 510.2 MB; 1.2 GB sent; "
            "1 client connected",
        )
        self.assertIn("2026-11-23 so far: ", day_line(day, so_far=True))
