"""`apptuner_relay.client.plan`: what users come to, as a command."""

from __future__ import annotations

import csv
import json

from apptuner_relay.client import main as main_module
from apptuner_relay.client.outcome import Exit, UsageError

from .cases import OperatorCommandCase
from .little_relay import Recorder


class PlanTest(OperatorCommandCase):
    def test_the_plans_table(self) -> None:
        text = self.run_command("plan", "--bundle-mb", "15").out.getvalue()
        for users, data, month in (
            ("50", "750 MB", "22 GB"),
            ("500", "7.5 GB", "225 GB"),
            ("2,000", "30 GB", "900 GB"),
            ("10,000", "150 GB", "4.5 TB"),
        ):
            self.assertRegex(text, rf"(?m)^{users} +{data} +{month} ")
        self.assertIn(
            "50 users: stage 1 of 4, one relay, with room to grow; stage 2 from 5,001 users", text
        )
        self.assertIn("\nA stage says how many relays are worth having. In 1 and 2 one ", text)
        self.assertIn(" In 2 half of that is reached. From 3 on ", text)
        self.assertRegex(text, r"(?m)^a bundle, as it is sent +15 MB +given *$")
        self.assertRegex(text, r"(?m)^sessions of a user +1 +assumed *$")

    def test_json_and_csv_say_the_same(self) -> None:
        arguments = ("plan", "--users", "2,000", "7", "--peak-share", "12.5%", "--format")
        said = json.loads(self.run_command(*arguments, "json").out.getvalue())
        rows = list(csv.DictReader(self.run_command(*arguments, "csv").out.getvalue().splitlines()))
        self.assertEqual([row["users"] for row in rows], ["2000", "7"])
        for row, projection in zip(rows, said["projections"], strict=True):
            self.assertEqual(row, {k: "" if v is None else str(v) for k, v in projection.items()})
        self.assertEqual(said["projections"][0]["peak_sessions"], 250)
        self.assertEqual(said["figures"]["peak_share"]["value"], 0.125)
        self.assertEqual(said["figures"]["peak_share"]["from"], "given")

    def test_patched_reloads(self) -> None:
        arguments = ("plan", "--users", "50", "10000", "--patched", "95", "--format")
        text = self.run_command(*arguments, "table").out.getvalue()
        # 5% of 4.5 TB, and 285,000 patches of 1 kB.
        self.assertRegex(text, r"(?m)^10,000 +7.5 GB +225 GB +10,000 ")
        self.assertRegex(text, r"(?m)^10,000 +4.5 TB +225 GB +5% *$")
        self.assertRegex(text, r"(?m)^50 +22 GB +1.1 GB +5% *$")
        self.assertRegex(text, r"(?m)^a patch, as it is sent +1 kB +assumed: everyday edits ")
        [_, most] = json.loads(self.run_command(*arguments, "json").out.getvalue())["projections"]
        self.assertEqual(most["whole_month_bytes"], 4_500_000_000_000)
        self.assertEqual(most["month_bytes"], 225_000_000_000 + 285_000 * 1000)
        text = self.run_command("plan", "--patched", "100%", "--patch-kb", "0.5").out.getvalue()
        self.assertRegex(text, r"(?m)^10,000 +4.5 TB +150 MB +0.0033% *$")

    def test_without_patches_they_are_not_spoken_of(self) -> None:
        text = self.run_command("plan").out.getvalue()
        self.assertNotIn("with patches", text)
        text = self.run_command("plan", "--patched", "50", "--bundles-per-day", "0").out.getvalue()
        self.assertRegex(text, r"(?m)^50 +0 B +0 B +- *$")

    def test_a_managed_service(self) -> None:
        text = self.run_command("plan", "--users", "5000").out.getvalue()
        self.assertRegex(text, r"(?m)^5,000 +10,000 +53 M +22 M +484 M +4 M +88 M *$")
        self.assertNotIn("exceed", text)

    def test_the_limits_of_a_managed_service(self) -> None:
        arguments = ("plan", "--users", "5000", "6,000", "9", "--messages-per-day", "20,000,000",
                     "--max-connections", "10000")  # fmt: skip
        text = self.run_command(*arguments).out.getvalue()
        for users, exceeded in (
            ("5,000", "messages unless joined"),
            ("6,000", "connections, messages\n +unless joined"),
            ("9", "-"),
        ):
            self.assertRegex(text, rf"(?m)^{users} .* {exceeded} *$")
        self.assertIn(
            "messages a day, 20,000,000 at most: exceeded from 4,546 users on, with logs joined "
            "from 25,001 users on\nconnections, 10,000 at most: exceeded from 5,001 users on\n",
            text,
        )
        said = json.loads(self.run_command(*arguments, "--format", "json").out.getvalue())
        self.assertEqual(
            said["service_exceeded_from_users"],
            {"connections": 5001, "messages": 4546, "joined_messages": 25_001},
        )
        self.assertEqual(
            [each["service_exceeds_connections"] for each in said["projections"]],
            [False, True, False],
        )

    def test_limits_that_nobody_exceeds_and_that_one_user_does(self) -> None:
        text = self.run_command(
            "plan", "--messages-per-day", "1", "--log-lines", "0", "--notices", "0"
        ).out.getvalue()
        self.assertIn("exceeded by no number of users", text)
        text = self.run_command("plan", "--max-connections", "1").out.getvalue()
        self.assertIn("connections, 1 at most: exceeded by 1 user already", text)

    def test_arguments(self) -> None:
        for arguments in (
            ["--users", "0"],
            ["--users", "1e9"],
            ["--users"],
            ["--bundle-mb", "0"],
            ["--bundle-mb", "15%"],
            ["--bundle-mb", "1e999999999"],
            ["--bundle-mb", "1/3"],
            ["--copies", "nan"],
            ["--patched", "101"],
            ["--patched", "-1"],
            ["--patch-kb", "0"],
            ["--peak-share", "101"],
            ["--peak-share", "-1"],
            ["--hours-per-day", "25"],
            ["--days-per-month", "32"],
            ["--lines-per-event", "0"],
            ["--lines-per-event", "0.5"],
            ["--messages-per-day", "0"],
            ["--messages-per-day", "1.5"],
            ["--max-connections", "many"],
            ["--admin-token", "short"],
            ["--admin-token", "@/nonexistent"],
            ["--from", "ftp://x"],
        ):
            errors = Recorder().err
            self.patch(main_module.sys, "stderr", errors)
            ended = self.assertRaises(SystemExit, self.begin, "plan", *arguments)
            self.assertEqual(ended.code, Exit.USAGE)
            self.assertIn(arguments[0], errors.getvalue())
        for arguments in (["--users-now", "5"], ["--notice-sessions", "10001"]):
            self.assertRaises(UsageError, self.begin, "plan", *arguments)
