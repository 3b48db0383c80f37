"""`live_check`: what the answers of relays say of a deployment."""

import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.append(str(REPOSITORY / "ops" / "deploy"))

from deploy_lib import live_check, relays, wheels  # noqa: E402

NEW = {"version": "0.2.0", "commit": "1111111", "release": "B"}
OK: dict[str, Any] = {**NEW, "status": "ok", "uptime_s": 1}


class JudgeTest(SynchronousTestCase):
    def judge(
        self,
        answer: dict[str, Any] | str,
        expected: dict[str, Any] | None = NEW,
        unit: dict[str, Any] | None = None,
        since_s: float | None = 3.0,
    ) -> tuple[str, str]:
        return live_check.judge(answer, expected, unit, since_s)

    def test_live(self) -> None:
        self.assertEqual(self.judge(OK), ("live", "0.2.0 (1111111), release B, up 1 s"))

    def test_another_commit_or_release_or_version(self) -> None:
        for change in ({"commit": "0000000"}, {"release": "A"}, {"version": "0.1.0"}):
            self.assertEqual(self.judge(OK | change)[0], "old", change)
        # The one before says less of itself.
        less = {name: value for name, value in OK.items() if name != "release"}
        self.assertEqual(self.judge(less)[0], "old")

    def test_the_way_back_to_a_release_that_says_less_of_itself(self) -> None:
        self.assertEqual(self.judge(OK, {"version": "0.2.0"})[0], "live")
        self.assertEqual(self.judge(OK, {"version": "0.2.0", "commit": "1111111"})[0], "live")

    def test_the_same_release_that_was_not_restarted(self) -> None:
        state, text = self.judge(OK | {"uptime_s": 600})
        self.assertEqual(state, "old")
        self.assertIn("was not restarted", text)
        self.assertEqual(self.judge(OK | {"uptime_s": 600}, since_s=None)[0], "live")

    def test_the_one_before_that_drains(self) -> None:
        self.assertEqual(self.judge(OK | {"commit": "0", "status": "draining"})[0], "draining")
        self.assertEqual(self.judge(OK | {"status": "draining"})[0], "draining")

    def test_degraded(self) -> None:
        state, text = self.judge(OK | {"status": "degraded", "reasons": ["memory", "CPU"]})
        self.assertEqual(state, "degraded")
        self.assertTrue(text.endswith(": memory; CPU"), text)

    def test_no_answer(self) -> None:
        self.assertEqual(self.judge("refused"), ("silent", "no answer: refused"))
        for state, restarts, expected in (
            ("activating", 0, "silent"),
            ("activating", 1, "silent"),
            ("activating", 2, "crash-loop"),
            ("failed", 0, "crash-loop"),
            ("deactivating", 0, "draining"),
        ):
            unit = {"ActiveState": state, "SubState": "x", "NRestarts": str(restarts)}
            self.assertEqual(self.judge("refused", unit=unit)[0], expected, unit)

    def test_one_that_crashes_while_the_one_before_answers(self) -> None:
        unit = {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "1"}
        self.assertEqual(self.judge(OK | {"commit": "0"}, unit=unit)[0], "crash-loop")

    def test_before_anything_is_touched(self) -> None:
        self.assertEqual(self.judge(OK | {"uptime_s": 600}, None, since_s=None)[0], "live")


class OtherProcessesTest(SynchronousTestCase):
    def test_relays_of_other_releases(self) -> None:
        proc = Path(self.mktemp())
        for pid, words in {
            "1": ("/sbin/init",),
            "2": ("/opt/r/releases/A/bin/python", "/opt/r/current/bin/twistd", "apptuner-relay"),
            "3": ("/opt/r/releases/B/bin/python", "/opt/r/current/bin/twistd", "apptuner-relay"),
            "4": ("/opt/r/releases/A/bin/python", "-m", "pip"),
            "5": ("/opt/other/releases/A/bin/python", "apptuner-relay"),
            "6": ("",),
        }.items():
            folder = proc / pid
            folder.mkdir(parents=True)
            (folder / "cmdline").write_text("\0".join(words) + "\0")
        (proc / "7").mkdir()
        self.assertEqual(live_check.other_processes("/opt/r", "B", proc), ["process 2 runs A"])


class GroupsTest(SynchronousTestCase):
    def test_ready_is_no_answer_to_what_runs(self) -> None:
        (group,) = relays.list_groups(None, ["http://127.0.0.1:3001/ready", "http://x/health"])
        self.assertEqual(
            group.instances,
            [
                ("http://127.0.0.1:3001/health", "apptuner-relay.service"),
                ("http://x/health", "apptuner-relay.service"),
            ],
        )

    def test_units(self) -> None:
        for command, units in (
            ("sudo systemctl restart apptuner-relay@3001", ["apptuner-relay@3001"]),
            (relays.DEFAULT_RESTART, ["apptuner-relay.service"]),
            (
                "sudo systemctl --no-block restart a.service b.service; true",
                [
                    "a.service",
                    "b.service",
                ],
            ),
            ("docker restart relay", []),
            ('systemctl restart "$(cat x)"', []),
        ):
            self.assertEqual(relays.units_in(command), units, command)

    def test_one_after_the_other(self) -> None:
        groups = relays.list_groups(
            ["systemctl restart r@1", "systemctl restart r@2"], ["http://x:1/", "http://x:2/"]
        )
        self.assertEqual(
            [group.instances for group in groups],
            [[("http://x:1/", "r@1")], [("http://x:2/", "r@2")]],
        )


class WheelTest(SynchronousTestCase):
    def test_a_wheel_that_is_none_has_no_commit(self) -> None:
        self.assertEqual(wheels.commit_of(Path(__file__)), "")
