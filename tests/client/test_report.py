"""`apptuner_relay.client.report`: the days of a day file, as tables and for programs."""

from __future__ import annotations

import csv
import json
import os

from apptuner_relay.client import main as main_module
from apptuner_relay.client.outcome import Exit, UsageError
from apptuner_relay.client.records import COUNTS

from .cases import DAYS, OperatorCommandCase, counts
from .little_relay import Recorder


class ReportTest(OperatorCommandCase):
    def rows(self, screen: Recorder) -> list[list[str]]:
        """A table's cells, which two spaces part."""
        lines = screen.out.getvalue().splitlines()
        cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
        return [row for row in cells if len(row) > 1]

    def test_today(self) -> None:
        first, titles, row = self.rows(self.report())
        self.assertEqual(first, ["peak", "peak", "data of", "data"])
        self.assertEqual(titles[:3], ["date", "sessions", "connections"])
        self.assertEqual(row, ["2026-11-23", "4", "9", "100", "1.5 GB", "3 GB", "70"])

    def test_a_day(self) -> None:
        for when in ("yesterday", "2026-11-22"):
            *_, row = self.rows(self.report(when))
            self.assertEqual(row, ["2026-11-22", "8", "18", "200", "3 GB", "6 GB", "140"])

    def test_a_month_that_goes_on(self) -> None:
        for when in ("month", "2026-11"):
            screen = self.report(when)
            rows = self.rows(screen)
            self.assertEqual(len(rows), 6)
            self.assertEqual(rows[-1], ["2026-11", "8", "18", "400", "6 GB", "12 GB", "280"])
            # 9 GB on two whole days; today and seven more days at 4.5 GB each.
            self.assertIn("At this pace 2026-11 will come to 45 GB sent.", screen.out.getvalue())
            self.assertIn("20 days have no record", screen.err.getvalue())

    def test_a_month_that_is_over(self) -> None:
        screen = self.report("2026-10")
        self.assertEqual(self.rows(screen)[-1][0], "2026-10")
        self.assertNotIn("At this pace", screen.out.getvalue())

    def test_no_record(self) -> None:
        for when in ("2026-11-01", "2027-01", "2026-09"):
            screen = self.report(when, code=Exit.FAILED)
            self.assertEqual(screen.out.getvalue(), "")
            self.assertIn(f"there is no record of {when}", screen.err.getvalue())

    def test_csv(self) -> None:
        screen = self.report("month", "--format", "csv")
        rows = list(csv.DictReader(screen.out.getvalue().splitlines()))
        self.assertEqual([row["date"] for row in rows], sorted(DAYS)[1:])
        self.assertEqual({name: int(rows[1][name]) for name in COUNTS}, counts(2))

    def test_json(self) -> None:
        said = json.loads(self.report("month", "--format", "json").out.getvalue())
        self.assertEqual(said["days"][0], {"date": "2026-11-21", **counts(1)})
        self.assertEqual(said["total"]["bytes_out"], 12_000_000_000)
        self.assertEqual(said["total"]["peak_sessions"], 8)
        self.assertEqual(said["missing_days"], 20)
        self.assertEqual(said["expected_bytes_out"], 45_000_000_000)

    def test_where_a_relay_keeps_it(self) -> None:
        os.environ["APPTUNER_STATE_DIR"] = str(self.directory)
        self.run_command("report")
        os.environ["APPTUNER_STATE_DIR"] = "off"
        wrong = self.assertRaises(UsageError, self.begin, "report")
        self.assertIn("keeps no record", str(wrong))

    def test_files_that_are_none(self) -> None:
        file = self.directory / "days.json"
        for content, words in (
            (b"{", "it is no JSON"),
            (b"\xff", "it is no JSON"),
            (b"[" * 100_000, "it is no JSON"),
            (b'{"days":[]}', "days is no JSON object"),
            (b'{"days":{"\\u001b[2J":{}}}', "\\x1b[2J"),
        ):
            file.write_bytes(content)
            wrong = self.assertRaises(UsageError, self.report)
            self.assertIn(words, str(wrong))
            self.assertTrue(str(wrong).isprintable())
        file.unlink()
        self.assertIn("no such file", str(self.assertRaises(UsageError, self.report)))
        os.mkfifo(file)
        self.assertIn("not a regular file", str(self.assertRaises(UsageError, self.report)))

    def test_arguments(self) -> None:
        for when in ("2026-13", "2026-02-30", "tomorrow", "0000-01", "2026-1-1"):
            self.patch(main_module.sys, "stderr", Recorder().err)
            self.assertRaises(SystemExit, self.report, when)
        wrong = self.assertRaises(UsageError, self.report, "--from", "http://127.0.0.1")
        self.assertIn("not both", str(wrong))

    def test_quiet(self) -> None:
        running, screen = self.begin("report", "--state-dir", str(self.directory), quiet=True)
        self.assertEqual(self.successResultOf(running.done), Exit.DONE)
        self.assertEqual(screen.out.getvalue() + screen.err.getvalue(), "")
