"""`apptuner_relay.operator.process`: the real /proc, and control groups as files."""

import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.operator import process

MIB = 1 << 20


class RealTest(SynchronousTestCase):
    def test_memory(self) -> None:
        self.assertGreater(process.memory_bytes(), 5 * MIB)

    def test_descriptors(self) -> None:
        before = process.descriptors()
        ends = os.pipe()
        self.assertEqual(process.descriptors(), before + 2)
        for end in ends:
            os.close(end)
        self.assertGreater(process.descriptors_limit(), before)


class ControlGroupTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp()).resolve()
        self.root.mkdir()
        self.membership = self.root / "membership"

    def limit(self, membership: str, files: dict[str, str]) -> int | None:
        self.membership.write_text(membership)
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return process.cgroup_memory_limit(self.membership, self.root)

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
        self.assertIsNone(process.cgroup_memory_limit(missing, missing))
        self.assertIsNone(self.limit("nonsense\n", {}))


class DescriptorsTest(SynchronousTestCase):
    def test_the_soft_limit_is_raised_to_the_hard_one(self) -> None:
        code = (
            "import resource; from apptuner_relay.operator import process\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 500))\n"
            "print(process.raise_descriptors_limit(), process.descriptors_limit())\n"
        )
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        self.assertEqual(said.stdout.split(), [b"500", b"500"])
