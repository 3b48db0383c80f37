"""`apptuner_relay.operator.control_groups`: control groups as files."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator import control_groups

MIB = 1 << 20


class ControlGroupTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp()).resolve()
        self.root.mkdir()
        self.membership = self.root / "membership"

    def write(self, membership: str, files: dict[str, str]) -> None:
        self.membership.write_text(membership)
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def cores(self, membership: str, files: dict[str, str]) -> float | None:
        self.write(membership, files)
        return control_groups.cpu_limit(self.membership, self.root)

    def limit(self, membership: str, files: dict[str, str]) -> int | None:
        self.write(membership, files)
        return control_groups.memory_limit(self.membership, self.root)

    def test_the_least_of_all_groups_above(self) -> None:
        files = {
            "a/b/memory.max": "max\n",
            "a/memory.max": f"{512 * MIB}\n",
            "memory.max": f"{700 * MIB}\n",
        }
        self.assertEqual(self.limit("0::/a/b\n", files), 512 * MIB)

    def test_no_limit(self) -> None:
        self.assertIsNone(self.limit("0::/a\n", {"a/memory.max": "max\n"}))
        self.assertIsNone(self.limit("0::/\n", {}))

    def test_in_a_container(self) -> None:
        """The host's path, with the container's own group at the top."""
        files = {"memory.max": f"{256 * MIB}\n"}
        self.assertEqual(self.limit("0::/system.slice/docker-1.scope\n", files), 256 * MIB)

    def test_version_1(self) -> None:
        membership = "5:cpu,cpuacct:/\n4:memory:/box\n1:name=systemd:/\n"
        file = "memory/box/memory.limit_in_bytes"
        self.assertEqual(self.limit(membership, {file: f"{64 * MIB}\n"}), 64 * MIB)
        self.assertIsNone(self.limit(membership, {file: "9223372036854771712\n"}))

    def test_nothing_to_read(self) -> None:
        missing = self.root / "none"
        self.assertIsNone(control_groups.memory_limit(missing, missing))
        self.assertIsNone(self.limit("nonsense\n", {}))

    def test_cores(self) -> None:
        files = {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n"}
        self.assertEqual(self.cores("0::/a/b\n", files), 1.5)
        self.assertEqual(self.cores("0::/a/b\n", {"a/b/cpu.max": "50000 100000\n"}), 0.5)
        self.assertIsNone(self.cores("0::/c\n", {"c/cpu.max": "max 100000\n"}))

    def test_cores_of_version_1(self) -> None:
        membership = "5:cpu,cpuacct:/box\n1:name=systemd:/\n"
        files = {"cpu/box/cpu.cfs_quota_us": "25000\n", "cpu/box/cpu.cfs_period_us": "100000\n"}
        self.assertEqual(self.cores(membership, files), 0.25)
        self.assertIsNone(self.cores(membership, {"cpu/box/cpu.cfs_quota_us": "-1\n"}))

    def test_what_is_no_limit_of_cores(self) -> None:
        for text in ("", "nonsense", "0 100000", "100000", "100000 0", "-1 100000"):
            self.assertIsNone(self.cores("0::/a\n", {"a/cpu.max": text}), text)
