"""`drain` and `block` as commands: what they ask a relay for, and what they say."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.client import block, drain_command


class ReadTest(SynchronousTestCase):
    def test_drains(self) -> None:
        row = {"drain": True, "state": "drained", "sessions": 3, "connections": 7}
        self.assertEqual(drain_command._read(row), ("drained", 3, 7))
        for wrong in (None, [], {**row, "state": 1}, {**row, "sessions": True}):
            self.assertRaises(ValueError, drain_command._read, wrong)

    def test_blocks(self) -> None:
        row = {"address": "192.0.2.4", "since_ms": 0, "until_ms": None, "reason": "a\x1b[1m"}
        [read] = block._read({"blocked": [row]})
        cells = block._cells(read)
        self.assertEqual(cells[:3], ("192.0.2.4", "1970-01-01 00:00 UTC", "lifted"))
        self.assertNotIn("\x1b", cells[3])
        for wrong in (None, {"blocked": {}}, {"blocked": [1]}):
            self.assertRaises(ValueError, block._read, wrong)
        self.assertEqual(block._cells({"since_ms": "x", "until_ms": 1e300})[1:3], ("–", "–"))
