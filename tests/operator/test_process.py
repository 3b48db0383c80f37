"""`apptuner_relay.operator.process`, of the real /proc."""

import os
import subprocess
import sys

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


class DescriptorsTest(SynchronousTestCase):
    def test_the_soft_limit_is_raised_to_the_hard_one(self) -> None:
        code = (
            "import resource; from apptuner_relay.operator import process\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 500))\n"
            "print(process.raise_descriptors_limit(), process.descriptors_limit())\n"
        )
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        self.assertEqual(said.stdout.split(), [b"500", b"500"])
