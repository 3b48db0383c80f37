"""`apptuner_relay.spool.inflating`: which phones are sent bundles plain."""

import json

from twisted.trial.unittest import SynchronousTestCase

from apptuner_relay.spool.inflating import InflatingRecord
from apptuner_relay.wire.frames import TEXT
from tests.memory import Client, deflated, inflated, masked
from tests.spool.cases import Spooled, some_code


class Record(SynchronousTestCase):
    def setUp(self) -> None:
        self.record = InflatingRecord()

    def test_after_the_second_time(self) -> None:
        self.record.left_inside("s", "pixel")
        self.assertFalse(self.record.wants_plain("s", "pixel"))
        self.record.left_inside("s", "pixel")
        self.assertTrue(self.record.wants_plain("s", "pixel"))
        self.assertFalse(self.record.wants_plain("s", "other"))
        self.assertFalse(self.record.wants_plain("t", "pixel"))

    def test_one_that_copes_begins_anew(self) -> None:
        self.record.left_inside("s", "pixel")
        self.record.coped("s", "pixel")
        self.record.left_inside("s", "pixel")
        self.assertFalse(self.record.wants_plain("s", "pixel"))

    def test_remembers_the_last_ones_only(self) -> None:
        for number in range(5000):
            for _ in range(2):
                self.record.left_inside("s", f"phone{number}")
        self.assertFalse(self.record.wants_plain("s", "phone0"))
        self.assertTrue(self.record.wants_plain("s", "phone4999"))


class TooMuchCompressed(Spooled):
    """A phone that can't take a compressed bundle leaves without a word."""

    code = "abc" * 100_000

    def setUp(self) -> None:
        super().setUp()
        self.cli = self.connect("cli", deflate=True)
        text = json.dumps({"type": "bundle_update", "payload": {"code": self.code}})
        self.text = text.encode()

    def push(self) -> None:
        self.cli.send_raw(masked(TEXT | 0x40, deflated(self.text)))

    def join(self, name: str = "d") -> Client:
        return self.connect("mobile", f"deviceId={name}", deflate=True)

    def got_compressed(self, phone: Client) -> bool:
        phone.read()
        [opcode] = [frame[0] for frame in phone.frames if b"bundle" in self._of(frame)]
        return bool(opcode & 0x40)

    def _of(self, frame: tuple[int, bool, bytes]) -> bytes:
        opcode, _, payload = frame
        return inflated(payload) if opcode & 0x40 else payload

    def leave_behind_it(self, name: str = "d") -> bool:
        """Join, get a bundle and go, having said nothing. Whether it was compressed."""
        phone = self.join(name)
        self.push()
        compressed = self.got_compressed(phone)
        phone.lose()
        return compressed

    def test_gets_it_plain_after_the_second_time(self) -> None:
        self.assertEqual([self.leave_behind_it() for _ in range(4)], [True, True, False, False])
        phone = self.join()
        self.push()
        self.assertTexts([one for one in self.texts(phone) if b"bundle" in one], [self.text])

    def test_others_get_it_as_it_is(self) -> None:
        for _ in range(3):
            self.leave_behind_it()
        self.assertTrue(self.leave_behind_it("another"))

    def test_leaves_in_the_middle_of_it(self) -> None:
        text = json.dumps({"type": "bundle_update", "payload": {"code": some_code(900_000)}})
        data = masked(TEXT | 0x40, deflated(text.encode()))
        for _ in range(2):
            phone = self.join()
            self.cli.send_raw(data[:300_000])
            self.assertTrue(phone.transport.value())
            phone.lose()
            self.cli.send_raw(data[300_000:])
        phone = self.join()
        self.cli.send_raw(data)
        phone.read()
        self.assertFalse(any(opcode & 0x40 for opcode, _, _ in phone.frames))
        self.assertTexts(phone.messages[-1:], [text.encode()])

    def test_one_that_says_something_behind_it_copes(self) -> None:
        self.leave_behind_it()
        phone = self.join()
        self.push()
        self.relay.clock.advance(1)
        phone.send(type="console_log", message="running")
        phone.lose()
        # Counted from the beginning.
        self.assertEqual([self.leave_behind_it() for _ in range(3)], [True, True, False])

    def test_a_plain_one_in_between_changes_nothing(self) -> None:
        for _ in range(3):
            self.leave_behind_it()
        phone = self.join()
        self.push()
        self.relay.clock.advance(1)
        phone.send(type="console_log", message="running")
        phone.lose()
        self.assertFalse(self.leave_behind_it())

    def test_one_that_leaves_before_it_is_not_counted(self) -> None:
        for _ in range(4):
            self.join().lose()
        self.assertTrue(self.leave_behind_it())
