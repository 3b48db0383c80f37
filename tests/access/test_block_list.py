"""`apptuner_relay.access.block_list` and `blocked_file`: addresses that are blocked."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.access.block_list import MOST_BLOCKS, BlockList, read_network
from apptuner_relay.access.blocked_file import BLOCKED_FILE, BlockedFile
from apptuner_relay.session.session import BadRequest
from tests.log_capture import capture_log


def at_once(call: Callable[..., Any], *given: object) -> Deferred[Any]:
    return maybeDeferred(call, *given)


class BlockListCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.now_s = 1000.0
        self.blocks = BlockList(lambda: self.now_s, [ip_network("10.1.0.0/16")])

    def block(self, text: str, for_s: float | None = None, reason: str = "") -> None:
        self.blocks.add(read_network(text), for_s, reason)

    def shown(self) -> list[str]:
        return [one.shown for one in self.blocks.list()]

    def assertRefused(self, text: str, status: int = 400) -> None:
        with self.assertRaises(BadRequest) as caught:
            self.block(text)
        self.assertEqual(caught.exception.status, status, text)


class Blocks(BlockListCase):
    def test_addresses_and_networks(self) -> None:
        self.block("192.0.2.4")
        self.block("2001:db8::/64")
        for address in ("192.0.2.4", "2001:db8::1", "2001:db8::ffff:1"):
            self.assertIsNotNone(self.blocks.find(address), address)
            self.assertRaises(BadRequest, self.blocks.check, address)
        for other in ("192.0.2.5", "2001:db8:0:1::1", None):
            self.assertIsNone(self.blocks.find(other))
            self.blocks.check(other)

    def test_for_a_time(self) -> None:
        self.block("192.0.2.4", 60.0)
        self.now_s += 59
        self.assertIsNotNone(self.blocks.find("192.0.2.4"))
        self.now_s += 1
        self.assertIsNone(self.blocks.find("192.0.2.4"))
        self.assertFalse(self.blocks.lift(read_network("192.0.2.4")))
        self.assertEqual(self.shown(), [])

    def test_lifted(self) -> None:
        self.block("192.0.2.4")
        self.block("192.0.2.4", 60.0, "again")
        self.assertEqual(len(self.blocks), 1)
        self.assertTrue(self.blocks.lift(read_network("192.0.2.4")))
        self.assertFalse(self.blocks.lift(read_network("192.0.2.4")))
        self.assertIsNone(self.blocks.find("192.0.2.4"))

    def test_what_is_never_blocked(self) -> None:
        for own in ("127.0.0.1", "127.0.0.0/8", "::1", "10.1.2.3", "10.0.0.0/8"):
            self.assertRefused(own)
        for wide in ("0.0.0.0/0", "::/0", "192.0.0.0/7", "2001::/15"):
            self.assertRefused(wide)
        for wrong in ("", "example.com", "192.0.2.4/24", "192.0.2", "::ffff:127.0.0.1"):
            self.assertRefused(wrong)
        self.assertEqual(self.shown(), [])

    def test_an_ipv4_address_as_ipv6_has_it(self) -> None:
        self.block("::ffff:192.0.2.4")
        self.assertEqual(self.shown(), ["192.0.2.4"])

    def test_it_is_bounded(self) -> None:
        for n in range(MOST_BLOCKS):
            self.block(str(ip_address("198.18.0.0") + n), 60.0)
        self.assertRefused("192.0.2.4", 409)
        self.block("198.18.0.0", 120.0)
        self.now_s += 61
        self.block("192.0.2.4")
        self.assertEqual(sorted(self.shown()), ["192.0.2.4", "198.18.0.0"])

    def test_a_reason_is_one_line(self) -> None:
        self.block("192.0.2.4", None, "it\nguesses\x1b[1m " + "x" * 999)
        [block] = self.blocks.list()
        self.assertTrue(block.reason.startswith("it guesses"))
        self.assertEqual(len(block.reason), 200)

    @given(st.lists(st.ip_addresses()), st.ip_addresses(), st.integers(8, 128))
    def test_as_networks_say(self, others: list, address: Any, length: int) -> None:
        blocks = BlockList(lambda: 0.0)
        networks = [
            ip_network((one, min(length, one.max_prefixlen)), strict=False) for one in others
        ]
        for network in networks:
            try:
                blocks.add(network, None)
            except BadRequest:
                continue
        kept = [block.network for block in blocks.list()]
        expected = any(address in one for one in kept if one.version == address.version)
        self.assertEqual(blocks.find(str(address)) is not None, expected)

    @given(st.recursive(st.none() | st.text() | st.floats(), st.lists), st.text())
    def test_rows_of_anything(self, value: Any, text: str) -> None:
        blocks = BlockList(lambda: 0.0)
        row = {"address": text, "since_ms": value, "until_ms": value, "reason": text}
        self.assertEqual(blocks.restore([value, row]), 2 - len(blocks))


class Kept(BlockListCase):
    def setUp(self) -> None:
        super().setUp()
        self.directory = Path(self.mktemp())
        self.lines = capture_log(self)
        self.start(self.blocks)

    def start(self, blocks: BlockList) -> BlockedFile:
        file = BlockedFile(blocks, self.directory, at_once)
        file.startService()
        return file

    def restarted(self) -> BlockList:
        blocks = BlockList(lambda: self.now_s)
        self.start(blocks)
        return blocks

    def test_over_a_restart(self) -> None:
        self.block("192.0.2.4", 60.0, "it guesses")
        self.block("2001:db8::/64")
        self.assertEqual(self.restarted().list(), self.blocks.list())
        self.now_s += 60
        self.assertEqual([one.shown for one in self.restarted().list()], ["2001:db8::/64"])
        self.blocks.lift(read_network("2001:db8::/64"))
        self.assertEqual(self.restarted().list(), [])
        self.assertEqual(self.lines, [])

    def test_a_file_of_something_else(self) -> None:
        self.directory.mkdir()
        for text in ("", "[]", "[" * 99999, '{"blocked":1}', "\xff"):
            (self.directory / BLOCKED_FILE).write_bytes(text.encode("latin-1"))
            self.assertEqual(self.restarted().list(), [])
            self.assertIn("could not be read", self.lines.pop())

    def test_rows_of_something_else(self) -> None:
        self.directory.mkdir()
        (self.directory / BLOCKED_FILE).write_text('{"blocked":[1,{"address":"192.0.2.4"}]}')
        self.assertEqual(self.restarted().list(), [])
        self.assertIn("2 blocked addresses of", self.lines.pop())

    def test_it_cannot_be_written(self) -> None:
        self.directory.write_text("no directory")
        self.block("192.0.2.4")
        self.assertIn("could not be written", self.lines.pop())
        self.assertIsNotNone(self.blocks.find("192.0.2.4"))
